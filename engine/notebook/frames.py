"""Arrow and torch → what a notebook shows: frames, sums and short words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import torch

from analyses.queries import lift
from engine.samples import EncodedSample, IntArray
from engine.schema import BASELINE_PREFIX, MASS_PREFIX


def frame_of(batch: Any) -> pl.DataFrame:
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
            "query_group", "layer", "head", pl.lit(name).alias("key_group"),
            pl.col(f"{MASS_PREFIX}{name}").alias("mass"), pl.col(f"{BASELINE_PREFIX}{name}").alias("baseline"),
            lift(name).alias("lift"),
        )
        for name in key_groups
    ]  # fmt: skip
    return pl.concat(parts)


def row_summary(
    weights: torch.Tensor, position: int, encoded: EncodedSample, financial: IntArray, top: int
) -> dict[str, Any]:
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
