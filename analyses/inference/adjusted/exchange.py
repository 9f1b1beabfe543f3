"""Checks of a difference whose variance is pooled under the null: a rank test, and whole clusters exchanged.

Clustered errors are those of each group apart. Where a group is small and most of its values are the same number, as
attention to a key group that a window no longer reaches is 0, the few samples of the group happen to be alike, and
their error is far too small; studentised random signs repeat the mistake. Two checks do not:

* ``pooled_pvalues``: with e the residuals of normal scores without the group, q the group's own part and k columns left
  out, r = qᵀe / |e| has variance d / (n - k) where nothing differs, d = (1 - ρ) Σ q² + ρ Σ_g (Σ_{i in g} q_i)² with the
  intraclass correlation ρ of e over both groups (Moulton 1986). The group's own spread is never asked for.
* ``Exchange``: the same r where clusters of like size are exchanged, residuals and all (Freedman and Lane 1983), the
  same exchange for every test, and the largest |r| / √d over a family. Exact where samples are exchangeable and nothing
  is adjusted for, whatever the distribution of the values: what is discrete stays discrete.

Both take errors to be alike in both groups, which clustered errors do not; so a finding needs both kinds of check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

import numpy as np
from scipy import stats

from analyses.inference.adjusted.design import Design, ModelSamples, null_residuals
from analyses.inference.adjusted.effects import NEARLY_ALL, prepare
from analyses.inference.clustered_means import cluster_sums, correlation_of_sums
from analyses.inference.columns import constant_columns, missing_patterns, part_of

MIN_STRATUM = 5
"""Clusters that are exchanged with one another at least, of one size where there are enough of it."""

COLUMNS_AT_ONCE = 2048
"""Tests whose exchanged statistics are in memory at once."""


@dataclass(frozen=True)
class NullCorrelations:
    """Correlations r / √d of the group's own part with what the model without the group leaves of each column.

    Attributes
    ----------
    r
        ``[tests]``; 0 for a constant column, and for one of which nothing is left.
    factor
        ``[tests]``: 1 / (|e| √d); 0 where r is.
    """

    r: np.ndarray
    factor: np.ndarray


def null_correlations(values: np.ndarray, design: Design, codes: np.ndarray) -> NullCorrelations:
    """Return the correlations of each column.

    |e|² and the sums of e over clusters come from those of the values, less what the model fits of them: residuals are
    formed only of columns of which little is left.

    Parameters
    ----------
    values
        ``[samples, tests]`` without NaN.
    design
        The model; the last column of its basis is the group's own part.
    codes
        ``[samples]`` clusters 0..clusters-1.
    """
    loadings = design.basis.T @ values
    total = np.einsum("ij,ij->j", values, values)
    square = total - (loadings[:-1] ** 2).sum(axis=0)
    sums = cluster_sums(values, codes) - cluster_sums(design.basis[:, :-1], codes) @ loadings[:-1]
    along = loadings[-1]
    close = np.flatnonzero(square <= NEARLY_ALL * total)
    if len(close):
        residuals = null_residuals(values[:, close], design)
        square[close], along[close] = np.einsum("ij,ij->j", residuals, residuals), design.basis[:, -1] @ residuals
        sums[:, close] = cluster_sums(residuals, codes)
    is_left = ~constant_columns(values) & (square > 1e-18 * total)
    correlation = correlation_of_sums(sums, np.bincount(codes), square)
    of_design = float((cluster_sums(design.basis[:, -1], codes) ** 2).sum())
    effect = (1 - correlation) + correlation * of_design
    size = np.sqrt(np.maximum(square, 0) * np.maximum(effect, np.finfo(np.float64).tiny))
    factor = np.divide(1.0, size, out=np.zeros_like(size), where=is_left)
    return NullCorrelations(along * factor, factor)


def pooled_pvalues(values: np.ndarray, design: Design, codes: np.ndarray) -> np.ndarray:
    """Return the two-sided p of each column by the variance pooled under the null; NaN where nothing varies."""
    freedom = len(values) - design.basis.shape[1]
    if freedom < 1:
        return np.full(values.shape[1], np.nan)
    found = null_correlations(values, design, codes)
    return np.where(found.factor > 0, pooled_pvalue(found.r, freedom), np.nan)


def pooled_pvalue(r: np.ndarray, freedom: int) -> np.ndarray:
    """Return the two-sided p of correlations r / √d with n - k - 1 degrees of freedom."""
    inside = np.clip(r, -1 + 1e-12, 1 - 1e-12)
    return 2 * stats.t.sf(np.abs(inside) * np.sqrt(freedom / (1 - inside**2)), freedom)


def adjusted_pooled(values: np.ndarray, samples: ModelSamples) -> np.ndarray:
    """Return ``pooled_pvalues`` of ``[samples, tests]`` with NaN where a sample has no value."""
    result = np.full(values.shape[1], np.nan)
    for rows, columns in missing_patterns(values):
        model = prepare(samples, rows, "CR2")
        if model.design is not None and not model.untestable:
            codes = np.unique(samples.cluster[rows], return_inverse=True)[1]
            result[columns] = pooled_pvalues(part_of(values, rows, columns), model.design, codes)
    return result


def exchange_orders(codes: np.ndarray, num_draws: int, seed: int | list[int]) -> np.ndarray:
    """Return int32 ``[draws, samples]``: orders of the samples in which whole clusters of like size change places.

    Clusters are sorted into strata of one size, or of like sizes where fewer than ``MIN_STRATUM`` have one. In a
    stratum all samples, cluster after cluster in one random order, are laid on those in another: with one size that
    exchanges whole clusters; where sizes differ a little, few clusters are cut.

    Parameters
    ----------
    codes
        ``[samples]`` clusters 0..clusters-1.
    """
    rng = np.random.default_rng(seed)
    stratum = _strata(np.bincount(codes))
    order = np.empty((num_draws, len(codes)), dtype=np.int32)
    for row in order:
        taken, laid = (_shuffled(rng, stratum, codes) for _ in ("from", "to"))
        row[laid] = taken
    return order


def _shuffled(rng: np.random.Generator, stratum: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the samples stratum after stratum, cluster after cluster, in random orders of both and of samples."""
    of_samples, of_clusters = rng.random(len(codes)), stratum + rng.random(len(stratum))
    place = np.empty(len(stratum))
    place[np.argsort(of_clusters)] = np.arange(len(stratum))
    # One sort by cluster and then sample: each cluster's place, with the sample's number behind the point.
    return np.argsort(place[codes] + of_samples)


