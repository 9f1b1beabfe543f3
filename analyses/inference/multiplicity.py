"""p-values adjusted for many tests, within declared families."""

from __future__ import annotations

import numpy as np
from scipy import stats

ASSUMPTIONS = {
    "fdr_bh": "Benjamini-Hochberg: false discovery rate, if p-values are independent or positively dependent",
    "fdr_by": "Benjamini-Yekutieli: false discovery rate under any dependence",
    "holm": "Holm: family-wise error under any dependence",
    "bonferroni": "Bonferroni: family-wise error under any dependence",
}
"""What each adjustment controls, and when."""


def adjust_within(pvalues: np.ndarray, family: np.ndarray, correction: str) -> np.ndarray:
    """Return p adjusted within each family; arguments as for ``adjust_pvalues``, ``family`` names ``[tests]``."""
    adjusted = np.full(pvalues.shape, np.nan)
    for name in dict.fromkeys(family.tolist()):
        rows = family == name
        adjusted[rows] = adjust_pvalues(pvalues[rows], correction)
    return adjusted


def family_sizes(pvalues: np.ndarray, family: np.ndarray) -> np.ndarray:
    """Return how many tests with a p-value the family of each test has."""
    tested = ~np.isnan(pvalues)
    sizes = {name: int((tested & (family == name)).sum()) for name in dict.fromkeys(family.tolist())}
    return np.array([sizes[name] for name in family.tolist()], dtype=np.int64)


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
    elif correction == "bonferroni":
        adjusted[tested] = np.minimum(tested.sum() * pvalues[tested], 1.0)
    elif correction == "holm":
        adjusted[tested] = _holm(pvalues[tested])
    else:
        raise ValueError(f"correction {correction!r} is unknown; known: fdr_bh, fdr_by, holm, bonferroni")
    return adjusted


def _holm(pvalues: np.ndarray) -> np.ndarray:
    """Return Holm's step-down p-values: the largest so far of (m - i) p_(i), at most 1 (Holm 1979).

    As ``statsmodels.stats.multitest.multipletests`` does, which collects all of Python's garbage at each call: half a
    second in a process that holds a model, for each of a report's families.
    """
    order = np.argsort(pvalues, kind="stable")
    stepped = np.maximum.accumulate((len(pvalues) - np.arange(len(pvalues))) * pvalues[order])
    adjusted = np.empty_like(stepped)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
