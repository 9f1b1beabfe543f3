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
    comparison_menu,
    frames_of_marked,
    gradient_legend,
    head_grid,
    marked_head,
    menus,
    names_in_vega,
    scheme,
)
from analyses.themes import GREY
from analyses.visualization_settings import VisualizationSettings
from analyses.wording import head_type_label


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
    base = (
        head_grid(frame, look, title)
        .transform_filter("datum.query_group == chosen_rows")
        .transform_calculate(value="datum[chosen_statistic]")
    )
    tooltip = [alt.Tooltip("layer:Q"), alt.Tooltip("head:Q"), alt.Tooltip("value:Q", title="mean", format=".4g")]
    cells = base.mark_rect(cursor="pointer").encode(color=colour, tooltip=tooltip)
    return alt.layer(cells, *frames_of_marked(base)).add_params(query_group, statistic, *marked_head())


def difference_map(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    comparisons: Mapping[str, str],
    statistics: Mapping[str, str],
    query_groups: Mapping[str, str],
    start: tuple[str, str],
    limits: Mapping[str, Mapping[str, Mapping[str, float]]],
    subtitle: list[str],
) -> alt.TopLevelMixin:
    """Draw the adjusted difference a - b for every head; dots mark adjusted significance, diamonds replication.

    Parameters
    ----------
    frame
        ``comparison, query_group, layer, head`` and per statistic the columns ``<statistic>`` (difference),
        ``<statistic>@p`` (adjusted p) and ``<statistic>@mark`` (0 nothing, 1 significant, 2 replicated as well).
    look, statistics, query_groups, start, subtitle
        As for ``head_map``.
    comparisons
        Name of each comparison to "a minus b"; the first is shown first.
    limits
        Comparison to query group to statistic to the largest |difference|: the colour scale reaches as far on both
        sides of 0.
    """
    query_group, statistic = menus(query_groups, statistics, start)
    compared = comparison_menu(comparisons)
    text = f"{names_in_vega(comparisons)}[chosen_comparison] + '. ' + {chosen_title(query_groups, statistics).expr}"
    title = alt.Title(text=alt.ExprRef(text), subtitle=subtitle)
    base = (
        head_grid(frame, look, title)
        .transform_filter("datum.query_group == chosen_rows && datum.comparison == chosen_comparison")
        .transform_calculate(
            difference="datum[chosen_statistic]",
            p="datum[chosen_statistic + '@p']",
            mark="datum[chosen_statistic + '@mark']",
        )
    )
    reach = f"{json.dumps(limits)}[chosen_comparison][chosen_rows][chosen_statistic]"
    colour = alt.Color(
        "difference:Q",
        title=next(iter(comparisons.values())) if len(comparisons) == 1 else "a minus b",
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
    cells = base.mark_rect(cursor="pointer").encode(color=colour, tooltip=tooltip)
    size = max(20.0, 0.12 * min(cell_size(frame, look)) ** 2)
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
    layers = alt.layer(cells, marks, *frames_of_marked(base)).resolve_scale(shape="independent")
    return layers.add_params(compared, query_group, statistic, *marked_head())


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
    shown = {name: f"{initial}  {head_type_label(name)}" for name, initial in types.items()}
    legend = alt.Legend(labelExpr=f"{names_in_vega(shown)}[datum.label]")
    base = head_grid(frame, look, title)
    cells = base.mark_rect(stroke="white", strokeWidth=0.5, cursor="pointer").encode(
        color=alt.Color("head_type:N", title="type", scale=category_scale(look, list(types)), legend=legend),
        tooltip=tooltip,
    )
    size = min(12.0, 0.5 * min(cell_size(frame, look)))
    letters = base.mark_text(fontSize=size, color="black").encode(text="initial:N", tooltip=tooltip)
    shown_letters = [letters] if size >= 8 else []
    return alt.layer(cells, *shown_letters, *frames_of_marked(base)).add_params(*marked_head())


def head_types_by_layer(
    frame: pl.DataFrame, look: VisualizationSettings, *, types: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw how many heads of each layer have each type. ``frame``: ``layer, head_type, num_heads, order``."""
    names = {name: head_type_label(name) for name in types}
    legend = alt.Legend(labelExpr=f"{names_in_vega(names)}[datum.label]")
    return (
        alt.Chart(frame, title=alt.Title("Head types over layers", subtitle=subtitle))
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("layer:O", title="layer (0 reads the input)", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("num_heads:Q", title="number of heads", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("head_type:N", title="type", scale=category_scale(look, types), legend=legend),
            order=alt.Order("order:Q"),
            tooltip=["layer:O", alt.Tooltip("head_type:N", title="type"), alt.Tooltip("num_heads:Q", title="heads")],
        )
        .properties(width=look.figure_sizes["width"], height=look.figure_sizes["height"] * 0.7)
    )


def volcano(
    frame: pl.DataFrame,
    thresholds: pl.DataFrame,
    look: VisualizationSettings,
    *,
    comparisons: Mapping[str, str],
    query_groups: Sequence[str],
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw effect against evidence for every test.

    Parameters
    ----------
    frame
        ``comparison, effect_size_adjusted, evidence`` (-log10 p), ``rows, shown, statistic_label, layer, head,
        difference, pvalue_adjusted, is_significant``.
    thresholds
        ``comparison, evidence``: above it tests are significant after adjustment; no row where none is.
    look, subtitle
        As for ``head_map``.
    comparisons
        Name of each comparison to "a minus b"; the first is shown first.
    query_groups
        Names of the query groups.
    """
    here = "datum.comparison == chosen_comparison"
    title = alt.Title(
        alt.ExprRef(f"{names_in_vega(comparisons)}[chosen_comparison] + ': effect and evidence of every test'"),
        subtitle=subtitle,
    )
    x = alt.X("effect_size_adjusted:Q", title="adjusted difference in standard deviations")
    y = alt.Y("evidence:Q", title="−log10 of the unadjusted p")
    base = chart_of(frame, title).transform_filter(here).encode(x=x, y=y)
    points = base.mark_point(filled=True, cursor="pointer").encode(
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
    chosen = base.transform_filter("datum.layer == marked_layer && datum.head == marked_head").mark_point(
        size=110, stroke=GREY, strokeWidth=2, filled=False
    )
    width = look.figure_sizes["width"]
    # Hidden at 0 rather than left out where another comparison is shown: Vega warns of an axis without values.
    shown = alt.Chart(thresholds).transform_calculate(at=f"{here} ? datum.evidence : 0")
    line = shown.encode(y="at:Q", opacity=alt.condition(here, alt.value(1), alt.value(0)))
    rule = line.mark_rule(color=GREY, strokeDash=[5, 3])
    name = line.mark_text(text="passes the adjustment above this line", align="right", dx=-4, dy=-7, color=GREY)
    drawn = [rule, name.encode(x=alt.value("width"))] if len(thresholds) else []
    layers = alt.layer(points, chosen, *drawn)
    sized = layers.properties(width=width, height=look.figure_sizes["height"])
    return sized.add_params(comparison_menu(comparisons), *marked_head())


def replication(
    frame: pl.DataFrame, look: VisualizationSettings, *, comparisons: Mapping[str, str], reach: float, subtitle: str
) -> alt.TopLevelMixin:
    """Draw the difference on the clusters kept apart against that on the others, test by test.

    ``frame``: ``comparison, discovery, confirmation`` (standard deviations), ``shown, statistic_label, rows, layer,
    head, verdict``. ``reach``: largest |value|.
    """
    title = alt.Title("Does a difference hold on samples that it was not found on?", subtitle=subtitle)
    scale = alt.Scale(domain=[-reach, reach], nice=True)
    verdicts = list(VERDICTS)
    base = chart_of(frame, title).transform_filter("datum.comparison == chosen_comparison")
    points = base.mark_point(filled=True, cursor="pointer").encode(
        x=alt.X("discovery:Q", title="difference where it was looked for (standard deviations)", scale=scale),
        y=alt.Y("confirmation:Q", title="difference on the clusters kept apart", scale=scale),
        color=alt.Color("verdict:N", title=None, sort=verdicts, scale=category_scale(look, verdicts)),
        opacity=alt.condition("datum.verdict == 'not significant'", alt.value(0.25), alt.value(0.95)),
        size=alt.condition("datum.verdict == 'not significant'", alt.value(16), alt.value(60)),
        tooltip=[
            alt.Tooltip("shown:N", title="head"),
            alt.Tooltip("statistic_label:N", title="statistic"),
            alt.Tooltip("rows:N", title="attention of"),
            alt.Tooltip("discovery:Q", format="+.2f"),
            alt.Tooltip("confirmation:Q", format="+.2f"),
            "verdict:N",
        ],
    )
    ends = pl.DataFrame({"discovery": [-reach, reach], "confirmation": [-reach, reach]})
    line = alt.Chart(ends).mark_line(color=GREY, strokeDash=[5, 3]).encode(x="discovery:Q", y="confirmation:Q")
    side = look.figure_sizes["height"] * 1.1
    layers = alt.layer(line, points).properties(width=side, height=side)
    return layers.add_params(comparison_menu(comparisons))


VERDICTS = ("significant and replicated", "significant, not replicated", "not significant")
