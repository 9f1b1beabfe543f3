"""Jobs on a real SLURM of two nodes: finished, ended, cut off and refused in the ways that happen.

Tests run in this order: the two jobs that are cut off first come back on their own two minutes later, while the others
run, and are looked at last.
"""

from __future__ import annotations

import json

import pytest

from engine.run import main
from tests.fixtures.places import ROOT
from tests.slurm import lab
from tests.slurm.lab import LONG, NUM_LONG, SMALL

pytestmark = pytest.mark.slurm

REFUSED = {
    "another network card": ({"card": "mgmt0"}, "", "cannot be reached"),
    "no such card": ({"card": "ib0"}, "", "RAY_IFACE: no IPv4 address of ib0"),
    "no GPU": ({"gres": ""}, "model.device=cuda", "no GPU is visible"),
    "fewer GPUs": ({}, "cluster.gpus_per_replica=2", "1 GPU(s) are visible, but cluster.gpus_per_replica is 2"),
    "no model": ({}, "model.path=Qwen/Qwen2-7B-Instruct", "neither a folder nor in the cache"),
    "a typing error": ({}, "predictions.pth=x", "predictions.pth"),
    "no space": ({"min_free_gb": 10**6}, "", "MIN_FREE_GB=1e+06"),
    "no venv": ({"venv": "/nowhere/.venv"}, "", "/nowhere/.venv/bin/python does not exist"),
    "no output": ({}, "run.output=/proc/runs", "cannot be written"),
    "an output of each node's own": ({}, "run.output=/dev/shm/runs", "shows the files of 1 of 2 nodes"),
}


@pytest.mark.parametrize("cause", ["time limit", "power cut"])
def test_a_job_that_was_cut_off_waits_for_its_second_start(interrupted, cause):
    job, before = interrupted[cause]
    assert 2 <= len(before) < NUM_LONG
    if cause == "time limit":
        assert not (job.run / "_SUCCESS").exists() and "engine.run ended with 75" in job.log, job.log


@pytest.fixture(scope="module")
def refused(new_folder):
    """All jobs that cannot work, submitted together."""
    submitted = {}
    for name, (site, override, _) in REFUSED.items():
        folder = new_folder(name.replace(" ", "-"))
        site = {"memory": "1G"} | site
        overrides = [override] if override else []
        submitted[name] = lab.submit(folder, *SMALL, *overrides, options=["--cpus-per-task=1"], **site)
    return submitted


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_in_a_sentence(refused, name):
    job, words = refused[name], REFUSED[name][2]
    assert job.wait(180) == "FAILED", job.log
    assert words in job.log and "Traceback" not in job.log, job.log
    assert not (job.run / "shards").exists() and not list(job.folder.glob("logs/ray-*"))


def test_two_nodes_measure_what_one_process_does(folder, tmp_path, monkeypatch):
    """Two replicas share each node's GPU by halves, and what SLURM gave is what they see."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job = lab.submit(folder, *SMALL, "cluster.gpus_per_replica=0.5")
    assert job.wait(240) == "COMPLETED", job.log
    assert (job.run / "_SUCCESS").exists() and (job.run / "analysis" / "report.html").exists()
    assert "Ray is up on 2 node(s)" in job.log and job.log.rstrip().endswith("engine.run ended with 0"), job.log
    facts = [json.loads(line) for line in (folder / "logs" / f"preflight-{job.number}.txt").read_text().splitlines()]
    assert sorted(one["host"] for one in facts) == ["node1", "node2"] and all(len(one["gpus"]) == 1 for one in facts)
    monkeypatch.chdir(ROOT)
    assert main([*SMALL, f"run.output={tmp_path}", "cluster.mode=inline", "--stage", "collect"]) == 0
    inline = lab.tables(tmp_path / "eps")
    for name, frame in lab.tables(job.run).items():
        assert frame.equals(inline[name]), name
    assert not list((folder / "runs").glob(".preflight*"))
    assert not list((folder / "logs").glob(".ray-token*")), "the job's token goes with it"


def test_the_short_form_for_whole_nodes(folder):
    """`ray symmetric-run`."""
    job = lab.submit(folder, *SMALL, script="symmetric.sbatch")
    assert job.wait(240) == "COMPLETED", job.log
    assert (job.run / "_SUCCESS").exists() and "verified" in job.log


def test_a_cancelled_job_leaves_nothing_running(folder):
    job = lab.submit(folder, *LONG)
    lab.some_commits(job)
    port = str(20000 + int(job.number) % 600 * 20)  # of its Ray, which all of that one's processes are told
    assert "gcs_server" in lab.processes(port) and "raylet" in lab.processes(port)
    lab.shell("scancel", job.number)
    lab.until(60, lambda: not lab.processes(port) and job.field("JobState") == "CANCELLED", job)
    assert not (job.run / "_SUCCESS").exists()


def test_a_job_array_runs_every_config_at_once_on_the_same_hosts(folder):
    configs = []
    for name in ("left", "right"):
        text = (ROOT / "config" / "eps.yaml").read_text().replace("name: eps", f"name: {name}")
        path = folder / f"{name}.yaml"
        path.write_text(text.replace("../", f"{ROOT}/"))
        configs.append(path.name)
    job = lab.submit(folder, *configs, *SMALL[1:], options=["--cpus-per-task=1"], memory="2500M")
    lab.until(240, lambda: lab.running(job) == 2, job)
    lab.until(360, lambda: not lab.shell("squeue", "-h", "-j", job.number), job)
    left, right = (folder / "runs" / name for name in ("left", "right"))
    assert (left / "_SUCCESS").exists() and (right / "_SUCCESS").exists(), job.log
    assert lab.tables(left)["head_stats"].equals(lab.tables(right)["head_stats"])


def test_more_memory_than_the_job_has(folder):
    """The job's limit ends the step, nothing is published, and one node with enough memory goes on without Ray."""
    job = lab.submit(folder, *SMALL, memory="300M")
    assert job.wait(180) in ("FAILED", "OUT_OF_MEMORY", "CANCELLED"), job.log
    assert not (job.run / "_SUCCESS").exists()
    again = lab.submit(folder, *SMALL, script="one-gpu.sbatch", nodes=1)
    assert again.wait(240) == "COMPLETED", again.log
    assert (job.run / "_SUCCESS").exists()


@pytest.mark.parametrize("cause", ["time limit", "power cut"])
def test_the_second_start_does_nothing_twice(interrupted, cause):
    job, before = interrupted[cause]
    if job.field("JobState") in ("NODE_FAIL", "FAILED", ""):
        job = lab.submit(job.folder, *LONG)
    assert job.wait(420) == "COMPLETED", job.log
    after = lab.committed(job.run)
    assert len(after) == NUM_LONG and (job.run / "_SUCCESS").exists()
    assert {name: after[name] for name in before} == before


def test_no_process_is_left_on_the_nodes(interrupted):
    lab.until(30, lambda: not lab.processes("raylet|gcs_server|engine.run|ray::"))
