"""Figures that compare groups of samples: prepares each chart's frame and says how to read it."""

from __future__ import annotations

import polars as pl

from analyses import wording
from analyses.charts import intervals
from analyses.charts.parts import specification
from analyses.questions.answers import Answers
from analyses.questions.figure import Absent, Figure, drawn_groups, rounded, row_menu, sample_line
from analyses.runs.key_groups import absent_key_groups, of_kind, why_no_words
from analyses.runs.vocabulary import NUMBER_GROUPS
from engine.schema import STATEMENT_GROUPS

MAX_TOP_TOKENS = 20
"""Tokens drawn in the chart of the decision token; the table holds ``visualization.max_tokens``."""


def key_group_figure(answers: Answers, measure: str) -> Figure | Absent:
    """Draw weight (``mass``) or ``lift`` per kind of word of the vocabulary, or say why not."""
    name = f"key_group_{'weight' if measure == 'mass' else 'lift'}"
    rows = _measured(answers, measure).filter(pl.col("kind").is_in(["union", "category"]))
    if rows.is_empty():
        return Absent(name, why_no_words(answers.run, of_lift=measure == "lift"))
    if measure == "mass":
        title = "Which words heads look at"
        guide = (
            "Each point is the share of attention that goes to tokens of one kind, averaged over all heads, with its "
            "interval over samples. A kind with many tokens gets more attention for that reason alone, so read this "
            "beside the next chart. The row that stands apart is the union of the others, which can overlap; in it "
            "each token counts once."
        )
    else:
        title = "Which words heads look at more than chance would have it"
        guide = (
            "The same attention divided by what uniform attention would give these tokens. At the dashed line (1) they "
            "get exactly their share; above it they are looked at more than their number explains, below it less. Much "
            "attention rests on the first token in most models, which pushes everything else below 1."
        )
    return _compared(answers, rows, measure, name, title, guide)


def numbers_figure(answers: Answers) -> Figure | Absent:
    """Draw the lift (without baselines the weight) of numbers, periods and magnitudes, or say why not."""
    names = [name for name in of_kind(answers.run, "structure") if name in (*NUMBER_GROUPS, "line_item")]
    measure = "lift" if len(_measured(answers, "lift")) else "mass"
    rows = _measured(answers, measure).filter(pl.col("key_group").is_in(names))
    if rows.is_empty():
        return Absent("figures_lift", "No sample holds numbers or line items that the run has key groups for.")
    guide = (
        "The same for numbers, percentages and years anywhere in the text, in each kind of rows and in the same groups "
        "of samples."
    )
    if rows["key_group"].is_in(STATEMENT_GROUPS).any():
        guide = (
            "The same for figures anywhere in the text, and where a table was found for its line items, the columns of "
            "the recent and the prior period, and its large and small amounts. Two rows that lie apart (recent and "
            "prior, large and small) are read differently often; whether that is more than chance, this chart does "
            "not say."
        )
    return _compared(answers, rows, measure, "figures_lift", "Numbers and magnitudes", guide)


def _measured(answers: Answers, measure: str) -> pl.DataFrame:
    rows = answers["key_group_attention"].filter(pl.col("measure") == measure)
    return rows.filter(~pl.col("key_group").is_in(absent_key_groups(answers.run)))


def _compared(answers: Answers, rows: pl.DataFrame, measure: str, name: str, title: str, guide: str) -> Figure:
    groups, rows = drawn_groups(answers, rows)
    menu = row_menu(answers)
    labels = {name: wording.key_group_label(name) for name in answers.run.key_groups}
    unions = rows.filter(pl.col("kind") == "union")["key_group"].unique().to_list()
    labels |= {name: f"all {labels[name]}" for name in unions}
    frame = rows.with_columns(
        key_group=pl.col("key_group").replace(labels), rows=pl.col("query_group").replace(menu)
    ).drop("query_group", "kind", "measure")
    chart = intervals.key_group_comparison(
        rounded(frame),
        answers.style,
        groups=groups,
        measure=measure,
        apart=[labels[name] for name in unions],
        title=title,
        subtitle=f"mean over heads, layers and samples with {answers.intervals}, {sample_line(answers)}",
    )
    return Figure(name, title, guide, specification(chart), ("key_group_attention",))


def decision_top_tokens_figure(answers: Answers) -> Figure | Absent:
    """Draw the tokens that the decision token weighs most, or say why not."""
    tokens = answers.get("decision_top_tokens")
    if tokens is None:
        return Absent("decision_top_tokens", "The run kept no decision_top_keys.")
    groups, rows = drawn_groups(answers, tokens)
    frame = rows.filter(pl.col("rank") <= min(MAX_TOP_TOKENS, answers.style.max_tokens)).sort("rank")
    shown = {token: wording.visible_token(token) for token in frame["token"].unique()}
    frame = frame.with_columns(shown=pl.col("token").replace(shown)).drop("token")
    chart = intervals.decision_top_keys(
        rounded(frame),
        answers.style,
        groups=groups,
        subtitle=f"mean over heads and samples with {answers.intervals}, {sample_line(answers)}",
    )
    guide = (
        "When the model is about to write its answer's decisive token, these are the tokens it looks at most, summed "
        "over their occurrences and averaged over heads (␣ stands for a space, ␣×20 for twenty in a row, \\n for a "
        "line break). Only each head's heaviest keys were kept, so the shares are lower bounds."
    )
    title = "What the model looks at when it decides"
    return Figure("decision_top_tokens", title, guide, specification(chart), ("decision_top_tokens",))
