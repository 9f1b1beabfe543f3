"""Agreement of what heads look at, what gradients say and what interventions do: how far attention is explanation.

Each head gets one number per measure, averaged over the samples that were explained: ``mass`` (the decision row's
attention to the vocabulary), ``norm_mass`` (norm-weighted), and the size |mean lead| of its direct attribution, head
gradient, attention gradient to the vocabulary, and ablation, the lead being that of the label which the model favours
without the head (``questions.causes.values``). ``agreement`` is Spearman's
rank correlation between two measures over the heads of a layer, and over all heads. Heads are no sample of anything, so
there is no p-value; the interval is that of the rank correlation of the true means: clusters are drawn with replacement
(``NUM_RESAMPLES`` times), the heads stay, and what noise in the means takes from it is allowed for
(``inference.attenuation``). ``rho_ceiling`` is what means of so few samples would show of a perfect agreement.

``screening`` asks whether the gradient foretells the ablation: predicted is minus the head gradient's mean lead,
measured the ablation's mean lead; ``slope`` and ``intercept`` are those of measured on predicted over heads (1 and 0:
calibrated), for the heads chosen by attribution, for random heads of the same layers, and for all that were ablated.
Heads were chosen on the same samples, so those chosen look a little stronger than they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from analyses.inference.attenuation import Association, attenuated, reliability
from analyses.inference.ranks import rank_columns
from analyses.questions.causes.tables import (
    AGREEMENT_METHOD,
    HEAD_AGREEMENT,
    HEAD_SCREENING,
    NUM_RESAMPLES,
    SCREENING_METHOD,
)
from analyses.questions.causes.values import causal_blocks
from analyses.runs.clusters import cluster_codes
from analyses.runs.run import Run
from analyses.runs.values import value_blocks
from analyses.settings.analysis import AnalysisSettings
from engine.schema import MASS_PREFIX, NORM_MASS_PREFIX

MIN_HEADS = 4
"""Fewer heads have no rank correlation worth the name."""

MEASURES = ("mass", "norm_mass", "dla", "head_gradient", "attention_gradient", "ablation")


@dataclass
class _HeadSums:
    """Sums over the samples of each cluster, from which the mean of any resample follows.

    Attributes
    ----------
    heads
        (layer, head) of each column.
    sums, counts
        ``[clusters, heads]``.
    """

    heads: list[tuple[int, int]]
    sums: np.ndarray
    counts: np.ndarray

    def means(self, weights: np.ndarray) -> np.ndarray:
        """Return ``[resamples, heads]``; NaN where no sample of a resample has a value."""
        total = weights @ self.counts
        return np.divide(weights @ self.sums, total, out=np.full(total.shape, np.nan), where=total > 0)


def head_agreement(run: Run, settings: AnalysisSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Compare measures of heads with one another, and the gradient's forecast with the ablation.

    Returns
    -------
    tuple of DataFrame and DataFrame
        Columns as in ``HEAD_AGREEMENT`` and ``HEAD_SCREENING``; empty without causal tables.
    """
    cluster = cluster_codes(run, settings.cluster_by)
    measured, setting = _head_sums(run, cluster)
    if not measured:
        return HEAD_AGREEMENT.empty(), HEAD_SCREENING.empty()
    explained = next(iter(measured.values())).counts.max(axis=1)
    present = np.flatnonzero(explained > 0)
    weights = _resamples(len(explained), present, run.seed)
    size = {"num_samples": int(explained.sum()), "num_clusters": len(present)}
    agreement = _agreement(measured, weights, settings.alpha, size)
    return agreement, _screening(run, measured, setting, weights, settings.alpha, size)


MIN_CLUSTERS = 5
"""With fewer clusters redrawn ones say nothing of the error: of a single one all are the same."""


def _resamples(num_clusters: int, present: np.ndarray, seed: int) -> np.ndarray:
    """Return ``[1 + resamples, clusters]``: everyone once, then how often each cluster is drawn; nobody of too few."""
    drawn = np.zeros((1 + NUM_RESAMPLES, num_clusters))
    drawn[0, present] = 1
    random = np.random.default_rng(seed)
    if len(present) >= MIN_CLUSTERS:
        drawn[1:, present] = random.multinomial(len(present), np.full(len(present), 1 / len(present)), NUM_RESAMPLES)
    return drawn


