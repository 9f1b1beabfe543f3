"""Drivers die, are stopped, meet each other: faults 3, 12 and 13."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from engine.errors import RunFailedError
from engine.machine.lease import STALE_SECONDS, RunLease, this_process
from tests.fixtures.laboratory import NUM_SHARDS, finished, wait_for
from tests.fixtures.places import ROOT


@pytest.mark.soak
def test_a_driver_killed_at_10_50_and_90_percent_goes_on(lab):
    """Fault 3, inline and over Ray: the committed shards of every part are kept, none is computed again."""
    slow = f"model.path={lab.faulty(fault_seconds=0.2)}"
    committed = {}
    for share, mode in (
        (0.1, ["cluster.mode=inline"]),
        (0.5, ["cluster.mode=local", "cluster.replicas=2"]),
        (0.9, ["cluster.mode=inline"]),
    ):
        driver = lab.driver("killed", slow, *mode)
        wait_for(lambda share=share: len(lab.commits("killed")) >= share * NUM_SHARDS, driver)
        family = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
        driver.communicate()
        _, alive = psutil.wait_procs(family, timeout=90)
        assert not alive, f"outlived the driver: {alive}"
        assert not (lab.run("killed") / "_SUCCESS").exists()
        found = lab.commits("killed")
        assert committed.items() <= found.items(), "a committed shard was computed again"
        committed = found
    assert share * NUM_SHARDS <= len(committed) < NUM_SHARDS
    assert lab.here("killed", slow) == 0
    assert committed.items() <= lab.commits("killed").items()
    lab.assert_whole("killed")
    assert lab.here("killed", slow) == 0 and lab.here("killed", slow, stage="verify") == 0


@pytest.mark.parametrize("units_gone", [0, 1])
def test_a_note_that_a_driver_left_behind_a_commit_goes_with_the_next_start(lab, units_gone):
    """A kill between the commit of a unit and the end of its note, with and without more units to measure."""
    name = f"noted-{units_gone}"
    assert lab.here(name) == 0
    run = lab.run(name)
    note = run / "attempts" / "measure-00017.jsonl"
    note.write_text('{"attempt": "a"}\n{"sample_ids": [], "is_beside_others": true}\n')
    if units_gone:
        shutil.rmtree(run / "shards" / "measure-00003")
    assert lab.here(name) == 0
    lab.assert_whole(name)


@pytest.mark.parametrize(
    ("mode", "number"),
    [
        ("inline", signal.SIGTERM),
        ("inline", signal.SIGINT),
        pytest.param("inline", signal.SIGUSR1, marks=pytest.mark.soak),
        pytest.param("inline", signal.SIGHUP, marks=pytest.mark.soak),
        pytest.param("local", signal.SIGINT, marks=pytest.mark.soak),
    ],
)
def test_a_signal_stops_at_a_shard_boundary(lab, mode, number):
    """Fault 13: exit 75, nothing half-done, and the same command finishes."""
    name = f"stopped-{mode}-{number.name}"
    options = [f"model.path={lab.faulty(fault_seconds=0.1)}", f"cluster.mode={mode}"]
    driver = lab.driver(name, *options)
    wait_for(lambda: len(lab.commits(name)) >= 2, driver)
    os.kill(driver.pid, number)
    code, errors = finished(driver)
    assert code == 75 and "stopped at a shard boundary" in errors and number.name in errors
    assert 2 <= len(lab.commits(name)) < NUM_SHARDS and not list((lab.run(name) / "incoming").iterdir())
    assert json.loads((lab.run(name) / "progress.json").read_text())["state"] == "measured: stopped"
    if number in (signal.SIGTERM, signal.SIGINT):
        assert lab.here(name, options[0]) == 0
        lab.assert_whole(name)


def test_a_second_signal_abandons_the_shard(lab):
    """Fault 13: a forward that takes a minute is not waited for."""
    driver = lab.driver("abandoned", f"model.path={lab.faulty(fault_seconds=60)}")
    wait_for(lambda: list((lab.run("abandoned") / "attempts").glob("*.jsonl")), driver)
    for _ in range(2):
        os.kill(driver.pid, signal.SIGTERM)
        time.sleep(0.5)
    code, errors = finished(driver, seconds=20)
    assert code == 75 and "stopped at once" in errors and not lab.commits("abandoned")
    assert not list((lab.run("abandoned") / "incoming").iterdir())


def test_a_signal_while_planning_stops_at_once(lab, tmp_path):
    """Fault 13: before anything is measured there is nothing to finish."""
    many = tmp_path / "many.jsonl"
    many.write_text(
        "".join(
            f"{json.dumps({**row, 'company_id': number * 1000 + place})}\n"
            for number in range(60)
            for place, row in enumerate(lab.rows)
        )
    )
    driver = lab.driver("planning", f"predictions.path={many}")
    folder = lab.run("planning").with_name(".planning.planning")
    wait_for(lambda: folder.exists() and list(folder.iterdir()), driver)
    os.kill(driver.pid, signal.SIGTERM)
    code, errors = finished(driver)
    assert code == 75 and "SIGTERM" in errors and not lab.run("planning").exists() and not folder.exists()


def planning(lab, tmp_path, name, times=100):
    """Start a driver that plans with two helpers, and return it and them once the helpers are at work."""
    many = tmp_path / "many.jsonl"
    many.write_text(
        "".join(
            f"{json.dumps({**row, 'company_id': number * 1000 + place})}\n"
            for number in range(times)
            for place, row in enumerate(lab.rows)
        )
    )
    driver = lab.driver(name, f"predictions.path={many}", "cluster.planning_processes=2")
    folder = lab.run(name).with_name(f".{name}.planning")
    wait_for(lambda: folder.exists() and list(folder.iterdir()), driver)
    return driver, psutil.Process(driver.pid).children(recursive=True)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.soak),
        pytest.param(signal.SIGHUP, marks=pytest.mark.soak),
    ],
)
def test_a_signal_while_helpers_plan_leaves_none_of_them(lab, tmp_path, number):
    """Fault 13: the helpers, which hear no signal, end with the driver."""
    name = f"helped-{number.name}"
    driver, helpers = planning(lab, tmp_path, name)
    assert len(helpers) == 2
    for process in (*helpers, psutil.Process(driver.pid)):  # as a batch system does, which signals all processes
        os.kill(process.pid, number)
    code, errors = finished(driver)
    assert code == 75 and number.name in errors and not lab.run(name).exists()
    assert not lab.run(name).with_name(f".{name}.planning").exists()
    assert not [helper for helper in helpers if helper.is_running()]


def test_helpers_of_a_killed_driver_end_with_it(lab, tmp_path):
    """Fault 3, while planning: nothing is left that goes on reading, and the next start plans."""
    driver, helpers = planning(lab, tmp_path, "helped-killed", times=30)
    driver.kill()
    driver.communicate()
    _, alive = psutil.wait_procs(helpers, timeout=20)
    assert len(helpers) == 2 and not alive
    assert lab.here("helped-killed", "cluster.planning_processes=2", stage="plan") == 0


def test_a_helper_that_is_killed_costs_nothing(lab, tmp_path):
    """Fault 1, while planning: as by the kernel for want of memory; the other does its rows, and the run says so."""
    driver, helpers = planning(lab, tmp_path, "helped-less", times=10)
    helpers[0].kill()
    wait_for(lambda: (lab.run("helped-less") / "plan.json").exists(), driver)
    os.kill(driver.pid, signal.SIGTERM)
    code, errors = finished(driver)
    assert code == 75 and re.search(r"died at \S+.* \(SIGKILL.*; 1 other\(s\) go on with it", errors)
    plan = json.loads((lab.run("helped-less") / "plan.json").read_text())
    assert plan["num_samples"] == 10 * len(lab.rows)


def test_a_second_driver_is_refused_while_the_first_works(lab, capsys):
    """Fault 12: nothing of the first is touched, and it finishes."""
    slow = f"model.path={lab.faulty(fault_seconds=0.2)}"
    first = lab.driver("two-drivers", slow)
    wait_for(lambda: len(lab.commits("two-drivers")) >= 1, first)
    for extra in ([], ["--fresh"]):
        assert lab.here("two-drivers", slow, *extra) == 1
        assert f"pid {first.pid}" in capsys.readouterr().err
    code, errors = finished(first)
    assert code == 0, errors
    lab.assert_whole("two-drivers")


def lease_of(root, age, **holder):
    path = root.with_name(f".{root.name}.lease")
    path.write_text(json.dumps({"token": "other", **holder}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_dead_drivers_lease_is_taken_over_at_once(tmp_path):
    """Fault 12: dead by pid, or its pid given to another process since."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    here = this_process()
    for holder in ({**here, "pid": done.pid}, {**here, "started": "1"}):
        path = lease_of(tmp_path / "run", 0, host=socket.gethostname(), **holder)
        with RunLease(tmp_path / "run") as lease:
            lease.check()
            assert json.loads(path.read_text())["token"] == lease.token
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("age", [1, STALE_SECONDS - 10, STALE_SECONDS + 10])
def test_another_hosts_lease_is_judged_by_its_heartbeat(tmp_path, age):
    """Fault 12: two hosts on one file system; a pid of the other host says nothing here."""
    path = lease_of(tmp_path / "run", age, host="other-host", pid=os.getpid(), started="1", machine="other/boot")
    if age > STALE_SECONDS:
        with RunLease(tmp_path / "run"):
            assert json.loads(path.read_text())["token"] != "other"
        return
    with pytest.raises(RunFailedError, match=r"host other-host.*taken over after 60 s"), RunLease(tmp_path / "run"):
        pass
    assert json.loads(path.read_text())["token"] == "other" and len(list(tmp_path.iterdir())) == 1


