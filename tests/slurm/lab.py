"""A real SLURM on this machine (``../shared/slurm-lab``), and jobs that a user would submit to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tests.fixtures.places import ROOT, SHARED

LAB = SHARED / "slurm-lab"
STATE = Path("/run/slurmlab")
MEMBERS = ("node1", "node2")
PLACE = Path("/tmp/slurmlab")
"""What all nodes see; every other folder below /tmp is a node's own, unless it is named."""
SITE = """
ACCOUNT=
PARTITION=main
GRES={gres}
NODES={nodes}
CPUS=2
MEM={memory}
TIME=00:20:00
VENV={venv}
MIN_FREE_GB={min_free_gb}
RAY_IFACE={card}
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
"""
_BARE = (
    "config/eps.yaml",
    "statistics.random_groups=0",
    "analysis.permutations=0",
    "analysis.decodability=false",
    "visualization.formats=[html]",
)
SMALL = (*_BARE, "predictions.max_samples=12", "cluster.samples_per_shard=3")
"""A run of four shards."""
NUM_LONG = 48
LONG = (*_BARE, f"predictions.max_samples={NUM_LONG}", "cluster.samples_per_shard=1", "run.name=long")
"""A run of many shards, to be cut off in the middle."""


def shell(*command: str, **options) -> str:
    """Run a command and return what it printed."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, **options).stdout


def start(only_node: str = "") -> subprocess.CompletedProcess[str]:
    """Start the laboratory, or a node of it; a checkout below /tmp is made visible to the nodes."""
    shared = [PLACE, *([ROOT] if ROOT.is_relative_to("/tmp") else [])]
    environment = {**os.environ, "SLURMLAB_SHARED": " ".join(map(str, shared)), "SLURMLAB_ONLY_NODE": only_node}
    command = [LAB / "start-slurm.sh"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


def stop() -> None:
    """Stop the laboratory."""
    subprocess.run([LAB / "stop-slurm.sh"], check=False, timeout=60)


def is_visible(path: Path) -> bool:
    """Return whether the nodes see a folder."""
    return not subprocess.run([LAB / "on-node.sh", MEMBERS[0], "test", "-d", path], check=False).returncode


def missing() -> str:
    """Say why the laboratory cannot be used here; empty when it can."""
    if not LAB.is_dir():
        return "the shared SLURM laboratory is not beside this checkout"
    if os.getuid() != 0:
        return "the SLURM laboratory needs root"
    if not shutil.which("slurmctld") and not shutil.which("apt-get"):
        return "neither SLURM nor apt-get is here"
    return ""


@dataclass
class Job:
    """One submitted job and the folder in which it was."""

    number: str
    folder: Path
    name: str = "eps"

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.folder / "runs" / self.name

    @property
    def log(self) -> str:
        """What the job has printed so far; all members of an array together."""
        # A job array's members have numbers of their own.
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("logs/headledger-*.out")))

    def field(self, name: str) -> str:
        """A field of ``scontrol show job``; empty once SLURM has forgotten the job."""
        done = subprocess.run(["scontrol", "show", "job", self.number], capture_output=True, text=True, check=False)
        return next((word.split("=", 1)[1] for word in done.stdout.split() if word.startswith(f"{name}=")), "")

    def wait(self, seconds: float, *states: str) -> str:
        """Wait for one of the states (an ended job by default) and return it."""
        wanted = states or ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        return until(seconds, lambda: state if (state := self.field("JobState")) in wanted else "", self)


def until(seconds: float, found, job: Job | None = None):
    """Wait until ``found()`` is true and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.5)
    raise AssertionError(f"nothing after {seconds} s\n{job.log if job else ''}")


def checkout(folder: Path) -> Path:
    """Make a folder that looks like the repository and holds what jobs write."""
    folder.mkdir(parents=True)
    for name in ("engine", "analyses", "config", "data", "launch"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def submit(folder: Path, *arguments: str, script: str = "headledger.sbatch", options=(), **site) -> Job:
    """Submit through ``launch/slurm/submit.sh`` from a checkout, as its user would."""
    values = {"gres": "gpu:1", "nodes": 2, "memory": "4G", "venv": sys.prefix, "min_free_gb": 1, "card": ""} | site
    (folder / "site.sh").write_text(SITE.format(**values))
    extra = ["--", *options] if options else []
    told = shell(
        "launch/slurm/submit.sh",
        "site.sh",
        *arguments,
        *extra,
        cwd=folder,
        env={**os.environ, "SCRIPT": f"launch/slurm/{script}"},
    )
    name = next((word.partition("=")[2] for word in arguments if word.startswith("run.name=")), "eps")
    return Job(told.split()[-1], folder, name)


def cancel_jobs(folder: Path) -> None:
    """Cancel what is left of a folder's jobs and wait until it is gone."""
    if left := _jobs_of(folder):
        subprocess.run(["scancel", *left], check=False, timeout=30)
        until(60, lambda: not _jobs_of(folder))


def _jobs_of(folder: Path) -> list[str]:
    listed = [line.split() for line in shell("squeue", "-h", "-o", "%A %Z").splitlines()]
    return [number for number, place in listed if place == str(folder)]


def running(job: Job) -> int:
    """Return how many members of a job array run at this moment."""
    return len(shell("squeue", "-h", "-t", "RUNNING", "-j", job.number).splitlines())


def some_commits(job: Job) -> dict[str, bytes]:
    """Wait until a job has committed a few units, but not all, and return them."""
    until(180, lambda: len(committed(job.run)) >= 2, job)
    return committed(job.run)


def processes(pattern: str) -> str:
    """Return the processes on both nodes whose command line holds a text."""
    found = ""
    for name in MEMBERS:
        command = [LAB / "on-node.sh", name, "pgrep", "-fa", pattern]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found += done.stdout
    return found


def committed(run: Path) -> dict[str, bytes]:
    """Return the manifests of the committed units by name."""
    return {path.parent.name: path.read_bytes() for path in run.glob("shards/*/manifest.json")}


def tables(run: Path) -> dict[str, pl.DataFrame]:
    """Return a run's tables, sorted by all columns that are keys."""
    keys = ("sample_id", "query_group", "layer", "head", "rank", "position", "span", "kind", "name")
    found = {}
    for name in ("samples", "tokens", "baselines", "head_stats", "decision_top_keys"):
        frame = pl.read_parquet(run / "shards" / "*" / f"{name}.parquet")
        found[name] = frame.sort([key for key in keys if key in frame.columns])
    return found
