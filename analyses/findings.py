"""Findings in plain sentences, each with n, interval, adjusted p and replication, in the weakest honest wording.

Those on differences between groups of samples are in ``analyses.group_findings``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from analyses import correlations, decodability, hypotheses, power
from analyses.analysis_tables import AnalysisTables
from analyses.attention_profiles import EVERYONE
from analyses.causal_findings import causal_sentences, cause_text
from analyses.group_findings import NUM_STRONGEST, difference_sentences, layer_cluster_sentences, stratum_sentences
from analyses.head_types import random_note
from analyses.wording import (
    count_text,
    difference_text,
    head_type_label,
    interval_name,
    key_group_label,
    p_text,
    percent_text,
    query_group_label,
    statistic_label,
    value_text,
    visible_token,
)

CAVEAT = (
    "Attention describes where a head reads from, not why the model answers as it does. A difference between right and "
    "wrong predictions is an association: other things differ between these samples too. Whether a head matters for "
    "the answer can only be shown by intervening on it."
)


ANSWERS: Mapping[str, str] = {
    "decodability": "Do the heads know?",
    "hypotheses": "Hypotheses",
    "correlations": "Confident and uncertain answers",
    "power": "How small an effect could be seen",
}
"""Headings of the tables whose sentences the report always has, with a chart or without."""

_HEAD = re.compile(r"Head (\d+)\.(\d+) ")
"""How a sentence about one head begins."""

FIRM = 0.95
"""Share of resamples in which a type must stay the same to be called firm."""


def findings(tables: AnalysisTables) -> dict[str, list[str]]:
    """Return sentences by the name of the chart they belong to, or of the table in ``ANSWERS``.

    Every claim about a head ends with what intervening on it did, or that nobody did.
    """
    told = {
        "key_group_weight": _key_group_sentences(tables, "mass"),
        "key_group_lift": _key_group_sentences(tables, "lift"),
        "difference_map": [
            *difference_sentences(tables),
            *layer_cluster_sentences(tables),
            *stratum_sentences(tables),
        ],
        "layer_profile": _layer_sentences(tables),
        "head_type_map": _head_type_sentences(tables),
        "decision_top_tokens": _top_token_sentences(tables),
        "decodability": decodability.sentences(
            tables.decodability,
            tables.settings.alpha,
            tables.settings.predicted.permutations if tables.settings.predicted else None,
        )
        or ["Nothing was predicted from the heads: analysis.decodability is turned off."],
        "hypotheses": _hypothesis_sentences(tables) or ["No hypothesis is configured."],
        "correlations": correlations.sentences(tables.correlations, tables.settings.alpha)
        or ["Nothing was correlated: analysis.correlations is empty."],
        "power": power.sentences(tables.power, _first_shown(tables)) or ["No comparison is configured."],
    }
    claims = {name: [f"{line}{_cause_of(tables, line)}" for line in lines] for name, lines in told.items()}
    return claims | causal_sentences(tables)


def _first_shown(tables: AnalysisTables) -> tuple[str, str]:
    return _decision(tables), f"mass_{tables.vocabulary}"


def _hypothesis_sentences(tables: AnalysisTables) -> list[str]:
    """Tell of each hypothesis; those that this run's samples cannot test share one sentence."""
    is_untestable = pl.col("verdict") == hypotheses.CANNOT
    untestable = tables.hypotheses.filter(is_untestable)
    told = hypotheses.sentences(tables.hypotheses.filter(~is_untestable), tables.settings.alpha)
    if len(untestable) < 2:
        return told + hypotheses.sentences(untestable, tables.settings.alpha)
    named = "; ".join(
        f"“{text or name}” ({note or 'no reason known'})"
        for name, text, note in untestable.select("hypothesis", "text", "note").iter_rows()
    )
    return [*told, f"{count_text(len(untestable), 'hypothesis')} cannot be tested here: {named}."]


def _cause_of(tables: AnalysisTables, line: str) -> str:
    head = _HEAD.match(line)
    return cause_text(tables, int(head[1]), int(head[2])) if head else ""


def _key_group_sentences(tables: AnalysisTables, measure: str) -> list[str]:
    rows = tables.key_group_attention.filter(
        (pl.col("measure") == measure) & pl.col("kind").is_in(["union", "category"])
    )
    if rows.is_empty():
        return []
    query_group = "decision" if "decision" in rows["query_group"] else rows["query_group"][0]
    here = rows.filter((pl.col("group") == EVERYONE) & (pl.col("query_group") == query_group)).drop_nulls("mean")
    sentences: list[str] = []
    level = interval_name(tables.settings.alpha)
    shown = here.filter(pl.col("kind") == "category").sort("mean", descending=True)
    if len(shown) > 1:
        most, least = shown.row(0, named=True), shown.row(-1, named=True)
        sentences.append(
            f"Attention of the {query_group_label(query_group)}, averaged over heads: "
            f"{_most_and_least(measure, most, least, level)} (n = {most['num_samples']:,}, "
            f"{count_text(most['num_clusters'], 'cluster')})."
        )
    compared = rows.filter(pl.col("group") == EVERYONE).drop_nulls("pvalue")
    if compared.is_empty() or tables.comparison is None:
        return sentences
    found = compared.filter(pl.col("pvalue_adjusted") <= tables.settings.alpha).sort("pvalue")
    labels = f"{tables.comparison.label_a} and {tables.comparison.label_b}"
    if found.is_empty():
        smallest = p_text(compared.select(pl.col("pvalue_adjusted").min()).item())
        sentences.append(
            f"No kind of word differs significantly between {labels} samples when heads are averaged (smallest "
            f"adjusted {smallest})."
        )
    for row in found.head(NUM_STRONGEST).to_dicts():
        ends = [_measured(measure, row[name]) for name in ("difference", "difference_ci_low", "difference_ci_high")]
        sentences.append(
            f"{key_group_label(row['key_group']).capitalize()} ({query_group_label(row['query_group'])}): {labels} "
            f"samples differ by {ends[0]} ({level} {ends[1]} to {ends[2]}, adjusted {p_text(row['pvalue_adjusted'])})."
        )
    return sentences