def test_only_one_of_many_takes_a_stale_lease(tmp_path):
    """Fault 12: processes that judge the same stale lease at the same time."""
    lease_of(tmp_path / "run", 2 * STALE_SECONDS, host="other-host", pid=1, started="1", machine="other/boot")
    code = (
        "import sys\nfrom pathlib import Path\nfrom engine.errors import RunFailedError\n"
        "from engine.machine.lease import RunLease\n"
        "def say(word):\n    print(word, flush=True)\n    sys.stdin.readline()\n"
        "say('ready')\n"
        "try:\n    with RunLease(Path(sys.argv[1])) as lease:\n        say('held')\n        lease.check()\n"
        "except RunFailedError:\n    say('refused')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    takers = [
        subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(8)
    ]

    def heard():
        return sorted(taker.stdout.readline().strip() for taker in takers)

    def answer():
        for taker in takers:
            taker.stdin.write("go on\n")
            taker.stdin.flush()

    assert heard() == ["ready"] * 8
    answer()
    assert heard() == ["held", *["refused"] * 7], "whoever holds it holds it still"
    for taker in takers:
        taker.communicate("go on\n", timeout=60)
        assert taker.returncode == 0


def test_a_driver_that_lost_its_lease_stops_and_keeps_nothing_alive(tmp_path, monkeypatch):
    """Fault 12: one that was silent too long (a frozen host) finds the directory taken over."""
    monkeypatch.setattr("engine.machine.lease.HEARTBEAT_SECONDS", 0.05)
    before = threading.active_count()
    with RunLease(tmp_path / "run") as lease:
        path = lease_of(tmp_path / "run", 30, host="other-host", pid=1, started="1", machine="other/boot")
        then = path.stat().st_mtime
        time.sleep(0.3)
        assert path.stat().st_mtime == then, "its heartbeat kept the other's lease alive"
        with pytest.raises(RunFailedError, match="took this run directory over"):
            lease.check()
    assert path.exists() and threading.active_count() == before


def test_replicas_of_a_driver_that_was_replaced_commit_nothing(lab, capsys):
    """Fault 12: the driver is frozen, its lease grows old, another takes over; then the first wakes up."""
    slow = f"model.path={lab.faulty(fault_seconds=0.3)}"
    first = lab.driver("frozen", slow)
    try:
        wait_for(lambda: len(lab.commits("frozen")) >= 2, first)
        first.send_signal(signal.SIGSTOP)
        before = lab.commits("frozen")
        lease = lab.run("frozen").with_name(".frozen.lease")
        lease.write_text(json.dumps({**json.loads(lease.read_text()), "machine": "other/boot", "host": "other-host"}))
        os.utime(lease, (time.time() - 100, time.time() - 100))
        assert lab.here("frozen", slow) == 0
    finally:
        first.send_signal(signal.SIGCONT)
    code, errors = finished(first)
    assert code == 1 and "taken over by another driver" in errors
    assert before.items() <= lab.commits("frozen").items()
    lab.assert_whole("frozen")