def _head_sums(run: Run, cluster: np.ndarray) -> tuple[dict[str, _HeadSums], dict[str, str | None]]:
    """Sum every measure per cluster and head, over the samples that were explained; and how heads were ablated."""
    parts: dict[str, list[_HeadSums]] = {}
    setting: dict[str, str | None] = {}
    explained = np.zeros(len(run.samples), dtype=bool)
    for block in causal_blocks(run):
        kind = block.keys["kind"][0]
        keep = np.ones(len(block.keys), dtype=bool)
        if kind == "attention_gradient":
            keep = (block.keys["key_group"] == (run.vocabulary or "")).to_numpy()
        elif kind == "ablation":
            keep = (block.keys["unit"] == "head").to_numpy()
            setting |= block.keys.select("replace", "rows").row(0, named=True)
        if kind not in MEASURES or not keep.any():
            continue
        lead = block.without[:, keep]
        explained |= ~np.isnan(lead).all(axis=1)
        heads = block.keys.filter(keep).select("layer", "head").rows()
        parts.setdefault(kind, []).append(_summed(lead, cluster, heads))
    if parts and run.vocabulary and "decision" in run.query_groups:
        for name, prefix in (("mass", MASS_PREFIX), ("norm_mass", NORM_MASS_PREFIX)):
            parts |= _masses(run, f"{prefix}{run.vocabulary}", name, explained, cluster)
    return {name: _together(parts[name]) for name in MEASURES if name in parts}, setting


def _masses(
    run: Run, statistic: str, name: str, explained: np.ndarray, cluster: np.ndarray
) -> dict[str, list[_HeadSums]]:
    if statistic not in run.statistics:
        return {}
    heads = [(layer, head) for layer in range(run.num_layers) for head in range(run.num_heads)]
    for block in value_blocks(run, (statistic,)):
        for slot, query_group in enumerate(block.query_groups):
            if query_group == "decision":
                values = np.where(explained[:, None], block.values[:, slot, 0], np.nan)
                return {name: [_summed(values, cluster, heads)]}
    return {}


def _summed(values: np.ndarray, cluster: np.ndarray, heads: Sequence[tuple[int, int]]) -> _HeadSums:
    known = ~np.isnan(values)
    size = int(cluster.max(initial=-1)) + 1
    sums, counts = np.zeros((size, values.shape[1])), np.zeros((size, values.shape[1]))
    np.add.at(sums, cluster, np.where(known, values, 0.0))
    np.add.at(counts, cluster, known.astype(np.float64))
    return _HeadSums(list(heads), sums, counts)


def _together(parts: Sequence[_HeadSums]) -> _HeadSums:
    heads = [head for part in parts for head in part.heads]
    return _HeadSums(heads, np.hstack([part.sums for part in parts]), np.hstack([part.counts for part in parts]))


def _agreement(
    measured: Mapping[str, _HeadSums], weights: np.ndarray, alpha: float, size: Mapping[str, int]
) -> pl.DataFrame:
    means = {name: np.abs(sums.means(weights)) for name, sums in measured.items()}
    rows: list[dict[str, object]] = []
    for one, other in combinations(measured, 2):
        shared = [head for head in measured[one].heads if head in set(measured[other].heads)]
        for layer in [None, *sorted({layer for layer, _ in shared})]:
            heads = [head for head in shared if layer in (None, head[0])]
            values = [means[name][:, [measured[name].heads.index(head) for head in heads]] for name in (one, other)]
            rho, note = _rank_correlation(values[0], values[1], alpha)
            rows.append(
                {
                    "measure_a": one,
                    "measure_b": other,
                    "layer": layer,
                    "rho": rho.value,
                    "ci_low": rho.ci_low,
                    "ci_high": rho.ci_high,
                    "rho_ceiling": rho.ceiling,
                    "num_heads": len(heads),
                    "method": AGREEMENT_METHOD,
                    "note": note,
                    **size,
                }
            )
    return pl.DataFrame(rows, schema=HEAD_AGREEMENT.schema).with_columns(pl.col(pl.Float64).fill_nan(None))