def _strata(sizes: np.ndarray) -> np.ndarray:
    """Return each cluster's stratum; the last sizes join the stratum before when they are too few."""
    stratum = np.zeros(len(sizes), dtype=np.int64)
    number, waiting = 0, 0
    for size in np.unique(sizes):
        here = sizes == size
        stratum[here] = number
        waiting += int(here.sum())
        if waiting >= MIN_STRATUM:
            number, waiting = number + 1, 0
    return np.minimum(stratum, max(number - 1, 0))


class Exchanged(NamedTuple):
    """A block of tests under exchange.

    Attributes
    ----------
    columns
        Indices of the tests of this block.
    statistic
        ``[tests of the block]``: r √((n - k) / d), about normal where nothing differs.
    drawn
        float32 ``[draws, tests of the block]``: the same under each exchange.
    degrees_of_freedom
        n - k - 1.
    pooled
        ``[tests of the block]``: p as ``adjusted_pooled`` has it, from the same residuals.
    """

    columns: np.ndarray
    statistic: np.ndarray
    drawn: np.ndarray
    degrees_of_freedom: int
    pooled: np.ndarray


@dataclass
class Exchange:
    """Exchanged statistics of the tests of some samples; the draws are the same for all tests with the same samples."""

    samples: ModelSamples
    num_draws: int
    seed: int
    drawn: dict[bytes, np.ndarray] = field(default_factory=dict, repr=False)
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)
    """Held while orders are drawn: threads that test other columns of the same samples wait for them."""

    def statistics(self, values: np.ndarray) -> Iterator[Exchanged]:
        """Yield what became of a block of tests at a time.

        Parameters
        ----------
        values
            ``[samples, tests]``, NaN where a sample has no value; normal scores, as a rule.
        """
        for rows, columns in missing_patterns(values) if self.num_draws else ():
            model = prepare(self.samples, rows, "CR2")
            if model.design is None or model.untestable or model.unreliable:
                continue
            codes = np.unique(self.samples.cluster[rows], return_inverse=True)[1]
            part = part_of(values, rows, columns)
            num_samples, num_columns = model.design.basis.shape
            own = self._own(rows, codes, model.design)
            for start in range(0, len(columns), COLUMNS_AT_ONCE):
                block = slice(start, start + COLUMNS_AT_ONCE)
                found = null_correlations(part[:, block], model.design, codes)
                # Residuals have lost the columns left out; exchanged, they are spread over all but the mean again.
                scaled = null_residuals(part[:, block], model.design, found.factor * np.sqrt(num_samples - 1))
                freedom = num_samples - num_columns
                yield Exchanged(
                    columns[block],
                    np.sqrt(freedom + 1) * found.r,
                    own @ scaled,
                    freedom,
                    np.where(found.factor > 0, pooled_pvalue(found.r, freedom), np.nan),
                )

    def _own(self, rows: np.ndarray, codes: np.ndarray, design: Design) -> np.ndarray:
        """Return the group's own part in every exchanged order, float32 ``[draws, samples]``."""
        key = rows.tobytes()
        with self.lock:
            if key not in self.drawn:
                # Few patterns of missing values share most tests; the others are cheap to draw again.
                if len(self.drawn) >= 2:
                    self.drawn.clear()
                orders = exchange_orders(codes, self.num_draws, self.seed)
                self.drawn[key] = design.basis[:, -1].astype(np.float32)[orders]
            return self.drawn[key]
