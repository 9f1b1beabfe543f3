"""The text report and the two JSON files, which keep the top-level keys of the users' old script."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from analyses.analysis_tables import AnalysisTables
from analyses.attention_profiles import EVERYONE
from analyses.comparisons import Comparison
from analyses.figures import CHAPTERS, absent_parts
from analyses.findings import CAVEAT, FIRM
from analyses.group_differences import is_certain
from analyses.methods import method_lines
from analyses.report_content import ReportContent
from analyses.run_tables import RunTables
from analyses.summaries import Overview
from analyses.wording import count_text, percent_text

NUM_LISTED = 50
"""Tests that the JSON lists per section, the strongest first; the table holds all."""


def attention_results(tables: AnalysisTables, overview: Overview) -> dict[str, Any]:
    """Return the content of ``attention_analysis_results.json``: summaries per group of samples, no matrices."""
    shown = tables.comparison
    is_correctness = shown is not None and (shown.label_a, shown.label_b) == ("correct", "incorrect")
    labels = ("correct", "incorrect") if is_correctness else (None, None)
    return _clean(
        {
            "correct_predictions": _group_summary(tables, True, labels[0]),
            "incorrect_predictions": _group_summary(tables, False, labels[1]),
            "attention_patterns": _attention_summary(tables, EVERYONE)
            | {
                "head_types": dict(tables.head_types["head_type"].value_counts(sort=True).iter_rows()),
                "num_layers": tables.run.num_layers,
                "num_heads": tables.run.num_heads,
            },
            "run": dict(overview.facts),
            "is_partial": tables.run.is_partial,
            "left_out": dict(tables.run.left_out.problems),
            "accuracy": overview.accuracy.to_dicts(),
            "confusion": overview.confusion.to_dicts(),
            "rejects": overview.rejects.to_dicts(),
            "decision_tokens": overview.decision_tokens.head(tables.look.max_tokens).to_dicts(),
            "decision_top_tokens": []
            if tables.decision_top_tokens is None
            else tables.decision_top_tokens.filter(pl.col("group") == EVERYONE).to_dicts(),
        }
    )


def _group_summary(tables: AnalysisTables, is_correct: bool, label: str | None) -> dict[str, Any]:
    num_samples = tables.run.samples.filter(pl.col("is_correct") == is_correct).height
    return {"num_samples": num_samples} | (_attention_summary(tables, label) if label else {})


def _attention_summary(tables: AnalysisTables, label: str) -> dict[str, Any]:
    """Return weight and lift per key group, and every statistic per layer, of one group of samples."""
    attention: dict[str, Any] = {}
    for row in tables.key_group_attention.filter(pl.col("group") == label).to_dicts():
        told = {name: row[name] for name in ("mean", "ci_low", "ci_high", "num_samples", "num_clusters")}
        attention.setdefault(row["query_group"], {}).setdefault(row["key_group"], {})[row["measure"]] = told
    profiles: dict[str, Any] = {}
    ordered = tables.layer_profiles.filter(pl.col("group") == label).sort("layer")
    for (query_group, statistic), rows in ordered.group_by("query_group", "statistic", maintain_order=True):
        profiles.setdefault(str(query_group), {})[str(statistic)] = rows["mean"].round_sig_figs(5).to_list()
    return {"key_group_attention": attention, "layer_profiles": profiles}


def comparison_results(tables: AnalysisTables, sentences: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the content of ``comparison_analysis_results.json``."""
    vocabulary = tables.key_group_attention.filter(
        (pl.col("group") == EVERYONE) & pl.col("kind").is_in(["union", "category"])
    )
    wanted = ("query_group", "key_group", "measure", "difference", "difference_ci_low", "difference_ci_high")
    settings = tables.settings
    return _clean(
        {
            "financial_attention_differences": vocabulary.select(*wanted, "pvalue", "pvalue_adjusted").to_dicts(),
            "head_specialization_differences": {
                "head_types": dict(tables.head_types["head_type"].value_counts(sort=True).iter_rows()),
                "strongest_per_type": _strongest_per_type(tables),
                "type_stability": _type_stability(tables),
            },
            "statistical_differences": {
                comparison.name: _family_summary(tables, comparison) for comparison in tables.comparisons
            },
            "layer_clusters": tables.layer_clusters.drop_nulls("pvalue").sort("pvalue").head(NUM_LISTED).to_dicts(),
            **answer_results(tables),
            "replication_by_stratum": tables.replication_by_stratum.filter("is_finding").head(NUM_LISTED).to_dicts(),
            "settings": {
                "alpha": settings.alpha,
                "families": [dict(family) for family in settings.families],
                "correction": settings.correction,
                "errors": settings.errors,
                "permutations": settings.permutations,
                "cluster_by": settings.cluster_by,
                "covariates": list(settings.covariates),
                "confirmation_fraction": settings.confirmation_fraction,
                "strata": list(settings.strata),
                "correlations": list(settings.correlations),
                "decodability": asdict(settings.predicted) if settings.predicted else None,
                "hypotheses": None if settings.hypotheses is None else list(settings.hypotheses),
                "seed": tables.run.seed,
            },
            "findings": dict(sentences),
            "caveat": CAVEAT,
        }
    )


