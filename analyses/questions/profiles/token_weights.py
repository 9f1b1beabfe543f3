"""How much of the decision row each token gets in each sample, from the keys that were kept.

Kept keys have ten rows per sample and head, so sums are formed a few samples at a time, in the order of the files: once
to find the heaviest tokens, once for their weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import polars as pl

from analyses.cores import in_order
from analyses.runs.run import Run
from analyses.runs.values import TOP_KEYS, KeyPiece, TopKeys


def heaviest_tokens(run: Run, max_tokens: int) -> tuple[list[str], np.ndarray] | None:
    """Return the tokens that get the most over all samples, heaviest first, and their weight in each sample.

    Returns
    -------
    tokens
        At most ``max_tokens``; equal ones in the order of their texts.
    weights
        float64 ``[samples, tokens]``: share of the decision rows' attention, mean over heads and layers; 0 where the
        token is not among the kept keys. None, as a whole, where no key was kept.
    """
    if TOP_KEYS not in run.files:
        return None
    keys = TopKeys(run)
    total = np.zeros(0)
    for _, token, weight in _of_samples(run, keys):
        total = np.concatenate([total, np.zeros(max(len(keys.tokens) - len(total), 0))])
        np.add.at(total, token, weight)
    frame = pl.DataFrame({"token": keys.tokens, "weight": total}, schema={"token": pl.String, "weight": pl.Float64})
    named = frame.with_row_index("place").drop_nulls("token")
    chosen = named.sort("weight", "token", descending=[True, False]).head(max_tokens)
    if chosen.is_empty():
        return None
    slot = np.full(len(total), -1)
    slot[chosen["place"].to_numpy()] = np.arange(len(chosen))
    values = np.zeros((len(run.samples), len(chosen)))
    for sample, token, weight in _of_samples(run, keys):
        is_wanted = (slot[token] >= 0) & (sample >= 0)
        values[sample[is_wanted], slot[token[is_wanted]]] += weight[is_wanted]
    return chosen["token"].to_list(), values


def _of_samples(run: Run, keys: TopKeys) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield samples, tokens and their weights, each pair once in a piece; -1 for samples that ``run`` does not hold."""
    num_places = max(run.num_layers * run.num_heads, 1)

    def summed(piece: KeyPiece, num_tokens: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        present, own = np.unique(piece.sample * num_tokens + piece.token, return_inverse=True)
        weight = np.bincount(own, piece.weight, len(present)) / num_places
        return present // num_tokens, present % num_tokens, weight

    yield from in_order(partial(summed, piece, len(keys.tokens)) for piece in keys.pieces())
