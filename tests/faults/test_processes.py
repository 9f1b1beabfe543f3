"""Real processes die by pid, and the run still ends with every id exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import psutil
import pytest

from engine.run import main
from tests.conftest import ROOT, records
from tests.invariance.test_executors import assert_equal, command, tables, wait_for


def replica_pids(driver):
    """Return the pids of the driver's replicas, which Ray names after their class."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            if "MapWorker" in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture
def small_units(config_file, predictions_file):
    predictions_file.write_text(json.dumps(records(80)))
    overrides = ["cluster.samples_per_shard=1"]
    assert main([str(config_file), "--stage", "collect", "run.name=whole", *overrides]) == 0
    return config_file, overrides


def test_a_killed_replica_is_replaced_and_only_its_units_are_redone(small_units):
    config_file, overrides = small_units
    run = config_file.parent / "runs" / "killed-replica"
    arguments = command(config_file, *overrides, "run.name=killed-replica", "cluster.mode=local", "cluster.replicas=2")
    driver = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(list((run / "shards").glob("*/manifest.json"))) >= 3, driver)
    victims = replica_pids(driver)
    assert victims
    os.kill(victims[0], signal.SIGKILL)
    committed = {path: path.stat().st_mtime_ns for path in (run / "shards").glob("*/manifest.json")}
    _, errors = driver.communicate(timeout=180)
    assert driver.returncode == 0, errors
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in committed.items())
    assert_equal(tables(config_file.parent / "runs" / "whole"), tables(run))


def test_a_model_that_cannot_be_loaded_by_a_replica_fails_fast(config_file, tiny_model_dir, tmp_path):
    import shutil

    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_model_dir, damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    started = time.monotonic()
    arguments = command(config_file, f"model.path={damaged}", "cluster.mode=local", "cluster.replicas=2")
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 2 and "could not be loaded" in done.stderr and "Traceback" not in done.stderr
    assert time.monotonic() - started < 120 and not list((config_file.parent / "runs" / "test" / "shards").iterdir())