_UNKNOWN = Association(np.nan, np.nan, np.nan, np.nan)


def _rank_correlation(a: np.ndarray, b: np.ndarray, alpha: float) -> tuple[Association, str | None]:
    """Correlate the rows of two ``[1 + resamples, heads]``; the first is everyone's."""
    if a.shape[1] < MIN_HEADS:
        return _UNKNOWN, f"fewer than {MIN_HEADS} heads"
    rho = spearman_rows(a, b)
    if np.isnan(rho[0]):
        return _UNKNOWN, "one of the measures is the same for every head"
    ceiling = float(np.sqrt(reliability(a) * reliability(b)))
    return attenuated(rho, ceiling, alpha, span=(-1.0, 1.0)), None


def spearman_rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Spearman's rho of each row of two matrices of one shape; NaN where a row is constant or unknown."""
    scores = []
    for values in (a, b):
        ranks = rank_columns(values.T).doubled.astype(np.float64)
        centred = ranks - ranks.mean(axis=1, keepdims=True)
        length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
        unusable = (length <= 0) | np.isnan(values).any(axis=1, keepdims=True)
        scores.append(np.divide(centred, length, out=np.full(centred.shape, np.nan), where=~unusable))
    return (scores[0] * scores[1]).sum(axis=1)


def _screening(
    run: Run,
    sums: Mapping[str, _HeadSums],
    setting: Mapping[str, str | None],
    weights: np.ndarray,
    alpha: float,
    size: Mapping[str, int],
) -> pl.DataFrame:
    if "ablation" not in sums or "head_gradient" not in sums:
        return HEAD_SCREENING.empty()
    ablated, gradient = sums["ablation"], sums["head_gradient"]
    heads = [head for head in ablated.heads if head in set(gradient.heads)]
    measured = ablated.means(weights)[:, [ablated.heads.index(head) for head in heads]]
    predicted = -gradient.means(weights)[:, [gradient.heads.index(head) for head in heads]]
    rows: list[dict[str, object]] = []
    for name, chosen in _chosen(run, heads).items():
        at = [slot for slot, head in enumerate(heads) if head in chosen]
        if at:
            row = _calibration(predicted[:, at], measured[:, at], alpha)
            rows.append({"heads": name, "num_heads": len(at), "method": SCREENING_METHOD, **setting, **size, **row})
    return pl.DataFrame(rows, schema=HEAD_SCREENING.schema).with_columns(pl.col(pl.Float64).fill_nan(None))


def _chosen(run: Run, heads: Sequence[tuple[int, int]]) -> dict[str, set[tuple[int, int]]]:
    """Return the heads of each group: chosen by attribution, matched random ones, all that were ablated."""
    screened = run.causal_plan.get("screened", {})
    groups = {name: {(int(layer), int(head)) for layer, head in screened.get(name, ())} for name in ("top", "random")}
    return {name: chosen for name, chosen in groups.items() if chosen} | {"all": set(heads)}


def _calibration(predicted: np.ndarray, measured: np.ndarray, alpha: float) -> dict[str, object]:
    """Regress measured on predicted over heads, in each resample; ``[1 + resamples, heads]``."""
    row: dict[str, object] = {"mean_size": float(np.abs(measured[0]).mean())}
    rho, note = _rank_correlation(predicted, measured, alpha)
    row |= {"rho": rho.value, "rho_ci_low": rho.ci_low, "rho_ci_high": rho.ci_high, "rho_ceiling": rho.ceiling}
    row["note"] = note
    if predicted.shape[1] < MIN_HEADS:
        return row
    centred = predicted - predicted.mean(axis=1, keepdims=True)
    spread = (centred**2).sum(axis=1)
    slope = np.divide((centred * measured).sum(axis=1), spread, out=np.full(len(spread), np.nan), where=spread > 0)
    told = attenuated(slope, reliability(predicted), alpha, span=(-np.inf, np.inf))
    intercept = measured[0].mean() - slope[0] * predicted[0].mean()
    row |= {"slope": told.value, "slope_ci_low": told.ci_low, "slope_ci_high": told.ci_high}
    return row | {"intercept": float(intercept), "slope_ceiling": told.ceiling}
