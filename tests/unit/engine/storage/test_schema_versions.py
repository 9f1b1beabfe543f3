"""Runs of every minor version of the schema are read; a stored run of 1.0 stands for those that people have."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from analyses.query import run_query
from analyses.report import main as report
from analyses.runs.run import open_tables
from analyses.runs.units import RunError
from engine.run import main
from engine.schema import SCHEMA_VERSION, fits_schema, is_readable_schema, same_schema, samples_schema
from tests.fixtures.places import ROOT

STORED = ROOT / "tests" / "fixtures" / "stored_runs" / "schema-1.0"


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Return a copy of the stored run, and the arguments that repeat it."""
    monkeypatch.chdir(ROOT)  # its paths are those of the checkout
    run_dir = tmp_path / STORED.name
    shutil.copytree(STORED, run_dir)
    content = yaml.safe_load((run_dir / "run.yaml").read_text())
    content["config"]["run"]["output"] = str(tmp_path)
    content["config"]["analysis"] |= {"permutations": 9, "decodability": False}
    (run_dir / "run.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content["config"]))
    return run_dir, str(config)


def test_columns_that_came_later_may_lack():
    later = samples_schema(["a"])
    earlier = later
    for name in ("sequence_source", "contrast", "contrast_position"):
        earlier = earlier.remove(earlier.get_field_index(name))
    old = earlier.with_metadata({**later.metadata, b"headledger_schema_version": b"1"})
    assert fits_schema(later, later) and fits_schema(old, later)
    assert not fits_schema(earlier, later), "a file of today lacks none"
    assert not fits_schema(old.remove(3), later), "what 1.0 had must be there"
    newer = later.append(pa.field("new", pa.string()))
    assert fits_schema(newer.with_metadata({**later.metadata, b"headledger_schema_version": b"1.9"}), later)
    assert not fits_schema(newer, later)


def files_of(run_dir):
    return {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file() and "analysis" not in path.parts}


def test_versions_are_read_by_their_major_part():
    assert SCHEMA_VERSION == "1.4" and [is_readable_schema(v) for v in (1, "1", "1.0", "1.1", "1.99")] == [True] * 5
    assert not any(is_readable_schema(version) for version in (None, "", 2, "2.0", "0.9", "x", "1.x"))
    assert same_schema(1, "1.0") and same_schema("1.1", "1.1") and not same_schema("1", "1.1")


def test_a_run_of_1_0_is_reported_and_queried(stored):
    run_dir, _ = stored
    before = files_of(run_dir)
    assert report([str(run_dir)]) == 0
    assert list((run_dir / "analysis").glob("*.html"))
    answer = run_query(run_dir, "SELECT COUNT(*) AS n, AVG(mass_labels) AS m FROM head_stats")
    assert answer["n"][0] == 8 * 48 and 0 < answer["m"][0] < 1
    sources = run_query(run_dir, "SELECT sequence_source FROM samples")["sequence_source"]
    assert sources.null_count() == len(sources) == 8, "what was not measured is null"
    after = files_of(run_dir)
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} <= {"checksums.json"}


@pytest.mark.parametrize(
    ("version", "is_read"), [("1.7", True), ("2.0", False)], ids=["a newer minor", "another major"]
)
def test_versions_to_come(stored, version, is_read):
    run_dir, _ = stored
    for path in (run_dir / "plan.json", *run_dir.rglob("shards/*/manifest.json")):
        path.unlink()  # nothing vouches for tables that are changed here
    for path in run_dir.rglob("shards/*/*.parquet"):
        table = pq.read_table(path)
        metadata = {**table.schema.metadata, b"headledger_schema_version": version.encode()}
        pq.write_table(table.replace_schema_metadata(metadata), path)
    if is_read:
        assert len(open_tables(run_dir).samples) == 8
        return
    with pytest.raises(RunError, match=r"schema version 2\.0, this Headledger reads version 1 with any minor version"):
        open_tables(run_dir)


def test_a_finished_run_of_1_0_is_analysed_again_and_nothing_is_measured(stored):
    run_dir, config = stored
    before = files_of(run_dir)
    assert main([config]) == 0
    after = files_of(run_dir)
    changed = {path.name for path in before if before[path] != after.get(path)}
    assert changed <= {"run.yaml", "progress.json"} and (run_dir / "analysis").is_dir()
    assert yaml.safe_load((run_dir / "run.yaml").read_text())["schema_version"] == 1


@pytest.mark.parametrize(("negations", "code"), [(None, 0), (["not"], 2)], ids=["left out", "others"])
def test_a_config_that_leaves_out_what_has_another_default_now(stored, capsys, negations, code):
    """A user's own config has no ``decision.negations``; run.yaml of 1.0 holds the list that was the default then."""
    run_dir, config = stored
    content = yaml.safe_load((run_dir / "run.yaml").read_text())["config"]
    assert content["decision"].pop("negations")
    if negations:
        content["decision"]["negations"] = negations
    Path(config).write_text(yaml.safe_dump(content))
    assert main([config]) == code
    assert ("decision.negations" in capsys.readouterr().err) == bool(code)


def test_an_unfinished_run_of_1_0_is_left_as_it_is(stored, capsys):
    run_dir, config = stored
    (run_dir / "_SUCCESS").unlink()
    before = files_of(run_dir)
    assert main([config]) == 2
    said = capsys.readouterr().err
    assert "version of its tables (schema 1 -> 1.4)" in said and "run.name" in said and "--fresh" in said
    assert files_of(run_dir) == before
