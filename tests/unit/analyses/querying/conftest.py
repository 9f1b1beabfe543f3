"""Runs to ask."""

import polars as pl
import pytest

from analyses.reporting.write import analyze
from analyses.runs.run import open_tables
from tests.fixtures.synthetic_run import add_metadata, add_texts, write_run


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = write_run(tmp_path_factory.mktemp("runs") / "fenced", num_samples=30, num_layers=2, num_heads=2)
    add_texts(path)
    add_metadata(path, {"analysis": {"permutations": 9, "decodability": False}, "visualization": {"formats": []}})
    analyze(path)
    return path


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "small", num_samples=4, num_layers=1, num_heads=1, num_shards=1)


@pytest.fixture(scope="module")
def frames(run_dir):
    """Every table of the run, as the first version of queries gave them to Polars."""
    tables = open_tables(run_dir)
    found = {path.stem: pl.scan_parquet(path) for path in (run_dir / "analysis" / "tables").glob("*.parquet")}
    return {**found, **tables.tables, "samples": tables.samples.lazy()}
