"""How well the model did: counts, accuracy with intervals, rejects, decision tokens."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyses.inference.clustered_means import ClusteredMean, clustered_mean, clustered_share, wilson_interval
from analyses.inference.columns import FLOAT_NOISE
from analyses.questions.overview.tables import ACCURACY, CONFUSION, REJECT_COUNTS
from analyses.runs.clusters import cluster_codes
from analyses.runs.labels import FREE, labels_of
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings


def label_tables(run: Run, settings: AnalysisSettings) -> dict[str, pl.DataFrame]:
    """Return ``confusion`` and ``decision_tokens``: which labels were said, by true label and by decision token."""
    labels = ["actual_label", "predicted_label"]
    counted = run.samples.with_columns(labels_of(run, name).alias(name) for name in labels)
    tokens = counted.drop_nulls("decision_token").group_by("decision_token", "predicted_label")
    return {
        "confusion": _confusion(run, settings, counted),
        "decision_tokens": tokens.agg(num_samples=pl.len()).sort(
            "num_samples", "decision_token", descending=[True, False]
        ),
    }


def accuracy(run: Run, settings: AnalysisSettings) -> pl.DataFrame:
    """Return accuracy, recall per label, balanced accuracy and the share of the most frequent label.

    Intervals are those of ``clustered_means.clustered_share``: Wilson's, for as many samples as the clusters amount to.
    """
    cluster = cluster_codes(run, settings.cluster_by)
    samples = run.samples
    is_known = samples["is_correct"].is_not_null().to_numpy()
    is_correct = samples["is_correct"].fill_null(False).to_numpy()
    actual = labels_of(run, "actual_label").to_numpy()
    confidence = 1 - settings.alpha
    rows = [_proportion("accuracy", is_correct[is_known], cluster[is_known], confidence)]
    levels = sorted({label for label in actual[is_known] if label not in ("unknown", FREE)})
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
    return pl.DataFrame(rows, schema=ACCURACY.schema, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))


def over_constant(run: Run, settings: AnalysisSettings) -> tuple[float, float, float]:
    """Return how much more often the model is right than always saying the most frequent label, with the interval.

    The difference is taken sample by sample, so that what both share cancels; clustered error. NaN where no true label
    is known, or no error can be estimated.
    """
    actual = labels_of(run, "actual_label").to_numpy()
    known = run.samples["is_correct"].is_not_null().to_numpy()
    levels = sorted({label for label in actual[known] if label not in ("unknown", FREE)})
    if not levels:
        return float("nan"), float("nan"), float("nan")
    most_frequent = max(levels, key=lambda label: int((known & (actual == label)).sum()))
    is_right = run.samples["is_correct"].fill_null(False).to_numpy().astype(np.float64)
    difference = (is_right - (actual == most_frequent))[known]
    codes = cluster_codes(run, settings.cluster_by)[known]
    estimate = clustered_mean(difference[:, None], codes, 1 - settings.alpha)
    if not _varies_between_clusters(estimate):
        return float(difference.mean()), float("nan"), float("nan")
    return float(difference.mean()), max(-1.0, float(estimate.ci_low[0])), min(1.0, float(estimate.ci_high[0]))


def _confusion(run: Run, settings: AnalysisSettings, counted: pl.DataFrame) -> pl.DataFrame:
    cluster = cluster_codes(run, settings.cluster_by)
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
    return pl.DataFrame(rows, schema=CONFUSION.schema, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))


def _proportion(measure: str, hits: np.ndarray, cluster: np.ndarray, confidence: float) -> tuple[object, ...]:
    share = clustered_share(hits, cluster, confidence)
    size = len(hits), len(np.unique(cluster))
    return measure, share.value, share.ci_low, share.ci_high, *size, share.method


def _balanced(
    is_correct: np.ndarray,
    actual: np.ndarray,
    levels: list[str],
    is_known: np.ndarray,
    cluster: np.ndarray,
    confidence: float,
) -> tuple[object, ...]:
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
        method = f"approximate {method}" if estimate.is_approximate[0] else method
    else:
        low, high = value - float(np.sqrt(reach[0])), value + float(np.sqrt(reach[1]))
        method = "Wilson per label, clusters as trials, combined (MOVER)"
    return "balanced accuracy", value, max(0.0, low), min(1.0, high), len(hits), num_clusters, method


def _varies_between_clusters(estimate: ClusteredMean) -> bool:
    """Return whether a clustered error is an estimate: some clusters differ, beyond rounding."""
    return bool(estimate.standard_error[0] > FLOAT_NOISE)


def _wilson(hits: np.ndarray, num_clusters: int, confidence: float) -> tuple[float, float]:
    return wilson_interval(float(hits.mean()) * num_clusters, num_clusters, confidence)


def reject_counts(run: Run) -> pl.DataFrame:
    """Return how many rows were turned away, by stage and reason; of a run without the table, what the plan counted."""
    rejects = run.tables.get("rejects")
    if rejects is not None:
        counted = rejects.group_by("stage", "reason").agg(num_samples=pl.len().cast(pl.Int64))
        return counted.sort("num_samples", "reason", descending=[True, False]).collect()
    planned = run.plan.get("rejects_by_reason") or {}
    rows = [("plan", str(reason), int(count)) for reason, count in planned.items()]
    return pl.DataFrame(rows, REJECT_COUNTS.schema, orient="row")
