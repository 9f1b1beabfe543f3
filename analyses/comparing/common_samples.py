"""Samples that two runs have in common: whose answers are right, and how every head's statistics change."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from scipy import stats

from analyses.comparing.analysed_runs import AnalysedRun
from analyses.comparing.tables import COMPARED_CHANGES
from analyses.inference.adjusted.coefficients import design_of, fit_last
from analyses.inference.clustered_means import clustered_mean
from analyses.inference.multiplicity import adjust_pvalues
from analyses.inference.ranks import signed_scores
from analyses.runs.clusters import cluster_codes
from analyses.runs.key_groups import declared_statistics
from analyses.runs.values import statistic_blocks

EQUIVALENT = 0.2
"""Change, in standard deviations of the first run's samples, below which two runs count as equal: Cohen's small."""

STATISTICS_AT_ONCE = 8
"""Statistics of one query group that are in memory at once, of both runs."""


def is_changed(alpha: float) -> pl.Expr:
    """Say of each row of ``compared_changes`` whether the change holds on values and on ranks."""
    agrees = [pl.col(name) <= alpha for name in ("pvalue_adjusted", "pvalue_ranks_adjusted")]
    return pl.all_horizontal(*agrees).fill_null(False)


def _common(first: AnalysedRun, other: AnalysedRun) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the samples that both runs have, in the first run and in the other."""
    ids = [name for name in first.opened.samples["sample_id"] if name in other.opened.rows_of]
    rows = [np.array([run.opened.rows_of[name] for name in ids], dtype=np.int64) for run in (first, other)]
    return rows[0], rows[1]


def answers_compared(first: AnalysedRun, other: AnalysedRun) -> dict[str, object]:
    """Return how the answers to common samples compare, with the paired difference of the accuracy."""
    at, at_other = _common(first, other)
    one, two = first.opened.samples[at], other.opened.samples[at_other]
    cluster = cluster_codes(first.opened, first.settings.cluster_by)[at]
    answers = pl.DataFrame({"one": one["predicted_label"], "two": two["predicted_label"]}).drop_nulls()
    right = [frame["is_correct"].cast(pl.Float64).fill_null(float("nan")).to_numpy() for frame in (one, two)]
    known = ~np.isnan(right[0] + right[1])
    numbers: dict[str, object] = {"num_samples": len(at), "num_clusters": len(np.unique(cluster))}
    if len(answers):
        numbers["share_same_answer"] = float((answers["one"] == answers["two"]).to_numpy().mean())
    if known.any():
        numbers |= {"accuracy": float(right[0][known].mean()), "accuracy_other": float(right[1][known].mean())}
        tested = _paired((right[1] - right[0])[known, None], cluster[known], first.settings.alpha)
        numbers |= {name: float(values[0]) if values[0] == values[0] else None for name, values in tested.items()}
    return numbers


