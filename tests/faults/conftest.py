"""What the fault tests share: one small run undisturbed, models that fault, and drivers that are processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl
import psutil
import pytest
import yaml

from engine.run import main
from engine.schema import MEASURE_TABLES
from tests.conftest import ROOT, records

MARK = "☠"
VICTIM = "1003-1991"
NUM_SAMPLES, PER_SHARD = 40, 2
NUM_SHARDS = NUM_SAMPLES // PER_SHARD


class Laboratory:
    """Runs of one predictions file with one model, whole or faulty.

    Parameters
    ----------
    folder
        Where everything lies.
    model
        A sound model, to copy.
    """

    def __init__(self, folder: Path, model: Path):
        self.folder, self.model = folder, model
        self.rows = records(NUM_SAMPLES)
        for row in self.rows:
            if f"{row['company_id']}-{row['year']}" == VICTIM:
                row["full_model_response"] = row["full_model_response"].replace("Below is", f"{MARK} Below is")
        self.ids = sorted(f"{row['company_id']}-{row['year']}" for row in self.rows)
        (folder / "predictions.json").write_text(json.dumps(self.rows))
        config = {
            "run": {"output": str(folder / "runs")},
            "predictions": {"path": str(folder / "predictions.json")},
            "model": {"path": str(self.faulty()), "dtype": "float32", "device": "cpu", "trust_remote_code": True},
            "vocabulary": str(ROOT / "config" / "vocabulary" / "financial.yaml"),
            "cluster": {"mode": "inline", "samples_per_shard": PER_SHARD, "tokens_per_batch": 1600},
            "visualization": {"formats": ["html"]},
            "analysis": {"permutations": 9},
        }
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(config))

    def faulty(self, fault: str = "", **settings) -> Path:
        """Return a copy of the model with a fault; see ``faulty_model``."""
        from transformers import AutoTokenizer

        token = AutoTokenizer.from_pretrained(self.model)(MARK)["input_ids"][-1]
        content = json.loads((self.model / "config.json").read_text())
        content |= {"auto_map": {"AutoModelForCausalLM": "faulty_model.FaultyForCausalLM"}, "fault": fault,
                    "fault_token": token, **settings}  # fmt: skip
        name = "-".join(["model", fault, *map(str, settings.values())]).replace("/", "_")[-80:]
        folder = self.folder / name
        if not folder.exists():
            shutil.copytree(self.model, folder)
            shutil.copy(ROOT / "tests" / "faults" / "faulty_model.py", folder)
            (folder / "config.json").write_text(json.dumps(content))
        return folder

    def run(self, name: str) -> Path:
        """Return a run's directory."""
        return self.folder / "runs" / name

    def arguments(self, name: str, *overrides: str, stage: str = "collect") -> list[str]:
        """Return the command line of a run."""
        return [str(self.config), "--stage", stage, f"run.name={name}", *overrides]

    def here(self, name: str, *overrides: str, stage: str = "collect") -> int:
        """Run in this process and return the exit code."""
        return main(self.arguments(name, *overrides, stage=stage))

    def driver(self, name: str, *overrides: str, patience: str = "", **options) -> subprocess.Popen[str]:
        """Start a driver process, if wanted with less patience than a user's (assignments in ``ray_process``)."""
        start = ["-m", "engine.run"]
        if patience:
            code = f"import sys\nfrom engine import ray_process, run\n{patience}\nsys.exit(run.main(sys.argv[1:]))"
            start = ["-c", code]
        command = [sys.executable, *start, *self.arguments(name, *overrides)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                **options)  # fmt: skip

    def tables(self, name: str, without: tuple[str, ...] = ()) -> dict[str, pl.DataFrame]:
        """Return a run's tables sorted by key, if wanted without some samples."""
        found = {}
        for table in MEASURE_TABLES:
            frame = pl.read_parquet(self.run(name) / "shards" / "*" / f"{table}.parquet")
            keys = [c for c in ("sample_id", "query_group", "layer", "head", "rank", "position") if c in frame.columns]
            found[table] = frame.filter(~pl.col("sample_id").is_in(without)).sort(keys)
        return found

    def assert_whole(self, name: str, without: tuple[str, ...] = ()) -> None:
        """Assert that a run is published, holds every id once, and is equal to the undisturbed one bit for bit."""
        run = self.run(name)
        assert (run / "_SUCCESS").exists()
        ids = Counter(pl.read_parquet(run / "shards" / "*" / "samples.parquet")["sample_id"])
        ids.update(pl.read_parquet(run / "rejects.parquet")["sample_id"])
        assert sorted(ids) == self.ids and set(ids.values()) == {1}
        assert not list((run / "incoming").iterdir()) and not list((run / "attempts").glob("*"))
        expected, found = self.tables("whole", without), self.tables(name, without)
        for table, frame in expected.items():
            assert frame.height > 0 and frame.equals(found[table]), table

    def commits(self, name: str) -> dict[str, int]:
        """Return committed units and when each was committed, in ns."""
        return {path.parent.name: path.stat().st_mtime_ns for path in self.run(name).glob("shards/*/manifest.json")}

    def rejects(self, name: str) -> list[tuple[str, str, str]]:
        """Return id, stage and reason of a published run's rejects."""
        return pl.read_parquet(self.run(name) / "rejects.parquet").select("sample_id", "stage", "reason").rows()


@pytest.fixture(scope="session")
def lab(tmp_path_factory, tiny_model_dir):
    """The laboratory, with the run ``whole``, measured inline and undisturbed."""
    folder = tmp_path_factory.mktemp("lab")
    os.environ["HF_MODULES_CACHE"] = str(folder / "modules")
    laboratory = Laboratory(folder, tiny_model_dir)
    assert laboratory.here("whole") == 0
    return laboratory


def wait_for(condition, driver, seconds=150):
    """Wait until a condition holds while a driver lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert driver.poll() is None, driver.communicate()[1]
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def replicas_of(driver):
    """Return the replicas of a driver's own Ray, which Ray names after their class, as psutil processes."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            if "MapWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def finished(driver, seconds=200):
    """Return exit code and stderr of a driver."""
    _, errors = driver.communicate(timeout=seconds)
    assert "Traceback" not in errors, errors
    return driver.returncode, errors
