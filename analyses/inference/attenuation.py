"""Intervals of an association between means that are noisy themselves, which makes it look weaker than it is.

Two measures of heads are compared by their means over samples. Noise in either draws a rank correlation, or a slope,
towards 0 (Spearman 1904, The American Journal of Psychology 15: 72-101), and redrawn clusters are noisier still, so
percentiles alone do not hold the association of the true means: 0 to 92 of 100 did in simulations
(``tests/benchmarks/interval_coverage.py``). The interval here reaches from the percentiles to those of the association
divided by its ceiling, and held it in 92 to 98 of 100.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FLOOR = 0.04
"""Smallest reliability that is divided by; the interval is as good as everything then."""


@dataclass(frozen=True)
class Association:
    """An association over heads, with what noise leaves of it.

    Attributes
    ----------
    value
        As it shows.
    ci_low, ci_high
        NaN where too few resamples know it.
    ceiling
        What would be left of a perfect one, 0..1.
    """

    value: float
    ci_low: float
    ci_high: float
    ceiling: float


def reliability(means: np.ndarray) -> float:
    """Return the share of the spread of means over heads that is no noise, 0.04..1; NaN where no resample knows it.

    Parameters
    ----------
    means
        ``[1 + resamples, heads]``, those of all clusters first.
    """
    if np.isnan(means[1:]).all():
        return float("nan")
    spread = float(np.var(means[0], ddof=1))
    noise = float(np.nanvar(means[1:], axis=0).mean())
    return float(np.clip(1 - noise / spread, _FLOOR, 1.0)) if spread > 0 else _FLOOR


def attenuated(values: np.ndarray, ceiling: float, alpha: float, *, span: tuple[float, float]) -> Association:
    """Return an association and the interval of that of the true means.

    Parameters
    ----------
    values
        ``[1 + resamples]``, that of all clusters first; NaN where unknown.
    ceiling
        What noise leaves of it: the square root of both reliabilities' product, or of a slope the reliability of
        what it is a slope on.
    span
        Between which values it can lie.
    """
    value, drawn = float(values[0]), values[1:][~np.isnan(values[1:])]
    if len(drawn) < (len(values) - 1) // 2:
        return Association(value, np.nan, np.nan, ceiling)
    ends = np.quantile(drawn, [alpha / 2, 1 - alpha / 2])
    corrected = (value + ends - drawn.mean()) / ceiling
    low, high = np.clip([min(ends[0], corrected[0]), max(ends[1], corrected[1])], *span)
    return Association(value, float(low), float(high), ceiling)
