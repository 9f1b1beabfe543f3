"""Charts that run over layers: profiles, flows, knockout curves, agreement.

The data of flows is named, so that the page can replace it by that of another sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from analyses.charts.parts import (
    CHOSEN_ROWS,
    SHARE,
    Menus,
    category_scale,
    chart_of,
    has_intervals,
    mean_tooltip,
    menu,
    named,
    names_in_vega,
    scheme,
)
from analyses.charts.scatter import NATS
from analyses.design import GREY
from analyses.settings.visualization import VisualizationSettings


def sample_flow(style: VisualizationSettings, *, num_layers: int, title: str, subtitle: str) -> alt.TopLevelMixin:
    """Draw where one sample's decision row looks from layer to layer, tokens in bins, segments marked.

    Data ``rows``: ``layer, first, last`` (positions)``, end`` (last + 1)``, share, text``; ``segments``: ``start,
    segment``.
    """
    x = alt.X("first:Q", title="token position", axis=alt.Axis(format="d", grid=False), scale=alt.Scale(nice=False))
    y = alt.Y("layer:O", title="layer", axis=alt.Axis(labelOverlap=True, ticks=False, domain=False))
    colour = alt.Color(
        "share:Q",
        title="share of attention",
        scale=alt.Scale(type="sqrt", **scheme(style, "sequential")),
        legend=alt.Legend(orient="bottom", format=SHARE, tickCount=5, gradientLength=220, titleLimit=220),
    )
    cells = (
        alt.Chart(alt.NamedData("rows"), title=alt.Title(title, subtitle=subtitle))
        .mark_rect(cursor="pointer")
        .encode(
            x=x,
            x2=alt.X2("end:Q"),
            y=y,
            color=colour,
            tooltip=[
                alt.Tooltip("layer:O"),
                alt.Tooltip("first:Q", title="from token"),
                alt.Tooltip("last:Q", title="to token"),
                alt.Tooltip("share:Q", format=".2%"),
                alt.Tooltip("text:N", title="heaviest"),
            ],
        )
    )
    marks = alt.Chart(alt.NamedData("segments"))
    rules = marks.mark_rule(color=GREY, strokeDash=[3, 2], strokeWidth=1.5).encode(x=alt.X("start:Q"))
    names = marks.mark_text(align="left", angle=0, dx=3, dy=-8, fontSize=11, color=GREY, baseline="bottom").encode(
        x=alt.X("start:Q"), y=alt.YValue(0), text=alt.Text("segment:N")
    )
    height = max(12, min(22, 420 // num_layers)) * num_layers
    return alt.layer(
        cells, rules, names, width=style.figure_sizes.width, height=height, padding={"top": 18, "left": 5, "right": 5}
    )


def segment_flow(
    frame: pl.DataFrame,
    style: VisualizationSettings,
    *,
    segments: Mapping[str, str],
    panels: Sequence[str],
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw what share of the attention goes to each part of the text, layer by layer, one panel per query group.

    ``frame``: ``rows, layer, segment, share, ci_low, ci_high, order``. ``segments``: value of ``segment`` to its name.
    """
    names = list(segments.values())
    base = (
        alt.Chart(frame)
        .mark_bar(stroke="white", strokeWidth=0.3)
        .encode(
            x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y(
                "share:Q",
                title="share of attention",
                stack="zero",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=SHARE, tickCount=5),
            ),
            color=alt.Color("segment:N", title="goes to", sort=names, scale=category_scale(style, names)),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("layer:O"),
                alt.Tooltip("segment:N", title="goes to"),
                alt.Tooltip("share:Q", format=".2%"),
                alt.Tooltip("ci_low:Q", title="interval from", format=".2%"),
                alt.Tooltip("ci_high:Q", title="to", format=".2%"),
            ],
        )
    )
    width = max(160, style.figure_sizes.width // max(len(panels), 1) - 40)
    title = alt.Title("Where attention flows, layer by layer", subtitle=subtitle)
    return base.properties(width=width, height=style.figure_sizes.height * 0.7).facet(
        facet=alt.Facet("rows:N", title=None, sort=list(panels)), columns=len(panels), title=title, spacing=28
    )


def layer_profile(
    frame: pl.DataFrame,
    style: VisualizationSettings,
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
    style, query_groups, subtitle
        As for ``head_map``; ``start`` is the query group shown first.
    panels
        Statistic to its name and unit, in the order of the panels.
    groups
        Groups of samples.
    """
    rows = alt.param(name="chosen_rows", value=start, bind=menu("Attention of ", query_groups))
    drawn = [
        _profile_panel(frame.filter(pl.col("statistic") == name), style, groups, title, unit)
        for name, (title, unit) in panels.items()
    ]
    text = alt.ExprRef(f"{names_in_vega(query_groups)}[chosen_rows] + ': from layer to layer'")
    return alt.concat(
        *drawn,
        columns=3,
        title=alt.Title(text=text, subtitle=subtitle),
        bounds="flush",
        spacing=68,
        params=named(rows),
        resolve=alt.Resolve(scale=alt.ScaleResolveMap(color="shared")),
    )


def _profile_panel(
    frame: pl.DataFrame, style: VisualizationSettings, groups: Sequence[str], title: str, unit: str
) -> alt.LayerChart | alt.FacetChart:
    number_format, told = (SHARE, ".3%") if unit == "share of attention" else ("~g", ".4g")
    axis = alt.Axis(tickCount=5, format=number_format)
    x = alt.X(
        "layer:Q", title="layer", axis=alt.Axis(tickMinStep=1, format="d", grid=False), scale=alt.Scale(nice=False)
    )
    y = alt.Y("mean:Q", title=unit, axis=axis, scale=alt.Scale(zero=False))
    low = alt.Y("ci_low:Q", title=unit, axis=axis, scale=alt.Scale(zero=False))
    legend = alt.Legend(symbolOpacity=1, symbolStrokeWidth=0)
    colour = alt.Color(
        "group:N", title="samples", sort=list(groups), scale=category_scale(style, groups), legend=legend
    )
    base = alt.Chart(frame).transform_filter("datum.query_group == chosen_rows")
    band = base.mark_area(opacity=0.22).encode(x=x, y=low, y2=alt.Y2("ci_high:Q"), color=colour)
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=22)).encode(
        x=x,
        y=y,
        color=colour,
        tooltip=mean_tooltip("statistic", told, alt.Tooltip("layer:Q")),
    )
    heading = alt.Title(title, fontSize=12, offset=6)
    size = {"width": style.figure_sizes.width // 3 - 10, "height": style.figure_sizes.height * 0.42}
    return alt.layer(*([band] if has_intervals(frame) else []), line, title=heading, **size)


def knockout_curves(
    frame: pl.DataFrame, style: VisualizationSettings, *, groups: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw the effect of blocking each key group against the middle of the window of layers.

    ``frame``: ``middle, window, key_group, mean, ci_low, ci_high, flips, flips_low, flips_high, pvalue_adjusted``.
    """
    x = alt.X("middle:Q", title="middle of the window of layers", axis=alt.Axis(tickMinStep=1))
    legend = alt.Legend(symbolOpacity=1, symbolStrokeWidth=0)
    colour = alt.Color(
        "key_group:N", title="not seen", sort=list(groups), scale=category_scale(style, groups), legend=legend
    )
    size = {"width": style.figure_sizes.width * 0.62, "height": style.figure_sizes.height * 0.55}
    tooltip = [
        alt.Tooltip("window:N", title="layers"),
        alt.Tooltip("key_group:N", title="not seen"),
        alt.Tooltip("mean:Q", title=NATS, format="+.4g"),
        alt.Tooltip("flips:Q", title="turned", format=".1%"),
        alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g"),
    ]

    def panel(names: tuple[str, str, str], title: str, number_format: str) -> alt.LayerChart | alt.FacetChart:
        axis = alt.Axis(format=number_format)
        band = (
            chart_of(frame, alt.Title(""))
            .mark_area(opacity=0.18)
            .encode(x=x, y=alt.Y(f"{names[1]}:Q", title=title, axis=axis), y2=alt.Y2(f"{names[2]}:Q"), color=colour)
        )
        line = (
            chart_of(frame, alt.Title(""))
            .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=26))
            .encode(x=x, y=alt.Y(f"{names[0]}:Q", title=title, axis=axis), color=colour, tooltip=tooltip)
        )
        zero = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 3]).encode(y=alt.YDatum(0))
        return alt.layer(zero, band, line, **size)

    lead = panel(("mean", "ci_low", "ci_high"), NATS, "~g")
    flips = panel(("flips", "flips_low", "flips_high"), "answers turned", ".0%")
    return alt.vconcat(lead, flips, title=alt.Title("The answer when tokens are not seen", subtitle=subtitle))


