"""What differs between groups of samples, in plain sentences: heads, stretches of layers, and where it holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analyses.analysis_tables import AnalysisTables
from analyses.comparisons import Comparison
from analyses.design import INSEPARABLE, LABEL, Cell, Samples, cells
from analyses.group_differences import is_certain
from analyses.layer_clusters import NO_STRETCH
from analyses.wording import (
    count_text,
    difference_text,
    key_group_label,
    p_text,
    query_group_label,
    statistic_label,
    value_text,
)
from engine.schema import MASS_PREFIX

NUM_STRONGEST = 5
"""Heads told of as sentences, each by its strongest difference; the table holds all."""

FEW_SAMPLES = 20
"""A group, or a number of clusters, below this is too small to say much; the report says so."""


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
        # Bootstrap p-values tie, t hardly ever does.
        size = (pl.col("difference") / pl.col("standard_error")).abs()
        found = found.sort(~is_certain(tables.settings.alpha), "pvalue", -size, nulls_last=True)
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
        f"Head {row['layer']}.{row['head']} ({query_group_label(row['query_group'])}){_lift_text(row, confidence)}: "
        f"{statistic_label(name).lower()} is {value_text(name, row['mean_a'])} in {labels[0]} and "
        f"{value_text(name, row['mean_b'])} in {labels[1]} samples; {adjusted} "
        f"{difference_text(name, row['difference'])} ({confidence} interval {difference_text(name, row['ci_low'])} to "
        f"{difference_text(name, row['ci_high'])}, unadjusted Hedges g {row['effect_size']:+.2f}, adjusted "
        f"{p_text(row['pvalue_adjusted'])}{max_t}; n = {row['num_a']:,} and {row['num_b']:,} in "
        f"{count_text(row['num_clusters'], 'cluster')}; replicated: {replicated}).{caution}{others}"
    )


_CONFOUNDED = "cannot be told from the predicted label here: the difference may be that of the label."


def _lift_text(row: dict[str, Any], confidence: str) -> str:
    """Return how often the head looks at the words in question, over uniform attention; empty where unknown."""
    if row.get("lift") is None or row.get("lift_ci_low") is None:
        return ""
    return (
        f" looks at {key_group_label(row['statistic'].removeprefix(MASS_PREFIX))} {row['lift']:.2f} times as often as "
        f"uniform attention would ({confidence} interval {row['lift_ci_low']:.2f} to {row['lift_ci_high']:.2f})"
    )


def layer_cluster_sentences(tables: AnalysisTables) -> list[str]:
    """Say over which neighbouring layers a statistic differs, heads averaged, or that none does."""
    sentences: list[str] = []
    for comparison in tables.comparisons:
        rows = tables.layer_clusters.filter(pl.col("comparison") == comparison.name)
        tested = rows.drop_nulls("pvalue_adjusted").sort("pvalue_adjusted", "pvalue")
        if rows.is_empty():
            continue
        if not tables.settings.permutations:
            sentences.append(
                f"Comparison {comparison.name}, heads averaged: stretches of layers were not tested, because "
                "analysis.permutations is 0."
            )
            continue
        if tested.is_empty() and NO_STRETCH not in rows["note"]:
            sentences.append(
                f"Comparison {comparison.name}, heads averaged: stretches of layers could not be tested: "
                f"{rows['note'].drop_nulls().first()}."
            )
            continue
        found = tested.filter(pl.col("pvalue_adjusted") <= tables.settings.alpha)
        if found.is_empty():
            smallest = f" (smallest adjusted {p_text(tested['pvalue_adjusted'][0])})" if len(tested) else ""
            sentences.append(
                f"Comparison {comparison.name}, heads averaged: no stretch of neighbouring layers differs{smallest}."
            )
        labels = comparison.label_a, comparison.label_b
        sentences.extend(_stretch_sentence(row, labels) for row in found.head(NUM_STRONGEST).to_dicts())
    return sentences


def _stretch_sentence(row: dict[str, Any], labels: tuple[str, str]) -> str:
    first, last, name = row["first_layer"], row["last_layer"], row["statistic"]
    layers = f"layer {first}" if first == last else f"layers {first} to {last}"
    several = " Some layer of the stretch differs; which ones, this test does not say." if first < last else ""
    return (
        f"Comparison {row['comparison']}, heads averaged: {statistic_label(name).lower()} "
        f"({query_group_label(row['query_group'])}) is {'higher' if row['mass'] > 0 else 'lower'} in {labels[0]} "
        f"than in {labels[1]} samples over {layers} (cluster mass {row['mass']:+.1f}, adjusted "
        f"{p_text(row['pvalue_adjusted'])}, most in layer {row['peak_layer']}, mean difference "
        f"{difference_text(name, row['difference'])}; n = {row['num_a']:,} and {row['num_b']:,} in "
        f"{count_text(row['num_clusters'], 'cluster')}).{several}"
    )


def stratum_sentences(tables: AnalysisTables) -> list[str]:
    """Say of each column of strata how many findings keep their sign in every part, and how many are significant."""
    sentences: list[str] = []
    found = tables.replication_by_stratum.filter("is_finding")
    for name, rows in tables.replication_by_stratum.group_by("comparison", maintain_order=True):
        if not rows["is_finding"].any():
            columns = ", ".join(str(column).replace("_", " ") for column in rows["stratum_column"].unique().sort())
            sentences.append(
                f"Comparison {name[0]}: no finding to look for again within parts of the samples (by {columns}); "
                "replication_by_stratum has the strongest tests."
            )
    keys = ["query_group", "statistic", "layer", "head"]
    for (name, column), rows in found.group_by("comparison", "stratum_column", maintain_order=True):
        per_finding = rows.group_by(keys).agg(
            keeps=pl.col("keeps_sign").fill_null(False).all(),
            known=pl.col("keeps_sign").is_not_null().all(),
            everywhere=pl.col("is_significant").fill_null(False).all(),
        )
        parts = count_text(rows["stratum"].n_unique(), "part")
        start = f"Comparison {name}, by {str(column).replace('_', ' ')} ({parts})"
        tested = per_finding.filter("known")
        keeping, everywhere = int(tested["keeps"].sum()), int(tested["everywhere"].sum())
        total = count_text(len(per_finding), "finding")
        if tested.is_empty():
            why = next(iter(rows.filter(pl.col("keeps_sign").is_null())["note"].drop_nulls()), "too few samples")
            sentences.append(f"{start}: none of {total} could be tested in every part ({why}).")
            continue
        those = total if len(tested) == len(per_finding) else f"the {len(tested):,} of {total} tested in every part"
        sentences.append(
            f"{start}: {keeping:,} of {those} keep their sign in every part, {everywhere:,} are significant in every "
            "part. The parts are of the same samples that the findings were made on."
        )
    return sentences