def answer_results(tables: AnalysisTables) -> dict[str, Any]:
    """Return what was predicted, asked and correlated: whole tables, and of the correlations the strongest."""
    tested = tables.correlations.sort("pvalue", nulls_last=True)
    found = (pl.col("pvalue_adjusted") <= tables.settings.alpha).sum()
    counts = tables.correlations.group_by("target", maintain_order=True).agg(
        num_tests=pl.col("pvalue").count(), num_significant=found, note=pl.col("note").drop_nulls().first()
    )
    return {
        "decodability": tables.decodability.to_dicts(),
        "hypotheses": tables.hypotheses.to_dicts(),
        "correlations": {
            "targets": counts.to_dicts(),
            "strongest": tested.drop_nulls("pvalue").head(NUM_LISTED).drop("method", "note").to_dicts(),
        },
        "power": tables.power.to_dicts(),
        "causes": {
            "strongest": tables.causal_effects.filter(pl.col("measure") == "lead")
            .drop_nulls("pvalue")
            .sort("pvalue")
            .head(NUM_LISTED)
            .drop("method", "note")
            .to_dicts(),
            "agreement": tables.head_agreement.filter(pl.col("layer").is_null()).drop("method").to_dicts(),
            "screening": tables.head_screening.drop("method").to_dicts(),
        },
    }


def _strongest_per_type(tables: AnalysisTables) -> list[dict[str, Any]]:
    """Return, for each head type, the test with the smallest p among its heads."""
    tested = tables.tested.drop_nulls("pvalue").sort("pvalue")
    if tested.is_empty():
        return []
    typed = tested.join(tables.head_types.select("layer", "head", "head_type"), on=["layer", "head"], how="left")
    return typed.unique("head_type", keep="first", maintain_order=True).drop("method", "note").to_dicts()


def _type_stability(tables: AnalysisTables) -> list[dict[str, Any]]:
    """Return, for each head type, how its heads keep it over resamples of the clusters."""
    stability = pl.col("type_stability")
    grouped = tables.head_types.group_by("head_type", maintain_order=True)
    return grouped.agg(
        num_heads=pl.len(),
        num_firm=pl.when(stability.count() > 0).then((stability >= FIRM).sum()),
        lowest=stability.min(),
        median=stability.median(),
        num_samples=pl.col("num_samples").max(),
        num_clusters=pl.col("num_clusters").max(),
        note=pl.col("note").first(),
    ).to_dicts()


