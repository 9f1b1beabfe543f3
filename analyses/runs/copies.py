"""Samples that are copies of one another: the same text under several ids, which is one observation, not several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

_OWN = ("num_tokens", "predicted_label", "number")


def copied_rows(samples: pl.DataFrame, head_stats: pl.LazyFrame, statistics: Sequence[str]) -> list[np.ndarray]:
    """Return the rows of ``samples`` of each set of copies: every number of every head is the same, bit for bit.

    The length, the said label and the margin (without one, the label's surprisal) are looked at first, so that head
    statistics are read of few samples. Samples without margin and surprisal are not told apart, and are no copies; nor
    is anything where all samples are alike.
    """
    number = pl.coalesce("logit_difference", "label_surprisal").cast(pl.Float64).fill_nan(None).alias("number")
    own = samples.with_row_index("row").select("row", "sample_id", "num_tokens", "predicted_label", number)
    likely = own.drop_nulls("number").filter(pl.struct(_OWN).is_duplicated())
    if likely.is_empty():
        return []
    read = head_stats.filter(pl.col("sample_id").is_in(likely["sample_id"].to_list()))
    row = pl.struct("query_group", "layer", "head", *statistics).hash()
    hashed = read.select("sample_id", row=row).group_by("sample_id").agg(told=pl.col("row").sum(), size=pl.len())
    sets = (
        likely.join(hashed.collect(), on="sample_id").sort("row").group_by(*_OWN, "told", "size", maintain_order=True)
    )
    found = [rows.to_numpy().astype(np.int64) for rows in sets.agg("row")["row"] if len(rows) > 1]
    return [rows for rows in found if len(rows) < len(samples)]
