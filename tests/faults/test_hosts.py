"""Hosts that lose memory, disks, time slots and each other: faults 30 to 34."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from engine.machine.deaths import num_killed_for_memory
from tests.fixtures.capabilities import needs
from tests.fixtures.laboratory import NUM_SHARDS, finished, replicas_of, wait_for
from tests.fixtures.places import ROOT
from tests.fixtures.ray_clusters import Cluster

pytestmark = pytest.mark.soak

LESS_PATIENCE = "ray_driver.STALL_SECONDS = 3.0; ray_driver._STALL_FACTOR = 2.0"
GROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def memory_group():
    """A control group whose members may have next to no memory, or a skip that says what is missing."""
    needs()
    is_second = (GROUPS / "cgroup.controllers").exists()
    parent = GROUPS if is_second else GROUPS / "memory"
    folder = parent / f"headledger-{os.getpid()}"
    try:
        folder.mkdir()
        if is_second and "memory" not in (parent / "cgroup.subtree_control").read_text().split():
            (parent / "cgroup.subtree_control").write_text("+memory")
        limit = folder / ("memory.max" if is_second else "memory.limit_in_bytes")
        limit.write_text(str(2**20))
        swap = folder / ("memory.swap.max" if is_second else "memory.memsw.limit_in_bytes")
        if swap.exists():
            swap.write_text("0" if is_second else str(2**20))
    except OSError as error:
        if folder.is_dir():
            folder.rmdir()
        pytest.skip(f"needs a control group with a memory controller: {error}")
    yield folder
    for _ in range(100):
        if not (folder / "cgroup.procs").read_text():
            break
        time.sleep(0.1)
    folder.rmdir()


def test_the_kernel_kills_one_replica_for_want_of_memory(lab, memory_group):
    """Fault 30: only its shards are redone, the run says of what it died; equal."""
    slow = f"model.path={lab.faulty(fault_seconds=0.3)}"
    driver = lab.driver("out-of-memory", slow, "cluster.mode=local", "cluster.replicas=2")
    wait_for(lambda: len(lab.commits("out-of-memory")) >= 3, driver)
    before, kills = lab.commits("out-of-memory"), num_killed_for_memory()
    victim = max(replicas_of(driver), key=lambda process: process.create_time())
    (memory_group / "cgroup.procs").write_text(str(victim.pid))
    wait_for(lambda: not victim.is_running(), driver)
    code, errors = finished(driver)
    assert code == 0, errors
    assert num_killed_for_memory() > kills
    assert before.items() <= lab.commits("out-of-memory").items()
    assert "died of SIGKILL, the system had killed for want of memory; it was done again" in errors, errors
    lab.assert_whole("out-of-memory")


def read_until(driver, words, seconds=150):
    """Read a driver's stderr until it holds some words; return what was read."""
    said, deadline = "", time.monotonic() + seconds
    while words not in said:
        assert driver.poll() is None and time.monotonic() < deadline, said
        if select.select([driver.stderr], [], [], 1)[0]:
            said += os.read(driver.stderr.fileno(), 65536).decode(errors="replace")
    return said


@pytest.mark.parametrize("ending", [signal.SIGCONT, signal.SIGKILL], ids=["it wakes up", "it is killed"])
def test_a_replica_that_hangs_without_dying_is_named_and_the_others_go_on(lab, ending):
    """Fault 31: all other shards are finished; those that it holds once it wakes up, or dies; equal."""
    name = f"hangs-{ending.name}"
    options = [f"model.path={lab.faulty(fault_seconds=0.1)}", "cluster.mode=local", "cluster.replicas=2"]
    driver = lab.driver(name, *options, patience=LESS_PATIENCE)
    wait_for(lambda: len(lab.commits(name)) >= 3, driver)
    victim = max(replicas_of(driver), key=lambda process: process.create_time())
    victim.send_signal(signal.SIGSTOP)
    wait_for(lambda: len(lab.commits(name)) >= NUM_SHARDS - 2, driver, seconds=400)
    said = read_until(driver, "no shard has been finished for", seconds=400)
    assert "at work: measure-" in said or "no shard at work" in said
    victim.send_signal(ending)
    code, errors = finished(driver)
    assert code == 0, errors
    lab.assert_whole(name)


