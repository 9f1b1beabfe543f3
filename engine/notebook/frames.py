"""Arrow and torch → what a notebook shows: frames, sums and short words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import polars as pl
import pyarrow as pa
import torch

from engine.encoded_samples import EncodedSample, IntArray
from engine.schema import BASELINE_PREFIX, MASS_PREFIX


class MassOfHeads(TypedDict):
    """A row's mass on the vocabulary: mean and maximum over heads, and that of each."""

    mean: float
    max: float
    by_head: list[float]


class RowSummary(TypedDict):
    """What one row of a layer looks at; the tokens come with the mean of their weights over heads."""

    position: int
    financial_attention: MassOfHeads
    top_attended_tokens: list[tuple[str, float]]


def frame_of(batch: pa.RecordBatch | pa.Table) -> pl.DataFrame:
    """Return a record batch as a frame."""
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    return frame


def ranges_of(numbers: Sequence[int]) -> str:
    """Return "0..27" for whole numbers from zero on, else all of them."""
    is_whole = list(numbers) == list(range(len(numbers)))
    return f"0..{len(numbers) - 1}" if is_whole else ", ".join(map(str, numbers))


def mass_and_lift(head_stats: pl.DataFrame, baselines: pl.DataFrame, key_groups: Sequence[str]) -> pl.DataFrame:
    """Return ``query_group, layer, head, key_group, mass, baseline, lift`` from frames as the tables of these names."""
    per_layer = baselines["layer"].null_count() == 0
    keys = ["query_group", "layer"] if per_layer else ["query_group"]
    joined = head_stats.join(baselines.drop("sample_id", *([] if per_layer else ["layer"])), on=keys)
    parts = [
        joined.select(
            "query_group",
            "layer",
            "head",
            pl.lit(name).alias("key_group"),
            pl.col(f"{MASS_PREFIX}{name}").alias("mass"),
            pl.col(f"{BASELINE_PREFIX}{name}").alias("baseline"),
            _lift(name).alias("lift"),
        )
        for name in key_groups
    ]
    return pl.concat(parts)


def _lift(key_group: str) -> pl.Expr:
    """Return mass / baseline: 1 is uniform attention; null where the baseline is 0."""
    baseline = pl.col(f"{BASELINE_PREFIX}{key_group}").cast(pl.Float64)
    return pl.when(baseline > 0).then(pl.col(f"{MASS_PREFIX}{key_group}").cast(pl.Float64) / baseline)


def row_summary(
    weights: torch.Tensor, position: int, encoded: EncodedSample, financial: IntArray, top: int
) -> RowSummary:
    """Return what one row of a layer looks at.

    Parameters
    ----------
    weights
        The row's weights, ``[heads, T]``.
    position
        The row.
    encoded
        The text.
    financial
        Positions of the vocabulary's tokens.
    top
        How many tokens to name.
    """
    masses = weights[:, financial].double().sum(dim=-1)
    best = torch.sort(weights.mean(dim=0)[: position + 1], descending=True, stable=True)
    return {
        "position": position,
        "financial_attention": {"mean": float(masses.mean()), "max": float(masses.max()), "by_head": masses.tolist()},
        "top_attended_tokens": [
            (encoded.token_text(int(key)), float(weight))
            for weight, key in zip(best.values[:top], best.indices[:top], strict=True)
        ],
    }
