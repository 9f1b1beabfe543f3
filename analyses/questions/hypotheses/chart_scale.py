"""A verdict beside the chart that shows it: the same question on the chart's scale, and layer by layer.

Charts draw shares of attention; hypotheses are tested in log-odds against uniform attention by default. The two can
disagree: a head that gives 0.1 % instead of 0.01 % moves log-odds and no dot, and layers that rise and fall average to
something that no layer shows. So a decided verdict is ``mixed`` where

* the same number as a share of attention has the other sign, or
* a layer has the other sign and its own interval lies on the other side of 0 (means and differences over layers, not
  slopes: there the layers are what is compared), or
* of a slope, the later half of the layers shows less than the earlier half where the slope rises, or more where it
  falls: a line through all layers and a comparison of two halves are both "later layers show more".

This takes a claim back and never makes one, so that it needs no level of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from analyses.inference.adjusted.coefficients import design_of, fit_last
from analyses.inference.adjusted.design import ModelSamples
from analyses.inference.adjusted.effects import adjusted_effects

Estimate = tuple[float, float, float]
"""Effect and the ends of its interval; NaN where it cannot be estimated."""

Estimator = Callable[[np.ndarray], Estimate]
"""``[samples]``, NaN where unknown, to the effect that the hypothesis asks for."""

UNKNOWN: Estimate = (float("nan"), float("nan"), float("nan"))


def mean_estimator(cluster: np.ndarray, alpha: float) -> Estimator:
    """Return what estimates a mean over samples, with CR2 errors by cluster (``[samples]`` codes)."""

    def estimate(values: np.ndarray) -> Estimate:
        known = ~np.isnan(values)
        if known.sum() < 2:
            return UNKNOWN
        design = design_of([], np.ones(int(known.sum())))
        assert design is not None, "ones are not collinear with nothing"
        fit = fit_last(values[known, None], design, cluster[known])
        effect, error = float(fit.effect[0]), float(fit.standard_error[0])
        if fit.note or np.isnan(error):
            return effect, float("nan"), float("nan")
        reach = float(stats.t.ppf(1 - alpha / 2, fit.degrees_of_freedom)) * error
        return effect, effect - reach, effect + reach

    return estimate


def difference_estimator(samples: ModelSamples, is_member: np.ndarray, alpha: float) -> Estimator:
    """Return what estimates the adjusted difference between two groups; ``is_member``: ``[samples]`` booleans."""

    def estimate(values: np.ndarray) -> Estimate:
        own = values[is_member, None]
        known = ~np.isnan(own[:, 0])
        if not (known & samples.is_a).any() or not (known & ~samples.is_a).any():
            return UNKNOWN
        fit = adjusted_effects(own, samples, 1 - alpha)
        return float(fit.effect[0]), float(fit.ci_low[0]), float(fit.ci_high[0])

    return estimate


def beside_chart(
    estimate: Estimator,
    shares: np.ndarray | None,
    layers: np.ndarray | None,
    effect: float,
    halves: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the columns that say what the chart shows of a hypothesis.

    Parameters
    ----------
    estimate
        How the hypothesis is estimated.
    shares
        ``[samples]``: its number as a share of attention; None where it is no share of attention.
    layers
        ``[samples, layers]``: its number of each layer; None where layers are what is compared.
    effect
        What was estimated on the scale that was tested.
    halves
        ``[samples]``: of a slope, the later half of the layers minus the earlier half; None otherwise.
    """
    columns: dict[str, Any] = {"effect_share": None, "share_ci_low": None, "share_ci_high": None}
    if shares is not None:
        columns = dict(zip(columns, estimate(shares), strict=True))
    columns["effect_halves"] = None if halves is None else estimate(halves)[0]
    columns |= {"num_layers_same": None, "num_layers_other": None}
    if layers is not None:
        each = [estimate(layers[:, layer]) for layer in range(layers.shape[1]) if not np.isnan(layers[:, layer]).all()]
        sides = [np.sign(low) for _, low, high in each if low * high > 0]
        columns["num_layers_same"] = sum(side == np.sign(effect) for side in sides)
        columns["num_layers_other"] = sum(side == -np.sign(effect) for side in sides)
    return columns


def is_mixed(columns: Mapping[str, Any]) -> bool:
    """Return whether the chart shows the other sign, or some layer does, or the halves of a slope's layers do."""
    shown = [columns.get(name) for name in ("effect_share", "effect_halves")]
    is_other_sign = any(np.sign(value) * np.sign(columns["effect"]) < 0 for value in shown if value is not None)
    return is_other_sign or bool(columns.get("num_layers_other"))