def _most_and_least(measure: str, most: dict[str, Any], least: dict[str, Any], name: str) -> str:
    names = key_group_label(most["key_group"]), key_group_label(least["key_group"])
    told = percent_text if measure == "mass" else _times
    interval = f"{name} {told(most['ci_low'])} to {told(most['ci_high'])}"
    high, low = told(most["mean"]), told(least["mean"])
    if measure == "mass":
        return f"of the vocabulary, {names[0]} get the most ({high}, {interval}) and {names[1]} the least ({low})"
    return (
        f"of the vocabulary, {names[0]} get {high} times what uniform attention would give ({interval}), the most, and "
        f"{names[1]} {low} times, the least"
    )


def _times(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _measured(measure: str, value: float | None) -> str:
    if measure == "mass":
        return difference_text("mass_", value)
    return "unknown" if value is None else f"{value:+.2f} times uniform"


def _layer_sentences(tables: AnalysisTables) -> list[str]:
    vocabulary = f"mass_{tables.vocabulary}"
    rows = tables.layer_profiles.filter((pl.col("group") == EVERYONE) & (pl.col("query_group") == _decision(tables)))
    sentences: list[str] = []
    for name in (vocabulary, "entropy_normalized"):
        ordered = rows.filter(pl.col("statistic") == name).drop_nulls("mean").sort("mean", descending=True)
        if len(ordered) < 2:
            continue
        high, low = ordered.row(0, named=True), ordered.row(-1, named=True)
        ends = f"{value_text(name, high['ci_low'])} to {value_text(name, high['ci_high'])}"
        interval = f"{interval_name(tables.settings.alpha)} {ends}"
        sentences.append(
            f"{statistic_label(name)} ({query_group_label(_decision(tables))}) is highest in layer {high['layer']} "
            f"({value_text(name, high['mean'])}, {interval}) and lowest in layer {low['layer']} "
            f"({value_text(name, low['mean'])}); n = {high['num_samples']:,}."
        )
    return sentences


def _decision(tables: AnalysisTables) -> str:
    groups = tables.run.query_groups
    return "decision" if "decision" in groups else groups[0] if groups else ""


def _head_type_sentences(tables: AnalysisTables) -> list[str]:
    counts = tables.head_types["head_type"].value_counts(sort=True)
    if counts.is_empty():
        return []
    told = ", ".join(f"{count:,} {head_type_label(name)}" for name, count in counts.iter_rows())
    sentences = [f"Of {count_text(len(tables.head_types), 'head')}: {told}."]
    stability = tables.head_types["type_stability"].drop_nulls()
    if len(stability):
        num_firm = int((stability >= FIRM).sum())
        num_others = len(stability) - num_firm
        others = "; the others lie near a threshold" if num_others > 1 else "; the other one lies near a threshold"
        others = others if num_others else ""
        sentences.append(
            f"{num_firm:,} of them keep their type in at least {percent_text(FIRM)} of the resamples of the clusters"
            f"{others}."
        )
    if tables.head_types["random_lift"].is_null().all() and tables.vocabulary:
        sentences.append(
            f"No random vocabularies were collected, so {tables.vocabulary} heads are judged against uniform attention "
            "only: a head that prefers rare or early words in general would count too."
        )
    elif (note := random_note(tables.run)) and tables.vocabulary:
        sentences.append(
            f"{note[0].upper()}{note[1:]}; {tables.vocabulary} heads exceed each of them, which is no significance."
        )
    return sentences


def _top_token_sentences(tables: AnalysisTables) -> list[str]:
    found = tables.decision_top_tokens
    if found is None:
        return []
    rows = found.filter(pl.col("group") == EVERYONE).sort("rank").head(3).to_dicts()
    told = [
        f"“{visible_token(row['token'])}” {percent_text(row['mean'])} "
        f"({interval_name(tables.settings.alpha)} {percent_text(row['ci_low'])} to {percent_text(row['ci_high'])})"
        for row in rows
    ]
    return [f"Heaviest on average: {', '.join(told)}; n = {rows[0]['num_samples']:,} samples."]
