"""Whether answers read otherwise, and other keys and sentences receive, in right predictions than in wrong ones.

Every number (``values``) is compared by the adjusted model of ``inference.adjusted.effects`` with its checks, as head
statistics are. All of them are one family.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analyses.inference.adjusted.tested_differences import tested_differences
from analyses.questions.comparisons import Comparison, fixed_samples, model_samples, right_against_wrong
from analyses.questions.families import CLAIMED, adjusted_as_one, beside
from analyses.questions.rare_key_groups import rare_columns
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
    comparison = right_against_wrong(run, settings)
    if comparison.problem:
        return READING_DIFFERENCES.empty()
    parts = [_compared(run, settings, comparison, block) for block in reading_blocks(run)]
    if not parts:
        return READING_DIFFERENCES.empty()
    return adjusted_as_one(pl.concat(parts), READING_DIFFERENCES.schema, settings.correction, CLAIMED)


def _compared(run: Run, settings: AnalysisSettings, comparison: Comparison, block: ReadingBlock) -> pl.DataFrame:
    """Compare the columns that enough samples of both kinds have; the others get a note."""
    model, fixed = model_samples(run, settings, comparison), fixed_samples(run, settings, comparison)
    inside = block.values[comparison.is_member]
    is_rare, held = rare_columns(inside, model.is_a)
    why = [f"only {number:,} samples of one kind have it: not tested" for number in held]
    untested = np.where(is_rare, np.array(why, dtype=object), "")
    return beside(block.keys, tested_differences(inside, model, fixed, settings.alpha, untested))
