"""The chart of what heads fetch from the prompt."""

from __future__ import annotations

import polars as pl

from analyses.charts import intervals
from analyses.charts.parts import specification
from analyses.questions.answers import Answers
from analyses.questions.figure import Absent, Figure, rounded
from analyses.questions.retrieval.sentences import found_heads, part
from analyses.questions.retrieval.tables import RETRIEVAL_HEADS
from analyses.wording import count_text

NUM_RANKED = 15
"""Heads drawn: those that fetch, or the highest scores where none is shown to."""


def retrieval_figure(answers: Answers) -> Figure | Absent:
    """Draw the heads' scores beside what chance gives, or say why not."""
    table = part(answers, RETRIEVAL_HEADS).drop_nulls("score")
    if table.is_empty():
        return Absent("retrieval", "No sample has an answer whose rows could be looked at.")
    certain = found_heads(answers)
    order = table.sort("score", "layer", "head", descending=[True, False, False])
    shown = (certain if len(certain) else order).head(NUM_RANKED)
    named = shown.with_columns(shown=pl.format("{}.{} from the {}", "layer", "head", "source"))
    none = pl.lit(None, dtype=pl.Float64)
    # The interval is that of the lead, moved to where the score lies, as far as a share can lie there.
    parts = [
        named.select(
            "shown",
            "num_samples",
            group=pl.lit("score"),
            mean="score",
            ci_low=(pl.col("ci_low") + pl.col("chance")).clip(0, 1),
            ci_high=(pl.col("ci_high") + pl.col("chance")).clip(0, 1),
        ),
        named.select("shown", "num_samples", group=pl.lit("by chance"), mean="chance", ci_low=none, ci_high=none),
    ]
    words = "heads that fetch" if len(certain) else "none is shown to fetch; the highest scores"
    columns = ["shown", "group", "mean", "ci_low", "ci_high", "num_samples"]
    chart = intervals.causal_ranking(
        rounded(pl.concat([part.select(columns) for part in parts])),
        answers.style,
        groups=["score", "by chance"],
        subtitle=f"{words}; {count_text(len(table), 'score')}",
        title="What heads fetch",
        unit="share of the answer's rows",
        is_share=True,
    )
    guide = (
        "Each line is a head. Its score is the share of the answer's rows whose largest weight lies on a token of the "
        "prompt (or of the evidence) that is written next; by chance is what the same looks would score beside tokens "
        "written elsewhere in the answer."
    )
    return Figure("retrieval", "Which heads fetch what is written", guide, specification(chart), ("retrieval_heads",))
