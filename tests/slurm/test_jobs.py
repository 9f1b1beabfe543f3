"""Jobs on a real SLURM of two nodes: finished, ended, cut off and refused in the ways that happen."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from engine.run import main
from tests.conftest import ROOT
from tests.slurm import lab

pytestmark = pytest.mark.slurm

SMALL = ("config/demo.yaml", "predictions.max_samples=12", "cluster.samples_per_shard=3", "analysis.permutations=0",
         "visualization.formats=[html]", "analysis.decodability=false")  # fmt: skip
LONG = ("config/demo.yaml", "predictions.max_samples=120", "cluster.samples_per_shard=2", "analysis.permutations=0",
        "visualization.formats=[html]", "analysis.decodability=false")  # fmt: skip
REFUSED = 90


def test_two_nodes_measure_what_one_process_does(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job = lab.submit(folder, *SMALL)
    assert job.wait(240) == "COMPLETED", job.log
    run = folder / "runs" / "demo"
    assert (run / "_SUCCESS").exists() and (run / "analysis" / "report.html").exists()
    assert "Ray is up on 2 node(s)" in job.log
    monkeypatch.chdir(ROOT)
    assert main([*SMALL, f"run.output={tmp_path}", "cluster.mode=inline", "--stage", "collect"]) == 0
    inline = lab.tables(tmp_path / "demo")
    for name, frame in lab.tables(run).items():
        assert frame.equals(inline[name]), name
    assert not lab.processes("raylet|gcs_server|engine.run")
    assert not list((folder / "runs").glob(".preflight*"))


def test_a_cancelled_job_leaves_nothing_running(folder):
    job = lab.submit(folder, *LONG)
    lab.until(180, lambda: len(lab.committed(folder / "runs" / "demo")) >= 1, job)
    assert "raylet" in lab.processes("raylet")
    lab.shell("scancel", job.number)
    lab.until(60, lambda: not lab.processes("raylet|gcs_server|engine.run|ray::"), job)
    assert not (folder / "runs" / "demo" / "_SUCCESS").exists()


def test_the_time_limit_puts_the_job_back_and_nothing_is_done_twice(folder):
    job = lab.submit(folder, *LONG)
    run = folder / "runs" / "demo"
    lab.until(180, lambda: len(lab.committed(run)) >= 2, job)
    # What `--signal=B:USR1@300` sends when the limit is near.
    lab.shell("scancel", "--batch", "--signal=USR1", job.number)
    lab.until(90, lambda: "back into the queue" in job.log, job)
    before = lab.committed(run)
    assert 2 <= len(before) < 60 and not (run / "_SUCCESS").exists()
    lab.until(60, lambda: job.field("JobState") == "PENDING" or job.field("Restarts") == "1", job)
    assert job.wait(360) == "COMPLETED", job.log
    after = lab.committed(run)
    assert len(after) == 60 and (run / "_SUCCESS").exists()
    assert {name: after[name] for name in before} == before


def test_a_nodes_power_cut(folder):
    job = lab.submit(folder, *LONG)
    run = folder / "runs" / "demo"
    lab.until(180, lambda: len(lab.committed(run)) >= 2, job)
    before = lab.committed(run)
    os.kill(int((lab.STATE / "pid" / "node2.init").read_text()), signal.SIGKILL)
    try:
        lab.until(120, lambda: job.field("JobState") in ("PENDING", "NODE_FAIL", "FAILED") or
                  job.field("Restarts") == "1" or (run / "_SUCCESS").exists(), job)  # fmt: skip
    finally:
        subprocess.run(
            [lab.LAB / "start-slurm.sh"], env={**os.environ, "SLURMLAB_ONLY_NODE": "2"}, check=True, timeout=60
        )
    lab.until(90, lambda: "node2" in lab.shell("sinfo", "-h", "-N", "-t", "idle,alloc,mix", "-o", "%N"), job)
    if job.field("JobState") in ("NODE_FAIL", "FAILED", ""):
        job = lab.submit(folder, *LONG)
    assert job.wait(420) == "COMPLETED", job.log
    after = lab.committed(run)
    assert len(after) == 60 and (run / "_SUCCESS").exists()
    assert {name: after[name] for name in before} == before


def test_two_jobs_on_the_same_hosts(folder):
    first = lab.submit(folder, *SMALL, "run.name=first", options=["--cpus-per-task=1"], memory="2500M")
    second = lab.submit(folder, *SMALL, "run.name=second", options=["--cpus-per-task=1"], memory="2500M")
    lab.until(120, lambda: first.field("JobState") == second.field("JobState") == "RUNNING")
    assert (first.wait(300), second.wait(300)) == ("COMPLETED", "COMPLETED"), first.log
    one, other = (lab.tables(folder / "runs" / name)["head_stats"] for name in ("first", "second"))
    assert one.equals(other)


def test_a_job_array_runs_every_config(folder):
    configs = []
    for name in ("left", "right"):
        text = (ROOT / "config" / "demo.yaml").read_text().replace("name: demo", f"name: {name}")
        path = folder / f"{name}.yaml"
        path.write_text(text.replace("../", f"{ROOT}/"))
        configs.append(path.name)
    job = lab.submit(folder, *configs, *SMALL[1:], options=["--cpus-per-task=1"], memory="2500M")
    lab.until(360, lambda: not lab.shell("squeue", "-h"), job)
    assert all((folder / "runs" / name / "_SUCCESS").exists() for name in ("left", "right")), job.log


def test_one_node_without_ray(folder):
    job = lab.submit(folder, *SMALL, script="one-gpu.sbatch", nodes=1)
    assert job.wait(120) == "COMPLETED", job.log
    assert (folder / "runs" / "demo" / "_SUCCESS").exists()


@pytest.mark.parametrize(
    ("site", "override", "words"),
    [
        ({"card": "mgmt0"}, "", "cannot be reached"),
        ({"card": "ib0"}, "", "RAY_IFACE: no IPv4 address of ib0"),
        ({"gres": ""}, "model.device=cuda", "no GPU is visible"),
        ({}, "model.path=Qwen/Qwen2-7B-Instruct", "neither a folder nor in the cache"),
        ({}, "predictions.pth=x", "predictions.pth"),
        ({"min_free_gb": 10**6}, "", "MIN_FREE_GB=1e+06"),
        ({"venv": "/nowhere/.venv"}, "", "/nowhere/.venv/bin/python does not exist"),
        ({}, "run.output=/proc/runs", "cannot be written"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(folder, site, override, words):
    job = lab.submit(folder, *SMALL, *([override] if override else []), **site)
    assert job.wait(REFUSED) == "FAILED", job.log
    assert words in job.log and "Traceback" not in job.log, job.log
    assert not lab.processes("raylet|engine.run")


def test_more_memory_than_the_job_has(folder):
    """The job's limit ends the step, nothing is published, and a job with enough memory goes on."""
    job = lab.submit(folder, *SMALL, memory="300M")
    assert job.wait(180) in ("FAILED", "OUT_OF_MEMORY", "CANCELLED"), job.log
    run = folder / "runs" / "demo"
    assert not (run / "_SUCCESS").exists()
    again = lab.submit(folder, *SMALL)
    assert again.wait(240) == "COMPLETED", again.log
    assert (run / "_SUCCESS").exists()
