"""Columns of samples as numbers."""

from __future__ import annotations

import numpy as np
import polars as pl


def numbers_of(values: pl.Series) -> np.ndarray:
    """Return a column as float64, NaN where it is null, infinite or no number."""
    numbers = values.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy().copy()
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers
