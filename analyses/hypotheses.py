"""Hypotheses with a verdict: supported, contradicted, not decided, or why it cannot be tested.

``analyses.hypothesis_definitions`` says how a hypothesis is written. Each becomes one number per sample: the statistic
averaged over the heads of a layer (for a key group, the logit of the average head's attention minus the logit of what
uniform attention would give), then its slope over layers, its mean over layers, or the same minus another key group's.
The sample, clustered by company, is the unit:

* without groups the mean of that number over samples is tested against 0, CR2 errors by cluster (``clustered_fit``);
* with groups it is the adjusted difference of ``analyses.adjusted_model``: predicted label and length are held fixed.

p is two-sided and adjusted over all hypotheses of the config. Large values of a few samples can move a mean, so the
same model is fitted to normal scores as well (of the signed number where there are no groups), adjusted alike, and a
verdict other than "not decided" needs both at ``alpha``. It is "supported" when the effect has the expected sign and
"contradicted" when it has the other one, so that each is wrong with a chance of at most alpha / 2 where there is no
effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.adjusted_model import adjusted_effects
from analyses.clustered_fit import design_of, fit_last
from analyses.comparisons import comparisons_of, model_samples
from analyses.hypothesis_definitions import NAMED, Hypothesis, read_hypotheses
from analyses.hypothesis_numbers import CannotTestError, sample_numbers
from analyses.queries import cluster_codes
from analyses.ranks import normal_scores, signed_scores
from analyses.rare_key_groups import rare_statistics
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings, SettingsError
from analyses.significance import adjust_pvalues, hedges_standardizer
from analyses.wording import count_text, interval_name, p_text
from engine.schema import MASS_PREFIX

SHARE = "share of attention"
"""Unit of weights in the table; sentences tell them in percentage points."""

SUPPORTED, CONTRADICTED, NOT_DECIDED = "supported", "contradicted", "not decided"
CANNOT, NOT_UNDERSTOOD = "cannot be tested", "not understood"

SCHEMA: dict[str, Any] = {
    "hypothesis": pl.String,
    "text": pl.String,
    "tested_as": pl.String,
    "verdict": pl.String,
    "effect": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "unit": pl.String,
    "effect_size": pl.Float64,
    "pvalue": pl.Float64,
    "pvalue_adjusted": pl.Float64,
    "pvalue_ranks": pl.Float64,
    "pvalue_ranks_adjusted": pl.Float64,
    "degrees_of_freedom": pl.Float64,
    "num_samples": pl.Int32,
    "num_a": pl.Int32,
    "num_b": pl.Int32,
    "num_clusters": pl.Int32,
    "direction": pl.String,
    "method": pl.String,
    "note": pl.String,
}


@dataclass
class _Result:
    """One row of the table before p-values are adjusted."""

    columns: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def hypotheses(tables: RunTables, settings: AnalysisSettings, entries: Sequence[object] | None = None) -> pl.DataFrame:
    """Test every hypothesis of the config.

    Parameters
    ----------
    entries
        ``analysis.hypotheses``; None is every named hypothesis.

    Returns
    -------
    DataFrame
        Columns as in ``SCHEMA``, one row per hypothesis in the config's order.

    Raises
    ------
    SettingsError
        For an entry that is no text and no valid mapping.
    """
    results = [_test(tables, settings, hypothesis) for hypothesis in read_hypotheses(entries)]
    for name in ("pvalue", "pvalue_ranks"):
        raw = np.array([result.columns.get(name, np.nan) for result in results], dtype=np.float64)
        for result, adjusted in zip(results, adjust_pvalues(raw, settings.correction), strict=True):
            result.columns[f"{name}_adjusted"] = float(adjusted)
    rows = [
        {"verdict": _verdict(result.columns, settings.alpha)}
        | result.columns
        | {"note": "; ".join(result.notes) or None}
        for result in results
    ]
    return pl.DataFrame(rows, schema=SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


def _verdict(columns: Mapping[str, Any], alpha: float) -> str:
    adjusted = columns["pvalue_adjusted"], columns["pvalue_ranks_adjusted"]
    if any(np.isnan(pvalue) for pvalue in adjusted):
        return CANNOT
    if max(adjusted) > alpha:
        return NOT_DECIDED
    expected = {"greater": 1.0, "less": -1.0}.get(columns["direction"])
    return SUPPORTED if expected is None or np.sign(columns["effect"]) == expected else CONTRADICTED


def _test(tables: RunTables, settings: AnalysisSettings, hypothesis: Hypothesis) -> _Result:
    text = hypothesis.text
    if hypothesis == NAMED.get(hypothesis.name) and tables.vocabulary:
        text = text.replace("financial", tables.vocabulary.replace("_", " "))
    result = _Result({"hypothesis": hypothesis.name, "text": text, "direction": hypothesis.direction})
    if hypothesis.problem:
        result.columns["verdict"] = NOT_UNDERSTOOD
        result.notes.append(hypothesis.problem)
        return result
    try:
        numbers = sample_numbers(tables, hypothesis)
        result.columns |= {"tested_as": numbers.words, "unit": numbers.unit}
        result.notes.extend(numbers.notes)
        if hypothesis.group is None:
            _test_mean(
                numbers.values, cluster_codes(tables, settings.cluster_by), settings.alpha, result.columns, result.notes
            )
        else:
            _test_groups(tables, settings, hypothesis, numbers.values, result)
    except CannotTestError as reason:
        result.columns["verdict"] = CANNOT
        result.notes.insert(0, str(reason))
    return result


def _test_mean(
    scores: np.ndarray, cluster: np.ndarray, alpha: float, columns: dict[str, Any], notes: list[str]
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
    tables: RunTables, settings: AnalysisSettings, hypothesis: Hypothesis, scores: np.ndarray, result: _Result
) -> None:
    """Test the adjusted difference of ``scores`` between two groups of samples."""
    group = hypothesis.group
    assert group is not None, "only a hypothesis on groups comes here"
    try:
        comparison = comparisons_of(tables, replace(settings, groups=(group,)))[0]
    except SettingsError as error:
        raise CannotTestError(str(error).removesuffix(".")) from error
    columns = result.columns
    columns["tested_as"] += f", {comparison.label_a} minus {comparison.label_b}"
    if comparison.problem:
        raise CannotTestError(comparison.problem.removesuffix("."))
    rare = rare_statistics(tables, comparison)
    for name in (hypothesis.key_group, hypothesis.versus):
        # Log-odds and lifts are known only of samples that hold the key group, so what samples hold cannot move them.
        key_group = tables.vocabulary if name == "vocabulary" else name
        if hypothesis.scale == "value" and (note := rare.get(f"{MASS_PREFIX}{key_group}")):
            raise CannotTestError(note)
    values = scores[comparison.is_member, None]
    known = ~np.isnan(values[:, 0])
    samples = model_samples(tables, settings, comparison)
    columns |= {"num_samples": int(known.sum()), "num_a": int((known & samples.is_a).sum())}
    columns |= {"num_b": columns["num_samples"] - columns["num_a"]}
    found = adjusted_effects(values, samples, 1 - settings.alpha)
    ranked = adjusted_effects(normal_scores(values), samples)
    for name in ("effect", "ci_low", "ci_high", "pvalue", "degrees_of_freedom"):
        columns[name] = float(getattr(found, name)[0])
    columns |= {"num_clusters": int(found.num_clusters[0]), "method": str(found.method[0])}
    if np.isnan(found.pvalue[0]):
        raise CannotTestError(str(found.note[0]) or "no error can be estimated")
    columns["pvalue_ranks"] = float(ranked.pvalue[0])
    standardizer = hedges_standardizer(values[known & samples.is_a], values[known & ~samples.is_a])
    columns["effect_size"] = columns["effect"] / float(standardizer[0])


def sentences(table: pl.DataFrame, alpha: float = 0.05) -> list[str]:
    """Say of each hypothesis what was tested, what came out, and why nothing did."""
    return [_sentence(row, alpha) for row in table.to_dicts()]


def _sentence(row: Mapping[str, Any], alpha: float) -> str:
    start = f"Hypothesis “{row['text'] or row['hypothesis']}”: {row['verdict']}."
    if row["verdict"] in (CANNOT, NOT_UNDERSTOOD):
        return f"{start} {_capital((row['note'] or 'no reason known').removeprefix(f'{NOT_UNDERSTOOD}. '))}."
    scale = 100 if row["unit"].startswith(SHARE) else 1
    unit = row["unit"].replace(SHARE, "percentage points")
    effect = f"{scale * row['effect']:+.3g} {unit}"
    interval = f"{interval_name(alpha)} {scale * row['ci_low']:+.3g} to {scale * row['ci_high']:+.3g}"
    if row["unit"].startswith("log-odds"):
        low, high = np.exp(row["ci_low"]), np.exp(row["ci_high"])
        each = " per layer" if "per layer" in row["unit"] else ""
        interval += f"; the odds are {np.exp(row['effect']):.2f} times as high{each}, {low:.2f} to {high:.2f}"
    ending = {"two-sided": "other than 0"}.get(row["direction"], f"{row['direction']} than 0")
    size = f"{count_text(row['num_samples'], 'sample')} of {count_text(row['num_clusters'], 'cluster')}"
    note = f" {_capital(row['note'])}." if row["note"] else ""
    undecided = (
        " This many samples do not show it; that is no evidence against it." if row["verdict"] == NOT_DECIDED else ""
    )
    return (
        f"{start} Tested: {row['tested_as']}, expected {ending}. It is {effect} ({interval}; {size}; adjusted "
        f"{p_text(row['pvalue_adjusted'])}, on ranks {p_text(row['pvalue_ranks_adjusted'])}).{undecided}{note}"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:].removesuffix(".")
