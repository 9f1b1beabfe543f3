"""The smallest difference that the adjusted model can find in given values; the formulas are in ``questions.power``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

from analyses.inference.adjusted.design import ModelSamples
from analyses.inference.adjusted.effects import prepare
from analyses.inference.clustered_means import cluster_sums, correlation_of_sums
from analyses.inference.columns import constant_columns, missing_patterns, part_of

POWER = 0.8
"""Chance of finding a difference of the smallest detectable size: Cohen's (1988) convention."""


@dataclass(frozen=True)
class Detectable:
    """What a test can find; arrays ``[tests]``, NaN where undefined.

    Attributes
    ----------
    standard_deviation
        Within the groups, pooled.
    intraclass_correlation
        0..1; a negative estimate counts as 0.
    design_effect
        Variance of the difference over that of independent samples.
    effect_size, effect_size_family
        Smallest detectable Hedges g at alpha, and at alpha over the family.
    degrees_of_freedom, num_a, num_b, num_clusters
        Of each test.
    note
        Why nothing can be detected, else empty.
    """

    standard_deviation: np.ndarray
    intraclass_correlation: np.ndarray
    design_effect: np.ndarray
    effect_size: np.ndarray
    effect_size_family: np.ndarray
    degrees_of_freedom: np.ndarray
    num_a: np.ndarray
    num_b: np.ndarray
    num_clusters: np.ndarray
    note: np.ndarray

    @property
    def correction(self) -> np.ndarray:
        """What turns a difference in standard deviations into Hedges g (Hedges 1981, equation 6e)."""
        half = np.maximum(self.num_a + self.num_b - 2, 2) / 2
        return np.exp(special.gammaln(half) - special.gammaln(half - 0.5)) / np.sqrt(half)


def detectable(
    values: np.ndarray,
    samples: ModelSamples,
    alpha: float = 0.05,
    alpha_family: float | None = None,
    wanted: float = POWER,
) -> Detectable:
    """Return what the adjusted model can find in each column of ``values``.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    samples
        As for ``adjusted_effects``.
    alpha, alpha_family
        Two-sided levels: of one test, and of one test of the family.
    wanted
        Power.
    """
    result = _undetectable(values.shape[1])
    for rows, columns in missing_patterns(values):
        is_a = samples.is_a[rows]
        result.num_a[columns], result.num_b[columns] = int(is_a.sum()), int((~is_a).sum())
        model = prepare(samples, rows, "CR2")
        result.num_clusters[columns] = len(model.clusters)
        if model.design is None or model.robust is None:
            result.note[columns] = model.untestable
            continue
        design, robust = model.design, model.robust
        result.degrees_of_freedom[columns] = robust.degrees_of_freedom
        if model.unreliable:
            result.note[columns] = model.unreliable
            continue
        # Sums over rows of another layout in memory would be rounded otherwise.
        part = np.ascontiguousarray(part_of(values, rows, columns))
        deviation, correlation = within_groups(part, is_a, robust.codes)
        result.note[columns[np.isnan(deviation)]] = "the statistic is constant"
        sums = cluster_sums(design.basis[:, -1], robust.codes)
        effect = (1 - correlation) + correlation * float((sums**2).sum())
        result.standard_deviation[columns], result.intraclass_correlation[columns] = deviation, correlation
        result.design_effect[columns] = effect
        error = np.sqrt(effect) / design.scale * result.correction[columns]
        for name, level in (("effect_size", alpha), ("effect_size_family", alpha_family or alpha)):
            getattr(result, name)[columns] = error * noncentrality(level, wanted, robust.degrees_of_freedom)
    return result


def _undetectable(num_tests: int) -> Detectable:
    def missing() -> np.ndarray:
        return np.full(num_tests, np.nan)

    def zero() -> np.ndarray:
        return np.zeros(num_tests, np.int64)

    return Detectable(
        standard_deviation=missing(),
        intraclass_correlation=missing(),
        design_effect=missing(),
        effect_size=missing(),
        effect_size_family=missing(),
        degrees_of_freedom=missing(),
        num_a=zero(),
        num_b=zero(),
        num_clusters=zero(),
        note=np.full(num_tests, "", dtype=object),
    )


@lru_cache(maxsize=4096)
def noncentrality(alpha: float, wanted: float, freedom: float) -> float:
    """Return how many standard errors a difference must be for a two-sided t-test to have the wanted power.

    Most statistics of a run ask with the same degrees of freedom, so what was solved is kept. Solves
    P(|t'_f(d)| > t_{1-alpha/2, f}) = power for d; near (t_{1-alpha/2, f} + t_{power, f}) (Bloom 1995).
    """
    threshold = float(stats.t.isf(alpha / 2, freedom))

    def missed(shift: float) -> float:
        chance = stats.nct.sf(threshold, freedom, shift) + stats.nct.cdf(-threshold, freedom, shift)
        if not np.isfinite(chance):
            # SciPy's noncentral t loses its digits far in the tails; Johnson and Welch's (1940) normal approximation.
            chance = stats.norm.sf((threshold - shift) / np.sqrt(1 + threshold**2 / (2 * freedom)))
        return float(chance) - wanted

    guess = threshold + float(stats.t.ppf(wanted, freedom))
    return float(optimize.root_scalar(missed, bracket=(0.0, 3 * guess + 10)).root)


def within_groups(values: np.ndarray, is_a: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviation within the groups and the intraclass correlation, each ``[tests]``.

    The correlation is that of what the groups' means leave, as ``intraclass_correlation`` estimates it.

    Parameters
    ----------
    values
        ``[samples, tests]`` without NaN.
    is_a
        ``[samples]`` booleans.
    codes
        ``[samples]`` clusters 0..k-1.
    """
    is_constant = constant_columns(values)
    means = np.stack([values[rows].mean(axis=0) if rows.any() else np.zeros(values.shape[1]) for rows in (~is_a, is_a)])
    centred = means[is_a.astype(np.int64)]
    np.subtract(values, centred, out=centred)
    total = np.einsum("ij,ij->j", centred, centred)
    deviation = np.sqrt(total / max(len(codes) - 2, 1))
    correlation = correlation_of_sums(cluster_sums(centred, codes), np.bincount(codes), total)
    unknown = is_constant | (deviation == 0)
    return np.where(unknown, np.nan, deviation), np.where(unknown, np.nan, correlation)
