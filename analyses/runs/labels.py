"""Labels of a run's samples: free answers are no label, and one stands for all of them."""

from __future__ import annotations

import polars as pl

from analyses.runs.run import Run

FREE = "free answer"


def has_free_answers(run: Run) -> bool:
    """Whether the run's answers are free (``decision.span``) and no labels of a list."""
    return run.section("decision").get("span") is not None


def labels_of(run: Run, column: str) -> pl.Series:
    """Return the actual or predicted label of every sample, ``unknown`` where there is none."""
    values = run.samples[column]
    if has_free_answers(run):
        values = values.is_not_null().replace_strict({True: FREE, False: None}, return_dtype=pl.String)
    return values.fill_null("unknown")
