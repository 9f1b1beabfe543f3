"""How answers read and what is received, as numbers per sample: one block per table and layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from analyses.runs.key_groups import asked_key_groups
from analyses.runs.run import Run
from engine.schema import CONCENTRATION_PREFIX, DRIFT_PREFIX, READING_TABLES, RECEIVED_TABLES

KEYS: dict[str, type[pl.DataType]] = {
    "measure": pl.String,
    "key_group": pl.String,
    "layer": pl.Int32,
    "head": pl.Int32,
}
"""What says which number a row is about."""

PREFIXES = {"drift": DRIFT_PREFIX, "concentration": CONCENTRATION_PREFIX}
"""Measures by key group. Centroids are not compared: positions of texts of different length have nothing in common."""

OF_HEADS = ("sink_score", "receiver_kurtosis")
"""Measures of a head alone."""


@dataclass(frozen=True)
class ReadingBlock:
    """Numbers per sample and measure.

    Attributes
    ----------
    keys
        One row per number, columns as in ``KEYS``.
    values
        Float64 ``[samples, numbers]`` over the rows of ``Run.samples``, NaN where a sample has none.
    """

    keys: pl.DataFrame
    values: np.ndarray


def has_reading(run: Run) -> bool:
    """Whether anything of reading or receiving was measured."""
    return READING_TABLES[0] in run.tables or RECEIVED_TABLES[0] in run.tables


def reading_blocks(run: Run) -> Iterator[ReadingBlock]:
    """Yield every number of the run, a table and a layer at a time."""
    groups = [(name, group, f"{prefix}{group}") for name, prefix in PREFIXES.items() for group in asked_key_groups(run)]
    alone: list[tuple[str, str | None, str]] = [(name, None, name) for name in OF_HEADS]
    for table, named in ((READING_TABLES[0], groups), (RECEIVED_TABLES[0], alone)):
        if table not in run.tables:
            continue
        known = run.tables[table].collect_schema().names()
        listed = [(measure, group, column) for measure, group, column in named if column in known]
        for layer in range(run.num_layers if listed else 0):  # a run may have no key group that is asked about
            block = _block(run, table, layer, listed)
            if block is not None:
                yield block


def _block(run: Run, table: str, layer: int, listed: list[tuple[str, str | None, str]]) -> ReadingBlock | None:
    index = pl.LazyFrame({"sample_id": run.samples["sample_id"], "row": np.arange(len(run.samples))})
    columns = [column for _, _, column in listed]
    rows = run.tables[table].filter(pl.col("layer") == layer).join(index, on="sample_id", how="inner")
    frame = rows.select("row", "head", *columns).collect()
    if frame.is_empty():
        return None
    values = np.full((len(run.samples), len(columns), run.num_heads), np.nan)
    numbers = frame.select(pl.col(columns).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    values[frame["row"].to_numpy(), :, frame["head"].to_numpy()] = numbers
    keys = [(measure, group, layer, head) for measure, group, _ in listed for head in range(run.num_heads)]
    return ReadingBlock(pl.DataFrame(keys, schema=KEYS, orient="row"), values.reshape(len(values), -1))
