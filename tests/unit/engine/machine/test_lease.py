"""A lease that was judged is taken away, and no other; advice about leases works."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.errors import RunFailedError
from engine.machine.lease import STALE_SECONDS, LeaseHeld, RunLease, _start_of, this_process


def lease_file(root, token, age, **holder):
    path = root.with_name(f".{root.name}.lease")
    path.write_text(json.dumps({"token": token, "host": "elsewhere", "pid": 1, "machine": "other/boot", **holder}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_lease_that_changed_hands_since_it_was_judged_stays(tmp_path):
    root = tmp_path / "run"
    judged = RunLease(root)
    path = lease_file(root, "the new holder", 0)
    judged._take_away({"token": "the old holder"})
    assert json.loads(path.read_text())["token"] == "the new holder"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name], "nothing is left beside it"
    judged._take_away({"token": "the new holder"})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ahead", [90, 24 * 3600], ids=["minutes ahead", "dated tomorrow"])
def test_a_lease_dated_in_the_future_is_taken_over_by_following_what_is_said(tmp_path, ahead):
    """A clock that was set back, or a file server's own: silence cannot be measured; the message says what helps."""
    root = tmp_path / "run"
    path = lease_file(root, "other", -ahead)
    with pytest.raises(RunFailedError) as refused, RunLease(root):
        pass
    said = str(refused.value)
    assert f"rm {shlex.quote(str(path))}" in said and "dated" in said
    path.unlink()
    with RunLease(root) as lease:
        lease.check()


def test_a_silent_lease_is_taken_over_as_was_said(tmp_path):
    root = tmp_path / "run"
    path = lease_file(root, "other", STALE_SECONDS - 30)
    with pytest.raises(RunFailedError, match=f"taken over after {STALE_SECONDS:.0f} s of silence"), RunLease(root):
        pass
    then = time.time() - STALE_SECONDS - 5
    os.utime(path, (then, then))
    with RunLease(root) as lease:
        lease.check()


def test_a_lease_that_was_given_back_beats_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.machine.lease.HEARTBEAT_SECONDS", 0.01)
    with RunLease(tmp_path / "run") as lease:
        assert lease._thread.is_alive()
    lease._thread.join(timeout=30)
    assert not lease._thread.is_alive() and not list(tmp_path.iterdir())


def test_a_lease_that_is_gone_is_nobodys(tmp_path):
    with RunLease(tmp_path / "run") as lease:
        lease.path.unlink()
        with pytest.raises(RunFailedError, match="took this run directory over"):
            lease.check()


def own_lease(root, process, **changed):
    """The lease, just beaten, of a process that this machine has or had."""
    holder = {"pid": process.pid, "started": _start_of(process.pid), "machine": this_process()["machine"], **changed}
    return lease_file(root, "theirs", 0, **holder)


@pytest.fixture
def other_process():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_a_process_that_lives_on_this_machine_keeps_its_lease(tmp_path, other_process):
    root = tmp_path / "run"
    path = own_lease(root, other_process)
    before = path.read_bytes()
    with pytest.raises(LeaseHeld, match=rf"host elsewhere, pid {other_process.pid}, last sign of life \d+ s"):
        RunLease(root).__enter__()
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("waited_for", [True, False], ids=["gone", "zombie"])
def test_a_process_that_died_on_this_machine_is_taken_over_at_once(tmp_path, other_process, waited_for):
    root = tmp_path / "run"
    own_lease(root, other_process)
    other_process.kill()
    if waited_for:
        other_process.wait()
    else:
        os.waitid(os.P_PID, other_process.pid, os.WEXITED | os.WNOWAIT)
    with RunLease(root) as lease:
        lease.check()
    assert not list(tmp_path.iterdir())


def test_a_pid_that_was_given_to_another_process_is_no_sign_of_life(tmp_path, other_process):
    root = tmp_path / "run"
    own_lease(root, other_process, started="1")
    with RunLease(root) as lease:
        lease.check()


def test_a_process_of_another_machine_is_not_looked_for_here(tmp_path, other_process):
    root = tmp_path / "run"
    other_process.kill()
    other_process.wait()
    for changed in ({"machine": "other/boot"}, {"pid": "no number"}):
        own_lease(root, other_process, **changed)
        with pytest.raises(LeaseHeld):
            RunLease(root).__enter__()


