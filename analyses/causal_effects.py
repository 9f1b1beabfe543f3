"""What heads, layers and key groups do to the answer: mean effects with clustered intervals, and right against wrong.

Each number of ``analyses.causal_values`` is averaged over samples. The error is CR2 by cluster with Satterthwaite's
degrees of freedom (``analyses.clustered_fit``); a second p is that of signed normal scores of the ranks, so that no
large effect in one sample decides; max-T turns all samples of a cluster round together (one random sign per cluster,
the same for every test), which holds where effects lie alike about 0 if there is no effect. p is adjusted within a
family: all causes of one kind and measure. A rate of flips is no difference from 0 and gets an interval alone.

``differences`` compares right with wrong predictions by the adjusted model of ``analyses.adjusted_model``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.adjusted_model import adjusted_effects
from analyses.causal_values import KEYS, CausalBlock, causal_blocks
from analyses.clustered_fit import design_of, fit_last, flipped_means
from analyses.comparisons import Comparison, comparisons_of, model_samples
from analyses.families import adjust_within, family_sizes
from analyses.max_t import max_t_pvalues, random_signs
from analyses.queries import cluster_codes
from analyses.ranks import signed_scores
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings
from analyses.significance import compare_groups, missing_patterns, wilson_interval

METHOD = "mean over samples; CR2 by cluster, t(Satterthwaite)"
RATE_METHOD = "share of samples; CR2 by cluster"
ALIKE = 1e-9
"""Intervals of a rate that are narrower come from clusters that are all alike."""

WILSON_METHOD = "share of samples; Wilson, clusters as trials"

_NUMBERS = ("mean", "ci_low", "ci_high", "effect_size", "pvalue", "pvalue_ranks", "statistic", "degrees_of_freedom")

EFFECTS_SCHEMA: dict[str, Any] = {
    **KEYS,
    "measure": pl.String,
    "mean": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "effect_size": pl.Float64,
    "pvalue": pl.Float64,
    "pvalue_adjusted": pl.Float64,
    "pvalue_ranks": pl.Float64,
    "pvalue_ranks_adjusted": pl.Float64,
    "pvalue_max_t": pl.Float64,
    "family": pl.String,
    "family_size": pl.Int32,
    "degrees_of_freedom": pl.Float64,
    "num_samples": pl.Int32,
    "num_clusters": pl.Int32,
    "method": pl.String,
    "note": pl.String,
}

DIFFERENCES_SCHEMA: dict[str, Any] = {
    **KEYS,
    "measure": pl.String,
    "mean_a": pl.Float64,
    "mean_b": pl.Float64,
    "difference": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "effect_size": pl.Float64,
    "pvalue": pl.Float64,
    "pvalue_adjusted": pl.Float64,
    "family": pl.String,
    "family_size": pl.Int32,
    "degrees_of_freedom": pl.Float64,
    "num_a": pl.Int32,
    "num_b": pl.Int32,
    "num_clusters": pl.Int32,
    "method": pl.String,
    "note": pl.String,
}


def causal_effects(tables: RunTables, settings: AnalysisSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Average every cause over samples, and compare right with wrong predictions.

    Returns
    -------
    tuple of DataFrame and DataFrame
        Columns as in ``EFFECTS_SCHEMA`` and ``DIFFERENCES_SCHEMA``; empty without causal tables.
    """
    cluster = cluster_codes(tables, settings.cluster_by)
    signs = random_signs(settings.permutations, int(cluster.max(initial=-1)) + 1, tables.seed)
    maxima: dict[str, np.ndarray] = {}
    comparison = comparisons_of(tables, replace(settings, groups=("is_correct",)))[0]
    effects, differences = [], []
    for block in causal_blocks(tables):
        for measure, values in block.measures.items():
            family = f"{block.keys['kind'][0]}: {measure}"
            rate = measure == "flip"
            found = _rates(values, cluster, settings.alpha) if rate else _means(values, cluster, settings.alpha)
            effects.append(_frame(block, measure, family, found, EFFECTS_SCHEMA))
            if not rate and len(signs):
                largest = _largest(values, cluster, signs)
                maxima[family] = np.maximum(maxima.get(family, 0.0), largest)
            if measure != "change":
                differences += _compared(tables, settings, comparison, block, measure, family, values)
    return (
        _effects_table(effects, maxima, settings.correction),
        _adjusted(_joined(differences, DIFFERENCES_SCHEMA), ("pvalue",), settings.correction, DIFFERENCES_SCHEMA),
    )


