"""The tokens that each head's decision row weighs most.

Kept keys have ten rows per sample and head, so sums are formed a few samples at a time, in the order of the files.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import polars as pl

from analyses.cores import in_order
from analyses.questions.heads.tables import HEAD_TOP_TOKENS
from analyses.runs.run import Run
from analyses.runs.values import TOP_KEYS, KeyPiece, TopKeys

NUM_TOP_TOKENS = 8
"""Tokens kept of each head."""

SUMS_AT_ONCE = 2**25
"""Sums of a token within a head that are in memory at once, 12 bytes each; more tokens take another pass."""


def head_top_tokens(run: Run) -> pl.DataFrame:
    """Return the tokens that each head's decision row weighs most, over all samples.

    ``mean`` is the share of the head's attention, averaged over all samples of the run, ``num_samples`` those in which
    the token is among the kept keys. Only the kept keys count, so both are lower bounds. Empty when none were kept.
    """
    if TOP_KEYS not in run.files or run.samples.is_empty():
        return HEAD_TOP_TOKENS.empty()
    keys = TopKeys(run)
    parts = [HEAD_TOP_TOKENS.empty()]
    first = 0
    step = max(1, SUMS_AT_ONCE // max(run.num_layers * run.num_heads, 1))
    while first == 0 or first < len(keys.tokens):
        parts.append(_heaviest(run, keys, first, step))
        first += step
    return _ranked(pl.concat(parts)).select(pl.col(name).cast(kind) for name, kind in HEAD_TOP_TOKENS.schema.items())


def _heaviest(run: Run, keys: TopKeys, first: int, number: int) -> pl.DataFrame:
    """Return the heaviest tokens of each head among those at the places ``first`` up to ``first + number``."""
    num_heads = run.num_layers * run.num_heads
    sums, counts = np.zeros((0, num_heads)), np.zeros((0, num_heads), dtype=np.int32)

    def placed(piece: KeyPiece) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where weights are added, the weights, and where a sample counts: once for a token within a head."""
        is_here = (piece.sample >= 0) & (piece.token >= first) & (piece.token < first + number)
        rows = slice(None) if is_here.all() else is_here
        place = (piece.token[rows] - first) * num_heads + piece.head[rows]
        of_samples = np.sort(piece.sample[rows] * (number * num_heads) + place)
        once = of_samples[np.diff(of_samples, prepend=-1) != 0] % (number * num_heads)
        return place, piece.weight[rows], once

    for place, weight, once in in_order(partial(placed, piece) for piece in keys.pieces()):
        known = min(len(keys.tokens) - first, number)
        if known > len(sums):
            # Twice as many as are known: tokens become rare, so that sums are seldom moved.
            more = (min(max(2 * known, 1024), number) - len(sums), num_heads)
            sums, counts = np.concatenate([sums, np.zeros(more)]), np.concatenate([counts, np.zeros(more, np.int32)])
        np.add.at(sums.reshape(-1), place, weight)
        np.add.at(counts.reshape(-1), once, np.int32(1))
    token, head = np.nonzero(counts)
    frame = pl.DataFrame(
        {
            "layer": head // max(run.num_heads, 1),
            "head": head % max(run.num_heads, 1),
            "rank": np.zeros(len(head), dtype=np.int32),
            "token": pl.Series(keys.tokens, dtype=pl.String).gather(first + token),
            "mean": sums[token, head] / len(run.samples),
            "num_samples": counts[token, head],
        }
    )
    return _ranked(frame.select(pl.col(name).cast(kind) for name, kind in HEAD_TOP_TOKENS.schema.items()))


def _ranked(frame: pl.DataFrame) -> pl.DataFrame:
    ordered = frame.sort("layer", "head", "mean", "token", descending=[False, False, True, False])
    rank = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("layer", "head")
    return ordered.with_columns(rank=rank).filter(pl.col("rank") <= NUM_TOP_TOKENS)
