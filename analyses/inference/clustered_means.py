"""Means and shares with the standard errors and intervals of clustered samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

from analyses.inference.columns import FLOAT_NOISE, missing_patterns, part_of


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


def intraclass_correlation(centred: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the analysis-of-variance estimate of the correlation within clusters, ``[tests]``, 0..1.

    (MSB - MSW) / (MSB + (m - 1) MSW) with m = (n - Σ n_g² / n) / (k - 1) (Donner 1986, International Statistical Review
    54: 67-82); 0 where it is negative, or where no cluster has two samples and it cannot be told.

    Parameters
    ----------
    centred
        ``[samples, tests]`` without NaN, less their mean.
    codes
        ``[samples]`` clusters 0..k-1.
    """
    total = np.einsum("ij,ij->j", centred, centred)
    return correlation_of_sums(cluster_sums(centred, codes), np.bincount(codes), total)


def correlation_of_sums(sums: np.ndarray, sizes: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return ``intraclass_correlation`` from ``[clusters, tests]`` sums, clusters' sizes, and sums of squares."""
    num_samples, num_clusters = int(sizes.sum()), len(sizes)
    if num_clusters < 2 or num_samples == num_clusters:
        return np.zeros(sums.shape[1])
    between = (sums**2 / sizes[:, None]).sum(axis=0)
    within = (total - between) / (num_samples - num_clusters)
    between = between / (num_clusters - 1)
    usual_size = (num_samples - (sizes**2).sum() / num_samples) / (num_clusters - 1)
    spread = between + (usual_size - 1) * within
    return np.clip((between - within) / np.where(spread > 0, spread, 1.0), 0, 1)


DOMINANT = 0.2
"""A cluster with more than this share of the samples decides so much of a mean that its interval is approximate."""


@dataclass(frozen=True)
class ClusteredMean:
    """Means with intervals that allow for correlated samples within a cluster; each array ``[tests]``.

    ``is_approximate`` marks intervals that one cluster dominates (``DOMINANT``); ``degrees_of_freedom`` are
    Satterthwaite's.
    """

    mean: np.ndarray
    standard_error: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    num_samples: np.ndarray
    num_clusters: np.ndarray
    degrees_of_freedom: np.ndarray
    is_approximate: np.ndarray


def mean_weights(sizes: np.ndarray) -> tuple[np.ndarray, float]:
    """Return what the residual sums of clusters are multiplied with, and Satterthwaite's degrees of freedom.

    CR2 (Bell and McCaffrey 2002) for a model that is an intercept: with s_g = n_g / n the error of the mean is
    (Σ_g U_g² / (1 - s_g))^½ / n, U_g the sum of a cluster's residuals, and under independent samples

        f = 1 / (Σ (s / (1 - s))² - 2 Σ s³ / (1 - s)² + (Σ s² / (1 - s))²).

    It is the same as ``adjusted.coefficients.fit_last`` on ones, of which this room knows nothing.

    Parameters
    ----------
    sizes
        ``[clusters]``, samples of each; zeros count for nothing. NaN degrees of freedom with fewer than two.
    """
    share = sizes / max(float(sizes.sum()), 1.0)
    if (share > 0).sum() < 2:
        return np.full(len(share), np.nan), float("nan")
    left = 1 - share
    squares = ((share / left) ** 2).sum() - 2 * (share**3 / left**2).sum() + (share**2 / left).sum() ** 2
    return 1 / np.sqrt(left), float(1 / squares)


def clustered_mean(values: np.ndarray, cluster: np.ndarray, confidence: float = 0.95) -> ClusteredMean:
    """Estimate the mean of each test with a cluster-robust interval.

    The error is CR2 with Satterthwaite's degrees of freedom (``mean_weights``), as everywhere else: with CR1 and
    clusters - 1, intervals of clusters that differ in size cover far too seldom.

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
    names = ("mean", "standard_error", "ci_low", "ci_high", "degrees_of_freedom")
    result = ClusteredMean(
        **{name: np.full(num_tests, np.nan) for name in names},
        num_samples=np.zeros(num_tests, np.int64),
        num_clusters=np.zeros(num_tests, np.int64),
        is_approximate=np.zeros(num_tests, dtype=bool),
    )
    for rows, columns in missing_patterns(values):
        if not rows.any():
            continue
        chosen = part_of(values, rows, columns)
        codes = np.unique(cluster[rows], return_inverse=True)[1]
        sizes = np.bincount(codes)
        mean = chosen.mean(axis=0)
        result.mean[columns] = mean
        result.num_samples[columns], result.num_clusters[columns] = len(chosen), len(sizes)
        if len(sizes) < 2:
            continue
        weights, freedom = mean_weights(sizes)
        sums = cluster_sums(chosen - mean, codes) * weights[:, None]
        error = np.sqrt((sums**2).sum(axis=0)) / len(chosen)
        reach = stats.t.ppf(0.5 + confidence / 2, freedom) * error
        result.standard_error[columns], result.degrees_of_freedom[columns] = error, freedom
        result.ci_low[columns], result.ci_high[columns] = mean - reach, mean + reach
        result.is_approximate[columns] = bool(sizes.max() > DOMINANT * len(chosen))
    return result


@dataclass(frozen=True)
class Share:
    """A share of samples with its interval, and in words how that was made."""

    value: float
    ci_low: float
    ci_high: float
    method: str


def clustered_share(hits: np.ndarray, cluster: np.ndarray, confidence: float = 0.95) -> Share:
    """Estimate a share with Wilson's interval for as many independent samples as the clusters amount to.

    A share near 0 or 1 has a skewed error, so that a mean's interval covers too seldom there. Samples count as
    n_e = p (1 - p) / v with v the CR2 variance, never as more than there are, and the normal quantile gives way to
    Student's with Satterthwaite's degrees of freedom (Korn and Graubard 1998, Survey Methodology 24: 193-201). Where
    clusters do not differ (all right, all wrong, a single one), each cluster is one trial: its samples may be no more
    than one observation.

    Parameters
    ----------
    hits
        ``[samples]`` booleans, or 0 and 1 without NaN.
    cluster
        ``[samples]`` any labels.
    """
    if not len(hits):
        return Share(float("nan"), float("nan"), float("nan"), "no sample")
    estimate = clustered_mean(hits[:, None].astype(np.float64), cluster, confidence)
    value, num_clusters = float(estimate.mean[0]), int(estimate.num_clusters[0])
    error = float(estimate.standard_error[0])
    if num_clusters == len(hits):
        return Share(value, *wilson_interval(value * num_clusters, num_clusters, confidence), "Wilson")
    if not error > FLOAT_NOISE:
        low, high = wilson_interval(value * num_clusters, num_clusters, confidence)
        return Share(value, low, high, "Wilson, clusters as trials")
    trials = min(value * (1 - value) / error**2, float(len(hits)))
    normal = float(stats.norm.ppf(0.5 + confidence / 2))
    trials *= (normal / float(stats.t.ppf(0.5 + confidence / 2, estimate.degrees_of_freedom[0]))) ** 2
    method = "approximate clustered" if estimate.is_approximate[0] else "clustered"
    return Share(value, *wilson_interval(value * trials, trials, confidence), method)


def wilson_interval(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (1927, JASA 22: 209-212); NaN when there are no trials.

    Neither is a whole number where a proportion of many correlated samples counts as one of few clusters, which SciPy's
    ``BinomTestResult.proportion_ci`` wants; statsmodels' ``proportion_confint`` gives the same.
    """
    if trials == 0:
        return float("nan"), float("nan")
    share, normal = successes / trials, float(stats.norm.isf((1 - confidence) / 2))
    all_of_it = 1 + normal**2 / trials
    centre = (share + normal**2 / (2 * trials)) / all_of_it
    reach = normal * np.sqrt(share * (1 - share) / trials + normal**2 / (4 * trials**2)) / all_of_it
    return float(centre - reach), float(centre + reach)
