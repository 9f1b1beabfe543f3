"""Hypotheses with a verdict: supported, contradicted, not decided, or why it cannot be tested.

``settings.hypotheses`` says how a hypothesis is written. Each becomes one number per sample: the statistic
averaged over the heads of a layer (for a key group, the logit of the average head's attention minus the logit of what
uniform attention would give), then its slope over layers, its mean over layers, or the same minus another key group's.
The sample, clustered by company, is the unit:

* without groups the mean of that number over samples is tested against 0, CR2 errors by cluster (``clustered_fit``);
* with groups it is the adjusted difference of ``inference.adjusted.effects``: predicted label and length are held
  fixed.

Where groups are compared, the difference also has to pass the checks of ``inference.adjusted.checks``: variance pooled
under the null, and ``analysis.held_fixed`` held fixed. ``pvalue_claim`` is the largest of all these p-values, adjusted.

p is two-sided and adjusted over all hypotheses of the config. Large values of a few samples can move a mean, so the
same model is fitted to normal scores as well (of the signed number where there are no groups), adjusted alike, and a
verdict other than "not decided" needs all of them at the level that the hypotheses have among all further findings
(``questions.claims``; ``settled``). It is "supported" when the effect has the expected sign and
"contradicted" when it has the other one, so that each is wrong with a chance of at most alpha / 2 where there is no
effect; "mixed" where a layer, or the same number on the scale of the charts, says the opposite (``chart_scale``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.inference.adjusted.checks import check_differences, why_too_few
from analyses.inference.adjusted.coefficients import design_of, fit_last
from analyses.inference.adjusted.effects import adjusted_effects
from analyses.inference.multiplicity import adjust_pvalues
from analyses.inference.ranks import signed_scores
from analyses.inference.unadjusted import hedges_standardizer
from analyses.questions.comparisons import comparisons_of, fixed_samples, model_samples
from analyses.questions.hypotheses.chart_scale import (
    Estimator,
    beside_chart,
    difference_estimator,
    is_mixed,
    mean_estimator,
)
from analyses.questions.hypotheses.numbers import CannotTestError, sample_numbers
from analyses.questions.hypotheses.tables import HYPOTHESES
from analyses.questions.rare_key_groups import rare_statistics
from analyses.runs.clusters import cluster_codes
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings, SettingsError
from analyses.settings.hypotheses import NAMED, Hypothesis, read_hypotheses
from analyses.wording import count_text, statement_noun
from engine.schema import MASS_PREFIX

SHARE = "share of attention"
"""Unit of weights in the table; sentences tell them in percentage points."""

SUPPORTED, CONTRADICTED, MIXED, NOT_DECIDED = "supported", "contradicted", "mixed", "not decided"
CANNOT, NOT_UNDERSTOOD = "cannot be tested", "not understood"
DECIDED = (SUPPORTED, CONTRADICTED, MIXED)


@dataclass
class _Result:
    """One row of the table before p-values are adjusted."""

    columns: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def hypotheses(run: Run, settings: AnalysisSettings, entries: Sequence[object] | None = None) -> pl.DataFrame:
    """Test every hypothesis of the config.

    Parameters
    ----------
    entries
        ``analysis.hypotheses``; None is every named hypothesis whose key groups the run has.

    Returns
    -------
    DataFrame
        Columns as in ``HYPOTHESES``, one row per hypothesis in the config's order.

    Raises
    ------
    SettingsError
        For an entry that is no text and no valid mapping.
    """
    asked = [entry for entry in read_hypotheses(entries) if entries is not None or _applies(run, entry)]
    results = [_test(run, settings, hypothesis) for hypothesis in asked]
    for result in results:
        named = [result.columns.get(name, np.nan) for name in ("pvalue", "pvalue_ranks", *_GROUP_CHECKS)]
        tested = [pvalue for pvalue in named if not np.isnan(pvalue)]
        is_untested = np.isnan(named[0]) or np.isnan(named[1])
        result.columns["pvalue_worst"] = np.nan if is_untested else max(tested)
    for name in ("pvalue", "pvalue_ranks", "pvalue_worst"):
        raw = np.array([result.columns.get(name, np.nan) for result in results], dtype=np.float64)
        for result, adjusted in zip(results, adjust_pvalues(raw, settings.correction), strict=True):
            result.columns[f"{name}_adjusted"] = float(adjusted)
    rows = [
        {
            "verdict": _verdict(
                result.columns | {"pvalue_claim": result.columns["pvalue_worst_adjusted"]}, settings.alpha
            )
        }
        | {name: value for name, value in result.columns.items() if not name.startswith("pvalue_worst")}
        | {"pvalue_claim": result.columns["pvalue_worst_adjusted"], "note": "; ".join(result.notes) or None}
        for result in results
    ]
    return pl.DataFrame(rows, schema=HYPOTHESES.schema).with_columns(pl.col(pl.Float64).fill_nan(None))


def _applies(run: Run, hypothesis: Hypothesis) -> bool:
    """Whether a run has the key groups of a named hypothesis: those of statements are not there in other domains."""
    named = [name for name in (hypothesis.key_group, hypothesis.versus) if name]
    return all(run.vocabulary is not None if name == "vocabulary" else name in run.key_groups for name in named)


_GROUP_CHECKS = ("pvalue_pooled", "pvalue_fixed")


def settled(table: pl.DataFrame, level: float) -> pl.DataFrame:
    """Return the table with the verdicts at a level; those that cannot be tested stay as they are."""
    verdicts = [
        row["verdict"] if row["verdict"] in (CANNOT, NOT_UNDERSTOOD) else _verdict(row, level)
        for row in table.to_dicts()
    ]
    return table.with_columns(verdict=pl.Series(verdicts, dtype=pl.String))


def _verdict(columns: Mapping[str, Any], level: float) -> str:
    pvalue = columns["pvalue_claim"]
    if pvalue is None or np.isnan(pvalue):
        return CANNOT
    if pvalue > level:
        return NOT_DECIDED
    if is_mixed(columns):
        return MIXED
    expected = {"greater": 1.0, "less": -1.0}.get(columns["direction"])
    return SUPPORTED if expected is None or np.sign(columns["effect"]) == expected else CONTRADICTED


def _test(run: Run, settings: AnalysisSettings, hypothesis: Hypothesis) -> _Result:
    text = hypothesis.text
    if hypothesis == NAMED.get(hypothesis.name):
        text = text.replace("the statement", f"the {statement_noun()}")
        text = text.replace("financial", run.vocabulary.replace("_", " ")) if run.vocabulary else text
    result = _Result({"hypothesis": hypothesis.name, "text": text, "direction": hypothesis.direction})
    if hypothesis.problem:
        result.columns["verdict"] = NOT_UNDERSTOOD
        result.notes.append(hypothesis.problem)
        return result
    try:
        numbers = sample_numbers(run, hypothesis)
        result.columns |= {"tested_as": numbers.words, "unit": numbers.unit}
        result.notes.extend(numbers.notes)
        if hypothesis.group is None:
            cluster = cluster_codes(run, settings.cluster_by)
            _test_mean(numbers.values, cluster, settings.alpha, result.columns, result.notes)
            estimate = mean_estimator(cluster, settings.alpha)
        else:
            estimate = _test_groups(run, settings, hypothesis, numbers.values, result)
        result.columns |= beside_chart(
            estimate, numbers.shares, numbers.layers, result.columns["effect"], numbers.halves
        )
    except CannotTestError as reason:
        result.columns["verdict"] = CANNOT
        result.notes.insert(0, str(reason))
    return result


def _test_mean(
    scores: np.ndarray, cluster: np.ndarray, alpha: float, columns: dict[str, object], notes: list[str]
) -> None:
    """Test the mean of ``scores`` (``[samples]``, NaN where unknown) against 0."""
    known = ~np.isnan(scores)
    scores, cluster = scores[known], cluster[known]
    columns |= {"num_samples": len(scores), "num_clusters": len(np.unique(cluster))}
    columns["method"] = "mean over samples; CR2 by cluster, t(Satterthwaite)"
    if len(scores) < 2:
        raise CannotTestError(f"{count_text(len(scores), 'sample')} with a value")
    design = design_of([], np.ones(len(scores)))
    assert design is not None, "ones are not collinear with nothing"
    fit = fit_last(np.column_stack([scores, signed_scores(scores[:, None])]), design, cluster)
    effect, error = float(fit.effect[0]), float(fit.standard_error[0])
    columns |= {"effect": effect, "degrees_of_freedom": fit.degrees_of_freedom}
    if fit.note or np.isnan(error):
        raise CannotTestError(fit.note or "it is the same in every sample")
    reach = float(stats.t.ppf(1 - alpha / 2, fit.degrees_of_freedom)) * error
    columns |= {"ci_low": effect - reach, "ci_high": effect + reach, "effect_size": effect / float(scores.std(ddof=1))}
    columns |= {"pvalue": float(fit.pvalue[0]), "pvalue_ranks": float(fit.pvalue[1])}


def _test_groups(
    run: Run, settings: AnalysisSettings, hypothesis: Hypothesis, scores: np.ndarray, result: _Result
) -> Estimator:
    """Test the adjusted difference of ``scores`` between two groups of samples, and return what estimates it."""
    group = hypothesis.group
    assert group is not None, "only a hypothesis on groups comes here"
    try:
        comparison = comparisons_of(run, settings.model_copy(update={"groups": (group,)}))[0]
    except SettingsError as error:
        raise CannotTestError(str(error).removesuffix(".")) from error
    columns = result.columns
    columns["tested_as"] += f", {comparison.label_a} minus {comparison.label_b}"
    if comparison.problem:
        raise CannotTestError(comparison.problem.removesuffix("."))
    rare = rare_statistics(run, comparison)
    for name in (hypothesis.key_group, hypothesis.versus):
        # Log-odds and lifts are known only of samples that hold the key group, so what samples hold cannot move them.
        key_group = run.vocabulary if name == "vocabulary" else name
        if hypothesis.scale == "value" and (note := rare.get(f"{MASS_PREFIX}{key_group}")):
            raise CannotTestError(note)
    values = scores[comparison.is_member, None]
    known = ~np.isnan(values[:, 0])
    samples = model_samples(run, settings, comparison)
    columns |= {"num_samples": int(known.sum()), "num_a": int((known & samples.is_a).sum())}
    columns |= {"num_b": columns["num_samples"] - columns["num_a"]}
    if note := str(why_too_few(values, samples.is_a)[0]):
        raise CannotTestError(note.removesuffix(": not tested"))
    adjusted = adjusted_effects(values, samples, 1 - settings.alpha)
    checks = check_differences(values, adjusted, samples, fixed_samples(run, settings, comparison))
    for name in ("effect", "ci_low", "ci_high", "pvalue", "degrees_of_freedom"):
        columns[name] = float(getattr(adjusted, name)[0])
    columns |= {"num_clusters": int(adjusted.num_clusters[0]), "method": str(adjusted.method[0])}
    if np.isnan(adjusted.pvalue[0]):
        raise CannotTestError(str(adjusted.note[0]) or "no error can be estimated")
    columns["pvalue_ranks"] = float(checks.pvalue_ranks[0])
    columns |= {"pvalue_pooled": float(checks.pvalue_pooled[0]), "pvalue_fixed": float(checks.pvalue_fixed[0])}
    columns["effect_fixed"] = float(checks.difference_fixed[0])
    standardizer = hedges_standardizer(values[known & samples.is_a], values[known & ~samples.is_a])
    columns["effect_size"] = columns["effect"] / float(standardizer[0])
    return difference_estimator(samples, comparison.is_member, settings.alpha)
