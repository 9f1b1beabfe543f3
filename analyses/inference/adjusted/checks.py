"""What a difference has to pass beside its own test before anybody may call it one.

Each check fails where the others hold: normal scores where few large values decide, the variance pooled under the null
where a small group happens to be alike (``adjusted.exchange``), and the model with further columns held fixed, such as
the year, where groups and values drift together. ``why_too_few`` refuses what none of them can judge: values that are
nearly all the same number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyses.inference.adjusted.cluster_errors import Errors
from analyses.inference.adjusted.coefficients import LastCoefficient, design_of
from analyses.inference.adjusted.design import MIN_CELL, Design, ModelSamples, null_residual_blocks
from analyses.inference.adjusted.effects import AdjustedEffects, adjusted_effects, kept, prepare
from analyses.inference.adjusted.exchange import adjusted_pooled, pooled_pvalues
from analyses.inference.columns import constant_columns, missing_patterns, part_of
from analyses.inference.ranks import normal_scores

ATOM = 0.1
"""Share of samples at the lowest, or at the highest, value from which on a column counts as piled up there."""

MIN_AWAY = 10
"""Samples that each group would have away from the pile if both had the same share of such samples."""


@dataclass(frozen=True)
class Checks:
    """Further p-values of differences, each ``[tests]``, two-sided; NaN where there is none.

    Attributes
    ----------
    pvalue_ranks
        The same model on normal scores.
    pvalue_pooled
        Normal scores by the variance pooled under the null, further columns held fixed.
    difference_fixed, pvalue_fixed
        The difference with further columns held fixed. NaN without any; p is 1 where they cannot be told from the
        group.
    is_skewed
        Whether the difference's interval covers less often than it says (``skewness_of_difference``).
    worst
        The largest p of all, the difference's own included: p of "it passes every check".
    """

    pvalue_ranks: np.ndarray
    pvalue_pooled: np.ndarray
    difference_fixed: np.ndarray
    pvalue_fixed: np.ndarray
    worst: np.ndarray
    is_skewed: np.ndarray


def check_differences(
    values: np.ndarray,
    effects: AdjustedEffects,
    samples: ModelSamples,
    fixed: ModelSamples | None = None,
    *,
    scores: np.ndarray | None = None,
    pooled: np.ndarray | None = None,
    errors: Errors = "CR2",
) -> Checks:
    """Check adjusted differences.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    effects
        ``adjusted_effects(values, samples)``; tests without a p there get none here.
    fixed
        The same samples with further columns to hold fixed, or None.
    scores
        ``normal_scores(values)`` where they are known already.
    pooled
        ``[tests]``: their p by the pooled variance as far as it is known already; NaN where it is not.
    """
    scores = normal_scores(values) if scores is None else scores
    untested = np.isnan(effects.pvalue)
    fuller = samples if fixed is None else fixed
    ranked = adjusted_effects(scores, samples, errors=errors).pvalue
    pooled = np.full(values.shape[1], np.nan) if pooled is None else pooled
    missing = np.flatnonzero(np.isnan(pooled) & ~untested)
    if len(missing):
        pooled[missing] = adjusted_pooled(scores[:, missing], fuller)
    found = [ranked, pooled]
    difference = np.full(values.shape[1], np.nan)
    if fixed is not None:
        again = adjusted_effects(values, fixed, errors=errors)
        difference = again.effect
        found.append(np.where(np.isnan(again.pvalue), 1.0, again.pvalue))
    for pvalue in found:
        pvalue[untested] = np.nan
    # A check that could not be made is none that was passed.
    worst = np.max([np.where(np.isnan(pvalue), 1.0, pvalue) for pvalue in (effects.pvalue, *found)], axis=0)
    last = found[2] if fixed is not None else np.full(values.shape[1], np.nan)
    is_skewed = np.abs(skewness_of_difference(values, samples)) > SKEWED
    return Checks(ranked, found[1], difference, last, np.where(untested, np.nan, worst), is_skewed)


SKEWED = 0.4
"""Skewness of a difference from which on a symmetric 95 % interval covers less than 0.93 in simulations."""


def skewness_of_difference(values: np.ndarray, samples: ModelSamples) -> np.ndarray:
    """Return the skewness that an adjusted difference has where nothing differs, ``[tests]``.

    The sum qᵀe of independent errors of skewness γ has γ Σ q³, with q the group's own part of unit length. γ is that of
    the residuals without the group, of both groups together: the few scores of a small group say too little of it.
    """
    result = np.zeros(values.shape[1])
    for rows, columns in missing_patterns(values):
        model = prepare(samples, rows, "CR2")
        if model.design is None or model.untestable:
            continue
        part = part_of(values, rows, columns)
        second, third = np.zeros((2, len(columns)))
        for _, residuals in null_residual_blocks(part, model.design):
            squares = residuals**2
            second += squares.sum(axis=0)
            # A product: a third power takes NumPy twenty times as long.
            squares *= residuals
            third += squares.sum(axis=0)
        second, third = second / len(part), third / len(part)
        # What is left of a constant is rounding, which has a skewness of its own.
        varies = ~constant_columns(part) & (second > 0)
        ratio = np.divide(third, second**1.5, out=np.zeros(len(columns)), where=varies)
        result[columns] = ratio * float((model.design.basis[:, -1] ** 3).sum())
    return result


def why_too_few(values: np.ndarray, is_a: np.ndarray) -> np.ndarray:
    """Return ``[tests]`` texts: why a column is too much piled up on one value to be compared; empty where it is not.

    Counted without looking at which group has which value, so that it cannot favour a result: with a share w of all
    values away from the pile, a group of m samples would hold w m of them.
    """
    known = ~np.isnan(values)
    total = known.sum(axis=0)
    low, high = _extremes(values, known)
    piled = np.maximum((values == low).sum(axis=0), (values == high).sum(axis=0))
    share = 1 - piled / np.maximum(total, 1)
    smaller = np.minimum((known & is_a[:, None]).sum(axis=0), (known & ~is_a[:, None]).sum(axis=0))
    too_few = (share <= 1 - ATOM) & (share > 0) & (share * smaller < MIN_AWAY)
    notes = np.full(values.shape[1], "", dtype=object)
    for slot in np.flatnonzero(too_few):
        notes[slot] = (
            f"{int(piled[slot]):,} of {int(total[slot]):,} values are the same number, so the smaller group would have "
            f"{share[slot] * smaller[slot]:.1f} others, fewer than {MIN_AWAY}: not tested"
        )
    return notes


def _extremes(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if known.all():
        return values.min(axis=0, initial=np.inf), values.max(axis=0, initial=-np.inf)
    low = np.where(known, values, np.inf).min(axis=0, initial=np.inf)
    return low, np.where(known, values, -np.inf).max(axis=0, initial=-np.inf)


@dataclass(frozen=True)
class Interactions:
    """How much a difference changes with the predicted label; arrays ``[tests]``, NaN where it cannot be told.

    Attributes
    ----------
    labels
        The label whose difference is the larger number where ``effect`` is positive, and what it is compared with.
    effect
        Difference within that label minus the difference within the others, in the statistic's unit.
    pvalue
        The largest of three: on values, on normal scores (CR2 both), and pooled under the null.
    """

    labels: tuple[str, str]
    effect: np.ndarray
    pvalue: np.ndarray


@dataclass(frozen=True)
class _InteractionModel:
    """The regression on the interaction of group and predicted label, the same for tests with the same samples."""

    design: Design
    codes: np.ndarray
    last: LastCoefficient


def interactions(values: np.ndarray, scores: np.ndarray, samples: ModelSamples) -> Interactions:
    """Test whether the group's difference is another for another predicted label.

    Of more than two labels, the most frequent is compared with all others. Each side needs ``MIN_CELL`` samples of
    both groups.
    """
    nothing = np.full(values.shape[1], np.nan)
    effect, pvalue = nothing.copy(), nothing.copy()
    if samples.labels is None:
        return Interactions(("", ""), effect, pvalue)
    levels, counts = np.unique(samples.labels.astype(str), return_counts=True)
    first = str(levels[counts.argmax()])
    others = [str(level) for level in levels if level != first]
    labels = first, others[0] if len(others) == 1 else "the other labels"
    for rows, columns in missing_patterns(values):
        key = "interaction", rows.tobytes()
        model = kept(samples, key, lambda rows=rows: _interaction_model(samples, rows, first, levels))
        if model is None:
            continue
        own, ranks = part_of(values, rows, columns), part_of(scores, rows, columns)
        fit, ranked = model.last.fit(own), model.last.fit(ranks)
        pooled = pooled_pvalues(ranks, model.design, model.codes)
        effect[columns] = fit.effect
        pvalue[columns] = np.maximum(np.maximum(fit.pvalue, ranked.pvalue), pooled)
    return Interactions(labels, effect, pvalue)


def _interaction_model(
    samples: ModelSamples, rows: np.ndarray, first: str, levels: np.ndarray
) -> _InteractionModel | None:
    """Return the model of the chosen samples; None where a side lacks samples, or the interaction does not vary."""
    assert samples.labels is not None
    texts, is_a = samples.labels.astype(str)[rows], samples.is_a[rows]
    is_first = texts == first
    cells = [(is_a == a) & (is_first == b) for a in (True, False) for b in (True, False)]
    if min(int(cell.sum()) for cell in cells) < MIN_CELL:
        return None
    ones, group = np.ones(len(is_a)), is_a.astype(np.float64)
    label = [(texts == level).astype(np.float64) for level in levels[1:]]
    held = [column[rows] for column in samples.covariates.values()]
    design = design_of([ones, *held, *label, group], group * is_first)
    if design is None:
        return None
    codes = np.unique(samples.cluster[rows], return_inverse=True)[1]
    return _InteractionModel(design, codes, LastCoefficient(design, codes))
