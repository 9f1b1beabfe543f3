"""Charts of groups of samples: weight per kind of word, profiles over layers, the decision token's top keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from analyses.charts_parts import (
    SHARE,
    category_scale,
    has_intervals,
    mean_tooltip,
    menu,
    names_in_vega,
)
from analyses.themes import GREY
from analyses.visualization_settings import VisualizationSettings


def key_group_comparison(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    groups: Sequence[str],
    measure: str,
    title: str,
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw weight or lift per key group and group of samples with intervals, one panel per query group.

    ``frame``: ``rows, key_group, group, mean, ci_low, ci_high, num_samples, num_clusters, pvalue_adjusted``.
    """
    is_lift = measure == "lift"
    axis_title = "times uniform attention" if is_lift else "share of attention"
    style = "~g" if is_lift else SHARE
    order = frame["key_group"].unique(maintain_order=True).to_list()
    y = alt.Y("key_group:N", title=None, sort=order, axis=alt.Axis(labelLimit=200, grid=True))
    offset = alt.YOffset("group:N", sort=list(groups))
    colour = alt.Color("group:N", title="samples", sort=list(groups), scale=category_scale(look, groups))
    base = alt.Chart(frame)
    x = alt.X("mean:Q", title=axis_title, axis=alt.Axis(format=style, tickCount=4), scale=alt.Scale(zero=True))
    rules = base.mark_rule(strokeWidth=2).encode(
        y=y, yOffset=offset, x=alt.X("ci_low:Q", title=axis_title), x2="ci_high:Q", color=colour
    )
    layers: list[alt.Chart] = [
        *([rules] if has_intervals(frame) else []),
        base.mark_point(filled=True, size=55, opacity=1).encode(
            y=y, yOffset=offset, x=x, color=colour, tooltip=mean_tooltip("key_group", ".3f" if is_lift else ".3%")
        ),
    ]
    if is_lift:
        layers.insert(0, base.mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.datum(1)))
    panels = frame["rows"].unique(maintain_order=True).to_list()
    return (
        alt.layer(*layers)
        .properties(width=max(160, look.figure_sizes["width"] // max(len(panels), 1) - 20), height=alt.Step(15))
        .facet(
            facet=alt.Facet("rows:N", title=None, sort=panels),
            columns=max(len(panels), 1),
            title=alt.Title(title, subtitle=subtitle),
            spacing=34,
        )
        .resolve_scale(x="shared" if not is_lift else "independent")
    )


def layer_profile(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    panels: Mapping[str, tuple[str, str]],
    groups: Sequence[str],
    query_groups: Mapping[str, str],
    start: str,
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw how statistics develop over layers, a panel each, with intervals.

    Parameters
    ----------
    frame
        ``query_group, statistic, layer, group, mean, ci_low, ci_high, num_samples, num_clusters``.
    look, query_groups, subtitle
        As for ``head_map``; ``start`` is the query group shown first.
    panels
        Statistic to its name and unit, in the order of the panels.
    groups
        Groups of samples.
    """
    rows = alt.param(name="chosen_rows", value=start, bind=menu("Attention of ", query_groups))
    drawn = [
        _profile_panel(frame.filter(pl.col("statistic") == name), look, groups, title, unit)
        for name, (title, unit) in panels.items()
    ]
    text = alt.ExprRef(f"{names_in_vega(query_groups)}[chosen_rows] + ': from layer to layer'")
    return (
        alt.concat(*drawn, columns=3, title=alt.Title(text=text, subtitle=subtitle), bounds="flush", spacing=68)
        .add_params(rows)
        .resolve_scale(color="shared")
    )


def _profile_panel(
    frame: pl.DataFrame, look: VisualizationSettings, groups: Sequence[str], title: str, unit: str
) -> alt.LayerChart | alt.FacetChart:
    style = SHARE if unit == "share of attention" else "~g"
    axis = alt.Axis(tickCount=5, format=style)
    x = alt.X(
        "layer:Q", title="layer", axis=alt.Axis(tickMinStep=1, format="d", grid=False), scale=alt.Scale(nice=False)
    )
    y = alt.Y("mean:Q", title=unit, axis=axis, scale=alt.Scale(zero=False))
    low = alt.Y("ci_low:Q", title=unit, axis=axis, scale=alt.Scale(zero=False))
    legend = alt.Legend(symbolOpacity=1, symbolStrokeWidth=0)
    colour = alt.Color("group:N", title="samples", sort=list(groups), scale=category_scale(look, groups), legend=legend)
    base = alt.Chart(frame).transform_filter("datum.query_group == chosen_rows")
    band = base.mark_area(opacity=0.22).encode(x=x, y=low, y2="ci_high:Q", color=colour)
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=22)).encode(
        x=x, y=y, color=colour, tooltip=mean_tooltip("statistic", ".4g", "layer:Q")
    )
    heading = alt.Title(title, fontSize=12, offset=6)
    size = {"width": look.figure_sizes["width"] // 3 - 10, "height": look.figure_sizes["height"] * 0.42}
    return alt.layer(*([band] if has_intervals(frame) else []), line).properties(title=heading, **size)


def decision_top_keys(
    frame: pl.DataFrame, look: VisualizationSettings, *, groups: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw the tokens the decision token weighs most.

    ``frame``: ``shown, group, mean, ci_low, ci_high, num_samples, num_clusters, pvalue_adjusted``, heaviest first.
    """
    order = frame["shown"].unique(maintain_order=True).to_list()
    y = alt.Y(
        "shown:N",
        title=None,
        sort=order,
        axis=alt.Axis(labelLimit=220, grid=True, labelFont="DejaVu Sans Mono, Menlo, Consolas, monospace"),
    )
    offset = alt.YOffset("group:N", sort=list(groups))
    colour = alt.Color("group:N", title="samples", sort=list(groups), scale=category_scale(look, groups))
    title = "share of the decision token's attention, mean over heads"
    base = alt.Chart(frame, title=alt.Title("Tokens that the decision token looks at", subtitle=subtitle))
    # A share has no values below 0, though the interval of a token that few samples hold may reach there.
    low = alt.X("ci_low:Q", title=title, axis=alt.Axis(format=SHARE), scale=alt.Scale(domainMin=0))
    rules = base.mark_rule(strokeWidth=2, clip=True).encode(y=y, yOffset=offset, color=colour, x=low, x2="ci_high:Q")
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        y=y,
        yOffset=offset,
        color=colour,
        x=alt.X("mean:Q", title=title, axis=alt.Axis(format=SHARE)),
        tooltip=mean_tooltip("shown", ".3%"),
    )
    height = 13 * max(len(order), 1) * len(groups)
    layers = [rules, points] if has_intervals(frame) else [points]
    return alt.layer(*layers).properties(width=look.figure_sizes["width"], height=height)
