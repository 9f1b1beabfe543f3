"""Tests of two groups of samples that adjust for nothing: Welch, Mann-Whitney, effect sizes, for many tests at once.

Every function takes ``values`` of shape ``[samples, tests]``; NaN means that a sample has no value for that test, and
each test uses the samples it has. Built on SciPy; the adjusted, clustered model is in ``inference/adjusted``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from analyses.inference.columns import constant_columns, missing_patterns, part_of
from analyses.inference.ranks import Ranks, rank_columns


@dataclass(frozen=True)
class GroupComparison:
    """Unadjusted comparison of groups a and b, each array ``[tests]``, NaN where undefined.

    Attributes
    ----------
    mean_a, mean_b
        Mean of each group.
    effect_size
        Hedges g: standardised mean difference (a minus b), corrected for small samples.
    standardizer
        What a difference is divided by to become Hedges g.
    pvalue_welch
        Welch's t-test, two-sided.
    pvalue_mannwhitney
        Mann-Whitney U, two-sided, normal approximation with ties and continuity corrected.
    auc
        U / (num_a num_b): the chance that a sample of a lies above one of b, ties counting half; 0..1.
    num_a, num_b
        Samples with a value.
    """

    mean_a: np.ndarray
    mean_b: np.ndarray
    effect_size: np.ndarray
    standardizer: np.ndarray
    pvalue_welch: np.ndarray
    pvalue_mannwhitney: np.ndarray
    auc: np.ndarray
    num_a: np.ndarray
    num_b: np.ndarray


def compare_groups(values: np.ndarray, is_a: np.ndarray, ranks: Ranks | None = None) -> GroupComparison:
    """Compare two groups of independent samples, test by test.

    Welch and Mann-Whitney treat samples as independent; where samples are clustered they are for orientation, and
    ``inference.adjusted.effects`` is the test to quote.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    is_a
        ``[samples]`` booleans: true for group a, false for group b.
    ranks
        ``rank_columns(values)`` where it is known already.

    Returns
    -------
    GroupComparison
        p-values are NaN when a group has fewer than two values or the column is constant.
    """
    num_tests = values.shape[1]
    ranks = rank_columns(values) if ranks is None else ranks
    result = GroupComparison(*(np.full(num_tests, np.nan) for _ in range(7)), *np.zeros((2, num_tests), np.int64))
    for rows, columns in missing_patterns(values):
        part, is_first = part_of(values, rows, columns), is_a[rows]
        a, b = part[is_first], part[~is_first]
        result.num_a[columns], result.num_b[columns] = len(a), len(b)
        if len(a):
            result.mean_a[columns] = a.mean(axis=0)
        if len(b):
            result.mean_b[columns] = b.mean(axis=0)
        if min(len(a), len(b)) < 2:
            continue
        varies = ~constant_columns(part)
        if not varies.any():
            continue
        if not varies.all():
            columns, a, b = columns[varies], a[:, varies], b[:, varies]
        moments = _moments(a, b)
        result.standardizer[columns] = _standardizer(moments)
        result.effect_size[columns] = (result.mean_a[columns] - result.mean_b[columns]) / result.standardizer[columns]
        result.pvalue_welch[columns] = _welch(moments)
        result.pvalue_mannwhitney[columns], result.auc[columns] = _mann_whitney(ranks, is_a, columns, len(a), len(b))
    return result


def _mann_whitney(
    ranks: Ranks, is_a: np.ndarray, columns: np.ndarray, num_a: int, num_b: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return p and AUC of the columns, as ``scipy.stats.mannwhitneyu(a, b, method="asymptotic")`` has them."""
    number = num_a + num_b
    of_a = ranks.doubled[columns][:, is_a] if len(columns) < len(ranks.doubled) else ranks.doubled[:, is_a]
    # A rank is doubled / 2 + 1; missing values carry -1 and none of them counts.
    statistic = np.maximum(of_a, 0, out=of_a).sum(axis=1) / 2 + num_a - num_a * (num_a + 1) / 2
    variance = num_a * num_b / 12 * (number + 1 - ranks.ties[columns] / (number * (number - 1)))
    distance = np.abs(statistic - num_a * num_b / 2) - 0.5
    pvalue = np.clip(2 * stats.norm.sf(distance / np.sqrt(variance)), 0, 1)
    return pvalue, statistic / (num_a * num_b)


@dataclass(frozen=True)
class _Moments:
    """Means and variances of both groups, divided by ``scale`` (its square), and their sizes; arrays ``[tests]``."""

    scale: np.ndarray
    mean_a: np.ndarray
    mean_b: np.ndarray
    variance_a: np.ndarray
    variance_b: np.ndarray
    num_a: int
    num_b: int


def _moments(a: np.ndarray, b: np.ndarray) -> _Moments:
    """Return the moments of ``[samples of the group, tests]`` without NaN, at least two samples each.

    Divided by their size, so that squares of small masses stay far from underflow.
    """
    highs = [np.maximum(part.max(axis=0, initial=0.0), -part.min(axis=0, initial=0.0)) for part in (a, b)]
    scale = np.maximum(np.maximum(*highs), np.finfo(np.float64).tiny)
    a, b = a / scale, b / scale
    return _Moments(scale, a.mean(axis=0), b.mean(axis=0), _variance(a), _variance(b), len(a), len(b))


def welch_pvalues(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return two-sided p of Welch's t-test for each column; NaN where neither group varies.

    Parameters
    ----------
    a, b
        ``[samples of the group, tests]`` without NaN, at least two samples each.

    Returns
    -------
    ndarray
        Equal to ``scipy.stats.ttest_ind(a, b, equal_var=False)``, which warns of columns that hardly vary.
    """
    return _welch(_moments(a, b))


def _welch(known: _Moments) -> np.ndarray:
    part_a, part_b = known.variance_a / known.num_a, known.variance_b / known.num_b
    varies = part_a + part_b > 0
    variance = np.where(varies, part_a + part_b, 1.0)
    # Shares of the variance, not its squares: a variance near 1e-200 has none.
    share_a, share_b = part_a / variance, part_b / variance
    freedom = 1 / np.where(varies, share_a**2 / (known.num_a - 1) + share_b**2 / (known.num_b - 1), 1.0)
    statistic = (known.mean_a - known.mean_b) / np.sqrt(variance)
    return np.where(varies, 2 * stats.t.sf(np.abs(statistic), freedom), np.nan)


def hedges_g(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Hedges g of each column, (mean a - mean b) / ``hedges_standardizer``; NaN where nothing varies.

    Parameters
    ----------
    a, b
        ``[samples of the group, tests]`` without NaN, at least two samples each.
    """
    return (a.mean(axis=0) - b.mean(axis=0)) / hedges_standardizer(a, b)


def hedges_standardizer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the pooled standard deviation over Hedges' exact correction for small samples; NaN where it is 0.

    The correction is Γ(m/2) / (√(m/2) Γ((m-1)/2)) with m = num_a + num_b - 2 (Hedges 1981, equation 6e).
    """
    return _standardizer(_moments(a, b))


def _standardizer(known: _Moments) -> np.ndarray:
    freedom = known.num_a + known.num_b - 2
    pooled = (known.variance_a * (known.num_a - 1) + known.variance_b * (known.num_b - 1)) / freedom
    correction = np.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    return np.where(pooled > 0, known.scale * np.sqrt(pooled) / correction, np.nan)


def _variance(values: np.ndarray) -> np.ndarray:
    """Return the variance of each column, exactly 0 for a constant one: its mean is rounded, its values are not."""
    return np.where(constant_columns(values), 0.0, values.var(axis=0, ddof=1))
