"""Findings in plain sentences, each with n, interval, adjusted p and replication, in the weakest honest wording."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analyses.analysis_tables import AnalysisTables
from analyses.attention_profiles import EVERYONE
from analyses.design import INSEPARABLE, LABEL, Cell, Samples, cells
from analyses.group_differences import Comparison, is_certain
from analyses.head_types import random_note
from analyses.wording import (
    count_text,
    difference_text,
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

NUM_STRONGEST = 5
"""Heads told of as sentences, each by its strongest difference; the table holds all."""

FEW_SAMPLES = 20
"""A group, or a number of clusters, below this is too small to say much; the report says so."""


def findings(tables: AnalysisTables) -> dict[str, list[str]]:
    """Return sentences by the name of the chart they belong to."""
    return {
        "key_group_weight": _key_group_sentences(tables, "mass"),
        "key_group_lift": _key_group_sentences(tables, "lift"),
        "difference_map": difference_sentences(tables),
        "layer_profile": _layer_sentences(tables),
        "head_type_map": _head_type_sentences(tables),
        "decision_top_tokens": _top_token_sentences(tables),
    }


def difference_sentences(tables: AnalysisTables) -> list[str]:
    """Say which heads differ between the groups of each comparison, or that none does."""
    if not tables.comparisons:
        return ["No comparison is configured (analysis.groups is empty)."]
    sentences: list[str] = []
    for comparison in tables.comparisons:
        if comparison.problem:
            sentences.append(comparison.problem)
            continue
        tested = tables.tests_of(comparison.name).drop_nulls("pvalue")
        found = tested.filter(pl.col("pvalue_adjusted") <= tables.settings.alpha)
        found = found.sort(~is_certain(tables.settings.alpha), "pvalue", nulls_last=True)
        sentences.append(_verdict(tables, comparison.name, tested, found))
        sentences.extend(_size_warning(tables, comparison))
        labels = comparison.label_a, comparison.label_b
        counted = found.with_columns(others=pl.len().over("query_group", "layer", "head") - 1)
        strongest = counted.unique(["query_group", "layer", "head"], keep="first", maintain_order=True)
        sentences.extend(difference_sentence(tables, row, labels) for row in strongest.head(NUM_STRONGEST).to_dicts())
    return sentences


def _verdict(tables: AnalysisTables, name: str, tested: pl.DataFrame, found: pl.DataFrame) -> str:
    alpha, correction = tables.settings.alpha, _CORRECTIONS[tables.settings.correction]
    checks = "on ranks too, and by max-T" if tested["pvalue_max_t"].is_not_null().any() else "on ranks too"
    if tested.is_empty():
        notes = tables.tests_of(name)["note"].drop_nulls().value_counts(sort=True)["note"]
        why = f": {notes[0]}" if len(notes) else ""
        return f"Comparison {name}: no test could be made{why}. The notes in group_differences say why for each."
    if found.is_empty():
        best = tested.sort("pvalue").row(0, named=True)
        return (
            f"Comparison {name}: none of {count_text(len(tested), 'test')} is significant (adjusted by {correction} "
            f"at {alpha:g}). The smallest adjusted p is {best['pvalue_adjusted']:.2g} (head {best['layer']}."
            f"{best['head']}, {statistic_label(best['statistic']).lower()}). That is no evidence that nothing differs, "
            "only that this many samples do not show it."
        )
    certain = found.filter(is_certain(alpha))
    strongest = f" Below, the strongest per head, at most {NUM_STRONGEST}." if len(found) > 1 else ""
    if certain.is_empty():
        return (
            f"Comparison {name}: {len(found):,} of {count_text(len(tested), 'test')} "
            f"{'passes' if len(found) == 1 else 'pass'} {correction} at {alpha:g}, but not {checks}. A few large "
            f"values can do that when a group is small: a hint, no finding; {_replication_text(found)}.{strongest}"
        )
    weaker = len(found) - len(certain)
    hints = f" Another {weaker:,} {'passes' if weaker == 1 else 'pass'} {correction} alone, a hint." if weaker else ""
    return (
        f"Comparison {name}: {len(certain):,} of {count_text(len(tested), 'test')} "
        f"{'is' if len(certain) == 1 else 'are'} significant (adjusted by {correction} at {alpha:g}, {checks}); "
        f"{_replication_text(certain)}.{hints}{strongest}"
    )


def _replication_text(found: pl.DataFrame) -> str:
    if not found["is_replicated"].is_not_null().any():
        return "replication was not tested"
    return f"{int(found['is_replicated'].fill_null(False).sum()):,} of them also replicate on clusters kept apart"


_CORRECTIONS = {
    "fdr_bh": "Benjamini-Hochberg",
    "fdr_by": "Benjamini-Yekutieli",
    "holm": "Holm",
    "bonferroni": "Bonferroni",
}


def _size_warning(tables: AnalysisTables, comparison: Comparison) -> list[str]:
    """Warn of few samples where it matters: in a group, in a group of one predicted label, in the clusters, in t."""
    tested = tables.tests_of(comparison.name).drop_nulls("pvalue")
    if tested.is_empty():
        return []
    most = tested.select(pl.max("num_a", "num_b", "num_clusters")).row(0)
    freedom = tested["degrees_of_freedom"].max()
    sizes = [
        (most[0], f'{count_text(most[0], "sample")} in group "{comparison.label_a}"'),
        (most[1], f'{count_text(most[1], "sample")} in group "{comparison.label_b}"'),
        (most[2], count_text(most[2], "cluster")),
    ]
    if isinstance(freedom, float):
        sizes.append((freedom, f"{freedom:.1f} degrees of freedom"))
    if f" + {LABEL}" in tested["method"][0]:
        sizes.extend((cell.num_samples, str(cell)) for cell in _cells(tables, comparison)[:1])
    few = [text for size, text in sizes if size < FEW_SAMPLES]
    if not few:
        return []
    return [
        f"Beware of small numbers: {'; '.join(few)}. With so few, p-values and intervals are rough and only very large "
        "differences can show."
    ]


def _cells(tables: AnalysisTables, comparison: Comparison) -> list[Cell]:
    member = comparison.is_member
    labels = tables.run.samples["predicted_label"].fill_null("unknown").to_numpy()[member]
    names = comparison.label_a, comparison.label_b
    return cells(Samples(comparison.is_a[member], np.zeros(len(labels), np.int64), labels, {}, names))


def _is_inseparable(method: str | None) -> bool:
    return f"{LABEL} ({INSEPARABLE})" in (method or "")


def difference_sentence(tables: AnalysisTables, row: dict[str, Any], labels: tuple[str, str]) -> str:
    """Say one row of ``group_differences`` in words; ``others`` counts further findings on the same head and rows."""
    name, confidence = row["statistic"], f"{100 * (1 - tables.settings.alpha):g} %"
    replicated = {True: "yes", False: "no", None: "not tested"}[row["is_replicated"]]
    others = f" It also differs in {count_text(row['others'], 'other statistic')}." if row.get("others") else ""
    max_t = "" if row["pvalue_max_t"] is None else f", max-T {p_text(row['pvalue_max_t'])}"
    checks = {"max-T": row["pvalue_max_t"], "ranks": row["pvalue_ranks_adjusted"]}
    failed = [check for check, pvalue in checks.items() if pvalue is not None and pvalue > tables.settings.alpha]
    if failed:
        max_t += f": significant by {_CORRECTIONS[tables.settings.correction]} alone, not by {' or '.join(failed)}"
    adjusted = "difference (not adjusted for the label)" if _is_inseparable(row["method"]) else "adjusted difference"
    is_label = set(labels) <= set(tables.run.samples["predicted_label"])
    is_confounded = _is_inseparable(row["method"]) and not is_label
    caution = f" {labels[0].capitalize()} and {labels[1]} {_CONFOUNDED}" if is_confounded else ""
    return (
        f"Head {row['layer']}.{row['head']} ({query_group_label(row['query_group'])}): {statistic_label(name).lower()} "
        f"is {value_text(name, row['mean_a'])} in {labels[0]} and {value_text(name, row['mean_b'])} in {labels[1]} "
        f"samples; {adjusted} {difference_text(name, row['difference'])} ({confidence} interval "
        f"{difference_text(name, row['ci_low'])} to {difference_text(name, row['ci_high'])}, unadjusted Hedges "
        f"g {row['effect_size']:+.2f}, adjusted {p_text(row['pvalue_adjusted'])}{max_t}; n = {row['num_a']:,} and "
        f"{row['num_b']:,} in {count_text(row['num_clusters'], 'cluster')}; replicated: {replicated}).{caution}{others}"
    )


_CONFOUNDED = "cannot be told from the predicted label here: the difference may be that of the label."


def _key_group_sentences(tables: AnalysisTables, measure: str) -> list[str]:
    rows = tables.key_group_attention.filter(
        (pl.col("measure") == measure) & pl.col("kind").is_in(["union", "category"])
    )
    if rows.is_empty():
        return []
    query_group = "decision" if "decision" in rows["query_group"] else rows["query_group"][0]
    here = rows.filter((pl.col("group") == EVERYONE) & (pl.col("query_group") == query_group)).drop_nulls("mean")
    sentences: list[str] = []
    shown = here.filter(pl.col("kind") == "category").sort("mean", descending=True)
    if len(shown) > 1:
        most, least = shown.row(0, named=True), shown.row(-1, named=True)
        sentences.append(
            f"Attention of the {query_group_label(query_group)}, averaged over heads: "
            f"{_most_and_least(measure, most, least)} (n = {most['num_samples']:,}, "
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
            f"samples differ by {ends[0]} (interval {ends[1]} to {ends[2]}, adjusted {p_text(row['pvalue_adjusted'])})."
        )
    return sentences


def _most_and_least(measure: str, most: dict[str, Any], least: dict[str, Any]) -> str:
    names = key_group_label(most["key_group"]), key_group_label(least["key_group"])
    told = percent_text if measure == "mass" else _times
    interval = f"interval {told(most['ci_low'])} to {told(most['ci_high'])}"
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
        interval = f"interval {value_text(name, high['ci_low'])} to {value_text(name, high['ci_high'])}"
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
    told = ", ".join(f"{count:,} {name}" for name, count in counts.iter_rows())
    sentences = [f"Of {count_text(len(tables.head_types), 'head')}: {told}."]
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
        f"(interval {percent_text(row['ci_low'])} to {percent_text(row['ci_high'])})"
        for row in rows
    ]
    return [f"Heaviest on average: {', '.join(told)}; n = {rows[0]['num_samples']:,} samples."]
