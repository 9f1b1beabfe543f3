"""Do the heads of another run tell too: probes trained on this run, judged on the other one.

One row per target, query group, preset and model. The model is that of ``inference.held_out.transfer``, trained on all
samples of this run; AUROC and calibration are those of the other run's samples, which nothing was chosen by. Clusters
that both runs have (by name, or by the id of a sample without one) are dealt into folds, and each fold is judged by a
model that was trained without it: what is remembered of a company, or of a sample, is no knowledge. Beside the heads
stand models that need no head, trained and judged alike: length, margin, surprisal, and all three.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.inference.held_out.features import Features
from analyses.inference.held_out.folds import cluster_counts, deal_folds
from analyses.inference.held_out.transfer import Judged, judged, transferred
from analyses.inference.joined_clusters import joined_clusters
from analyses.questions.answers import Asked
from analyses.questions.comparisons import Comparison, comparisons_of
from analyses.questions.decodability.answer import (
    HEADS,
    MIN_CLASS,
    MIN_CLUSTERS,
    RESAMPLES,
    drawn_samples,
)
from analyses.questions.decodability.features import HeadFeatures, head_features
from analyses.questions.decodability.presets import BEFORE, asked_probes, preset_features
from analyses.questions.decodability.tables import TRANSFER
from analyses.runs.clusters import cluster_codes, cluster_names
from analyses.runs.numbers import numbers_of
from analyses.runs.run import Run
from analyses.settings.columns import Group, SettingsError, group_name
from analyses.settings.decodability import DecodabilitySettings, Preset
from analyses.wording import count_text

Row = dict[str, Any]
"""A row of the table, by column."""

TOGETHER = "length, margin, surprisal"


def transfer(asked: Asked, other: Run) -> pl.DataFrame:
    """Train on the run that is asked and judge on another one.

    Returns
    -------
    DataFrame
        Columns as in ``TRANSFER``. What cannot be transferred has one row whose note says why.
    """
    choices = asked.settings.predicted or DecodabilitySettings()
    groups = [choices.query_group, *(name for name in BEFORE if name != choices.query_group)]
    known = [name for name in groups if name in asked.run.query_groups and name in other.query_groups]
    rows: list[Row] = []
    for target in choices.targets:
        for query_group in known or groups[:1]:
            own = choices.model_copy(update={"query_group": query_group})
            rows.extend(_rows(asked, other, target, own, is_first=query_group == (known or groups)[0]))
        for preset, query_group in asked_probes(choices):
            own = choices.model_copy(update={"query_group": query_group})
            rows.extend(_rows(asked, other, target, own, is_first=False, preset=preset))
    return pl.DataFrame(rows, schema=TRANSFER.schema).with_columns(pl.col(pl.Float64).fill_nan(None))


def _rows(
    asked: Asked,
    other: Run,
    target: str | Group,
    choices: DecodabilitySettings,
    *,
    is_first: bool,
    preset: Preset | None = None,
) -> list[Row]:
    row: Row = {
        "target": group_name(target),
        "preset": preset,
        "query_group": choices.query_group,
        "model": HEADS,
        "other_run": other.run_dir.name,
    }
    try:
        pair = [
            comparisons_of(run, asked.settings.model_copy(update={"groups": (target,)}))[0]
            for run in (asked.run, other)
        ]
    except SettingsError as error:
        return [row | {"note": str(error).removesuffix(".")}]
    row |= {"label_a": pair[0].label_a, "label_b": pair[0].label_b}
    heads = [
        head_features(run, choices) if preset is None else preset_features(run, preset, choices.query_group)
        for run in (asked.run, other)
    ]
    problem = _why_not(pair, heads, asked.run, other)
    if problem:
        return [row | {"note": problem}]
    sets = _Sets.of(asked, other, pair, choices.folds)
    row |= sets.facts()
    if problem := sets.why_few():
        return [row | {"note": problem}]
    names = [name for name in heads[0].names if name in set(heads[1].names)]
    places = [[part.names.index(name) for name in names] for part in heads]
    values = {HEADS: [part.values[:, at] for part, at in zip(heads, places, strict=True)]}
    if is_first:
        simple = [_simple(run) for run in (asked.run, other)]
        values |= {name: [part[name] for part in simple] for name in simple[0]}
    return [row | sets.judge(name, parts, asked, choices) for name, parts in values.items()]


def _why_not(pair: list[Comparison], heads: list[HeadFeatures], run: Run, other: Run) -> str:
    for comparison in pair:
        if comparison.problem:
            return comparison.problem.removesuffix(".")
    for part in heads:
        if part.problem:
            return part.problem
    if (run.num_layers, run.num_heads) != (other.num_layers, other.num_heads):
        return (
            f"the other run has {other.num_layers} layers x {other.num_heads} heads and this one {run.num_layers} x "
            f"{run.num_heads}: their heads are not the same"
        )
    if (pair[0].label_a, pair[0].label_b) != (pair[1].label_a, pair[1].label_b):
        return f"the other run compares {pair[1].label_a} with {pair[1].label_b}"
    return ""


def _simple(run: Run) -> dict[str, np.ndarray]:
    """Return what needs no head, ``[samples, features]`` each."""
    samples = run.samples
    margin = numbers_of(samples["logit_difference"])
    parts = {
        "length": np.log(np.maximum(numbers_of(samples["num_tokens"]), 1))[:, None],
        "margin": np.column_stack([np.abs(margin), margin]),
        "surprisal": numbers_of(samples["label_surprisal"])[:, None],
    }
    return parts | {TOGETHER: np.column_stack(list(parts.values()))}


class _Sets:
    """The training samples, of this run, and the judged ones, of the other, one behind the other.

    ``clusters`` are the same for both; ``folds`` deals those that both have, -1 elsewhere.
    """

    def __init__(self, chosen: list[np.ndarray], labels: list[np.ndarray], clusters: np.ndarray, num_folds: int):
        self.chosen, self.clusters = chosen, clusters
        self.labels = np.concatenate(labels)
        self.is_training = np.arange(len(self.labels)) < len(labels[0])
        shared = np.intersect1d(clusters[self.is_training], clusters[~self.is_training])
        self.shared = len(shared)
        self.folds = np.full(len(clusters), -1)
        is_shared = np.isin(clusters, shared)
        if self.shared:
            own = is_shared & self.is_training
            dealt = deal_folds(self.labels[own], clusters[own], min(num_folds, self.shared), 0)
            fold_of = dict(zip(clusters[own].tolist(), dealt.tolist(), strict=True))
            self.folds[is_shared] = [fold_of[code] for code in clusters[is_shared].tolist()]

    @classmethod
    def of(cls, asked: Asked, other: Run, pair: list[Comparison], num_folds: int) -> _Sets:
        """Choose the members of both comparisons, at most as many as held-out prediction takes."""
        chosen, labels, names, ids, alone = [], [], [], [], []
        for run, comparison in zip((asked.run, other), pair, strict=True):
            codes = cluster_codes(run, asked.settings.cluster_by)
            member, _ = drawn_samples(comparison.is_member, codes, asked.run.seed)
            chosen.append(member)
            labels.append(comparison.is_a[member])
            names.append(cluster_names(run, asked.settings.cluster_by)[member])
            ids.append(run.samples["sample_id"].to_numpy()[member])
            alone.append(run.samples[asked.settings.cluster_by].is_null().to_numpy()[member])
        own = {sample_id: row for row, sample_id in enumerate(ids[0])}
        same = np.full(len(ids[0]) + len(ids[1]), -1)
        for row, sample_id in enumerate(ids[1]):
            # Where both clusters are known, an id in two clusters is no more than a row number.
            at = own.get(sample_id, -1)
            same[len(ids[0]) + row] = at if at >= 0 and (alone[0][at] or alone[1][row]) else -1
        codes = np.unique(np.concatenate(names), return_inverse=True)[1]
        return cls(chosen, labels, joined_clusters(codes, same), num_folds)

    def facts(self) -> Row:
        """Return how many samples and clusters of each run there are."""
        found: Row = {"num_shared_clusters": self.shared}
        for name, rows in (("training", self.is_training), ("judged", ~self.is_training)):
            found[f"num_{name}"] = int(rows.sum())
            found[f"num_{name}_clusters"] = len(np.unique(self.clusters[rows]))
            found[f"share_{name}"] = float(self.labels[rows].mean()) if rows.any() else float("nan")
        return found

    def why_few(self) -> str:
        """Return why there are too few samples to train on, or to judge; empty where there are enough."""
        for name, rows in (("this run", self.is_training), ("the other run", ~self.is_training)):
            least = _of_rarer(self.labels[rows])
            if least < MIN_CLASS:
                return f"{name} has {least} samples of one class; transfer needs {MIN_CLASS} of each"
            if len(np.unique(self.clusters[rows])) < MIN_CLUSTERS:
                return f"{name} has fewer than {MIN_CLUSTERS} clusters"
        for _, training in self._rounds():
            if (least := _of_rarer(self.labels[training])) < MIN_CLASS // 2:
                return f"without clusters of the other run, this run has {count_text(least, 'sample')} of one class"
        return ""

    def _rounds(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the samples that are judged together, and those that their model is trained on, as booleans."""
        for fold in np.unique(self.folds[~self.is_training]):
            is_apart = (self.folds == fold) & (fold >= 0)
            yield ~self.is_training & (self.folds == fold), self.is_training & ~is_apart

    def judge(self, name: str, parts: list[np.ndarray], asked: Asked, choices: DecodabilitySettings) -> Row:
        """Return what a model's row holds beyond counts."""
        values = np.vstack([part[rows] for part, rows in zip(parts, self.chosen, strict=True)])
        log_odds, base_rate = np.zeros(len(values)), np.zeros(len(values))
        is_used = np.zeros(values.shape[1], dtype=bool)
        for rows, training in self._rounds():
            both = rows | training
            found = transferred(
                Features.of(values[both]),
                self.labels[both],
                self.clusters[both],
                training[both],
                num_folds=min(choices.folds, len(np.unique(self.clusters[training]))),
                num_screened=choices.screened,
                seed=[asked.run.seed, 8],
            )
            log_odds[rows], base_rate[rows] = found.log_odds, self.labels[training].mean()
            is_used |= found.weights != 0
        apart = ~self.is_training
        counts = cluster_counts(self.clusters[apart], RESAMPLES, [asked.run.seed, 9])
        result = judged(log_odds[apart], self.labels[apart], base_rate[apart], counts)
        return {
            "model": name,
            "num_features": values.shape[1],
            "num_used": int(is_used.sum()),
            "pvalue": _above_chance(result),
            **_columns(result, asked.settings.alpha),
        }


def _of_rarer(labels: np.ndarray) -> int:
    """Return how many samples the rarer class has."""
    return min(int(labels.sum()), int((~labels).sum()))


def _above_chance(result: Judged) -> float:
    """Return one-sided p of an AUROC of 0.5, by its bootstrap error; where no draw errs, one over their number."""
    spread = float(np.nanstd(result.auroc[1:]))
    if spread > 0:
        return float(stats.norm.sf((result.auroc[0] - 0.5) / spread))
    return 1 / len(result.auroc) if result.auroc[0] > 0.5 else 1.0


def _columns(result: Judged, alpha: float) -> dict[str, float]:
    columns: dict[str, float] = {"brier": float(result.brier[0]), "base_brier": float(result.base_brier[0])}
    for name, drawn in (("auroc", result.auroc), ("gap", result.gap), ("slope", result.slope)):
        known = drawn[1:][~np.isnan(drawn[1:])]
        low, high = np.quantile(known, [alpha / 2, 1 - alpha / 2]) if len(known) else (np.nan, np.nan)
        prefix = "" if name == "auroc" else f"{name}_"
        columns |= {name: float(drawn[0]), f"{prefix}ci_low": float(low), f"{prefix}ci_high": float(high)}
    return columns
