"""What was run and how well the model did: counts, accuracy with intervals, rejects, decision tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from analyses.key_groups import absent_key_groups, of_kind
from analyses.queries import cluster_codes, noun_of_clusters
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings
from analyses.significance import FLOAT_NOISE, ClusteredMean, clustered_mean, wilson_interval
from analyses.wording import count_text


@dataclass(frozen=True)
class Overview:
    """Facts about a run, each frame a table of its own.

    Attributes
    ----------
    facts
        What was run, as (what, value) in reading order.
    accuracy
        ``measure, value, ci_low, ci_high, num_samples, num_clusters, method``.
    confusion
        ``actual_label, predicted_label, num_samples``, and ``share, ci_low, ci_high``: of the samples of that true
        label; null where the true label is unknown.
    rejects
        ``stage, reason, num_samples``.
    decision_tokens
        ``decision_token, predicted_label, num_samples``, most frequent first.
    """

    facts: list[tuple[str, str]]
    accuracy: pl.DataFrame
    confusion: pl.DataFrame
    rejects: pl.DataFrame
    decision_tokens: pl.DataFrame


def overview(tables: RunTables, settings: AnalysisSettings) -> Overview:
    """Summarise a run."""
    labels = ["actual_label", "predicted_label"]
    counted = tables.samples.with_columns(pl.col(labels).fill_null("unknown"))
    tokens = counted.drop_nulls("decision_token").group_by("decision_token", "predicted_label")
    return Overview(
        facts=_facts(tables, settings),
        accuracy=accuracy(tables, settings),
        confusion=_confusion(tables, settings, counted),
        rejects=_rejects(tables),
        decision_tokens=tokens.agg(num_samples=pl.len()).sort(
            "num_samples", "decision_token", descending=[True, False]
        ),
    )


def accuracy(tables: RunTables, settings: AnalysisSettings) -> pl.DataFrame:
    """Return accuracy, recall per label, balanced accuracy and the share of the most frequent label.

    Intervals are clustered where clusters differ. Where they do not (all right, all wrong, a single cluster) they are
    Wilson's with the clusters as trials: samples of one cluster may be no more than one observation.
    """
    cluster = cluster_codes(tables, settings.cluster_by)
    samples = tables.samples
    is_known = samples["is_correct"].is_not_null().to_numpy()
    is_correct = samples["is_correct"].fill_null(False).to_numpy()
    actual = samples["actual_label"].fill_null("unknown").to_numpy()
    confidence = 1 - settings.alpha
    rows = [_proportion("accuracy", is_correct[is_known], cluster[is_known], confidence)]
    levels = sorted({label for label in actual[is_known] if label != "unknown"})
    if levels:
        chosen = [is_known & (actual == label) for label in levels]
        largest = int(np.argmax([rows_of.sum() for rows_of in chosen]))
        always = chosen[largest][is_known]
        rows.append(_proportion(f'always "{levels[largest]}"', always, cluster[is_known], confidence))
        recalls = [
            _proportion(f'correct when the true label is "{label}"', is_correct[rows_of], cluster[rows_of], confidence)
            for label, rows_of in zip(levels, chosen, strict=True)
        ]
        if len(levels) > 1:
            rows.append(_balanced(is_correct, actual, levels, is_known, cluster, confidence))
        rows.extend(recalls)
    return pl.DataFrame(rows, schema=_ACCURACY_SCHEMA, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))


def _confusion(tables: RunTables, settings: AnalysisSettings, counted: pl.DataFrame) -> pl.DataFrame:
    cluster = cluster_codes(tables, settings.cluster_by)
    rows = []
    for actual, predicted, number in (
        counted.group_by("actual_label", "predicted_label")
        .agg(num_samples=pl.len())
        .sort("actual_label", "predicted_label")
        .iter_rows()
    ):
        share = low = high = None
        if actual != "unknown":
            own = (counted["actual_label"] == actual).to_numpy()
            hits = (counted["predicted_label"] == predicted).to_numpy()[own]
            _, share, low, high, *_ = _proportion("", hits, cluster[own], 1 - settings.alpha)
        rows.append((actual, predicted, number, share, low, high))
    return pl.DataFrame(rows, schema=_CONFUSION_SCHEMA, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))


_CONFUSION_SCHEMA: dict[str, Any] = {
    "actual_label": pl.String,
    "predicted_label": pl.String,
    "num_samples": pl.UInt32,
    "share": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
}

_ACCURACY_SCHEMA: dict[str, Any] = {
    "measure": pl.String,
    "value": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "num_samples": pl.Int32,
    "num_clusters": pl.Int32,
    "method": pl.String,
}


def _proportion(measure: str, hits: np.ndarray, cluster: np.ndarray, confidence: float) -> tuple[Any, ...]:
    num_clusters = len(np.unique(cluster))
    if len(hits) == 0:
        return measure, float("nan"), float("nan"), float("nan"), 0, 0, "no sample"
    estimate = clustered_mean(hits[:, None].astype(np.float64), cluster, confidence)
    if num_clusters == len(hits) or not _varies_between_clusters(estimate):
        wilson = _wilson(hits, num_clusters, confidence)
        method = "Wilson" if num_clusters == len(hits) else "Wilson, clusters as trials"
        return measure, float(hits.mean()), *wilson, len(hits), num_clusters, method
    low, high = max(0.0, float(estimate.ci_low[0])), min(1.0, float(estimate.ci_high[0]))
    return measure, float(hits.mean()), low, high, len(hits), num_clusters, "clustered"


def _balanced(
    is_correct: np.ndarray,
    actual: np.ndarray,
    levels: list[str],
    is_known: np.ndarray,
    cluster: np.ndarray,
    confidence: float,
) -> tuple[Any, ...]:
    """Return the mean of the labels' recalls; its error is that of the mean of their influence functions.

    Where that error is no estimate, the labels' Wilson intervals are combined by their squared half-widths (MOVER, Zou
    and Donner 2008).
    """
    known = is_known & np.isin(actual, levels)
    hits, labels, codes = is_correct[known].astype(np.float64), actual[known], cluster[known]
    value, influence = 0.0, np.zeros(len(hits))
    reach = np.zeros(2)
    for label in levels:
        rows = labels == label
        recall = hits[rows].mean()
        value += recall / len(levels)
        ends = np.array(_wilson(hits[rows], len(np.unique(codes[rows])), confidence))
        reach += ((ends - recall) / len(levels)) ** 2
        influence[rows] += (hits[rows] - recall) * len(hits) / (rows.sum() * len(levels))
    estimate = clustered_mean(influence[:, None], codes, confidence)
    num_clusters = len(np.unique(codes))
    if _varies_between_clusters(estimate):
        low, high, method = value + float(estimate.ci_low[0]), value + float(estimate.ci_high[0]), "clustered"
    else:
        low, high = value - float(np.sqrt(reach[0])), value + float(np.sqrt(reach[1]))
        method = "Wilson per label, clusters as trials, combined (MOVER)"
    return "balanced accuracy", value, max(0.0, low), min(1.0, high), len(hits), num_clusters, method


def _varies_between_clusters(estimate: ClusteredMean) -> bool:
    """Return whether a clustered error is an estimate: some clusters differ, beyond rounding."""
    return bool(estimate.standard_error[0] > FLOAT_NOISE)


def _wilson(hits: np.ndarray, num_clusters: int, confidence: float) -> tuple[float, float]:
    return wilson_interval(float(hits.mean()) * num_clusters, num_clusters, confidence)


def _rejects(tables: RunTables) -> pl.DataFrame:
    schema: dict[str, Any] = {"stage": pl.String, "reason": pl.String, "num_samples": pl.Int64}
    found = tables.tables.get("rejects")
    if found is not None:
        counted = found.group_by("stage", "reason").agg(num_samples=pl.len().cast(pl.Int64))
        return counted.sort("num_samples", "reason", descending=[True, False]).collect()
    planned = tables.plan.get("rejects_by_reason") or {}
    return pl.DataFrame([("plan", str(reason), int(count)) for reason, count in planned.items()], schema, orient="row")


def _clusters(tables: RunTables, settings: AnalysisSettings) -> str:
    number = len(np.unique(cluster_codes(tables, settings.cluster_by)))
    counted = count_text(number, noun_of_clusters(tables, settings))
    unknown = tables.samples[settings.cluster_by].null_count()
    if not unknown:
        return counted
    return f"{counted}; of {count_text(unknown, 'sample')} it is unknown, and each is taken as a cluster of its own"


def _facts(tables: RunTables, settings: AnalysisSettings) -> list[tuple[str, str]]:
    run, samples = tables.run, tables.samples
    tokens = samples["num_tokens"].drop_nulls()
    facts = [
        ("Run", str(tables.section("run").get("name") or tables.run_dir.name)),
        ("Model", str(tables.section("model").get("path") or "not recorded")),
        ("Predictions", str(tables.section("predictions").get("path") or "not recorded")),
        ("Samples", f"{len(samples):,}"),
        ("Independent units", _clusters(tables, settings)),
        ("Heads", f"{tables.num_layers} layers x {tables.num_heads} query heads"),
        ("Attention of", ", ".join(tables.query_groups)),
        ("Attention to", _key_groups(tables)),
    ]
    if len(tokens):
        facts.insert(4, ("Tokens per sample", f"median {tokens.median():,.0f}, {tokens.min():,} to {tokens.max():,}"))
    for name, key in (("Device", "device"), ("Commit", "commit"), ("Seed", "seed")):
        if run.get(key) not in (None, "", {}):
            facts.append((name, _plain(run[key])))
    return facts


def _key_groups(tables: RunTables) -> str:
    """Name the key groups that some sample holds, the random vocabularies and the empty groups as numbers."""
    randoms, absent = of_kind(tables, "random"), absent_key_groups(tables)
    named = [name.replace("_", " ") for name in tables.key_groups if name not in (*randoms, *absent)]
    more = [count_text(len(randoms), "random vocabulary")] if randoms else []
    empty = [name for name in absent if name not in randoms]
    none = f" ({count_text(len(empty), 'more group')} that no sample holds)" if empty else ""
    return f"{', '.join([*named, *more]) or 'nothing in particular'}{none}"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)
