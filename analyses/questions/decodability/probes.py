"""Probes by preset: one kind of head statistic at a time, at rows before, within and at the end of the answer.

One row per target, query group, preset; and one per target for each model that needs no head: length of the prompt and
of the whole text, margin, surprisal, and these together. Everything is held out as in ``answer``: nested, grouped by
cluster, controls with labels exchanged between clusters. Calibration is that of the first dealing of the folds: a
logistic model's log-odds for samples whose cluster it never saw, beside the base rate of its training folds.

Rows of ``prompt`` and ``thinking`` see nothing of the answer, so that what they tell was there before it was written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analyses.inference.held_out.features import Features
from analyses.inference.held_out.folds import cluster_counts
from analyses.inference.held_out.scores import bootstrap_auroc
from analyses.inference.held_out.transfer import judged
from analyses.inference.multiplicity import adjust_pvalues
from analyses.questions.comparisons import comparisons_of
from analyses.questions.decodability.answer import (
    HEADS,
    RESAMPLES,
    beside_controls,
    control_aurocs,
    drawn_samples,
    percentiles,
    repeated_scores,
    why_not,
)
from analyses.questions.decodability.features import why_flat
from analyses.questions.decodability.presets import asked_probes, preset_features
from analyses.questions.decodability.tables import PROBES
from analyses.runs.clusters import cluster_codes
from analyses.runs.numbers import numbers_of
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.columns import Group, SettingsError, group_name
from analyses.settings.decodability import DecodabilitySettings

Row = dict[str, Any]
"""A row of the table, by column."""

TOGETHER = "length, margin, surprisal"


def probes(run: Run, settings: AnalysisSettings, choices: DecodabilitySettings) -> pl.DataFrame:
    """Predict each target from each preset at each query group, and from what needs no head.

    Returns
    -------
    DataFrame
        Columns as in ``PROBES``; no row without presets. A probe that cannot be made has a row whose note says why.
    """
    rows: list[Row] = []
    for target in choices.targets if choices.presets else ():
        rows.extend(_of_target(run, settings, choices, target))
    table = pl.DataFrame(rows, schema=PROBES.schema)
    raw = table["pvalue_controls"].fill_null(float("nan")).to_numpy()
    adjusted = pl.Series("pvalue_adjusted", adjust_pvalues(raw, settings.correction), dtype=pl.Float64)
    return table.with_columns(adjusted).with_columns(pl.col(pl.Float64).fill_nan(None))


def _of_target(run: Run, settings: AnalysisSettings, choices: DecodabilitySettings, target: str | Group) -> list[Row]:
    row: Row = {"target": group_name(target), "model": HEADS}
    try:
        comparison = comparisons_of(run, settings.model_copy(update={"groups": (target,)}))[0]
    except SettingsError as error:
        return [row | {"note": str(error).removesuffix(".")}]
    codes = cluster_codes(run, settings.cluster_by)
    member, note = drawn_samples(comparison.is_member, codes, run.seed)
    judge = _Judge(comparison.is_a[member], codes[member], choices, settings.alpha, run.seed)
    row |= {"label_a": comparison.label_a, "label_b": comparison.label_b, "note": note or None, **judge.facts()}
    problem = why_not(comparison, row, choices.folds)
    if problem:
        return [row | {"note": problem}]
    simple = {name: judge.row(name, values[member]) for name, values in _simple(run).items()}
    best = max(simple, key=lambda name: simple[name]["auroc"])
    rows = [row | one for one in simple.values()]
    for preset, group in asked_probes(choices):
        named = row | {"preset": preset, "query_group": group}
        features = preset_features(run, preset, group)
        problem = features.problem or why_flat(features.values[member])
        if problem:
            rows.append(named | {"note": problem})
            continue
        rows.append(named | judge.heads(features.values[member], best, len(rows)))
    return rows


def _simple(run: Run) -> dict[str, np.ndarray]:
    """Return what needs no head, ``[samples, features]`` each; what does not vary is left out."""
    samples = run.samples
    margin = numbers_of(samples["logit_difference"])
    parts = {
        "prompt length": np.log(np.maximum(numbers_of(samples["num_prompt_tokens"]), 1))[:, None],
        "length": np.log(np.maximum(numbers_of(samples["num_tokens"]), 1))[:, None],
        "margin": np.column_stack([np.abs(margin), margin]),
        "surprisal": numbers_of(samples["label_surprisal"])[:, None],
    }
    return parts | {TOGETHER: np.column_stack(list(parts.values()))}


class _Judge:
    """Judges models on the samples of one target."""

    def __init__(
        self, is_a: np.ndarray, cluster: np.ndarray, choices: DecodabilitySettings, alpha: float, seed: int
    ) -> None:
        self.is_a, self.cluster, self.choices, self.alpha, self.seed = is_a, cluster, choices, alpha, seed
        self.counts = cluster_counts(cluster, RESAMPLES, [seed, 12]) if len(cluster) else np.zeros((0, 0))
        self._drawn: dict[str, np.ndarray] = {}
        self._aurocs: dict[str, float] = {}

    def facts(self) -> Row:
        """Return how many samples and clusters there are, and the base rate."""
        return {
            "num_samples": len(self.is_a),
            "num_a": int(self.is_a.sum()),
            "num_b": int((~self.is_a).sum()),
            "num_clusters": len(np.unique(self.cluster)),
            "share": float(self.is_a.mean()) if len(self.is_a) else float("nan"),
        }

    def row(self, name: str, values: np.ndarray) -> Row:
        """Return how a model fares, and keep its redrawn AUROCs under its name."""
        features = Features.of(values)
        held_out = repeated_scores(
            features, self.is_a, self.cluster, self.choices, self.choices.repeats, [self.seed, 13]
        )
        value, self._drawn[name] = bootstrap_auroc(held_out, self.is_a, self.counts)
        self._aurocs[name] = value
        low, high = percentiles(self._drawn[name], self.alpha)
        result = judged(held_out.log_odds[0], self.is_a, held_out.base_rates[0], self.counts)
        columns: Row = {"brier": float(result.brier[0]), "base_brier": float(result.base_brier[0])}
        for kind, drawn in (("gap", result.gap), ("slope", result.slope)):
            ends = percentiles(drawn[1:], self.alpha)
            columns |= {kind: float(drawn[0]), f"{kind}_ci_low": ends[0], f"{kind}_ci_high": ends[1]}
        counted = {"num_features": features.num_features, "num_used": held_out.num_used}
        return {"model": name, "auroc": value, "ci_low": low, "ci_high": high, **counted, **columns}

    def heads(self, values: np.ndarray, best: str, number: int) -> Row:
        """Return how heads fare, beside controls drawn by a number, and the best model without heads."""
        row = self.row(HEADS, values)
        difference = self._drawn[HEADS] - self._drawn[best]
        low, high = percentiles(difference, self.alpha)
        lead = self._aurocs[HEADS] - self._aurocs[best]
        row |= {"best_baseline": best, "difference": lead, "difference_ci_low": low, "difference_ci_high": high}
        if self.choices.permutations:
            controls = control_aurocs(
                Features.of(values), self.is_a, self.cluster, self.choices, self.seed + 1000 * (1 + number)
            )
            row["pvalue"] = (1 + sum(control >= row["auroc"] for control in controls)) / (len(controls) + 1)
            row |= beside_controls(row, controls, self.alpha)
        return row
