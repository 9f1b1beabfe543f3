"""Whether answers read otherwise, and other keys and sentences receive, in right predictions than in wrong ones.

Every number (``values``) is compared by the adjusted model of ``inference.adjusted.effects`` with its checks, as head
statistics are. All of them are one family.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analyses.inference.adjusted.checks import check_differences, why_too_few
from analyses.inference.adjusted.effects import adjusted_effects
from analyses.inference.multiplicity import adjust_within, family_sizes
from analyses.inference.unadjusted import compare_groups
from analyses.questions.comparisons import Comparison, comparisons_of, fixed_samples, model_samples
from analyses.questions.rare_key_groups import MIN_PRESENT
from analyses.questions.reading.tables import READING_DIFFERENCES
from analyses.questions.reading.values import ReadingBlock, reading_blocks
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings


def reading_differences(run: Run, settings: AnalysisSettings) -> pl.DataFrame:
    """Compare right with wrong predictions in how each head reads and what is received through it.

    Returns
    -------
    DataFrame
        Columns as in ``READING_DIFFERENCES``; empty without both kinds of predictions.
    """
    comparison = comparisons_of(run, settings.model_copy(update={"groups": ("is_correct",)}))[0]
    if comparison.problem:
        return READING_DIFFERENCES.empty()
    parts = [_compared(run, settings, comparison, block) for block in reading_blocks(run)]
    return _adjusted(pl.concat(parts), settings.correction) if parts else READING_DIFFERENCES.empty()


def _compared(run: Run, settings: AnalysisSettings, comparison: Comparison, block: ReadingBlock) -> pl.DataFrame:
    """Compare the columns that enough samples of both kinds have; the others get a note."""
    inside, is_a = block.values[comparison.is_member], comparison.is_a[comparison.is_member]
    rare = _why_rare(inside, is_a)
    tested = np.where(rare != "", np.nan, inside)
    plain = compare_groups(inside, is_a)
    model = model_samples(run, settings, comparison)
    adjusted = adjusted_effects(tested, model, 1 - settings.alpha)
    checks = check_differences(tested, adjusted, model, fixed_samples(run, settings, comparison))
    piled = why_too_few(tested, is_a)
    columns = {
        "mean_a": plain.mean_a,
        "mean_b": plain.mean_b,
        "difference": adjusted.effect,
        "ci_low": adjusted.ci_low,
        "ci_high": adjusted.ci_high,
        "effect_size": plain.effect_size,
        "pvalue": np.where(piled == "", adjusted.pvalue, np.nan),
        "worst": np.where(piled == "", checks.worst, np.nan),
        "degrees_of_freedom": adjusted.degrees_of_freedom,
        "num_a": plain.num_a,
        "num_b": plain.num_b,
        "num_clusters": adjusted.num_clusters,
        "method": adjusted.method,
        "note": np.where(rare != "", rare, np.where(piled != "", piled, adjusted.note)),
    }
    kinds = READING_DIFFERENCES.schema
    numbers = {name: pl.Series(part.tolist(), dtype=kinds.get(name, pl.Float64)) for name, part in columns.items()}
    return pl.concat([block.keys, pl.DataFrame(numbers)], how="horizontal")


def _why_rare(values: np.ndarray, is_a: np.ndarray) -> np.ndarray:
    """Return ``[tests]`` texts: why what some samples lack is not compared; empty where enough have it."""
    known = ~np.isnan(values)
    held = np.minimum(known[is_a].sum(axis=0), known[~is_a].sum(axis=0))
    is_rare = (held < MIN_PRESENT) & ~known.all(axis=0)
    notes = np.full(values.shape[1], "", dtype=object)
    notes[is_rare] = [f"only {number:,} samples of one kind have it: not tested" for number in held[is_rare]]
    return notes


def _adjusted(table: pl.DataFrame, correction: str) -> pl.DataFrame:
    family = np.zeros(len(table), dtype=np.int64)
    for raw, name in (("pvalue", "pvalue_adjusted"), ("worst", "pvalue_claim")):
        adjusted = adjust_within(table[raw].fill_null(float("nan")).to_numpy(), family, correction)
        table = table.with_columns(pl.Series(name, adjusted, dtype=pl.Float64))
    sizes = family_sizes(table["pvalue"].fill_null(float("nan")).to_numpy(), family)
    return (
        table.with_columns(pl.Series("family_size", sizes, dtype=pl.Int32), pl.col("note").replace("", None))
        .select(pl.col(name).cast(kind) for name, kind in READING_DIFFERENCES.schema.items())
        .with_columns(pl.col(pl.Float64).fill_nan(None))
    )