def test_a_process_of_another_user_lives(tmp_path, other_process, monkeypatch):
    root = tmp_path / "run"
    own_lease(root, other_process, started="1")

    def refused(_pid, _signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    with pytest.raises(LeaseHeld):
        RunLease(root).__enter__()


@pytest.mark.parametrize("content", ["", "{", "[1]"], ids=["empty", "torn", "a list"])
def test_a_lease_that_cannot_be_read_holds_until_it_is_silent(tmp_path, content):
    root = tmp_path / "run"
    path = lease_file(root, "other", 0)
    path.write_text(content)
    with pytest.raises(LeaseHeld):
        RunLease(root).__enter__()
    then = time.time() - STALE_SECONDS - 5
    os.utime(path, (then, then))
    with RunLease(root) as lease:
        lease.check()
    assert not list(tmp_path.iterdir())


def test_a_lease_that_was_taken_over_is_left_to_its_new_holder(tmp_path):
    root = tmp_path / "run"
    with RunLease(root):
        path = lease_file(root, "the new holder", 0)
    assert json.loads(path.read_text())["token"] == "the new holder"
    with pytest.raises(RunFailedError, match="took this run directory over"):
        RunLease(root).check()


def test_a_lease_that_vanishes_while_it_is_judged_is_taken(tmp_path, monkeypatch):
    """Its holder ends between the attempt to make one and the look at it."""
    root = tmp_path / "run"
    path = lease_file(root, "other", 0)
    real = RunLease._read
    looks = []

    def vanished(self):
        if not looks:
            path.unlink()
        looks.append(1)
        return real(self)

    monkeypatch.setattr(RunLease, "_read", vanished)
    with RunLease(root) as lease:
        lease.check()
    RunLease(root)._take_away({"token": "other"})
    assert not list(tmp_path.iterdir())


def test_a_run_directory_that_changes_hands_all_the_time_is_given_up(tmp_path, monkeypatch):
    tries = []
    monkeypatch.setattr(RunLease, "_create", lambda self: bool(tries.append(self)))
    with pytest.raises(LeaseHeld, match="changes hands too fast"):
        RunLease(tmp_path / "run").__enter__()
    assert len(tries) > 1


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK], ids=os.strerror)
def test_a_lease_is_held_where_the_file_system_knows_no_hard_links(tmp_path, monkeypatch, code):
    def refused(_source, _target):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refused)
    root = tmp_path / "run"
    with RunLease(root) as lease:
        assert json.loads(lease.path.read_text())["token"] == lease.token
        with pytest.raises(LeaseHeld):
            RunLease(root).__enter__()
    assert not list(tmp_path.iterdir())


def test_a_lease_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    def refused(_source, _target):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(OSError, match="broken"):
        RunLease(tmp_path / "run").__enter__()
    assert not list(tmp_path.iterdir())


def test_a_lease_beats_and_an_error_of_the_file_server_is_waited_out(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.machine.lease.HEARTBEAT_SECONDS", 0.01)
    real, failed = os.utime, []

    def hiccups(path, *arguments, **options):
        if len(failed) < 3:
            failed.append(path)
            raise OSError(errno.EIO, "hiccup")
        real(path, *arguments, **options)

    with RunLease(tmp_path / "run") as lease:
        real(lease.path, (0, 0))
        monkeypatch.setattr(os, "utime", hiccups)
        deadline = time.monotonic() + 60
        while not lease.path.stat().st_mtime and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(failed) == 3 and time.time() - lease.path.stat().st_mtime < 60


def test_a_lease_that_was_taken_over_is_not_kept_alive(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.machine.lease.HEARTBEAT_SECONDS", 0.01)
    with RunLease(tmp_path / "run") as lease:
        lease_file(tmp_path / "run", "the new holder", 0)
        lease._thread.join(timeout=60)
        assert not lease._thread.is_alive()


def test_folders_above_a_run_directory_are_made(tmp_path):
    with RunLease(tmp_path / "runs" / "of" / "today") as lease:
        assert lease.path.parent == tmp_path / "runs" / "of" and lease.path.exists()


def test_a_lease_a_little_ahead_is_as_fresh_as_can_be(tmp_path):
    root = tmp_path / "run"
    lease_file(root, "other", -30)
    with pytest.raises(LeaseHeld, match="last sign of life 0 s ago"):
        RunLease(root).__enter__()


def test_a_full_disk_is_what_is_said_of_a_lease_that_could_not_be_written(tmp_path, monkeypatch):
    def full(_path, _content, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        RunLease(tmp_path / "run").__enter__()
