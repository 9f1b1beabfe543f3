"""Runs to ask."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analyses.reporting.write import analyze
from analyses.runs.run import open_tables
from engine.schema.reading_tables import RECEIVED_HEADS_SCHEMA, reading_focus_schema
from tests.fixtures.synthetic_run import add_metadata, add_texts, write_run


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = write_run(tmp_path_factory.mktemp("runs") / "fenced", num_samples=30, num_layers=2, num_heads=2)
    add_texts(path)
    add_reading(path)
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


def add_reading(run_dir):
    """Add how answers read line items, of which the run has no key group, and what keys receive: at random."""
    rng = np.random.default_rng(0)
    schemas = {"reading_focus": reading_focus_schema(("line_item",)), "received_heads": RECEIVED_HEADS_SCHEMA}
    for unit in sorted((run_dir / "shards").glob("measure-*")):
        heads = (
            pl.read_parquet(unit / "head_stats.parquet").select("sample_id", "layer", "head").unique().sort(pl.all())
        )
        for name, schema in schemas.items():
            drawn = {
                field.name: pa.array(rng.integers(0, 3, len(heads))).cast(field.type) for field in list(schema)[3:]
            }
            own = {column: heads[column].to_arrow().cast(schema.field(column).type) for column in heads.columns}
            pq.write_table(pa.table(own | drawn, schema=schema), unit / f"{name}.parquet")
