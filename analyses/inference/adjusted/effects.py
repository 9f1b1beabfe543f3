"""The test this project quotes: a group difference adjusted for what else differs, with clustered errors.

"Incorrect" also means "said the other label" and "longer or shorter". So each statistic is regressed by ordinary
least squares on the group, the effect-coded predicted label, their interaction and covariates, and samples of one
cluster may be correlated. Labels are centred at their sample mean, which makes the coefficient of the group the
average marginal effect over the samples at hand. A label of which one group has fewer than ``MIN_CELL`` samples gets no
interaction: a difference within so few samples cannot be estimated, so it is taken to equal that of the other labels.

Errors are CR2 (Bell and McCaffrey 2002) with Satterthwaite's degrees of freedom: the usual CR1 errors with clusters - 1
degrees of freedom are far too small when one group is small, however many clusters there are (Imbens and Kolesar 2016,
Pustejovsky and Tipton 2018). With an orthonormal basis Q of the model and its last column q the group's own part, the
score of cluster g is q_gᵀ (I - H_gg)^(-1/2) e_g with H_gg = Q_g Q_gᵀ, which is c_gᵀ Q_gᵀ e_g with the short vector
c_g = (I - Q_gᵀ Q_g)^(-1/2) (0, …, 0, 1)ᵀ. So a design costs one small matrix root per cluster, and each test a product.

Family-wise error over all tests is controlled by max-T (Westfall and Young 1993): residuals of the model without the
group (Freedman and Lane 1983) are multiplied by one random sign per cluster, the same signs for every test (Cameron,
Gelbach and Miller 2008), and every test is studentised again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats

from analyses.inference.adjusted.cluster_errors import (
    MIN_DEGREES_OF_FREEDOM,
    ClusterErrors,
    Errors,
    cluster_errors,
    why_unreliable,
)
from analyses.inference.adjusted.design import MIN_CELL, Cell, Design, ModelSamples, build_design, cells
from analyses.inference.clustered_means import cluster_sums
from analyses.inference.columns import constant_columns, missing_patterns, part_of

NEARLY_ALL = 1e-8
"""A model that leaves less than this share of the sum of squares needs residuals, not differences of sums."""


@dataclass(frozen=True)
class AdjustedEffects:
    """Average marginal effects of the group; each array ``[tests]``, NaN where undefined.

    Attributes
    ----------
    effect, standard_error, ci_low, ci_high
        In the statistic's unit, a minus b.
    statistic, pvalue
        effect / standard_error and its two-sided p by Student's t.
    degrees_of_freedom
        Of that t: Satterthwaite's with CR2 errors, clusters - 1 with CR1.
    num_clusters
        Clusters with a value.
    method
        The model in words, with the terms that had to be dropped.
    note
        Why a p-value is missing, else an empty string.
    """

    effect: np.ndarray
    standard_error: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    statistic: np.ndarray
    pvalue: np.ndarray
    degrees_of_freedom: np.ndarray
    num_clusters: np.ndarray
    method: np.ndarray
    note: np.ndarray


def adjusted_effects(
    values: np.ndarray, samples: ModelSamples, confidence: float = 0.95, errors: Errors = "CR2"
) -> AdjustedEffects:
    """Estimate the adjusted difference between the groups for every test.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value; such samples are left out of that test only.
    samples
        Group, cluster, predicted label and covariates.
    confidence
        Coverage of the interval.
    errors
        ``CR2`` with Satterthwaite's degrees of freedom, or ``CR1`` with clusters - 1 as in statsmodels'
        ``OLS(...).fit(cov_type="cluster")``: for comparison only, it finds too much when groups are small.

    Returns
    -------
    AdjustedEffects
        The difference is given wherever the groups vary; its interval and p only where they can be trusted.
    """
    result = _empty_effects(values.shape[1])
    for rows, columns in missing_patterns(values):
        model = prepare(samples, rows, errors)
        result.num_clusters[columns] = len(model.clusters)
        if model.design is None or model.robust is None:
            result.note[columns] = model.untestable
            continue
        result.method[columns] = _describe(model.design, errors)
        result.degrees_of_freedom[columns] = model.robust.degrees_of_freedom
        _fill_effects(result, part_of(values, rows, columns), columns, model.design, model.robust, confidence)
        if model.unreliable:
            # The difference itself stays: too few degrees of freedom make its error unreliable, not the estimate.
            untold = columns[result.note[columns] == ""]
            for name in ("standard_error", "ci_low", "ci_high", "statistic", "pvalue"):
                getattr(result, name)[untold] = np.nan
            result.note[untold] = model.unreliable
    return result


@dataclass(frozen=True)
class Prepared:
    """The model of some samples, the same for every test that has values of just these.

    Attributes
    ----------
    clusters
        Codes of the clusters that are present.
    design, robust
        None where nothing can be tested.
    untestable, unreliable
        Why no test, or no p-value, can be given; else empty.
    """

    clusters: np.ndarray
    design: Design | None
    robust: ClusterErrors | None
    untestable: str
    unreliable: str


Made = TypeVar("Made")
_NEW = object()
MAX_PREPARED = 64
"""Designs kept per set of samples; more patterns of missing values than that are prepared again."""


def prepare(samples: ModelSamples, rows: np.ndarray, errors: Errors) -> Prepared:
    """Return the model of the chosen samples, from memory where it was made before."""
    return kept(
        samples, (errors, rows.tobytes()), lambda: _prepare(samples if rows.all() else samples.take(rows), errors)
    )


def kept(samples: ModelSamples, key: object, make: Callable[[], Made]) -> Made:
    """Return what was made of some samples before under this key, or else make it."""
    found = samples.prepared.get(key, _NEW)
    if found is _NEW:
        if len(samples.prepared) >= MAX_PREPARED:
            samples.prepared.clear()
        found = samples.prepared[key] = make()
    return found


def _prepare(chosen: ModelSamples, errors: Errors) -> Prepared:
    clusters, codes = np.unique(chosen.cluster, return_inverse=True)
    design = build_design(chosen)
    untestable = why_untestable(chosen, design, len(clusters))
    if design is None or untestable:
        return Prepared(clusters, design, None, untestable, "")
    robust = cluster_errors(design, codes, errors)
    return Prepared(clusters, design, robust, "", why_difference_unreliable(chosen, robust))


def _empty_effects(num_tests: int) -> AdjustedEffects:
    def missing() -> np.ndarray:
        return np.full(num_tests, np.nan)

    return AdjustedEffects(
        effect=missing(),
        standard_error=missing(),
        ci_low=missing(),
        ci_high=missing(),
        statistic=missing(),
        pvalue=missing(),
        degrees_of_freedom=missing(),
        num_clusters=np.zeros(num_tests, np.int64),
        method=np.full(num_tests, "", dtype=object),
        note=np.full(num_tests, "", dtype=object),
    )


def why_untestable(samples: ModelSamples, design: Design | None, num_clusters: int) -> str:
    """Return why a group difference cannot be tested at all, or the empty string."""
    if len(samples.is_a) == 0:
        return "no sample has a value"
    if design is None:
        return "only one group has values"
    if min(samples.is_a.sum(), (~samples.is_a).sum()) < 2:
        return "a group has fewer than two samples"
    if num_clusters < 2:
        return "fewer than two clusters"
    if design.basis.shape[0] <= design.basis.shape[1]:
        return "no more samples than terms in the model"
    return ""


def why_difference_unreliable(samples: ModelSamples, robust: ClusterErrors) -> str:
    """Say why no p-value can be given although a difference can, naming the smallest cell, or what clusters lack."""
    sides = list(zip(samples.names, (samples.is_a, ~samples.is_a), strict=True))
    name, rows = min(sides, key=lambda side: int(side[1].sum()))
    smallest, number = Cell(name, "", int(rows.sum())), len(np.unique(samples.cluster[rows]))
    counted = [str(cell) for cell in cells(samples) if cell.num_samples < MIN_CELL]
    lacking = "clusters" if not counted and number < smallest.num_samples else "samples"
    reason = why_unreliable(robust.degrees_of_freedom, lacking, "the difference", robust.dominance)
    if not reason or robust.degrees_of_freedom >= MIN_DEGREES_OF_FREEDOM:
        return reason
    cell = "; ".join(counted) or f'{smallest.num_samples} in group "{smallest.group}"'
    of_clusters = f", of {number} cluster{'s' * (number > 1)}" if lacking == "clusters" else ""
    return f"{reason} ({cell}{of_clusters})"


def _describe(design: Design, errors: Errors) -> str:
    freedom = {"CR2": "Satterthwaite", "CR1": "clusters - 1"}[errors]
    text = f"OLS on {' + '.join(design.terms[1:])}; {errors} by cluster, t({freedom})"
    return f"{text}; left out: {', '.join(design.left_out)}" if design.left_out else text


def _fill_effects(
    result: AdjustedEffects,
    values: np.ndarray,
    columns: np.ndarray,
    design: Design,
    robust: ClusterErrors,
    confidence: float,
) -> None:
    loadings = design.basis.T @ values
    # Σ_g w (y - Qa) = Σ_g w y - (Σ_g w Q) a: residuals are formed only where little of the values is left by the model.
    scores = cluster_sums(values, robust.codes, robust.weights) - robust.overlap @ loadings
    total = np.einsum("nt,nt->t", values, values)
    close = np.flatnonzero(total - (loadings**2).sum(axis=0) <= NEARLY_ALL * total)
    flat = np.zeros(values.shape[1], dtype=bool)
    if len(close):
        residuals = values[:, close] - design.basis @ loadings[:, close]
        scores[:, close] = cluster_sums(residuals, robust.codes, robust.weights)
        # Where only rounding is left, the error is nearly 0 and any difference would look certain.
        flat[close] = np.abs(residuals).max(axis=0) <= 1e-12 * np.abs(values[:, close]).max(axis=0)
    effect = loadings[-1] / design.scale
    error = np.sqrt((scores**2).sum(axis=0)) / design.scale
    constant = constant_columns(values)
    flat &= ~constant
    result.effect[columns] = np.where(constant, 0.0, effect)
    result.note[columns[constant]] = "the statistic is constant"
    result.note[columns[flat]] = "nothing varies beyond the model's terms"
    usable = ~constant & ~flat & (error > 0)
    columns, effect, error = columns[usable], effect[usable], error[usable]
    statistic = effect / error
    reach = stats.t.ppf(0.5 + confidence / 2, robust.degrees_of_freedom) * error
    result.standard_error[columns], result.statistic[columns] = error, statistic
    result.ci_low[columns], result.ci_high[columns] = effect - reach, effect + reach
    result.pvalue[columns] = 2 * stats.t.sf(np.abs(statistic), robust.degrees_of_freedom)