def _family_summary(tables: AnalysisTables, comparison: Comparison) -> dict[str, Any]:
    tested = tables.tests_of(comparison.name).drop_nulls("pvalue")
    found = tested.filter(is_certain(tables.settings.alpha))
    return {
        "a": comparison.label_a,
        "b": comparison.label_b,
        "num_a": int(comparison.is_a.sum()),
        "num_b": int(comparison.is_b.sum()),
        "problem": comparison.problem or None,
        "num_tests": len(tested),
        "families": dict(tested["family"].value_counts(sort=True).iter_rows()),
        "num_significant": len(found),
        "num_significant_max_t": tested.filter(pl.col("pvalue_max_t") <= tables.settings.alpha).height,
        "num_replicated": int(found["is_replicated"].fill_null(False).sum()),
        "methods": sorted(tested["method"].drop_nulls().unique()),
        "strongest": tested.sort("pvalue").head(NUM_LISTED).drop("comparison", "method", "note").to_dicts(),
    }


def _clean(content: Any) -> Any:
    """Return JSON-ready content: NaN and infinities become null."""
    if isinstance(content, Mapping):
        return {str(key): _clean(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_clean(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def text_report(tables: AnalysisTables, overview: Overview, content: ReportContent) -> str:
    """Return ``analysis_summary_report.txt``: the page's content without its charts, in the page's order."""
    blocks = [_heading("Headledger: attention of every head behind recorded predictions", "=")]
    if partial := partial_line(tables.run):
        blocks.append(_wrap(partial))
    blocks += _listed("In short", content.headlines)
    blocks.append(_wrap(f"Keep in mind. {CAVEAT}"))
    blocks.append(_heading("What was run", "-"))
    blocks.append("\n".join(_wrap(f"{name}: {value}") for name, value in overview.facts))
    blocks += _listed("How well the model did", accuracy_lines(overview))
    for chapter in CHAPTERS:
        blocks.append(_wrap(f"=== {chapter.title}: {chapter.question}"))
        listed = {part: content.told(part) for part in chapter.parts}
        for title, lines in listed.values():
            blocks += _listed(title, lines) if lines else []
        unsaid = {part: reason for part, reason in content.absent.items() if part in listed and not listed[part][1]}
        blocks += [_wrap(f"{title}: not in this report. {reason}") for title, reason in absent_parts(chapter, unsaid)]
    blocks += _listed("Methods", method_lines(tables))
    return "\n\n".join(blocks) + "\n"


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return [_heading(title, "-"), "\n".join(_wrap(f"* {line}") for line in lines)]


def partial_line(run: RunTables) -> str | None:
    """Return what is missing from a partial run, with the number of shards and samples; None for a whole run."""
    if not run.is_partial:
        return None
    text = "PARTIAL RUN: "
    if not run.is_finished:
        text += "it is not finished. These are the shards committed so far; numbers will change. "
    if run.left_out.problems:
        text += f"{run.left_out}. "
    return f"{text}Analysed: {count_text(len(run.samples), 'sample')}."


def accuracy_lines(overview: Overview) -> list[str]:
    """Return accuracy, confusion and rejects as lines of text."""
    if not any(row["num_samples"] for row in overview.accuracy.to_dicts()):
        lines = ["accuracy: unknown, no sample has a known true label"]
    else:
        lines = [
            f"{row['measure']}: {percent_text(row['value'])} ({row['method']} interval {percent_text(row['ci_low'])} "
            f"to {percent_text(row['ci_high'])}, n = {row['num_samples']:,})"
            for row in overview.accuracy.to_dicts()
        ]
    counted = "actual {actual_label}, predicted {predicted_label}: {num_samples:,}"
    lines.extend(counted.format(**row) for row in overview.confusion.to_dicts())
    lines.extend("rejected at {stage}, {reason}: {num_samples:,}".format(**row) for row in overview.rejects.to_dicts())
    if overview.rejects.is_empty():
        lines.append("rejected: none")
    return lines


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}"


def _wrap(text: str) -> str:
    return textwrap.fill(text, 110, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
