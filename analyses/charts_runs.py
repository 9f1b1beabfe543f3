"""Charts that set several runs side by side: layers by relative depth, heads against heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from analyses.charts_parts import (
    category_scale,
    chart_of,
    gradient_legend,
    head_grid,
    mean_tooltip,
    menus,
    names_in_vega,
    scheme,
)
from analyses.themes import GREY
from analyses.visualization_settings import VisualizationSettings


def profiles_by_depth(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    runs: Sequence[str],
    statistics: Mapping[str, str],
    query_groups: Mapping[str, str],
    start: tuple[str, str],
) -> alt.TopLevelMixin:
    """Draw a chosen statistic over relative depth, a line per run with its interval.

    ``frame``: ``query_group, statistic, depth`` (0 first layer, 1 last)``, layer, group`` (the run)``, mean, ci_low,
    ci_high, num_samples, num_clusters``.
    """
    rows, statistic = menus(query_groups, statistics, start)
    base = chart_of(frame, alt.Title("From the first layer to the last")).transform_filter(
        "datum.query_group == chosen_rows && datum.statistic == chosen_statistic"
    )
    axis = alt.Axis(format=".2f", tickCount=5, grid=False)
    x = alt.X("depth:Q", title="relative depth (0 first layer, 1 last)", axis=axis)
    y = {"title": "mean over heads and samples", "scale": alt.Scale(zero=False)}
    legend = alt.Legend(symbolOpacity=1, symbolStrokeWidth=0)
    colour = alt.Color("group:N", title="run", sort=list(runs), scale=category_scale(look, runs), legend=legend)
    band = base.mark_area(opacity=0.2).encode(x=x, y=alt.Y("ci_low:Q", **y), y2="ci_high:Q", color=colour)
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=30)).encode(
        x=x, y=alt.Y("mean:Q", **y), color=colour, tooltip=mean_tooltip("statistic", ".4g", "layer:Q")
    )
    sized = alt.layer(band, line).properties(width=look.figure_sizes["width"], height=look.figure_sizes["height"])
    return sized.add_params(rows, statistic)


def heads_side_by_side(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    pair: tuple[str, str],
    statistics: Mapping[str, str],
    query_groups: Mapping[str, str],
    start: tuple[str, str],
) -> alt.TopLevelMixin:
    """Draw each head's mean in one run against that in another.

    ``frame``: ``query_group, statistic, layer, head, one, other``.
    """
    rows, statistic = menus(query_groups, statistics, start)
    title = alt.Title(f"The same heads in {pair[0]} and in {pair[1]}")
    base = chart_of(frame, title).transform_filter(
        "datum.query_group == chosen_rows && datum.statistic == chosen_statistic"
    )
    points = base.mark_point(filled=True, size=45, opacity=0.75).encode(
        x=alt.X("one:Q", title=pair[0], scale=alt.Scale(zero=False)),
        y=alt.Y("other:Q", title=pair[1], scale=alt.Scale(zero=False)),
        color=alt.Color("layer:Q", title="layer", scale=alt.Scale(**scheme(look, "sequential")),
                        legend=gradient_legend("d")),
        tooltip=["layer:Q", "head:Q", alt.Tooltip("one:Q", title=pair[0], format=".4g"),
                 alt.Tooltip("other:Q", title=pair[1], format=".4g")],
    )  # fmt: skip
    line = base.mark_line(color=GREY, strokeDash=[5, 3]).encode(x="one:Q", y=alt.Y("one:Q", title=pair[1]))
    side = look.figure_sizes["height"]
    return alt.layer(line, points).properties(width=side * 1.2, height=side).add_params(rows, statistic)


def change_map(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    pair: tuple[str, str],
    statistics: Mapping[str, str],
    query_groups: Mapping[str, str],
    start: tuple[str, str],
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw what changed from one run to another for every head, in samples that both have; dots mark significance.

    ``frame``: ``query_group, statistic, layer, head, difference, ci_low, ci_high, pvalue_adjusted, limit`` (largest
    |difference| of the statistic)``, is_significant``.
    """
    rows, statistic = menus(query_groups, statistics, start)
    text = f"{names_in_vega(query_groups)}[chosen_rows] + ': ' + {names_in_vega(statistics)}[chosen_statistic]"
    base = head_grid(frame, look, alt.Title(alt.ExprRef(text), subtitle=subtitle)).transform_filter(
        "datum.query_group == chosen_rows && datum.statistic == chosen_statistic"
    )
    base = base.transform_calculate(share="datum.difference / max(datum.limit, 1e-12)")
    colour = alt.Color(
        "share:Q", title=[f"{pair[1]} minus", pair[0], "(share of the largest)"],
        scale=alt.Scale(domain=[-1, 1], **scheme(look, "diverging")), legend=gradient_legend(),
    )  # fmt: skip
    tooltip = ["layer:Q", "head:Q", alt.Tooltip("difference:Q", format="+.4g"),
               alt.Tooltip("ci_low:Q", title="interval from", format="+.4g"),
               alt.Tooltip("ci_high:Q", title="to", format="+.4g"),
               alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g")]  # fmt: skip
    cells = base.mark_rect().encode(color=colour, tooltip=tooltip)
    dots = base.transform_filter("datum.is_significant").mark_point(filled=True, size=28, color="black", opacity=1)
    return alt.layer(cells, dots).add_params(rows, statistic)


def type_shares(
    frame: pl.DataFrame, look: VisualizationSettings, *, runs: Sequence[str], types: Sequence[str]
) -> alt.TopLevelMixin:
    """Draw the share of heads of each type, a bar per run. ``frame``: ``run, head_type, share, num_heads, order``."""
    return (
        alt.Chart(frame, title=alt.Title("Head types"))
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            y=alt.Y("run:N", title=None, sort=list(runs), axis=alt.Axis(labelLimit=200)),
            x=alt.X("share:Q", title="share of heads", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("head_type:N", title="type", sort=list(types), scale=category_scale(look, types)),
            order=alt.Order("order:Q"),
            tooltip=["run:N", "head_type:N", alt.Tooltip("share:Q", format=".1%"), "num_heads:Q"],
        )
        .properties(width=look.figure_sizes["width"], height=28 * len(runs))
    )
