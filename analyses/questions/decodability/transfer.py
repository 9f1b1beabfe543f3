"""Do the heads of another run tell too: probes trained on this run, judged on the other one.

One row per target, query group, preset and model. The model is that of ``inference.held_out.transfer``, trained on all
samples of this run; AUROC and calibration are those of the other run's samples, which nothing was chosen by. Beside the
heads stand models that need no head, trained and judged alike: length, margin, surprisal, and all three.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.inference.held_out.features import Features
from analyses.inference.held_out.folds import cluster_counts
from analyses.inference.held_out.transfer import Judged, judged, transferred
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
from analyses.runs.clusters import cluster_codes
from analyses.runs.numbers import numbers_of
from analyses.runs.run import Run
from analyses.settings.columns import Group, SettingsError, group_name
from analyses.settings.decodability import DecodabilitySettings, Preset

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
    sets = _Sets.of(asked, other, pair)
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
    """The training samples, of this run, and the judged ones, of the other, one behind the other."""

    def __init__(self, chosen: list[np.ndarray], labels: list[np.ndarray], clusters: list[np.ndarray], shared: int):
        self.chosen, self.shared = chosen, shared
        self.labels, self.clusters = np.concatenate(labels), np.concatenate(clusters)
        self.is_training = np.arange(len(self.labels)) < len(labels[0])

    @classmethod
    def of(cls, asked: Asked, other: Run, pair: list[Comparison]) -> _Sets:
        """Choose the members of both comparisons, at most as many as held-out prediction takes."""
        chosen, labels, clusters = [], [], []
        for run, comparison in zip((asked.run, other), pair, strict=True):
            codes = cluster_codes(run, asked.settings.cluster_by)
            member, _ = drawn_samples(comparison.is_member, codes, asked.run.seed)
            chosen.append(member)
            labels.append(comparison.is_a[member])
            clusters.append(codes[member] + (0 if run is asked.run else 1 + int(cluster_max(asked))))
        names = [set(run.samples["cluster"].drop_nulls()) for run in (asked.run, other)]
        return cls(chosen, labels, clusters, len(names[0] & names[1]))

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
            least = min(int(self.labels[rows].sum()), int((~self.labels[rows]).sum()))
            if least < MIN_CLASS:
                return f"{name} has {least} samples of one class; transfer needs {MIN_CLASS} of each"
            if len(np.unique(self.clusters[rows])) < MIN_CLUSTERS:
                return f"{name} has fewer than {MIN_CLUSTERS} clusters"
        return ""

    def judge(self, name: str, parts: list[np.ndarray], asked: Asked, choices: DecodabilitySettings) -> Row:
        """Return what a model's row holds beyond counts."""
        seed, labels = asked.run.seed, self.labels
        features = Features.of(np.vstack([part[rows] for part, rows in zip(parts, self.chosen, strict=True)]))
        found = transferred(
            features,
            labels,
            self.clusters,
            self.is_training,
            num_folds=choices.folds,
            num_screened=choices.screened,
            seed=[seed, 8],
        )
        counts = cluster_counts(self.clusters[~self.is_training], RESAMPLES, [seed, 9])
        result = judged(found.log_odds, labels[~self.is_training], float(labels[self.is_training].mean()), counts)
        return {
            "model": name,
            "num_features": features.num_features,
            "num_used": int((found.weights != 0).sum()),
            "pvalue": _above_chance(result),
            **_columns(result, asked.settings.alpha),
        }


def cluster_max(asked: Asked) -> int:
    """Return the largest cluster code of the run that is asked."""
    return int(cluster_codes(asked.run, asked.settings.cluster_by).max(initial=0))


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
