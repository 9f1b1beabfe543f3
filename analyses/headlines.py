"""The report in short: at most six sentences, the most decisive ones; everything else is in its section."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from analyses.analysis_tables import AnalysisTables
from analyses.causal_values import MEASURED, has_causes
from analyses.group_differences import is_certain
from analyses.hypotheses import CONTRADICTED, SUPPORTED
from analyses.summaries import Overview
from analyses.wording import count_text, p_text, percent_text

MAX_HEADLINES = 6


def headlines(tables: AnalysisTables, overview: Overview, sentences: Mapping[str, Sequence[str]]) -> list[str]:
    """Return how well the model did, whether heads differ, whether they know, what was asked, and what causes.

    Parameters
    ----------
    tables, overview
        The analysis.
    sentences
        As from ``findings.findings``.
    """
    told = [
        _accuracy(overview),
        *_differences(tables, sentences["difference_map"]),
        *([sentences["decodability"][0]] if tables.decodability["auroc"].is_not_null().any() else []),
        _hypotheses(tables),
        _causes(tables, sentences),
    ]
    words = sentences["key_group_lift"][:1] or sentences["key_group_weight"][:1]
    kept = [sentence for sentence in told if sentence]
    return [*kept, *words][:MAX_HEADLINES]


def _accuracy(overview: Overview) -> str:
    rows = {row["measure"]: row for row in overview.accuracy.to_dicts()}
    row = rows.get("accuracy")
    if row is None or not row["num_samples"]:
        return "How well the model did is not known: no sample has a known true label."
    always = next((name for name in rows if name.startswith("always ")), None)
    beside = f"; {always} would be right in {percent_text(rows[always]['value'])}" if always else ""
    return (
        f"The model was right in {percent_text(row['value'])} of {count_text(row['num_samples'], 'prediction')} "
        f"({row['method']} interval {percent_text(row['ci_low'])} to {percent_text(row['ci_high'])}){beside}."
    )


def _differences(tables: AnalysisTables, told: Sequence[str]) -> list[str]:
    """Return the verdict on the first comparison, and a warning of few samples or else the strongest finding."""
    warning = [line for line in told if line.startswith("Beware")][:1]
    is_any = tables.tested.filter(is_certain(tables.settings.alpha)).height > 0
    strongest = [line for line in told if line.startswith("Head ")][:1] if is_any else []
    return [*map(_alone, told[:1]), *(warning or strongest)]


def _hypotheses(tables: AnalysisTables) -> str:
    verdicts = tables.hypotheses["verdict"]
    if verdicts.is_empty():
        return ""
    counts = verdicts.value_counts(sort=True)
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.iter_rows())
    decided = tables.hypotheses.filter(pl.col("verdict").is_in([SUPPORTED, CONTRADICTED]))
    named = "; ".join(
        f"“{row['text']}” is {row['verdict']}, adjusted {p_text(row['pvalue_adjusted'])}, n = {row['num_samples']:,}"
        for row in decided.to_dicts()
    )
    return f"Of {count_text(len(verdicts), 'hypothesis')}: {told}{f' ({named})' if named else ''}."


def _causes(tables: AnalysisTables, sentences: Mapping[str, Sequence[str]]) -> str:
    if not has_causes(tables.run):
        return "No cause was measured: nothing here shows which head matters for the answer."
    kinds = [kind.capitalize() for kind in MEASURED]
    lines = [*sentences.get("causal_map", ()), *sentences.get("knockout_curves", ())]
    verdicts = [line for line in lines if line.split(":")[0] in kinds] or lines
    return _alone(verdicts[0]) if verdicts else ""


def _alone(sentence: str) -> str:
    """Return a verdict without its pointer to the sentences that follow it in its section."""
    return re.sub(r" Below, the (largest|strongest per head, at most \d+)\.", "", sentence)