def _paired(change: np.ndarray, cluster: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Return mean change, CR2 interval and p per column of ``[samples, tests]`` without NaN."""
    design = design_of([], np.ones(len(change)))
    assert design is not None, "ones are not collinear with nothing"
    nothing = np.full(change.shape[1], np.nan)
    if len(change) < 2:
        mean = change.mean(axis=0) if len(change) else nothing
        return {"difference": mean, "ci_low": nothing, "ci_high": nothing, "pvalue": nothing}
    fit = fit_last(change, design, cluster)
    reach = stats.t.ppf(1 - alpha / 2, fit.degrees_of_freedom) * fit.standard_error
    return {"difference": fit.effect, "ci_low": fit.effect - reach, "ci_high": fit.effect + reach, "pvalue": fit.pvalue}


def changes_of_heads(first: AnalysedRun, other: AnalysedRun, names: dict[str, str]) -> pl.DataFrame:
    """Return the change of every head and statistic in the common samples, adjusted over the table."""
    at, at_other = _common(first, other)
    cluster = cluster_codes(first.opened, first.settings.cluster_by)[at]
    places = np.arange(first.opened.num_layers * first.opened.num_heads)
    frames = []
    for query_group, statistic, values, others in _both_values(first, other):
        change = (others[at_other] - values[at]).astype(np.float64)
        whole = ~np.isnan(change).any(axis=0)
        estimate = clustered_mean(change, cluster, 1 - first.settings.alpha)
        columns: dict[str, np.ndarray] = {
            name: getattr(estimate, "mean" if name == "difference" else name).copy()
            for name in ("difference", "ci_low", "ci_high")
        } | {name: np.full(len(places), np.nan) for name in ("pvalue", "pvalue_ranks", "low", "high")}
        if whole.any():
            own = change[:, whole]
            for name, tested in _paired(own, cluster, first.settings.alpha).items():
                columns[name][whole] = tested
            columns["pvalue_ranks"][whole] = _paired(signed_scores(own), cluster, first.settings.alpha)["pvalue"]
            narrower = _paired(own, cluster, 2 * first.settings.alpha)
            columns["low"][whole], columns["high"][whole] = narrower["ci_low"], narrower["ci_high"]
        bound = EQUIVALENT * _spread(values[at].astype(np.float64))
        low, high = columns.pop("low"), columns.pop("high")
        is_unchanged = (low > -bound) & (high < bound)
        unknown = np.isnan(low) | np.isnan(bound)
        counts = {"num_samples": estimate.num_samples, "num_clusters": estimate.num_clusters}
        keys = {"layer": places // first.opened.num_heads, "head": places % first.opened.num_heads}
        frame = pl.DataFrame(keys | columns | counts).with_columns(
            pl.Series("equivalence_bound", bound, dtype=pl.Float64),
            pl.Series("is_unchanged", [None if u else bool(e) for u, e in zip(unknown, is_unchanged, strict=True)]),
            pvalue_ranks_adjusted=pl.lit(None, pl.Float64),
            query_group=pl.lit(query_group),
            statistic=pl.lit(statistic),
            pvalue_adjusted=pl.lit(None, pl.Float64),
            **{name: pl.lit(text) for name, text in names.items()},
        )
        frames.append(frame.filter(pl.col("num_samples") > 0))
    table = pl.concat([COMPARED_CHANGES.empty(), *(COMPARED_CHANGES.declared(frame) for frame in frames)])
    for name in ("pvalue", "pvalue_ranks"):
        adjusted = adjust_pvalues(table[name].fill_null(float("nan")).to_numpy(), first.settings.correction)
        table = table.with_columns(pl.Series(f"{name}_adjusted", adjusted, dtype=pl.Float64))
    return table.with_columns(pl.col(pl.Float64).fill_nan(None))


def _spread(values: np.ndarray) -> np.ndarray:
    """Return each column's standard deviation over the samples that have a value; NaN where nothing varies."""
    known = ~np.isnan(values)
    number = known.sum(axis=0)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(number, 1)
    squares = (np.where(known, values - mean, 0) ** 2).sum(axis=0) / np.maximum(number - 1, 1)
    return np.where((number > 1) & (squares > 0), np.sqrt(squares), np.nan)


def _both_values(first: AnalysedRun, other: AnalysedRun) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yield query group, statistic and the values ``[samples, layers * heads]`` of both runs."""
    known = set(declared_statistics(other.opened))
    shared = [name for name in declared_statistics(first.opened) if name in known]
    for query_group in first.opened.query_groups:
        if query_group not in other.opened.query_groups:
            continue
        for start in range(0, len(shared), STATISTICS_AT_ONCE):
            names = shared[start : start + STATISTICS_AT_ONCE]
            (_, one), (_, two) = (
                next(statistic_blocks(run.opened, query_group, names, max_bytes=2**62)) for run in (first, other)
            )
            for slot, name in enumerate(names):
                yield query_group, name, one[:, slot], two[:, slot]
