"""The chart of how right and wrong answers read."""

from __future__ import annotations

import polars as pl

from analyses.charts import intervals
from analyses.charts.parts import specification
from analyses.questions.answers import Answers
from analyses.questions.figure import Absent, Figure, rounded
from analyses.questions.reading.sentences import FAMILY, found
from analyses.wording import count_text, key_group_label

NUM_RANKED = 20
"""Measures drawn: the findings with the largest difference, or the smallest p where there are none."""

_WORDS = {
    "drift": "drift through {group}",
    "concentration": "concentration on {group}",
    "sink_score": "sink score",
    "receiver_kurtosis": "receiver kurtosis",
}


def reading_figures(answers: Answers) -> list[Figure | Absent]:
    """Draw adjusted differences in standard deviations; nothing where nothing was measured."""
    table = answers.get("reading_differences")
    if table is None:
        return []
    tested = table.drop_nulls("pvalue_claim")
    if tested.is_empty():
        return [Absent("reading", "Right and wrong predictions could not be compared.")]
    certain = found(tested, answers.level(FAMILY))
    shown = (certain if len(certain) else tested.sort("pvalue_claim", "pvalue")).head(NUM_RANKED)
    names = [
        f"{row['layer']}.{row['head']}: {_WORDS[row['measure']].format(group=key_group_label(row['key_group'] or ''))}"
        for row in shown.iter_rows(named=True)
    ]
    # Measures have units of their own; over the standard deviation within groups they share an axis.
    spread = (pl.col("mean_a") - pl.col("mean_b")) / pl.col("effect_size")
    frame = shown.with_columns(shown=pl.Series(names, dtype=pl.String)).select(
        "shown",
        group=pl.lit("right minus wrong"),
        mean=pl.col("difference") / spread,
        ci_low=pl.col("ci_low") / spread,
        ci_high=pl.col("ci_high") / spread,
        num_samples=pl.col("num_a") + pl.col("num_b"),
    )
    words = "findings" if len(certain) else "none is a finding; those with the smallest p"
    chart = intervals.causal_ranking(
        rounded(frame.drop_nulls("mean")),
        answers.style,
        groups=["right minus wrong"],
        subtitle=f"{words}; {count_text(len(tested), 'test')}",
        title="How answers read, right against wrong",
        unit="adjusted difference in standard deviations",
    )
    guide = (
        "Each line is a head and a measure of how the answer's rows read a key group, or of what tokens and sentences "
        "receive through the head. Right of 0 it is larger in right predictions. Bars are clustered intervals."
    )
    return [Figure("reading", "How answers read", guide, specification(chart), ("reading_differences",))]