def agreement_by_layer(
    frame: pl.DataFrame, style: VisualizationSettings, *, pairs: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw the rank correlation between measures of heads, layer by layer, dashed over all heads.

    ``frame``: ``pair, layer`` (null over all heads), ``rho, ci_low, ci_high, num_heads``.
    """
    colour = alt.Color(
        "pair:N",
        title=None,
        sort=list(pairs),
        scale=category_scale(style, pairs),
        legend=alt.Legend(labelLimit=320, orient="bottom", columns=1),
    )
    y = alt.Y("rho:Q", title="rank correlation over heads", scale=alt.Scale(domain=[-1, 1]))
    x = alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap=True))
    layers, whole = frame.filter(pl.col("layer").is_not_null()), frame.filter(pl.col("layer").is_null())
    base = chart_of(layers, alt.Title("Do attention, gradients and ablation agree?", subtitle=subtitle))
    offset = alt.XOffset("pair:N", sort=list(pairs))
    rules = (
        base.transform_filter("isValid(datum.ci_low)")
        .mark_rule()
        .encode(x=x, xOffset=offset, y=alt.Y("ci_low:Q"), y2=alt.Y2("ci_high:Q"), color=colour)
    )
    points = base.mark_point(filled=True, size=45, opacity=1).encode(
        x=x,
        xOffset=offset,
        y=y,
        color=colour,
        tooltip=[
            alt.Tooltip("pair:N"),
            alt.Tooltip("layer:O"),
            alt.Tooltip("rho:Q", format="+.2f"),
            alt.Tooltip("ci_low:Q", format="+.2f"),
            alt.Tooltip("ci_high:Q", format="+.2f"),
            alt.Tooltip("num_heads:Q"),
        ],
    )
    overall = alt.Chart(whole).mark_rule(strokeDash=[5, 3], strokeWidth=1.5).encode(y=alt.Y("rho:Q"), color=colour)
    zero = alt.Chart().mark_rule(color=GREY).encode(y=alt.YDatum(0))
    return alt.layer(
        zero, overall, rules, points, width=style.figure_sizes.width, height=style.figure_sizes.height * 0.8
    )


def profiles_by_depth(
    frame: pl.DataFrame,
    style: VisualizationSettings,
    *,
    runs: Sequence[str],
    menus: Menus,
) -> alt.TopLevelMixin:
    """Draw a chosen statistic over relative depth, a line per run with its interval.

    ``frame``: ``query_group, statistic, depth`` (0 first layer, 1 last)``, layer, group`` (the run)``, mean, ci_low,
    ci_high, num_samples, num_clusters``.
    """
    base = chart_of(frame, alt.Title("From the first layer to the last")).transform_filter(CHOSEN_ROWS)
    axis = alt.Axis(format=".2f", tickCount=5, grid=False)
    x = alt.X("depth:Q", title="relative depth (0 first layer, 1 last)", axis=axis)
    y = {"title": "mean over heads and samples", "scale": alt.Scale(zero=False)}
    legend = alt.Legend(symbolOpacity=1, symbolStrokeWidth=0)
    colour = alt.Color("group:N", title="run", sort=list(runs), scale=category_scale(style, runs), legend=legend)
    band = base.mark_area(opacity=0.2).encode(x=x, y=alt.Y("ci_low:Q", **y), y2=alt.Y2("ci_high:Q"), color=colour)
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=30)).encode(
        x=x,
        y=alt.Y("mean:Q", **y),
        color=colour,
        tooltip=mean_tooltip("statistic", ".4g", alt.Tooltip("layer:Q")),
    )
    sized = alt.layer(band, line, width=style.figure_sizes.width, height=style.figure_sizes.height)
    return sized.add_params(*menus.parameters())
