"""Which heads fetch what is written, whether they do so alike in right and wrong predictions, and who reads evidence.

A head's lead is its retrieval score less what the same keys score by chance, sample by sample; its mean over samples is
held against 0 with clustered errors (``inference.clustered_means``), all heads and sources in one family. Right against
wrong is the adjusted model of ``inference.adjusted.effects`` with its checks, on the scores, in a family of its own.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from analyses.inference.adjusted.tested_differences import tested_differences
from analyses.inference.clustered_means import clustered_mean
from analyses.questions.comparisons import Comparison, fixed_samples, model_samples, right_against_wrong
from analyses.questions.families import CLAIMED, adjusted_as_one, beside, typed
from analyses.questions.rare_key_groups import rare_columns
from analyses.questions.retrieval.tables import EVIDENCE_HEADS, RETRIEVAL_DIFFERENCES, RETRIEVAL_HEADS
from analyses.questions.retrieval.values import (
    PROMPT,
    SOURCES,
    copy_scores,
    evidence_mass,
    fetched,
    has_evidence,
    is_measured,
)
from analyses.runs.clusters import cluster_codes
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings
from engine.schema import EVIDENCE

MIN_CLUSTERS = 5
"""Clusters that a mean over them takes to be held against 0."""


def sources_of(run: Run) -> list[str]:
    """Return where heads of this run may fetch from."""
    if not is_measured(run):
        return []
    return [source for source in SOURCES if source == PROMPT or has_evidence(run)]


def _places(run: Run, source: str) -> pl.DataFrame:
    layer, head = np.divmod(np.arange(run.num_layers * run.num_heads, dtype=np.int32), max(run.num_heads, 1))
    return pl.DataFrame({"source": [source] * len(layer), "layer": layer, "head": head})


def retrieval_heads(run: Run, settings: AnalysisSettings) -> pl.DataFrame:
    """Return every head's score, chance and lead; columns as in ``RETRIEVAL_HEADS``."""
    parts: list[pl.DataFrame] = []
    cluster = cluster_codes(run, settings.cluster_by)
    copied = None
    for source in sources_of(run):
        found = fetched(run, source)
        copied = _mean(copy_scores(run)) if copied is None else copied
        lead = found.scores - found.chances
        means = clustered_mean(lead, cluster, 1 - settings.alpha)
        columns = {
            "score": _mean(found.scores),
            "chance": _mean(found.chances),
            "lead": means.mean,
            "ci_low": means.ci_low,
            "ci_high": means.ci_high,
            "pvalue": lead_pvalues(lead, cluster),
            "degrees_of_freedom": means.degrees_of_freedom,
            "copyable": np.full(len(means.mean), _mean(found.copyable[:, None])[0]),
            "copy_score": copied,
            "num_samples": means.num_samples,
            "num_clusters": means.num_clusters,
        }
        parts.append(beside(_places(run, source), columns))
    if not parts:
        return RETRIEVAL_HEADS.empty()
    table = pl.concat(parts).filter(pl.col("num_samples") > 0)
    return adjusted_as_one(table, RETRIEVAL_HEADS.schema, settings.correction, {"pvalue": "pvalue_adjusted"})


def lead_pvalues(lead: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Return two-sided p of a mean lead of 0, ``[heads]``; NaN with too few clusters.

    Where no sample differs from another, there is no error to hold a lead against: then every cluster leads (or none
    does), and p is that of the sign test over clusters.

    Parameters
    ----------
    lead
        ``[samples, heads]``, NaN where a sample has no value.
    cluster
        ``[samples]`` any labels.
    """
    means = clustered_mean(lead, cluster)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.abs(means.mean) / means.standard_error
        pvalues = 2 * stats.t.sf(size, means.degrees_of_freedom)
    is_constant = means.standard_error <= 1e-12 * np.maximum(np.abs(means.mean), 1e-6)
    signs = np.where(np.abs(means.mean) > 1e-12, 2.0 ** (1 - means.num_clusters.astype(float)), 1.0)
    pvalues = np.where(is_constant, signs, pvalues)
    return np.where(means.num_clusters >= MIN_CLUSTERS, pvalues, np.nan)


def retrieval_differences(run: Run, settings: AnalysisSettings) -> pl.DataFrame:
    """Compare right with wrong predictions in what each head fetches; columns as in ``RETRIEVAL_DIFFERENCES``."""
    comparison = right_against_wrong(run, settings)
    parts: list[pl.DataFrame] = []
    for source in sources_of(run) if not comparison.problem else ():
        scores = fetched(run, source).scores
        if not np.isnan(scores).all():
            parts.append(_compared(run, settings, comparison, _places(run, source), scores))
    if not parts:
        return RETRIEVAL_DIFFERENCES.empty()
    return adjusted_as_one(pl.concat(parts), RETRIEVAL_DIFFERENCES.schema, settings.correction, CLAIMED)


def _compared(
    run: Run, settings: AnalysisSettings, comparison: Comparison, places: pl.DataFrame, values: np.ndarray
) -> pl.DataFrame:
    model, fixed = model_samples(run, settings, comparison), fixed_samples(run, settings, comparison)
    inside = values[comparison.is_member]
    untested = np.where(
        rare_columns(inside, model.is_a)[0], "too few samples of one kind have a value: not tested", ""
    ).astype(object)
    return beside(places, tested_differences(inside, model, fixed, settings.alpha, untested))


def evidence_heads(run: Run, settings: AnalysisSettings) -> pl.DataFrame:
    """Return how much of each query group's attention goes to evidence, head by head; as in ``EVIDENCE_HEADS``."""
    if not has_evidence(run):
        return EVIDENCE_HEADS.empty()
    parts: list[pl.DataFrame] = []
    cluster = cluster_codes(run, settings.cluster_by)
    for query_group in run.query_groups:
        mass, base = evidence_mass(run, query_group)
        means = clustered_mean(mass, cluster, 1 - settings.alpha)
        expected = np.full(mass.shape[1], np.nan)
        if base is not None:
            by_layer = np.broadcast_to(base.astype(np.float64), (len(mass), run.num_layers))
            expected = _mean(np.where(np.isnan(mass), np.nan, np.repeat(by_layer, run.num_heads, axis=1)))
        with np.errstate(invalid="ignore", divide="ignore"):
            lift = np.where(expected > 0, means.mean / expected, np.nan)
        columns = {
            "qr_score": means.mean,
            "ci_low": means.ci_low,
            "ci_high": means.ci_high,
            "baseline": expected,
            "lift": lift,
            "num_samples": means.num_samples,
            "num_clusters": means.num_clusters,
        }
        places = _places(run, EVIDENCE).drop("source").insert_column(0, pl.lit(query_group).alias("query_group"))
        parts.append(beside(places, columns))
    table = pl.concat(parts).filter(pl.col("num_samples") > 0)
    return typed(table, EVIDENCE_HEADS.schema)


def _mean(values: np.ndarray) -> np.ndarray:
    """Return means over samples ``[columns]``; NaN without a value."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
