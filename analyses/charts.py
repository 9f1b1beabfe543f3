"""Frames to Altair charts: those of heads here, those of groups of samples in ``analyses.charts_groups``.

Charts compute nothing: every number comes ready in the frame. They carry no theme: ``analyses.themes`` is added when a
file is written, and the report's page switches between themes. Sizes follow the number of layers and heads, from 6 x 8
to 28 x 28 and beyond.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from analyses.charts_parts import (
    category_scale,
    cell_size,
    chart_of,
    chosen_title,
    gradient_legend,
    head_grid,
    menus,
    names_in_vega,
    scheme,
)
from analyses.themes import GREY
from analyses.visualization_settings import VisualizationSettings


def head_map(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    statistics: Mapping[str, str],
    query_groups: Mapping[str, str],
    start: tuple[str, str],
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw the mean of a chosen statistic for every head.

    Parameters
    ----------
    frame
        ``query_group, layer, head`` and one column per statistic.
    look
        Colours and sizes.
    statistics, query_groups
        Column or value to its name in words, in the order of the menus.
    start
        Query group and statistic that are shown first, and in exported files.
    subtitle
        Line below the title.
    """
    query_group, statistic = menus(query_groups, statistics, start)
    title = alt.Title(
        text=chosen_title(query_groups, statistics),
        subtitle=subtitle,
    )
    colour = alt.Color(
        "value:Q",
        title="mean",
        scale=alt.Scale(zero=False, **scheme(look, "sequential")),
        legend=gradient_legend(),
    )
    return (
        head_grid(frame, look, title)
        .mark_rect()
        .encode(
            color=colour,
            tooltip=[
                alt.Tooltip("layer:Q"),
                alt.Tooltip("head:Q"),
                alt.Tooltip("value:Q", title="mean", format=".4g"),
            ],
        )
        .add_params(query_group, statistic)
        .transform_filter("datum.query_group == chosen_rows")
        .transform_calculate(value="datum[chosen_statistic]")
    )


def difference_map(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    statistics: Mapping[str, str],
    query_groups: Mapping[str, str],
    start: tuple[str, str],
    limits: Mapping[str, Mapping[str, float]],
    groups: tuple[str, str],
    subtitle: list[str],
) -> alt.TopLevelMixin:
    """Draw the adjusted difference a - b for every head; dots mark adjusted significance, diamonds replication.

    Parameters
    ----------
    frame
        ``query_group, layer, head`` and per statistic the columns ``<statistic>`` (difference), ``<statistic>@p``
        (adjusted p) and ``<statistic>@mark`` (0 nothing, 1 significant, 2 significant and replicated).
    look, statistics, query_groups, start, subtitle
        As for ``head_map``.
    limits
        Query group to statistic to the largest |difference|: the colour scale reaches as far on both sides of 0.
    groups
        Names of a and b.
    """
    query_group, statistic = menus(query_groups, statistics, start)
    title = alt.Title(
        text=chosen_title(query_groups, statistics),
        subtitle=subtitle,
    )
    base = (
        head_grid(frame, look, title)
        .transform_filter("datum.query_group == chosen_rows")
        .transform_calculate(
            difference="datum[chosen_statistic]",
            p="datum[chosen_statistic + '@p']",
            mark="datum[chosen_statistic + '@mark']",
        )
    )
    reach = f"{json.dumps(limits)}[chosen_rows][chosen_statistic]"
    colour = alt.Color(
        "difference:Q",
        title=f"{groups[0]} minus {groups[1]}",
        scale=alt.Scale(
            domainMin=alt.ExprRef(f"-{reach}"),
            domainMax=alt.ExprRef(reach),
            domainMid=0,
            **scheme(look, "diverging"),
        ),
        legend=gradient_legend(),
    )
    tooltip = [
        alt.Tooltip("layer:Q"),
        alt.Tooltip("head:Q"),
        alt.Tooltip("difference:Q", format="+.4g"),
        alt.Tooltip("p:Q", title="adjusted p", format=".3g"),
    ]
    cells = base.mark_rect().encode(color=colour, tooltip=tooltip)
    size = 0.12 * cell_size(frame, look) ** 2
    marks = (
        base.transform_filter("datum.mark > 0")
        .mark_point(filled=True, size=size, color="black", stroke="white", strokeWidth=1, opacity=1)
        .encode(
            shape=alt.Shape(
                "kind:N",
                scale=alt.Scale(domain=["significant", "replicated"], range=["circle", "diamond"]),
                legend=None,
            ),
            tooltip=tooltip,
        )
        .transform_calculate(kind="datum.mark > 1 ? 'replicated' : 'significant'")
    )
    return alt.layer(cells, marks).resolve_scale(shape="independent").add_params(query_group, statistic)


