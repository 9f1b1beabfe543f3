"""The chart of what keys carry towards the answer."""

from __future__ import annotations

import polars as pl

from analyses.charts import intervals
from analyses.charts.parts import specification
from analyses.questions.answers import Answers
from analyses.questions.attributions.sentences import FAMILY, NONE, found, keys_text, towards_text
from analyses.questions.attributions.values import has_attributions
from analyses.questions.figure import Absent, Figure, rounded
from analyses.wording import count_text

NUM_RANKED = 20
"""Attributions drawn: the findings with the largest difference, or the smallest p where there are none."""


def attributions_figure(answers: Answers) -> Figure | Absent:
    """Draw means in right and in wrong predictions, or say why not."""
    if not has_attributions(answers.run):
        return Absent("attributions", NONE)
    tested = answers["attribution_differences"].drop_nulls("pvalue_claim")
    if tested.is_empty():
        return Absent("attributions", "Right and wrong predictions could not be compared.")
    certain = found(tested, answers.level(FAMILY))
    shown = (certain if len(certain) else tested.sort("pvalue_claim", "pvalue")).head(NUM_RANKED)
    names = [
        f"{row['layer']}.{row['head']}: {keys_text(row)} → {towards_text(answers, row)}"
        for row in shown.iter_rows(named=True)
    ]
    named = shown.with_columns(shown=pl.Series(names, dtype=pl.String))
    none = pl.lit(None, dtype=pl.Float64)
    parts = [
        named.select("shown", group=pl.lit(group), mean=mean, ci_low=none, ci_high=none, num_samples=number).drop_nulls(
            "mean"
        )
        for group, mean, number in (("correct", "mean_a", "num_a"), ("incorrect", "mean_b", "num_b"))
    ]
    words = "findings" if len(certain) else "none is a finding; those with the smallest p"
    chart = intervals.causal_ranking(
        rounded(pl.concat(parts)),
        answers.style,
        groups=["correct", "incorrect"],
        subtitle=f"{words}; {answers.contrast}; {count_text(len(tested), 'test')}",
        title="What keys carry through heads towards the answer",
        unit="nats towards the side named",
    )
    guide = (
        "Each line is a head and a set of keys; each point is what the keys add to the margin directly through the "
        "head, mean over right and over wrong predictions. Right of 0 they push towards the side that the line names."
    )
    title = "What pushed the answers"
    return Figure("attributions", title, guide, specification(chart), ("attribution_differences",))
