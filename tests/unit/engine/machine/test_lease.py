"""A lease that was judged is taken away, and no other; advice about leases works."""

from __future__ import annotations

import json
import os
import shlex
import time

import pytest

from engine.errors import RunFailedError
from engine.machine.lease import STALE_SECONDS, RunLease


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
