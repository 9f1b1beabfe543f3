"""What causal units measured of circuits, as numbers per sample.

An edge's ``change`` is that of s when it alone carries something else; ``lead`` is change x sign(s), the change of the
lead of the side that the model favours: negative for an edge that supports its answers. A circuit recovers the share
``(s_k - s_0) / (s_n - s_0)`` of what its n edges account for together, s_k with k of them kept.
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
    """

    keys: pl.DataFrame
    linearised: Mapping[str, np.ndarray]
    verified: Mapping[str, np.ndarray]


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
    return EdgeValues(edges.select(pl.col(name).cast(kind) for name, kind in KEYS.items()), linearised, verified)


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