def on_host(host, command, **options):
    """Start a command on a host of its own: network, names, processes; what lies on disk is shared."""
    namespaces = ["unshare", "--net", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    start = [*namespaces, "sh", "-c", 'ip link set lo up; hostname "$0" && exec "$@"', host, *command]
    return subprocess.Popen(start, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)


READY = """
import sys
import torch, transformers
from engine.run import main
from engine.stages import stages
print("ready", file=sys.stderr, flush=True)
sys.stdin.readline()
sys.exit(main(sys.argv[1:]))
"""
"""A driver that has loaded what it needs and begins when a line comes, so that two meet on slow machines too."""


def test_two_drivers_on_two_hosts_with_one_run_directory(lab):
    """Fault 32: the second is refused, the first host loses its power, the second goes on once it is silent; equal."""
    needs("unshare", "ip", "hostname")
    name, slow = "two-hosts", f"model.path={lab.faulty(fault_seconds=0.5)}"
    command = [sys.executable, "-c", READY, *lab.arguments(name, slow)]
    waiting = [on_host("beta", command, stdin=subprocess.PIPE) for _ in range(2)]
    for driver in waiting:
        read_until(driver, "ready\n", seconds=400)
    first = on_host("alpha", command, stdin=subprocess.PIPE)
    read_until(first, "ready\n", seconds=400)
    try:
        first.stdin.write("go\n")
        first.stdin.flush()
        wait_for(lambda: len(lab.commits(name)) >= 2, first, seconds=400)
        _, said = waiting[0].communicate("go\n", timeout=400)
        assert waiting[0].returncode == 1 and "host alpha" in said and "after 60 s of silence" in said, said
        assert first.poll() is None
    finally:
        first.kill()  # and with it everything on that host, without a word
        first.communicate()
    before = lab.commits(name)
    lease = lab.run(name).with_name(f".{name}.lease")
    assert json.loads(lease.read_text())["host"] == "alpha"
    os.utime(lease, (time.time() - 100, time.time() - 100))
    _, said = waiting[1].communicate("go\n", timeout=400)
    assert waiting[1].returncode == 0, said
    assert 2 <= len(before) < NUM_SHARDS and before.items() <= lab.commits(name).items()
    lab.assert_whole(name)


def test_a_node_that_loses_its_disk(lab):
    """Fault 33: the folder of a node's Ray, sockets and logs, is gone; the run goes on with or without it; equal."""
    needs("mount", "umount")
    disk = Path(tempfile.mkdtemp(prefix="hld", dir="/tmp"))
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, check=False).returncode:
        disk.rmdir()
        pytest.skip("needs to mount a file system")
    made = Cluster()
    try:
        made.start_head(1)
        second = made.start(f"--address={made.address}", f"--temp-dir={disk}", num_cpus=1)
        wait_for(lambda: "Ray runtime started" in (made.folder / "node-1.log").read_text(), second)
        environment = made.environment | {"RAY_ADDRESS": made.address}
        options = [f"model.path={lab.faulty(fault_seconds=0.5)}", "cluster.mode=auto", "cluster.replicas=2"]
        patience = "ray_driver.HEAD_SILENCE_SECONDS, ray_driver.LOSS_SECONDS = 60.0, 5.0"
        driver = lab.driver("lost-disk", *options, patience=patience, env=environment)
        wait_for(lambda: len(lab.commits("lost-disk")) >= 3, driver)
        shutil.rmtree(disk, ignore_errors=True)
        subprocess.run(["umount", "-l", disk], check=True)
        before = lab.commits("lost-disk")
        code, errors = finished(driver)
        assert code == 0, errors
        assert before.items() <= lab.commits("lost-disk").items()
        lab.assert_whole("lost-disk")
    finally:
        made.stop()
        subprocess.run(["umount", "-l", disk], check=False, capture_output=True)
        shutil.rmtree(disk, ignore_errors=True)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGKILL])
def test_a_requeue_in_the_middle_of_the_analysis(lab, number):
    """Fault 34: USR1 ends it with 75, which a job script requeues on; after a kill, too, the next start analyses."""
    name = f"requeued-{number.name}"
    driver = lab.driver(name, "--stage=all")
    # What is written last by the measurement; the analysis takes seconds from there on.
    wait_for(lambda: (lab.run(name) / "_SUCCESS").exists(), driver, seconds=400)
    driver.send_signal(number)
    code, errors = finished(driver)
    assert code == (75 if number == signal.SIGUSR1 else -9), errors
    assert not (lab.run(name) / "analysis").exists()
    before = lab.commits(name)
    assert lab.here(name, stage="all") == 0
    assert lab.commits(name) == before and not list(lab.run(name).glob(".analysis-*"))
    lab.assert_whole(name)
    first = results_of(lab.run(name))
    assert lab.here(name, stage="analyze") == 0
    assert first == results_of(lab.run(name)) and first


def results_of(run):
    """Return the numbers of an analysis, file by file."""
    return {path.name: json.loads(path.read_text()) for path in sorted((run / "analysis").glob("*.json"))}


def test_processes_of_a_host_that_is_gone_are_gone(lab):
    """What ``on_host`` kills for the tests above is all there is on it."""
    needs("unshare", "ip", "hostname")
    host = on_host("gamma", ["sh", "-c", "sleep 300 & sleep 300"])
    for _ in range(100):
        family = psutil.Process(host.pid).children(recursive=True)
        if len(family) >= 2:
            break
        time.sleep(0.1)
    host.kill()
    host.communicate()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert len(family) >= 2 and not alive
