"""Differences of many columns between two groups of samples, by the adjusted model with its checks."""

from __future__ import annotations

import numpy as np

from analyses.inference.adjusted.checks import check_differences, why_too_few
from analyses.inference.adjusted.design import ModelSamples
from analyses.inference.adjusted.effects import adjusted_effects
from analyses.inference.unadjusted import compare_groups


def tested_differences(
    values: np.ndarray, model: ModelSamples, fixed: ModelSamples | None, alpha: float, untested: np.ndarray
) -> dict[str, np.ndarray]:
    """Compare the columns that may be tested; the others get a note.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    model, fixed
        What is known of these samples, and with the columns that are held fixed among the covariates.
    alpha
        One minus the coverage of intervals.
    untested
        ``[tests]`` texts: why a column is not to be tested; empty where it is.

    Returns
    -------
    dict
        ``[tests]`` arrays: ``mean_a, mean_b, difference, ci_low, ci_high, effect_size, pvalue, worst`` (largest p of
        all checks), ``degrees_of_freedom, num_a, num_b, num_clusters, method, note`` (why there is no p).
    """
    tested = np.where(untested != "", np.nan, values)
    plain = compare_groups(values, model.is_a)
    adjusted = adjusted_effects(tested, model, 1 - alpha)
    checks = check_differences(tested, adjusted, model, fixed)
    piled = why_too_few(tested, model.is_a)
    return {
        "mean_a": plain.mean_a,
        "mean_b": plain.mean_b,
        "difference": adjusted.effect,
        "ci_low": adjusted.ci_low,
        "ci_high": adjusted.ci_high,
        "effect_size": plain.effect_size,
        "pvalue": np.where(piled == "", adjusted.pvalue, np.nan),
        "worst": np.where(piled == "", checks.worst, np.nan),
        "degrees_of_freedom": adjusted.degrees_of_freedom,
        "num_a": plain.num_a,
        "num_b": plain.num_b,
        "num_clusters": adjusted.num_clusters,
        "method": adjusted.method,
        "note": np.where(untested != "", untested, np.where(piled != "", piled, adjusted.note)),
    }