def head_type_map(
    frame: pl.DataFrame, look: VisualizationSettings, *, types: Mapping[str, str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw each head's type. ``frame``: ``layer, head, head_type, all_types, initial`` and the numbers behind them.

    ``types`` maps each type to its initial.
    """
    title = alt.Title("What kind of head each one is", subtitle=subtitle)
    numbers = ("diagonal", "previous_token", "beginning", "entropy_normalized", "vocabulary_lift", "prediction_mass")
    tooltip = [
        alt.Tooltip("layer:Q"),
        alt.Tooltip("head:Q"),
        alt.Tooltip("head_type:N", title="type"),
        alt.Tooltip("all_types:N", title="all that fit"),
        *(alt.Tooltip(f"{name}:Q", title=name.replace("_", " "), format=".3f") for name in numbers),
    ]
    legend = alt.Legend(labelExpr=f"{names_in_vega(types)}[datum.label] + '  ' + datum.label")
    base = head_grid(frame, look, title)
    cells = base.mark_rect(stroke="white", strokeWidth=0.5).encode(
        color=alt.Color("head_type:N", title="type", scale=category_scale(look, list(types)), legend=legend),
        tooltip=tooltip,
    )
    size = min(12.0, 0.5 * cell_size(frame, look))
    letters = base.mark_text(fontSize=size, color="black").encode(text="initial:N", tooltip=tooltip)
    return alt.layer(cells, letters) if size >= 8 else cells


def head_types_by_layer(
    frame: pl.DataFrame, look: VisualizationSettings, *, types: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw how many heads of each layer have each type. ``frame``: ``layer, head_type, num_heads, order``."""
    return (
        alt.Chart(frame, title=alt.Title("Head types over layers", subtitle=subtitle))
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("layer:O", title="layer (0 reads the input)", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("num_heads:Q", title="number of heads", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("head_type:N", title="type", scale=category_scale(look, types)),
            order=alt.Order("order:Q"),
            tooltip=["layer:O", alt.Tooltip("head_type:N", title="type"), alt.Tooltip("num_heads:Q", title="heads")],
        )
        .properties(width=look.figure_sizes["width"], height=look.figure_sizes["height"] * 0.7)
    )


def volcano(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    query_groups: Sequence[str],
    groups: tuple[str, str],
    threshold: float | None,
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw effect against evidence for every test.

    ``frame``: ``effect_size_adjusted, evidence`` (-log10 p), ``rows, shown, statistic_label, layer, head, difference,
    pvalue_adjusted, is_significant``. ``threshold``: the evidence above which tests are significant after adjustment.
    """
    title = alt.Title("Effect and evidence of every test", subtitle=subtitle)
    points = (
        chart_of(frame, title)
        .mark_point(filled=True)
        .encode(
            x=alt.X(
                "effect_size_adjusted:Q",
                title=f"adjusted difference, {groups[0]} minus {groups[1]}, in standard deviations",
            ),
            y=alt.Y("evidence:Q", title="−log10 of the unadjusted p"),
            color=alt.Color(
                "rows:N", title="attention of", sort=list(query_groups), scale=category_scale(look, query_groups)
            ),
            opacity=alt.condition("datum.is_significant", alt.value(0.95), alt.value(0.3)),
            size=alt.condition("datum.is_significant", alt.value(60), alt.value(18)),
            tooltip=[
                alt.Tooltip("shown:N", title="head"),
                alt.Tooltip("statistic_label:N", title="statistic"),
                alt.Tooltip("rows:N", title="attention of"),
                alt.Tooltip("difference:Q", format="+.4g"),
                alt.Tooltip("effect_size_adjusted:Q", title="in standard deviations", format="+.2f"),
                alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g"),
            ],
        )
        .properties(width=look.figure_sizes["width"], height=look.figure_sizes["height"])
    )
    if threshold is None:
        return points
    line = alt.Chart().mark_rule(color=GREY, strokeDash=[5, 3]).encode(y=alt.datum(threshold))
    name = alt.Chart().mark_text(text="passes the adjustment above this line", align="right", dy=-7, color=GREY)
    return alt.layer(points, line, name.encode(y=alt.datum(threshold), x=alt.value(look.figure_sizes["width"])))
