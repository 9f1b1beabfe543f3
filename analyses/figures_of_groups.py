"""Figures that compare groups of samples: prepares each chart's frame and says how to read it."""

from __future__ import annotations

import polars as pl

from analyses import charts_groups, wording
from analyses.analysis_tables import AnalysisTables
from analyses.charts_parts import specification
from analyses.figure_parts import (
    Figure,
    drawn_groups,
    first_choice,
    interval_name,
    missing_heads,
    rounded,
    row_menu,
    sample_line,
)
from analyses.key_groups import of_kind
from analyses.vocabulary import FIGURES

MAX_TOP_TOKENS = 20
"""Tokens drawn in the chart of the decision token; the table holds ``visualization.max_tokens``."""


PROFILE_PANELS = ("entropy_normalized", "first_token", "previous_token", "max_weight")


def layer_profile_figure(tables: AnalysisTables) -> Figure | str:
    """Draw statistics from layer to layer, or say why not."""
    if reason := missing_heads(tables):
        return reason
    known = set(tables.layer_profiles["statistic"])
    vocabulary = [
        f"mass_{name}" for name in (tables.vocabulary, "number", "statement", "reasoning", "response") if name
    ]
    panels = [name for name in (*vocabulary[:2], *PROFILE_PANELS, *vocabulary[2:]) if name in known][:6]
    panels = panels or sorted(known)[:6]
    groups, rows = drawn_groups(tables, tables.layer_profiles)
    chart = charts_groups.layer_profile(
        rounded(rows.filter(pl.col("statistic").is_in(panels)).sort("layer")),
        tables.look,
        panels={name: (wording.statistic_label(name), wording.statistic_unit(name)) for name in panels},
        groups=groups,
        query_groups=row_menu(tables),
        start=first_choice(tables)[0],
        subtitle=f"mean over heads and samples with {interval_name(tables)}, {sample_line(tables)}",
    )
    guide = (
        "Each panel follows one statistic from the first layer to the last, averaged over a layer's heads. Bands are "
        f"{interval_name(tables)} over samples, allowing for several samples of one {tables.cluster_noun}. Whether "
        "bands overlap decides nothing; the tests of group differences do. Panels have their own vertical scales."
    )
    return Figure("layer_profile", "From layer to layer", guide, specification(chart), ("layer_profiles",))


def key_group_figure(tables: AnalysisTables, measure: str) -> Figure | str:
    """Draw weight (``mass``) or ``lift`` per key group, or say why not."""
    groups, rows = drawn_groups(tables, tables.key_group_attention.filter(pl.col("measure") == measure))
    kept = ["union", "category"]
    numbers = [name for name in of_kind(tables.run, "structure") if name in FIGURES]
    rows = rows.filter(pl.col("kind").is_in(kept) | pl.col("key_group").is_in(numbers))
    if rows.is_empty():
        return "The run has no vocabulary." if measure == "mass" else "The run has no baselines table."
    menu = row_menu(tables)
    frame = rows.with_columns(
        key_group=pl.col("key_group").replace({name: wording.key_group_label(name) for name in tables.run.key_groups}),
        rows=pl.col("query_group").replace(menu),
    ).drop("query_group", "kind", "measure")
    chart = charts_groups.key_group_comparison(
        rounded(frame),
        tables.look,
        groups=groups,
        measure=measure,
        subtitle=f"mean over heads, layers and samples with {interval_name(tables)}, {sample_line(tables)}",
    )
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
    return Figure(
        f"key_group_{'weight' if measure == 'mass' else 'lift'}",
        title,
        guide,
        specification(chart),
        ("key_group_attention",),
    )


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
        "over their occurrences and averaged over heads (␣ stands for a space). Only each head's heaviest keys were "
        "kept, so the shares are lower bounds."
    )
    title = "What the model looks at when it decides"
    return Figure("decision_top_tokens", title, guide, specification(chart), ("decision_top_tokens",))
