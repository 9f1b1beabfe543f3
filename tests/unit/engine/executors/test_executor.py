"""Where units run is one row of a table: a toy executor, and a machine without Ray and Polars."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import polars as pl
import pytest

from engine.config import ClusterSection, load_config
from engine.executors.executor import EXECUTORS, executor_of
from engine.executors.over_ray.ray_executor import RayExecutor
from engine.machine.nodes import Node
from engine.run import main
from engine.storage.records import LedgerRow
from engine.storage.run_directory import RunDirectory
from engine.storage.verification import verify
from engine.workers.worker import UnitWorker
from tests.fixtures.places import ROOT

BLOCKED = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "polars"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from engine.run import main
sys.exit(main(sys.argv[1:]))
"""


class BackwardsExecutor:
    """Units in this process, the last one first."""

    is_local = True
    place = "a toy"
    caveat = "A toy was looked at."

    def __init__(self, config):
        self.config = config

    def nodes(self):
        return [Node(0)]

    def run(self, job):
        worker = UnitWorker(job.config, job.run_dir.root, job.key_groups, job.run_dir.incoming)
        yield from map(worker.run, reversed(job.units))


class FailingExecutor(BackwardsExecutor):
    """Says of every unit that its config is at fault."""

    def run(self, job):
        for unit in job.units:
            yield LedgerRow(unit, "failed", detail=f"toy: {unit} is too much.", exit_code=2)


def test_every_mode_has_an_executor_and_no_other_row_is_there():
    assert set(EXECUTORS) == set(get_args(ClusterSection.model_fields["mode"].annotation))


def test_another_executor_is_one_row(config_file, monkeypatch, capsys):
    """The whole run goes through the row: where units run, what the estimate says, what is committed."""
    assert main([str(config_file), "--stage", "collect", "run.name=inline"]) == 0
    monkeypatch.setitem(EXECUTORS, "local", BackwardsExecutor)
    capsys.readouterr()
    assert main([str(config_file), "cluster.mode=local", "--stage", "plan", "run.name=toy"]) == 0
    printed = capsys.readouterr().out
    assert "a toy  " in printed and "replicas at work                 0 of" in printed
    assert "Warning: A toy was looked at." in printed
    assert main([str(config_file), "cluster.mode=local", "--stage", "collect", "run.name=toy"]) == 0
    inline, toy = (
        pl.read_parquet(config_file.parent / "runs" / name / "shards" / "*" / "head_stats.parquet")
        for name in ("inline", "toy")
    )
    assert inline.height > 0 and inline.equals(toy)


def test_a_failed_row_ends_the_run_with_its_exit_code(config_file, monkeypatch, capsys):
    monkeypatch.setitem(EXECUTORS, "local", FailingExecutor)
    assert main([str(config_file), "cluster.mode=local", "--stage", "collect"]) == 2
    assert "toy: measure-00000 is too much." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mode", "address", "place", "has_caveat"),
    [
        ("auto", "10.0.0.1:6379", "Ray at 10.0.0.1:6379", False),
        ("auto", "", "this machine", True),
        ("auto", "local", "this machine", True),
        ("local", "10.0.0.1:6379", "this machine", False),
    ],
    ids=["joins", "auto without a cluster", "one of its own by address", "local ignores the cluster"],
)
def test_where_ray_runs(config_file, monkeypatch, mode, address, place, has_caveat):
    monkeypatch.setenv("RAY_ADDRESS", address)
    config, _ = load_config(config_file, [f"cluster.mode={mode}"])
    executor = executor_of(config)
    assert isinstance(executor, RayExecutor) and not executor.is_local
    assert executor.place == place and ("login node" in executor.caveat) == has_caveat


def test_an_inline_run_needs_neither_ray_nor_polars(config_file):
    """All but the analysis, whose tables are Polars."""
    command = [sys.executable, "-c", BLOCKED, str(config_file), "--stage", "collect"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert verify(RunDirectory(config_file.parent / "runs" / "test"))["samples"] == 12
