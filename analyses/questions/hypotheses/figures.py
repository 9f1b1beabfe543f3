"""The chart of hypotheses: every effect with its interval, in the unit that was tested, coloured by its verdict."""

from __future__ import annotations

import polars as pl

from analyses.charts import intervals
from analyses.charts.parts import specification
from analyses.questions.answers import Answers
from analyses.questions.figure import Absent, Figure, rounded, sample_line
from analyses.questions.hypotheses.answer import CONTRADICTED, MIXED, NOT_DECIDED, SHARE, SUPPORTED

_VERDICTS = {
    SUPPORTED: SUPPORTED,
    CONTRADICTED: CONTRADICTED,
    MIXED: "mixed evidence",
    NOT_DECIDED: NOT_DECIDED,
}
"""Verdict to the name that its colour goes by."""


def hypothesis_figure(answers: Answers) -> Figure | Absent:
    """Draw the effects with their intervals, or say why not."""
    tested = answers["hypotheses"].filter(pl.col("verdict").is_in(list(_VERDICTS))).drop_nulls(["effect", "ci_low"])
    if tested.is_empty():
        return Absent("hypotheses", "No hypothesis could be tested.")
    scale = pl.when(pl.col("unit").str.starts_with(SHARE)).then(100.0).otherwise(1.0)
    frame = tested.select(
        shown=pl.coalesce("text", "hypothesis"),
        unit=pl.col("unit").str.replace(SHARE, "percentage points of attention"),
        effect=pl.col("effect") * scale,
        ci_low=pl.col("ci_low") * scale,
        ci_high=pl.col("ci_high") * scale,
        share=100 * pl.col("effect_share"),
        verdict=pl.col("verdict").replace_strict(_VERDICTS),
        pvalue="pvalue_claim",
        expected="direction",
        num_samples="num_samples",
    )
    chart = intervals.hypotheses(
        rounded(frame),
        answers.style,
        verdicts=list(_VERDICTS.values()),
        subtitle=f"{answers.intervals}; {sample_line(answers)}",
    )
    guide = (
        "Each row is a hypothesis: its effect with the interval, in the unit below its panel. Right of the line it is "
        "greater than 0. The verdict also needs every check and the adjustment, so that an interval beside the line "
        "alone decides nothing. Mixed: decided over all, but some layer, or the same effect as a share of attention, "
        "has the other sign."
    )
    return Figure("hypotheses", "Hypotheses", guide, specification(chart), ("hypotheses",))
