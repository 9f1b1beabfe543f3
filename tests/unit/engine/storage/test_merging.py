"""Many shards merged into few folders: the same tables bit for bit, whoever dies when."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from engine.run import main
from engine.schema import MEASURE_TABLES
from engine.schema.manifests import is_merged_name
from engine.storage import merging
from engine.storage.run_directory import RunDirectory
from engine.storage.verification import verify
from tests.fixtures.places import ROOT
from tests.fixtures.predictions import records

SHARDS = 12


@pytest.fixture(scope="module")
def measured(tmp_path_factory, tiny_model_dir):
    """A config of twelve shards, measured and not merged."""
    folder = tmp_path_factory.mktemp("merging")
    (folder / "predictions.json").write_text(json.dumps(records(SHARDS)))
    config = folder / "config.yaml"
    config.write_text(
        f"""
run: {{name: whole, output: {folder / "runs"}}}
predictions: {{path: {folder / "predictions.json"}}}
model: {{path: {tiny_model_dir}, dtype: float32, device: cpu}}
vocabulary: {ROOT / "config" / "vocabulary" / "financial.yaml"}
cluster: {{mode: inline, samples_per_shard: 1, tokens_per_batch: 1200}}
"""
    )
    assert main([str(config), "--stage", "collect"]) == 0
    return config


def run_of(measured: Path, name: str) -> Path:
    """Return a copy of the run that is not published yet."""
    root = shutil.copytree(measured.parent / "runs" / "whole", measured.parent / name / "whole")
    (root / "_SUCCESS").unlink()
    return root


def collect(measured: Path, root: Path, *overrides: str) -> int:
    return main([str(measured), f"run.output={root.parent}", *overrides, "--stage", "collect"])


def tables(root: Path) -> dict[str, pl.DataFrame]:
    """Return a run's tables as they lie, in the order of its folders."""
    found = {name: pl.read_parquet(root / "shards" / "*" / f"{name}.parquet") for name in MEASURE_TABLES}
    return found | {"rejects": pl.read_parquet(root / "rejects.parquet")}


def assert_merged(measured: Path, root: Path, names: list[str]) -> None:
    """Assert that a run is published, verified, holds what the unmerged one does and nothing beside it."""
    assert (root / "_SUCCESS").read_text() == (measured.parent / "runs" / "whole" / "_SUCCESS").read_text()
    assert sorted(path.name for path in (root / "shards").iterdir()) == names
    assert not (root / "shards-merging").exists() and not (root / "shards-unmerged").exists()
    expected, found = tables(measured.parent / "runs" / "whole"), tables(root)
    for name, frame in expected.items():
        assert frame.equals(found[name]) and (frame.height > 0 or name == "rejects"), name
    verify(RunDirectory(root))


ONE = [f"measure-00000-{SHARDS - 1:05d}"]


def test_merged_shards_are_verified_read_and_gone_on_with(measured, monkeypatch, capsys):
    root = run_of(measured, "merged")
    assert collect(measured, root, "cluster.compact=true") == 0
    assert f"Merged {SHARDS} shards into 1 folders" in capsys.readouterr().out
    assert_merged(measured, root, ONE)
    manifest = json.loads((root / "shards" / ONE[0] / "manifest.json").read_text())
    before = [
        json.loads((measured.parent / "runs" / "whole" / "shards" / f"measure-{n:05d}" / "manifest.json").read_text())
        for n in range(SHARDS)
    ]
    assert manifest["replaces"] == before
    assert manifest["sample_ids"] == [sample_id for each in before for sample_id in each["sample_ids"]]
    then = (root / "shards" / ONE[0] / "manifest.json").stat().st_mtime_ns
    for compact in ("true", "auto", "false"):
        assert collect(measured, root, f"cluster.compact={compact}") == 0
    assert (root / "shards" / ONE[0] / "manifest.json").stat().st_mtime_ns == then, "it was made again"
    assert_merged(measured, root, ONE)


def test_auto_leaves_few_shards_and_published_runs_alone(measured, monkeypatch):
    root = run_of(measured, "auto")
    assert collect(measured, root) == 0
    assert len(list((root / "shards").iterdir())) == SHARDS
    monkeypatch.setattr("engine.stages.compact.AUTO_ABOVE", SHARDS - 1)
    assert collect(measured, root) == 0
    assert len(list((root / "shards").iterdir())) == SHARDS, "a published run was changed unasked"
    (root / "_SUCCESS").unlink()
    assert collect(measured, root) == 0
    assert_merged(measured, root, ONE)


