"""A run is what its plan and manifests say, or every reader refuses it and --partial says what is missing."""

import json
import os
import shutil

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analyses.query import main as query
from analyses.questions.overview.facts import run_facts
from analyses.report import main as report
from analyses.reporting.text import partial_line
from analyses.runs import checksums
from analyses.runs.checksums import Checksums
from analyses.runs.run import open_tables
from analyses.runs.units import DamagedRunError
from analyses.settings.analysis import AnalysisSettings
from engine.notebook.runs import UserError, open_run
from engine.schema.manifests import manifest_digest
from engine.storage.merging import merge
from engine.storage.run_directory import RunDirectory
from tests.fixtures.synthetic_run import add_metadata, seal, write_run

CONFIG = {"analysis": {"permutations": 9, "decodability": False}, "visualization": {"formats": []}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    write_run(path, num_samples=30, num_layers=2, num_heads=2, num_clusters=10, num_shards=3)
    add_metadata(path, CONFIG)
    return seal(path)


@pytest.fixture
def run_dir(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def shard(run_dir, number=1):
    return run_dir / "shards" / f"measure-{number:05d}"


def changed_values(run_dir):
    """Give one number of a table another value, in place: as many bytes and rows as before."""
    path = shard(run_dir) / "head_stats.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(bytes(content))


def fewer_rows(run_dir):
    path = shard(run_dir) / "decision_top_keys.parquet"
    pl.read_parquet(path).head(5).write_parquet(path)


def other_ids(run_dir):
    path = shard(run_dir) / "manifest.json"
    path.write_text(path.read_text().replace('"s00012"', '"s99999"'))


def surplus_shard(run_dir):
    shutil.copytree(shard(run_dir), run_dir / "shards" / "measure-00001 (copy)")


def surplus_table(run_dir):
    shutil.copy(shard(run_dir, 0) / "samples.parquet", shard(run_dir) / "tokens.parquet")


def other_plan(run_dir):
    path = run_dir / "plan" / "units.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:2]))


def other_rejects(run_dir):
    path = run_dir / "rejects.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)


def forged_success(run_dir):
    """A run that was never finished is declared to be."""
    shutil.rmtree(shard(run_dir, 2))
    (run_dir / "_SUCCESS").write_text("")


def edited_plan(run_dir):
    """The plan has a checksum of itself, and somebody changed a number."""
    content = json.loads((run_dir / "plan.json").read_text())
    content |= {"digest": manifest_digest(content), "num_tokens": 7}
    (run_dir / "plan.json").write_text(json.dumps(content))


DAMAGES = {
    "a shard is gone": (lambda r: shutil.rmtree(shard(r)), "measure-00001: is missing from shards/", 20),
    "values were changed": (changed_values, "measure-00001: head_stats.parquet is", 20),
    "rows were removed": (fewer_rows, "measure-00001: decision_top_keys.parquet has", 20),
    "a table is gone": (
        lambda r: (shard(r) / "baselines.parquet").unlink(),
        "measure-00001: baselines.parquet is missing, which its manifest lists",
        20,
    ),
    "a manifest is gone": (
        lambda r: (shard(r) / "manifest.json").unlink(),
        "measure-00001: not committed, its manifest.json is missing",
        20,
    ),
    "a manifest was edited": (other_ids, "measure-00001: not committed, its manifest.json is damaged", 20),
    "a manifest of another shape": (
        lambda r: (shard(r) / "manifest.json").write_text("[1]"),
        "measure-00001: not committed, its manifest.json is damaged",
        20,
    ),
    "a shard too much": (surplus_shard, "measure-00001 (copy): is not in the plan; move this folder out of", 30),
    "a table too much": (surplus_table, "measure-00001: tokens.parquet is not in its manifest", 20),
    "units were edited": (other_plan, "plan/units.json: is missing or damaged", 30),
    "the plan is gone": (lambda r: (r / "plan.json").unlink(), "plan.json: is missing, so that nobody knows", 30),
    "the plan is a list": (lambda r: (r / "plan.json").write_text("[]"), "plan.json: is not that of a plan", 30),
    "the plan was edited": (edited_plan, "plan.json: is damaged (its checksum differs)", 30),
    "rejects were edited": (other_rejects, "rejects.parquet: is missing or does not hold", 30),
    "success was forged": (forged_success, "measure-00002: is missing from shards/", 20),
    "success of another run": (
        lambda r: (r / "_SUCCESS").write_text('{"units": 2, "samples": 20}'),
        "_SUCCESS: was not written when this run was verified",
        30,
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_run_is_refused_and_partial_reads_what_is_whole(run_dir, kind):
    damage, words, num_whole = DAMAGES[kind]
    damage(run_dir)
    with pytest.raises(DamagedRunError) as refused:
        open_tables(run_dir)
    text = str(refused.value)
    assert words in text and "--partial" in text and "\n" not in text
    opened = open_tables(run_dir, partial=True)
    assert opened.is_partial and words in str(opened.left_out) and len(opened.samples) == num_whole
    assert words in str(partial_line(opened)) and opened.verification.startswith("only what was analysed")


def test_every_command_exits_with_3_and_the_notebook_refuses(run_dir, capsys):
    shutil.rmtree(shard(run_dir))
    assert report([str(run_dir)]) == query([str(run_dir), "SELECT COUNT(*) FROM samples"]) == 3
    said = capsys.readouterr()
    assert said.err.count("measure-00001: is missing from shards/") == 2 and not said.out
    assert not (run_dir / "analysis").exists()
    with pytest.raises(UserError, match="measure-00001: is missing"):
        open_run(run_dir)
    assert query([str(run_dir), "SELECT COUNT(*) AS n FROM samples", "--partial"]) == 0
    said = capsys.readouterr()
    assert "1 incomplete shard with 10 samples left out" in said.err and "20" in said.out


def test_what_is_verified_and_what_is_not_is_said(run_dir):
    opened = open_tables(run_dir)
    assert ("Integrity", "every planned shard is there and equals its manifest") in run_facts(
        opened, AnalysisSettings()
    )
    (run_dir / "plan.json").unlink()
    for path in run_dir.glob("shards/*/manifest.json"):
        path.unlink()
    opened = open_tables(run_dir)
    assert ("Integrity", "not verified: no plan") in run_facts(opened, AnalysisSettings()) and not opened.is_partial


def test_a_run_that_is_not_finished_says_what_is_not_committed_yet(run_dir):
    (run_dir / "_SUCCESS").unlink()
    shutil.rmtree(shard(run_dir, 2))
    opened = open_tables(run_dir, partial=True)
    assert "1 incomplete shard with 10 samples left out (measure-00002: not committed yet)" in str(opened.left_out)


def test_checksums_are_computed_once_until_a_file_changes(tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), path)
    fresh = Checksums(tmp_path)
    fresh.of([path])
    fresh.keep()
    assert not fresh.path.exists(), "a file just written may change again within one tick of its clock"
    monkeypatch.setattr(checksums, "_SETTLED_SECONDS", 0.0)
    long_ago = 1_000_000_000
    os.utime(path, (long_ago, long_ago))
    first = Checksums(tmp_path)
    digest = first.of([path])[path]
    first.keep()
    kept = json.loads(first.path.read_text())
    assert kept["table.parquet"][-1] == digest
    kept["table.parquet"][-1] = "known"
    first.path.write_text(json.dumps(kept))
    again = Checksums(tmp_path)
    assert again.of([path])[path] == "known", "it was not read again"
    written = first.path.stat().st_ino
    again.keep()
    assert first.path.stat().st_ino == written, "nothing is new"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    os.utime(path, (long_ago, long_ago))
    assert Checksums(tmp_path).of([path])[path] not in (digest, "known"), "though size and time are as before"
    first.path.write_text("[1]")
    assert Checksums(tmp_path).of([path])


def merged(run_dir):
    """Merge the shards of a run and return the folder that holds all of them."""
    stored = RunDirectory(run_dir)
    merge(stored.ledger, stored.units(), lambda: None)
    (folder,) = (run_dir / "shards").iterdir()
    return folder


def test_a_merged_run_is_read_as_it_was(run_dir):
    before = open_tables(run_dir)
    frames = {name: frame.collect() for name, frame in before.tables.items()}
    folder = merged(run_dir)
    after = open_tables(run_dir)
    assert folder.name == "measure-00000-00002" and after.verification == before.verification
    assert after.samples.equals(before.samples) and after.tables.keys() == before.tables.keys()
    for name, frame in frames.items():
        assert frame.equals(after.tables[name].collect()), name
    assert [layout.is_regular for layout in after.layouts] == [True]


def test_a_merged_folder_that_is_damaged_is_refused(run_dir):
    folder = merged(run_dir)
    manifest = folder / "manifest.json"
    whole = manifest.read_bytes()
    shutil.copytree(folder, run_dir / "shards" / "measure-00000 (copy)")
    with pytest.raises(DamagedRunError, match=r"\(copy\): is not in the plan; move this folder out"):
        open_tables(run_dir)
    shutil.rmtree(run_dir / "shards" / "measure-00000 (copy)")
    content = json.loads(whole)
    content["replaces"][1]["facts"]["num_tokens"] = 5
    content["digest"] = manifest_digest(content)  # only the part's own checksum tells
    for spoilt in (whole[:-9], json.dumps(content).encode()):
        manifest.write_bytes(spoilt)
        with pytest.raises(DamagedRunError, match=r"measure-00000-00002: not committed, its manifest\.json is damaged"):
            open_tables(run_dir)
    manifest.write_bytes(whole)
    file = folder / "head_stats.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(DamagedRunError, match=r"measure-00000-00002: head_stats\.parquet is damaged"):
        open_tables(run_dir)
