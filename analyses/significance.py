"""Statistics of two groups of samples, for many tests at once.

Every function takes ``values`` of shape ``[samples, tests]``; NaN means that a sample has no value for that test, and
each test uses the samples it has. Built on SciPy and statsmodels; the adjusted, clustered model is in
``analyses.adjusted_model``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse, special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from analyses.ranks import Ranks, rank_columns

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


def constant_columns(values: np.ndarray) -> np.ndarray:
    """Return which columns do not vary beyond float32 rounding; an empty column counts as constant."""
    if values.shape[0] == 0:
        return np.ones(values.shape[1], dtype=bool)
    low, high = values.min(axis=0), values.max(axis=0)
    return high - low <= FLOAT_NOISE * np.maximum(np.abs(low), np.abs(high))


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
    ``analyses.adjusted_model`` is the test to quote.

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
        a, b = values[rows & is_a][:, columns], values[rows & ~is_a][:, columns]
        result.num_a[columns], result.num_b[columns] = len(a), len(b)
        if len(a):
            result.mean_a[columns] = a.mean(axis=0)
        if len(b):
            result.mean_b[columns] = b.mean(axis=0)
        if min(len(a), len(b)) < 2:
            continue
        varies = ~constant_columns(np.concatenate([a, b]))
        columns, a, b = columns[varies], a[:, varies], b[:, varies]
        if not len(columns):
            continue
        result.standardizer[columns] = hedges_standardizer(a, b)
        result.effect_size[columns] = hedges_g(a, b)
        result.pvalue_welch[columns] = welch_pvalues(a, b)
        result.pvalue_mannwhitney[columns], result.auc[columns] = _mann_whitney(ranks, is_a, columns, len(a), len(b))
    return result


def _mann_whitney(
    ranks: Ranks, is_a: np.ndarray, columns: np.ndarray, num_a: int, num_b: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return p and AUC of the columns, as ``scipy.stats.mannwhitneyu(a, b, method="asymptotic")`` has them."""
    number = num_a + num_b
    of_a = ranks.doubled[columns][:, is_a] if len(columns) < len(ranks.doubled) else ranks.doubled[:, is_a]
    # A rank is doubled / 2 + 1; missing values carry -1 and none of them counts.
    statistic = np.where(of_a >= 0, of_a, 0).sum(axis=1) / 2 + num_a - num_a * (num_a + 1) / 2
    variance = num_a * num_b / 12 * (number + 1 - ranks.ties[columns] / (number * (number - 1)))
    distance = np.abs(statistic - num_a * num_b / 2) - 0.5
    pvalue = np.clip(2 * stats.norm.sf(distance / np.sqrt(variance)), 0, 1)
    return pvalue, statistic / (num_a * num_b)


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
    # Divided by their size, so that squares of small masses stay far from underflow.
    scale = np.maximum(np.maximum(np.abs(a).max(axis=0), np.abs(b).max(axis=0)), np.finfo(np.float64).tiny)
    a, b = a / scale, b / scale
    part_a, part_b = _variance(a) / len(a), _variance(b) / len(b)
    varies = part_a + part_b > 0
    variance = np.where(varies, part_a + part_b, 1.0)
    # Shares of the variance, not its squares: a variance near 1e-200 has none.
    share_a, share_b = part_a / variance, part_b / variance
    freedom = 1 / np.where(varies, share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1), 1.0)
    statistic = (a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(variance)
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
    freedom = len(a) + len(b) - 2
    pooled = (_variance(a) * (len(a) - 1) + _variance(b) * (len(b) - 1)) / freedom
    correction = np.exp(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    return np.where(pooled > 0, np.sqrt(pooled) / correction, np.nan)


def _variance(values: np.ndarray) -> np.ndarray:
    """Return the variance of each column, exactly 0 for a constant one: its mean is rounded, its values are not."""
    return np.where(constant_columns(values), 0.0, values.var(axis=0, ddof=1))


def adjust_pvalues(pvalues: np.ndarray, correction: str) -> np.ndarray:
    """Adjust the p-values of one declared family.

    Parameters
    ----------
    pvalues
        ``[tests]``; NaN marks a test that could not be made. It stays NaN and does not count.
    correction
        ``fdr_bh`` (Benjamini-Hochberg: false discovery rate under independence or positive dependence), ``fdr_by``
        (Benjamini-Yekutieli: under any dependence), ``holm`` or ``bonferroni`` (family-wise error under any
        dependence).
    """
    adjusted = np.full(pvalues.shape, np.nan)
    tested = ~np.isnan(pvalues)
    if not tested.any():
        return adjusted
    if correction in ("fdr_bh", "fdr_by"):
        adjusted[tested] = stats.false_discovery_control(pvalues[tested], method=correction.removeprefix("fdr_"))
    elif correction in ("holm", "bonferroni"):
        adjusted[tested] = multipletests(pvalues[tested], method=correction)[1]
    else:
        raise ValueError(f"correction {correction!r} is unknown; known: fdr_bh, fdr_by, holm, bonferroni")
    return adjusted


def cluster_sums(values: np.ndarray, cluster: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the sums over the rows of each cluster, ``[clusters, …]``.

    Parameters
    ----------
    values
        ``[samples, …]``.
    cluster
        ``[samples]`` codes 0..clusters-1.
    weights
        ``[samples]`` factors of the rows; 1 when not given.
    """
    num_clusters = int(cluster.max()) + 1 if len(cluster) else 0
    factors = np.ones(len(cluster)) if weights is None else weights
    # One entry per column: as CSC, the matrix needs no sorting.
    matrix = sparse.csc_array((factors, cluster, np.arange(len(cluster) + 1)), shape=(num_clusters, len(cluster)))
    return matrix @ values


@dataclass(frozen=True)
class ClusteredMean:
    """Means with intervals that allow for correlated samples within a cluster; each array ``[tests]``."""

    mean: np.ndarray
    standard_error: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    num_samples: np.ndarray
    num_clusters: np.ndarray


def clustered_mean(values: np.ndarray, cluster: np.ndarray, confidence: float = 0.95) -> ClusteredMean:
    """Estimate the mean of each test with a cluster-robust interval.

    The standard error is that of an intercept-only regression with cluster-robust errors (CR1), the interval uses
    Student's t with clusters - 1 degrees of freedom.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    cluster
        ``[samples]`` any labels.
    confidence
        Coverage of the interval.

    Returns
    -------
    ClusteredMean
        The interval is NaN with fewer than two clusters.
    """
    num_tests = values.shape[1]
    floats = [np.full(num_tests, np.nan) for _ in range(4)]
    result = ClusteredMean(*floats, *np.zeros((2, num_tests), np.int64))
    for rows, columns in missing_patterns(values):
        if not rows.any():
            continue
        chosen = values[rows][:, columns]
        codes = np.unique(cluster[rows], return_inverse=True)[1]
        num_clusters = int(codes.max()) + 1
        mean = chosen.mean(axis=0)
        result.mean[columns] = mean
        result.num_samples[columns], result.num_clusters[columns] = len(chosen), num_clusters
        if num_clusters < 2:
            continue
        sums = cluster_sums(chosen - mean, codes)
        error = np.sqrt(num_clusters / (num_clusters - 1) * (sums**2).sum(axis=0)) / len(chosen)
        reach = stats.t.ppf(0.5 + confidence / 2, num_clusters - 1) * error
        result.standard_error[columns] = error
        result.ci_low[columns], result.ci_high[columns] = mean - reach, mean + reach
    return result


def wilson_interval(successes: float, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion; NaN when there are no trials.

    ``successes`` is no whole number where a proportion of many correlated samples counts as one of few clusters.
    """
    if trials == 0:
        return float("nan"), float("nan")
    low, high = np.asarray(proportion_confint(successes, trials, alpha=1 - confidence, method="wilson"))
    return float(low), float(high)
