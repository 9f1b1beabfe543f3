"""Labels of a run's samples, where free answers are one, and what its margins compare, in words."""

from __future__ import annotations

import polars as pl

from analyses.runs.run import Run

FREE = "free answer"
_RULES = {
    "said_vs_best_other": "the said label against the likeliest other",
    "said_vs_actual": "the said label against the actual one, or in right answers the likeliest other",
    "said_vs_runner_up": "the said token against the likeliest other token",
}
_SHOWN = 3


def has_free_answers(run: Run) -> bool:
    """Whether the run's answers are free (``decision.span``) and no labels of a list."""
    return run.section("decision").get("span") is not None


def labels_of(run: Run, column: str) -> pl.Series:
    """Return the actual or predicted label of every sample, ``unknown`` where there is none."""
    values = run.samples[column]
    if has_free_answers(run):
        values = values.is_not_null().replace_strict({True: FREE, False: None}, return_dtype=pl.String)
    return values.fill_null("unknown")


def contrast_text(run: Run) -> str:
    """Return the contrast of a run's margins: "increase against decrease", or a rule with the pairs that it found."""
    named = run.section("decision").get("contrast")
    column = run.samples["contrast"].drop_nulls() if "contrast" in run.samples.columns else None
    pairs = [] if column is None else column.value_counts(sort=True)["contrast"].to_list()
    if isinstance(named, list | tuple) and (not pairs or pairs == ["|".join(map(str, named))]):
        return f"{named[0]} against {named[1]}"
    rule = _RULES.get(str(named), _RULES["said_vs_best_other"])
    shown = ", ".join(sorted(pairs)) if len(pairs) <= _SHOWN else f"{', '.join(pairs[:_SHOWN])} and others"
    return f"{rule} ({shown})" if pairs else rule
