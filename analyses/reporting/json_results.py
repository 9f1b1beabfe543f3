"""The two JSON files, which keep the top-level keys of the users' old script."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from analyses.questions import registry
from analyses.questions.answers import Answers
from analyses.questions.comparisons import EVERYONE
from analyses.reporting.findings import CAVEAT, claims
from analyses.reporting.story import Story


def attention_results(answers: Answers, facts: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Return the content of ``attention_analysis_results.json``: summaries per group of samples, no matrices."""
    shown, tokens = answers.comparison, answers.get("decision_top_tokens")
    is_correctness = shown is not None and (shown.label_a, shown.label_b) == ("correct", "incorrect")
    labels = ("correct", "incorrect") if is_correctness else (None, None)
    return _clean_mapping(
        {
            "correct_predictions": _group_summary(answers, True, labels[0]),
            "incorrect_predictions": _group_summary(answers, False, labels[1]),
            "attention_patterns": _attention_summary(answers, EVERYONE)
            | {
                "head_types": dict(answers["head_types"]["head_type"].value_counts(sort=True).iter_rows()),
                "num_layers": answers.run.num_layers,
                "num_heads": answers.run.num_heads,
            },
            "run": dict(facts),
            "is_partial": answers.run.is_partial,
            "left_out": dict(answers.run.left_out.problems),
            "faults": list(answers.run.left_out.faults),
            "verification": answers.run.verification,
            "accuracy": answers["accuracy"].to_dicts(),
            "confusion": answers["confusion"].to_dicts(),
            "rejects": answers["reject_counts"].to_dicts(),
            "decision_tokens": answers["decision_tokens"].head(answers.style.max_tokens).to_dicts(),
            "decision_top_tokens": [] if tokens is None else tokens.filter(pl.col("group") == EVERYONE).to_dicts(),
        }
    )


def _group_summary(answers: Answers, is_correct: bool, label: str | None) -> dict[str, object]:
    num_samples = answers.run.samples.filter(pl.col("is_correct") == is_correct).height
    return {"num_samples": num_samples} | (_attention_summary(answers, label) if label else {})


def _attention_summary(answers: Answers, label: str) -> dict[str, object]:
    """Return weight and lift per key group, and every statistic per layer, of one group of samples."""
    attention: dict[str, dict[str, dict[str, object]]] = {}
    for row in answers["key_group_attention"].filter(pl.col("group") == label).to_dicts():
        estimate = {name: row[name] for name in ("mean", "ci_low", "ci_high", "num_samples", "num_clusters")}
        attention.setdefault(row["query_group"], {}).setdefault(row["key_group"], {})[row["measure"]] = estimate
    profiles: dict[str, dict[str, list[float]]] = {}
    ordered = answers["layer_profiles"].filter(pl.col("group") == label).sort("layer")
    for (query_group, statistic), rows in ordered.group_by("query_group", "statistic", maintain_order=True):
        profiles.setdefault(str(query_group), {})[str(statistic)] = rows["mean"].round_sig_figs(5).to_list()
    return {"key_group_attention": attention, "layer_profiles": profiles}


def comparison_results(answers: Answers, sentences: Mapping[str, list[str]], story: Story) -> dict[str, object]:
    """Return the content of ``comparison_analysis_results.json``: questions' results, settings and findings."""
    settings, given = answers.settings, answers.settings.model_dump(mode="json")
    content = {key: value for question in registry.QUESTIONS for key, value in question.results(answers).items()}
    return _clean_mapping(
        content
        | {
            "settings": {
                "alpha": settings.alpha,
                "families": given["families"],
                "correction": settings.correction,
                "errors": settings.errors,
                "permutations": settings.permutations,
                "cluster_by": settings.cluster_by,
                "covariates": list(settings.covariates),
                "held_fixed": list(settings.held_fixed),
                "confirmation_fraction": settings.confirmation_fraction,
                "strata": given["strata"],
                "correlations": list(settings.correlations),
                "decodability": settings.predicted.model_dump(mode="json") if settings.predicted else None,
                "hypotheses": given["hypotheses"],
                "seed": answers.run.seed,
            },
            "story": {
                "question": story.question,
                "answer": story.answer,
                "tiles": [asdict(tile) for tile in story.tiles],
                "lines": [
                    {"text": str(line), "part": line.link, "pvalue": line.pvalue, "is_finding": line.is_finding}
                    for line in story.lines
                ],
            },
            "findings": dict(sentences),
            "claims": claims(sentences),
            "levels": {"primary": settings.alpha, "further": dict(answers.levels)},
            "caveat": CAVEAT,
            "verification": answers.run.verification,
        }
    )


def write_json(path: Path, content: object) -> None:
    """Write a result file; it holds no NaN, which is no JSON."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False), encoding="utf-8")


def _clean_mapping(content: Mapping[str, object]) -> dict[str, object]:
    """Return JSON-ready content: NaN and infinities become null."""
    return {str(key): _clean(value) for key, value in content.items()}


def _clean(content: object) -> object:
    if isinstance(content, Mapping):
        return _clean_mapping(content)
    if isinstance(content, list | tuple):
        return [_clean(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
