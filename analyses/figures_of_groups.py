"""Figures that compare groups of samples: prepares each chart's frame and says how to read it."""

from __future__ import annotations

import polars as pl

from analyses import charts_groups, wording
from analyses.analysis_tables import AnalysisTables
from analyses.charts_parts import specification
from analyses.figure_parts import (
    Figure,
    drawn_groups,
    interval_name,
    rounded,
    row_menu,
    sample_line,
)
from analyses.key_groups import absent_key_groups, of_kind
from analyses.vocabulary import FIGURES

MAX_TOP_TOKENS = 20
"""Tokens drawn in the chart of the decision token; the table holds ``visualization.max_tokens``."""


def key_group_figure(tables: AnalysisTables, measure: str) -> Figure | str:
    """Draw weight (``mass``) or ``lift`` per kind of word of the vocabulary, or say why not."""
    rows = _measured(tables, measure).filter(pl.col("kind").is_in(["union", "category"]))
    if rows.is_empty():
        return "The run has no vocabulary." if measure == "mass" else "The run has no baselines table."
    if measure == "mass":
        title = "Which words heads look at"
        guide = (
            "Each point is the share of attention that goes to tokens of one kind, averaged over all heads, with its "
            "interval over samples. A kind with many tokens gets more attention for that reason alone, so read this "
            "beside the next chart. Categories can overlap, and their union is counted once."
        )
    else:
        title = "Which words heads look at more than chance would have it"
        guide = (
            "The same attention divided by what uniform attention would give these tokens. At the dashed line (1) they "
            "get exactly their share; above it they are looked at more than their number explains, below it less. Much "
            "attention rests on the first token in most models, which pushes everything else below 1."
        )
    name = f"key_group_{'weight' if measure == 'mass' else 'lift'}"
    return _compared(tables, rows, measure, name, title, guide)


def figures_figure(tables: AnalysisTables) -> Figure | str:
    """Draw the lift (without baselines the weight) of numbers, periods and magnitudes, or say why not."""
    names = [name for name in of_kind(tables.run, "structure") if name in (*FIGURES, "line_item")]
    measure = "lift" if len(_measured(tables, "lift")) else "mass"
    rows = _measured(tables, measure).filter(pl.col("key_group").is_in(names))
    if rows.is_empty():
        return "No sample holds numbers, periods or line items that the run has key groups for."
    guide = (
        "The same for figures: numbers, percentages and years anywhere in the text, and where a statement's table was "
        "found its line items, the columns of the recent and the prior period, and its large and small amounts. Two "
        "rows that lie apart (recent and prior, large and small) are read differently often; whether that is more than "
        "chance is tested under Hypotheses."
    )
    return _compared(tables, rows, measure, "figures_lift", "Numbers, periods and magnitudes", guide)


def _measured(tables: AnalysisTables, measure: str) -> pl.DataFrame:
    rows = tables.key_group_attention.filter(pl.col("measure") == measure)
    return rows.filter(~pl.col("key_group").is_in(absent_key_groups(tables.run)))


def _compared(tables: AnalysisTables, rows: pl.DataFrame, measure: str, name: str, title: str, guide: str) -> Figure:
    groups, rows = drawn_groups(tables, rows)
    menu = row_menu(tables)
    labels = {name: wording.key_group_label(name) for name in tables.run.key_groups}
    frame = rows.with_columns(
        key_group=pl.col("key_group").replace(labels), rows=pl.col("query_group").replace(menu)
    ).drop("query_group", "kind", "measure")
    chart = charts_groups.key_group_comparison(
        rounded(frame),
        tables.look,
        groups=groups,
        measure=measure,
        title=title,
        subtitle=f"mean over heads, layers and samples with {interval_name(tables)}, {sample_line(tables)}",
    )
    return Figure(name, title, guide, specification(chart), ("key_group_attention",))


def decision_top_tokens_figure(tables: AnalysisTables) -> Figure | str:
    """Draw the tokens that the decision token weighs most, or say why not."""
    found = tables.decision_top_tokens
    if found is None:
        return "The run kept no decision_top_keys."
    groups, rows = drawn_groups(tables, found)
    frame = rows.filter(pl.col("rank") <= min(MAX_TOP_TOKENS, tables.look.max_tokens)).sort("rank")
    shown = {token: wording.visible_token(token) for token in frame["token"].unique()}
    frame = frame.with_columns(shown=pl.col("token").replace(shown)).drop("token")
    chart = charts_groups.decision_top_keys(
        rounded(frame),
        tables.look,
        groups=groups,
        subtitle=f"mean over heads and samples with {interval_name(tables)}, {sample_line(tables)}",
    )
    guide = (
        "When the model is about to write its answer's decisive token, these are the tokens it looks at most, summed "
        "over their occurrences and averaged over heads (␣ stands for a space, ␣×20 for twenty in a row, \\n for a "
        "line break). Only each head's heaviest keys were kept, so the shares are lower bounds."
    )
    title = "What the model looks at when it decides"
    return Figure("decision_top_tokens", title, guide, specification(chart), ("decision_top_tokens",))
