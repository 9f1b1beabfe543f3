"""Columns of numbers before they are tested: which values are missing, and which columns are constant."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

VALUES_AT_ONCE = 2**16
"""Values of a matrix that are worked on at once, so that they stay in the cache."""

FLOAT_NOISE = 4 * float(np.finfo(np.float32).eps)
"""A column that varies by less than this share of its largest value is constant: float32 holds no more digits."""


def missing_patterns(values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the tests that share the same missing samples.

    Yields
    ------
    rows
        ``[samples]`` booleans, the samples that have a value.
    columns
        Indices of the tests with exactly these samples.
    """
    present = ~np.isnan(values)
    if present.all():
        yield np.ones(values.shape[0], dtype=bool), np.arange(values.shape[1])
        return
    packed = np.packbits(present, axis=0).T
    _, first, inverse = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    for pattern, column in enumerate(first):
        yield present[:, column], np.flatnonzero(inverse.reshape(-1) == pattern)


def part_of(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return ``values[rows][:, columns]``, without a copy where that is everything."""
    return values if rows.all() and len(columns) == values.shape[1] else values[rows][:, columns]


def constant_columns(values: np.ndarray) -> np.ndarray:
    """Return which columns do not vary beyond float32 rounding; an empty column counts as constant."""
    if values.shape[0] == 0:
        return np.ones(values.shape[1], dtype=bool)
    low, high = values.min(axis=0), values.max(axis=0)
    return high - low <= FLOAT_NOISE * np.maximum(np.abs(low), np.abs(high))
