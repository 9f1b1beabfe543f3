"""The same tables whatever ran them: inline or Ray, one replica or two, in one go or after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

from engine.run import main
from engine.schema import MEASURE_TABLES
from tests.fixtures.places import ROOT
from tests.fixtures.predictions import records


def tables(run):
    return {name: pl.read_parquet(run / "shards" / "*" / f"{name}.parquet") for name in MEASURE_TABLES}


def assert_equal(first, second):
    for name, table in first.items():
        assert table.height > 0 and table.equals(second[name]), name


def command(config_file, *overrides):
    return [sys.executable, "-m", "engine.run", str(config_file), "--stage", "collect", *overrides]


@pytest.fixture
def reference(config_file):
    assert main([str(config_file), "--stage", "collect", "run.name=reference"]) == 0
    return tables(config_file.parent / "runs" / "reference")


def test_ray_and_inline_give_identical_tables(config_file, reference):
    overrides = ["cluster.mode=local", "cluster.replicas=2", "run.name=ray"]
    done = subprocess.run(command(config_file, *overrides), capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Deprecat" not in done.stderr
    assert_equal(reference, tables(config_file.parent / "runs" / "ray"))
    manifests = (config_file.parent / "runs" / "ray" / "shards").glob("*/manifest.json")
    assert {json.loads(m.read_text())["facts"]["device"] for m in manifests} == {"cpu"}


def test_the_order_of_units_does_not_matter(config_file, reference):
    """Units measured last to first, by hand, commit the same bits."""
    from engine.config import load_config
    from engine.storage.run_directory import RunDirectory
    from engine.workers.worker import UnitWorker

    assert main([str(config_file), "--stage", "plan", "run.name=backwards"]) == 0
    config, _ = load_config(config_file, ["run.name=backwards"])
    run_dir = RunDirectory(config_file.parent / "runs" / "backwards")
    worker = UnitWorker(config, run_dir.root, run_dir.plan.read().key_groups)
    for unit in reversed(run_dir.plan.units()):
        assert worker.run(unit.name).state == "committed"
    assert_equal(reference, tables(run_dir.root))


def test_killed_in_the_middle_and_started_again(config_file, predictions_file):
    predictions_file.write_text(json.dumps(records(60)))
    small = "cluster.samples_per_shard=1"
    assert main([str(config_file), "--stage", "collect", "run.name=whole", small]) == 0
    run = config_file.parent / "runs" / "killed"
    driver = subprocess.Popen(command(config_file, "run.name=killed", small), cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list((run / "shards").glob("*/manifest.json"))) >= 5, driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    committed = {path: path.stat().st_mtime_ns for path in (run / "shards").glob("*/manifest.json")}
    assert 5 <= len(committed) < 60 and not (run / "_SUCCESS").exists()
    assert main([str(config_file), "--stage", "collect", "run.name=killed", small]) == 0
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in committed.items())
    assert_equal(tables(config_file.parent / "runs" / "whole"), tables(run))


@pytest.mark.soak
def test_a_signal_stops_at_a_shard_boundary_and_the_same_command_continues(config_file, predictions_file):
    predictions_file.write_text(json.dumps(records(60)))
    overrides = ["run.name=stopped", "cluster.samples_per_shard=1"]
    run = config_file.parent / "runs" / "stopped"
    driver = subprocess.Popen(command(config_file, *overrides), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(list((run / "shards").glob("*/manifest.json"))) >= 3, driver)
    os.kill(driver.pid, signal.SIGTERM)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 75 and "stopped at a shard boundary" in errors
    assert 3 <= len(list((run / "shards").iterdir())) < 60 and not list((run / "incoming").iterdir())
    assert main([str(config_file), "--stage", "collect", *overrides]) == 0
    assert tables(run)["samples"]["sample_id"].n_unique() == 60


def wait_for(condition, driver, seconds=120):
    """Wait until a condition holds while the driver lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert driver.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
