"""Whether keys carry something else through heads in right predictions than in wrong ones.

Every attribution (``values``) is compared by the adjusted model of ``inference.adjusted.effects`` with its checks, as
head statistics are. All of them, in all forms, are one family.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analyses.inference.adjusted.tested_differences import tested_differences
from analyses.questions.attributions.tables import ATTRIBUTION_DIFFERENCES
from analyses.questions.attributions.values import WHOLE_HEAD, attribution_blocks
from analyses.questions.comparisons import Comparison, fixed_samples, model_samples, right_against_wrong
from analyses.questions.families import CLAIMED, adjusted_as_one, beside
from analyses.questions.rare_key_groups import rare_columns
from analyses.runs.labels import contrast_text
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings


def attribution_differences(run: Run, settings: AnalysisSettings) -> pl.DataFrame:
    """Compare right with wrong predictions in what each set of keys carries through each head.

    Returns
    -------
    DataFrame
        Columns as in ``ATTRIBUTION_DIFFERENCES``; empty without attributions, or without both kinds of predictions.
    """
    comparison, contrast = right_against_wrong(run, settings), contrast_text(run)
    parts: list[pl.DataFrame] = []
    for block in attribution_blocks(run) if not comparison.problem else ():
        for measure, values in block.measures.items():
            part = _compared(run, settings, comparison, block.keys, values)
            parts.append(part.with_columns(measure=pl.lit(measure), contrast=pl.lit(contrast)))
    if not parts:
        return ATTRIBUTION_DIFFERENCES.empty()
    return adjusted_as_one(pl.concat(parts), ATTRIBUTION_DIFFERENCES.schema, settings.correction, CLAIMED)


def _compared(
    run: Run, settings: AnalysisSettings, comparison: Comparison, keys: pl.DataFrame, values: np.ndarray
) -> pl.DataFrame:
    """Compare the columns that enough samples of both kinds have; the others get a note."""
    model, fixed = model_samples(run, settings, comparison), fixed_samples(run, settings, comparison)
    inside = values[comparison.is_member]
    is_rare, held = rare_columns(inside, model.is_a)
    is_rare &= (keys["kind"] != WHOLE_HEAD).to_numpy()
    why = [f"these keys are in only {number:,} samples of one kind: not tested" for number in held]
    untested = np.where(is_rare, np.array(why, dtype=object), "")
    return beside(keys, tested_differences(inside, model, fixed, settings.alpha, untested))
