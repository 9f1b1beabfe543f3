"""Features prepared for many fits that each leave other folds out: sums per fold, correlations, standard values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Features:
    """A feature matrix prepared for many fits.

    Attributes
    ----------
    values
        ``[features, samples]`` float32 (so laid out, sums over samples take a fifth of the time), each feature moved
        and scaled to lie within -1..1, 0 where unknown.
    squares
        ``values`` squared.
    is_known
        The same shape, 1 where known; None when all are.
    """

    values: np.ndarray
    squares: np.ndarray
    is_known: np.ndarray | None

    @property
    def num_features(self) -> int:
        """How many features there are."""
        return len(self.values)

    @classmethod
    def of(cls, values: np.ndarray) -> Features:
        """Prepare ``[samples, features]``, NaN where unknown; an unknown value counts as the training mean.

        Moving and scaling only keeps the digits of later sums: every fit standardises by its own training folds.
        """
        known = np.isfinite(values)
        values = np.where(known, values, 0.0).astype(np.float64)
        values -= values.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        values[~known] = 0.0
        size = np.abs(values).max(axis=0, initial=0.0)
        scaled = np.ascontiguousarray((values / np.where(size > 0, size, 1.0)).T, dtype=np.float32)
        is_known = None if known.all() else np.ascontiguousarray(known.T, dtype=np.float32)
        return cls(scaled, scaled**2, is_known)


class Moments:
    """Sums per fold, from which the correlations in any set of folds follow without another pass over the features."""

    def __init__(self, features: Features, is_a: np.ndarray, folds: np.ndarray, num_folds: int) -> None:
        member = (folds == np.arange(num_folds)[:, None]).astype(np.float32)
        both = np.vstack([member, member * is_a])

        def sums(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
            return (values @ np.ascontiguousarray(weights.T)).T.astype(np.float64)

        self.size, self.is_a = np.split(both.sum(axis=1, dtype=np.float64), 2)
        self.sums, self.sums_a = np.split(sums(both, features.values), 2)
        self.squares = sums(member, features.squares)
        if features.is_known is None:
            self.known, self.known_a = self.size[:, None], self.is_a[:, None]
        else:
            self.known, self.known_a = np.split(sums(both, features.is_known), 2)

    def correlations(self, left_out: tuple[int, ...]) -> np.ndarray:
        """Return |correlation with the label| of the features outside these folds; 0 where one does not vary."""
        rest = np.setdiff1d(np.arange(len(self.size)), left_out)
        known, size = self.known[rest].sum(axis=0), self.size[rest].sum()
        mean = self.sums[rest].sum(axis=0) / np.maximum(known, 1)
        squares = self.squares[rest].sum(axis=0)
        # Unknown values stand at the mean, so they add nothing to the spread.
        variance = squares - known * mean**2
        share = self.is_a[rest].sum() / max(size, 1)
        product = self.sums_a[rest].sum(axis=0) - mean * self.known_a[rest].sum(axis=0)
        product = product - share * (self.sums[rest].sum(axis=0) - mean * known)
        # The sums are of float32 numbers, so a smaller spread is rounding.
        varies = (variance > 1e-5 * squares) & (share * (1 - share) > 0)
        spread = np.sqrt(np.where(varies, variance * size * share * (1 - share), 1.0))
        return np.where(varies, np.abs(product) / spread, 0.0)


def standardised(features: Features, chosen: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return chosen features of all samples by the mean and spread of the training samples; 0 where unknown."""
    values = features.values[chosen].T.astype(np.float64)
    known = np.ones_like(values) if features.is_known is None else features.is_known[chosen].T.astype(np.float64)
    mean = values[train].sum(axis=0) / np.maximum(known[train].sum(axis=0), 1)
    values = (values - mean) * known
    deviation = np.sqrt((values[train] ** 2).mean(axis=0))
    return values / np.where(deviation > 0, deviation, 1.0)