def test_folders_stay_within_their_bounds(measured, monkeypatch):
    monkeypatch.setattr(merging, "MERGED_UNITS", 5)
    root = run_of(measured, "bounded")
    assert collect(measured, root, "cluster.compact=true") == 0
    assert_merged(measured, root, ["measure-00000-00004", "measure-00005-00009", "measure-00010-00011"])
    sizes = [merging.bytes_of(place.manifest) for place in RunDirectory(root).ledger.committed().values()]
    shutil.rmtree(root)
    root = run_of(measured, "bounded-by-bytes")
    monkeypatch.setattr(merging, "MERGED_BYTES", 1)
    assert collect(measured, root, "cluster.compact=true") == 0
    assert len(list((root / "shards").iterdir())) == SHARDS and max(sizes) > 1


def test_a_damaged_merged_folder_is_set_aside_and_its_units_measured_again(measured, monkeypatch):
    monkeypatch.setattr(merging, "MERGED_UNITS", 5)
    root = run_of(measured, "damaged")
    assert collect(measured, root, "cluster.compact=true") == 0
    for name in ("head_stats.parquet", "manifest.json"):
        file = root / "shards" / "measure-00005-00009" / name
        file.write_bytes(file.read_bytes()[:-9])
        assert collect(measured, root, "cluster.compact=false") == 0
        again = [f"measure-{number:05d}" for number in range(5, 10)]
        assert_merged(measured, root, ["measure-00000-00004", *again, "measure-00010-00011"])
        assert any(path.name.startswith("measure-00005-00009-") for path in (root / "quarantine").iterdir())
        assert collect(measured, root, "cluster.compact=true") == 0  # on a published run, because it is asked for
        assert_merged(measured, root, ["measure-00000-00004", "measure-00005-00009", "measure-00010-00011"])


def test_a_unit_beside_the_folder_that_holds_it_is_to_be_moved_away(measured, capsys):
    root = run_of(measured, "twice")
    assert collect(measured, root, "cluster.compact=true") == 0
    whole = measured.parent / "runs" / "whole" / "shards" / "measure-00003"
    surplus = shutil.copytree(whole, root / "shards" / "measure-00003")
    assert collect(measured, root) == 1
    assert "'measure-00003' is not in the plan" in capsys.readouterr().err
    surplus.rename(root.parent / "elsewhere")
    assert collect(measured, root) == 0
    assert_merged(measured, root, ONE)


def test_no_room_for_a_second_copy_is_said_and_the_run_published(measured, monkeypatch, capsys):
    root = run_of(measured, "full")
    usage = shutil.disk_usage(root)
    monkeypatch.setattr("engine.stages.compact.shutil.disk_usage", lambda _: usage._replace(free=1000))
    assert collect(measured, root, "cluster.compact=true") == 0
    assert "12 shards were left as they are: that needs" in capsys.readouterr().err
    assert (root / "_SUCCESS").exists() and len(list((root / "shards").iterdir())) == SHARDS


DIE_AT = """
import os, signal, sys
from pathlib import Path
from engine.storage import merging
from engine.storage.run_directory import RunDirectory
step, calls = int(sys.argv[1]), 0
def counted(real):
    def call(*args, **kwargs):
        global calls
        if any("shards" in str(arg) for arg in args):
            if calls == step:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
        return real(*args, **kwargs)
    return call
for name in ("mkdir", "rename"):
    setattr(Path, name, counted(getattr(Path, name)))
for name in ("_concatenate", "file_facts", "replace_file", "sync_folder"):
    setattr(merging, name, counted(getattr(merging, name)))
merging.shutil.rmtree = counted(merging.shutil.rmtree)
merging.MERGED_UNITS = 7
run_dir = RunDirectory(sys.argv[2])
merging.merge(run_dir.ledger, run_dir.units(), lambda: None)
print(calls)
"""
"""A merge whose process is killed before the n-th thing that it does to folders."""


def killed_at(step: int, root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DIE_AT, str(step), str(root)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def num_steps(measured) -> int:
    """Return how many things a merge does to folders."""
    done = killed_at(10**6, run_of(measured, "steps"))
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("step", [1, 7, -5, -4, -3, -2, -1], ids=lambda step: f"step{step}")
def test_a_merge_that_is_killed_at_any_step_loses_nothing(measured, monkeypatch, num_steps, step):
    """The last three: the first rename, the second, and what removes the old folder."""
    monkeypatch.setattr(merging, "MERGED_UNITS", 7)
    root = run_of(measured, f"killed{step}")
    assert killed_at(step % num_steps, root).returncode == -signal.SIGKILL
    assert not (root / "_SUCCESS").exists()
    assert (root / "shards").exists() == (step != -2), "the step between the two renames is another by now"
    assert collect(measured, root, "cluster.compact=true") == 0
    assert_merged(measured, root, ["measure-00000-00006", "measure-00007-00011"])


def test_names_of_merged_folders():
    names = ("measure-00000-00127", "measure-00000", "causal-00000-100001", "x", "measure-00000-00127 (copy)")
    assert [name for name in names if is_merged_name(name)] == ["measure-00000-00127", "causal-00000-100001"]
