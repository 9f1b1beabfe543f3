"""Means of many columns tested against 0, by cluster: CR2 with Satterthwaite's degrees of freedom, and on ranks.

A second p is that of signed normal scores of the ranks, so that no large value in one sample decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from analyses.inference.adjusted.coefficients import design_of, fit_last, flipped_means
from analyses.inference.columns import missing_patterns
from analyses.inference.ranks import signed_scores

METHOD = "mean over samples; CR2 by cluster, t(Satterthwaite)"

SAME_EVERYWHERE = "it is the same in every sample"
"""Why a mean without an error has no p: not for want of clusters."""

_NUMBERS = ("mean", "ci_low", "ci_high", "effect_size", "pvalue", "pvalue_ranks", "statistic", "degrees_of_freedom")


def tested_means(values: np.ndarray, cluster: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Test the mean of each column against 0.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    cluster
        ``[samples]`` codes 0..clusters-1.
    alpha
        One minus the coverage of intervals.

    Returns
    -------
    dict
        ``[tests]`` arrays: ``mean, ci_low, ci_high, effect_size`` (the mean over the samples' standard deviation),
        ``pvalue, pvalue_ranks`` (two-sided; on signed normal scores), ``statistic`` (t), ``degrees_of_freedom``,
        ``num_samples, num_clusters``, ``method`` and ``note`` (why there is no p; empty where there is one).
    """
    result = _nothing(values.shape[1])
    for rows, columns in _patterns(values, cluster, result):
        part = values[np.ix_(rows, columns)]
        design = design_of([], np.ones(len(part)))
        assert design is not None, "ones are not collinear with nothing"
        fit = fit_last(part, design, cluster[rows])
        scores = fit_last(signed_scores(part), design, cluster[rows])
        reach = stats.t.ppf(1 - alpha / 2, fit.degrees_of_freedom) * fit.standard_error
        spread = part.std(axis=0, ddof=1) if len(part) > 1 else np.full(len(columns), np.nan)
        result["mean"][columns] = fit.effect
        result["ci_low"][columns], result["ci_high"][columns] = fit.effect - reach, fit.effect + reach
        result["effect_size"][columns] = np.divide(
            fit.effect, spread, out=np.full(len(columns), np.nan), where=spread > 0
        )
        result["pvalue"][columns] = fit.pvalue
        result["pvalue_ranks"][columns] = np.where(np.isnan(fit.pvalue), np.nan, scores.pvalue)
        result["statistic"][columns] = fit.effect / fit.standard_error
        result["degrees_of_freedom"][columns] = fit.degrees_of_freedom
        untested = columns[np.isnan(fit.pvalue)]
        result["note"][untested] = fit.note or SAME_EVERYWHERE
    result["method"][:] = METHOD
    return result


def largest_flipped(values: np.ndarray, cluster: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return ``[permutations]``, the largest |T*| over the columns when whole clusters are turned round."""
    largest = np.zeros(len(signs))
    for present, columns in missing_patterns(values):
        rows = np.flatnonzero(present)
        if len(rows):
            flipped = flipped_means(values[np.ix_(rows, columns)], cluster[rows], signs)
            np.maximum(largest, np.abs(flipped).max(axis=1, initial=0.0), out=largest)
    return largest


def _nothing(num_tests: int) -> dict[str, np.ndarray]:
    result = {name: np.full(num_tests, np.nan) for name in _NUMBERS}
    result |= {name: np.zeros(num_tests, np.int64) for name in ("num_samples", "num_clusters")}
    return result | {name: np.full(num_tests, "", dtype=object) for name in ("method", "note")}


def _patterns(
    values: np.ndarray, cluster: np.ndarray, result: dict[str, np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield sample rows and columns that share them; those without a sample get a note instead."""
    for present, columns in missing_patterns(values):
        rows = np.flatnonzero(present)
        result["num_samples"][columns], result["num_clusters"][columns] = len(rows), len(np.unique(cluster[rows]))
        if len(rows):
            yield rows, columns
        else:
            result["note"][columns] = "no sample has a value"
