"""What causal units measured of circuits, as numbers per sample.

An edge's ``change`` is that of s when it alone carries something else; ``lead`` is change x sign(s), the change of the
lead of the side that the model favours: negative for an edge that supports its answers. A circuit recovers the share
``(s_k - s_0) / (s_n - s_0)`` of what its n edges account for together, s_k with k of them kept.

Where samples are held out from choosing heads and edges, all numbers are of these alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from analyses.runs.run import Run

EDGES, CURVES = "edges", "circuit_curves"

KEYS: dict[str, type[pl.DataType]] = {
    "source_layer": pl.Int32,
    "source_head": pl.Int32,
    "key_group": pl.String,
    "target_layer": pl.Int32,
    "target_head": pl.Int32,
    "input": pl.String,
    "replace": pl.String,
}
"""What says which edge a row is about."""

MEASURES = ("lead", "change")


@dataclass(frozen=True)
class EdgeValues:
    """Numbers per sample and edge.

    Attributes
    ----------
    keys
        One row per edge, columns as in ``KEYS``.
    linearised, verified
        By measure (``MEASURES``), float64 ``[samples, edges]`` in nats over the rows of ``Run.samples``, NaN where a
        sample has none.
    others
        Of samples whose edges carry what a matched right prediction does, its row in ``Run.samples``, ``[samples]``
        int64, -1 where there is none.
    num_choosing
        Samples on which heads and edges were chosen, where they are others; None where they are the same.
    """

    keys: pl.DataFrame
    linearised: Mapping[str, np.ndarray]
    verified: Mapping[str, np.ndarray]
    others: np.ndarray
    num_choosing: int | None


@dataclass(frozen=True)
class CurveValues:
    """What circuits of growing size recover, sample by sample.

    Attributes
    ----------
    sizes
        Numbers of kept edges, ``[sizes]``.
    num_edges
        Edges that can be kept.
    recovered
        Change of s towards that with all edges, from that with none, by order: float64 ``[samples, sizes]`` in nats,
        NaN where a sample has none; random orders are averaged.
    gap
        How far all edges move it, ``[samples]``.
    """

    sizes: Sequence[int]
    num_edges: int
    recovered: Mapping[str, np.ndarray]
    gap: np.ndarray


def has_circuits(run: Run) -> bool:
    """Whether the run measured any circuit."""
    return EDGES in run.tables


def edge_values(run: Run) -> EdgeValues:
    """Return every edge of the run's circuit."""
    frame = _indexed(run, EDGES).collect()
    others, num_choosing = _others(run, frame), None
    if "is_held_out" in frame.columns and frame["is_held_out"].any():
        num_choosing = frame.filter(~pl.col("is_held_out"))["sample_id"].n_unique()
        frame = frame.filter("is_held_out")
    edges = frame.select(*KEYS).unique(maintain_order=True).with_row_index("edge")
    at = frame.join(edges, on=list(KEYS), nulls_equal=True, how="left", maintain_order="left")["edge"].to_numpy()
    rows, sign = frame["row"].to_numpy(), frame["logit_difference"].sign().to_numpy()

    def matrix(column: str, factor: np.ndarray | float) -> np.ndarray:
        values = np.full((len(run.samples), len(edges)), np.nan)
        values[rows, at] = frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy() * factor
        return values

    linearised, verified = (
        {"lead": matrix(column, sign), "change": matrix(column, 1.0)} for column in ("effect", "verified")
    )
    keys = edges.select(pl.col(name).cast(kind) for name, kind in KEYS.items())
    return EdgeValues(keys, linearised, verified, others, num_choosing)


def _others(run: Run, frame: pl.DataFrame) -> np.ndarray:
    found = np.full(len(run.samples), -1, dtype=np.int64)
    if "matched_id" in frame.columns:  # runs before schema 1.4 do not say
        pairs = frame.select("row", "matched_id").unique().drop_nulls()
        known = pairs["matched_id"].replace_strict(run.rows_of, default=-1, return_dtype=pl.Int64)
        found[pairs["row"].to_numpy()] = known.to_numpy()
    return found


def curve_values(run: Run) -> CurveValues:
    """Return what circuits of growing size recover."""
    frame = _indexed(run, CURVES).with_columns(pl.col("logit_difference").cast(pl.Float64)).collect()
    num_edges = int(frame["num_edges"].max() or 0)  # pyright: ignore[reportArgumentType]
    ends = [
        frame.filter(order="strongest", num_edges=size).select("row", s="logit_difference") for size in (0, num_edges)
    ]
    number = len(run.samples)
    none, all_of_them = (_column(end["row"].to_numpy(), end["s"].to_numpy(), number) for end in ends)
    towards = np.sign(all_of_them - none)
    sizes = [size for size in sorted(set(frame["num_edges"])) if 0 < size < num_edges]
    recovered = {}
    for order in ("strongest", "random"):
        values = np.full((number, len(sizes)), np.nan)
        for place, size in enumerate(sizes):
            means = frame.filter(order=order, num_edges=size).group_by("row").agg(pl.col("logit_difference").mean())
            column = _column(means["row"].to_numpy(), means["logit_difference"].to_numpy(), number)
            values[:, place] = (column - none) * towards
        recovered[order] = values
    return CurveValues(sizes, num_edges, recovered, np.abs(all_of_them - none))


def _column(rows: np.ndarray, values: np.ndarray, number: int) -> np.ndarray:
    column = np.full(number, np.nan)
    column[rows] = values
    return column


def _indexed(run: Run, name: str) -> pl.LazyFrame:
    """Return a table with each sample's row in ``samples``; rows of samples that are not there are left out."""
    index = pl.LazyFrame({"sample_id": run.samples["sample_id"], "row": np.arange(len(run.samples))})
    return run.tables[name].join(index, on="sample_id", how="inner", maintain_order="left")