def is_certain(alpha: float) -> pl.Expr:
    """Whether an effect passes the adjustment, on ranks too, and max-T where it was computed."""
    checks = [pl.col(name) <= alpha for name in ("pvalue_adjusted", "pvalue_ranks_adjusted")]
    return pl.all_horizontal(*checks, pl.col("pvalue_max_t").fill_null(0.0) <= alpha).fill_null(False)


def _means(values: np.ndarray, cluster: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Test the mean of each column against 0; NaN where a sample has no value."""
    result = _nothing(values.shape[1])
    for rows, columns in _patterns(values, cluster, result):
        part = values[np.ix_(rows, columns)]
        design = design_of([], np.ones(len(part)))
        assert design is not None, "ones are not collinear with nothing"
        fit = fit_last(part, design, cluster[rows])
        scores = fit_last(signed_scores(part), design, cluster[rows])
        reach = stats.t.ppf(1 - alpha / 2, fit.degrees_of_freedom) * fit.standard_error
        spread = part.std(axis=0, ddof=1) if len(part) > 1 else np.full(len(columns), np.nan)
        result["mean"][columns] = fit.effect
        result["ci_low"][columns], result["ci_high"][columns] = fit.effect - reach, fit.effect + reach
        result["effect_size"][columns] = np.divide(
            fit.effect, spread, out=np.full(len(columns), np.nan), where=spread > 0
        )
        result["pvalue"][columns] = fit.pvalue
        result["pvalue_ranks"][columns] = np.where(np.isnan(fit.pvalue), np.nan, scores.pvalue)
        result["statistic"][columns] = fit.effect / fit.standard_error
        result["degrees_of_freedom"][columns] = fit.degrees_of_freedom
        untested = columns[np.isnan(fit.pvalue)]
        result["note"][untested] = fit.note or "it is the same in every sample"
    result["method"][:] = METHOD
    return result


def _rates(values: np.ndarray, cluster: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Give the share of samples with an interval inside 0..1; Wilson's where all samples agree."""
    result = _means(values, cluster, alpha)
    result["method"][:] = RATE_METHOD
    for name in ("pvalue", "pvalue_ranks", "statistic", "effect_size"):
        result[name][:] = np.nan
    # Clusters that are all alike have no error, which is no certainty.
    is_alike = ~(result["ci_high"] - result["ci_low"] > ALIKE)
    for slot in np.flatnonzero(is_alike & (result["num_samples"] > 0)):
        hits = result["mean"][slot] * result["num_clusters"][slot]
        low, high = wilson_interval(float(hits), int(result["num_clusters"][slot]), 1 - alpha)
        result["ci_low"][slot], result["ci_high"][slot] = low, high
        result["method"][slot], result["note"][slot] = WILSON_METHOD, ""
    for name in ("ci_low", "ci_high"):
        np.clip(result[name], 0.0, 1.0, out=result[name])
    return result


def _nothing(num_tests: int) -> dict[str, np.ndarray]:
    result = {name: np.full(num_tests, np.nan) for name in _NUMBERS}
    result |= {name: np.zeros(num_tests, np.int64) for name in ("num_samples", "num_clusters")}
    return result | {name: np.full(num_tests, "", dtype=object) for name in ("method", "note")}


def _patterns(
    values: np.ndarray, cluster: np.ndarray, result: dict[str, np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield sample rows and columns that share them; those without a sample get a note instead."""
    for present, columns in missing_patterns(values):
        rows = np.flatnonzero(present)
        result["num_samples"][columns], result["num_clusters"][columns] = len(rows), len(np.unique(cluster[rows]))
        if len(rows):
            yield rows, columns
        else:
            result["note"][columns] = "no sample has a value"


def _largest(values: np.ndarray, cluster: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return ``[permutations]``, the largest |T*| over the columns when whole clusters are turned round."""
    largest = np.zeros(len(signs))
    for present, columns in missing_patterns(values):
        rows = np.flatnonzero(present)
        if len(rows):
            flipped = flipped_means(values[np.ix_(rows, columns)], cluster[rows], signs)
            np.maximum(largest, np.abs(flipped).max(axis=1, initial=0.0), out=largest)
    return largest


def _compared(
    tables: RunTables,
    settings: AnalysisSettings,
    comparison: Comparison,
    block: CausalBlock,
    measure: str,
    family: str,
    values: np.ndarray,
) -> list[pl.DataFrame]:
    """Compare right with wrong predictions among the samples that have a value; nothing without both."""
    if comparison.problem:
        return []
    inside = values[comparison.is_member]
    is_a = comparison.is_a[comparison.is_member]
    plain = compare_groups(inside, is_a)
    found = adjusted_effects(inside, model_samples(tables, settings, comparison), 1 - settings.alpha)
    columns = {
        "mean_a": plain.mean_a,
        "mean_b": plain.mean_b,
        "difference": found.effect,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "effect_size": plain.effect_size,
        "pvalue": found.pvalue,
        "degrees_of_freedom": found.degrees_of_freedom,
        "num_a": plain.num_a,
        "num_b": plain.num_b,
        "num_clusters": found.num_clusters,
        "method": found.method,
        "note": found.note,
    }
    return [_frame(block, measure, family, columns, DIFFERENCES_SCHEMA)]


def _frame(
    block: CausalBlock, measure: str, family: str, found: dict[str, np.ndarray], schema: dict[str, Any]
) -> pl.DataFrame:
    named = block.keys.with_columns(measure=pl.lit(measure), family=pl.lit(family))
    numbers = pl.DataFrame({name: pl.Series(values.tolist(), dtype=schema.get(name, pl.Float64))
                            for name, values in found.items()})  # fmt: skip
    return pl.concat([named, numbers], how="horizontal")


def _effects_table(frames: list[pl.DataFrame], maxima: dict[str, np.ndarray], correction: str) -> pl.DataFrame:
    schema = EFFECTS_SCHEMA | {"statistic": pl.Float64}
    table = _joined(frames, schema)
    max_t = np.full(len(table), np.nan)
    family, statistic = table["family"].to_numpy(), table["statistic"].fill_null(float("nan")).to_numpy()
    for name, largest in maxima.items():
        rows = family == name
        max_t[rows] = max_t_pvalues(statistic[rows], largest)
    table = table.with_columns(pvalue_max_t=pl.Series(max_t, dtype=pl.Float64))
    return _adjusted(table, ("pvalue", "pvalue_ranks"), correction, EFFECTS_SCHEMA)


def _joined(frames: list[pl.DataFrame], schema: dict[str, Any]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=schema), *frames], how="diagonal_relaxed")


def _adjusted(table: pl.DataFrame, names: tuple[str, ...], correction: str, schema: dict[str, Any]) -> pl.DataFrame:
    """Adjust p-values within their families and bring the columns into order; NaN becomes null."""
    family = table["family"].to_numpy()
    for name in names:
        raw = table[name].fill_null(float("nan")).to_numpy()
        adjusted = pl.Series(adjust_within(raw, family, correction), dtype=pl.Float64)
        table = table.with_columns(adjusted.alias(f"{name}_adjusted"))
    sizes = family_sizes(table["pvalue"].fill_null(float("nan")).to_numpy(), family)
    return (
        table.with_columns(pl.Series("family_size", sizes, dtype=pl.Int32), pl.col("note").replace("", None))
        .select(pl.col(name).cast(kind) for name, kind in schema.items())
        .with_columns(pl.col(pl.Float64).fill_nan(None))
    )
