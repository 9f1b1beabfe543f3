"""Charts of circuits: a layered graph of edges, and what growing parts of it recover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from analyses.charts.parts import SHARE, category_scale, gradient_legend, has_intervals, scheme
from analyses.design import GREEN, GREY
from analyses.settings.visualization import VisualizationSettings

_NATS = "change of the lead (nats)"

_BESIDE, _TIERS, _NARROW, _ROW = 3, 8, 560, 70
"""Names that have room beside each other on a telephone; lines that more take there; what counts as one, and the height
of a row (px)."""

_ACROSS = alt.Scale(domain=[0, 1], nice=False)


def layered_graph(
    edges: pl.DataFrame,
    nodes: pl.DataFrame,
    style: VisualizationSettings,
    *,
    rows: Sequence[str],
    subtitle: Sequence[str],
    description: str,
) -> alt.TopLevelMixin:
    """Draw a graph in rows, the first at the bottom; edges by colour and width.

    Parameters
    ----------
    edges
        A row for every point of an edge's way: ``edge`` (its name)``, step`` (which point)``, input, x, y, size,
        verified, ci_low, ci_high, linearised, pvalue_adjusted, is_certain``; places across are 0..1, heights count
        rows.
    nodes
        ``node`` (its label)``, x, y, confirmed``.
    style
        Sizes and colours.
    rows
        Names of the rows, from below.
    subtitle
        Lines below the title.
    description
        The edges in words, for those who do not see the picture.
    """
    read = nodes.filter(pl.col("y") == 0)
    crowded = read.height > _BESIDE
    # Room below for the lines that names take, in rows.
    wide, narrow = (-(20 + 14 * lines) / _ROW for lines in ((2, min(read.height, _TIERS)) if crowded else (1, 1)))
    lowest = alt.expr(f"width < {_NARROW} ? {narrow:.3f} : {wide:.3f}")
    upwards = alt.Scale(domainMin=lowest, domainMax=len(rows) - 0.65, nice=False, zero=False)
    x = alt.X("x:Q", axis=None, scale=_ACROSS)
    y = alt.Y("y:Q", axis=None, scale=upwards)
    lines = _edges(edges, x, y, style)
    base = alt.Chart(nodes).encode(x=x, y=y)
    circles = base.mark_circle(size=260, opacity=1).encode(
        color=alt.condition("datum.confirmed", alt.value(GREEN), alt.value(GREY)),
        tooltip=alt.Tooltip("node:N", title=" "),
    )
    return alt.layer(
        lines,
        circles,
        *_names(read, crowded),
        *_names_beside(nodes, rows),
        title=alt.Title("From what is read to the answer", subtitle=list(subtitle)),
        description=description,
        width=style.figure_sizes.width,
        height=max(style.figure_sizes.height, _ROW * len(rows)),
    )


def _edges(edges: pl.DataFrame, x: alt.X, y: alt.Y, style: VisualizationSettings) -> alt.Chart:
    """Return the edges as lines: what they carry by colour and width, those that are not certain broken."""
    reach = float(edges.select(pl.col("size").abs().max()).item())
    return (
        alt.Chart(edges)
        .mark_line(opacity=0.85, strokeJoin="round")
        .encode(
            x=x,
            y=y,
            detail=alt.Detail("edge:N"),
            order=alt.Order("step:Q"),
            color=alt.Color(
                "size:Q",
                title=_NATS,
                scale=alt.Scale(domain=[-reach, reach], domainMid=0, **scheme(style, "diverging")),
                legend=gradient_legend(),
            ),
            strokeWidth=alt.StrokeWidth("width:Q", scale=alt.Scale(domain=[0, reach], range=[0.8, 7]), legend=None),
            strokeDash=alt.condition("datum.is_certain", alt.value([1, 0]), alt.value([5, 4])),
            tooltip=[
                alt.Tooltip("edge:N", title=" "),
                alt.Tooltip("verified:Q", title="on real runs", format="+.4g"),
                alt.Tooltip("ci_low:Q", title="interval from", format="+.4g"),
                alt.Tooltip("ci_high:Q", title="to", format="+.4g"),
                alt.Tooltip("linearised:Q", title="by gradients", format="+.4g"),
                alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g"),
            ],
        )
        .transform_calculate(width="abs(datum.size)")
    )


def _names(read: pl.DataFrame, crowded: bool) -> list[alt.Chart]:
    """Return the names of what is read: below it, in lines of their own where they would touch, inside the chart."""
    lines = f"width < {_NARROW} ? datum.tier % {_TIERS} : datum.tier % 2" if crowded else "0"
    aside = f"width > {_NARROW} ? 'center' : datum.x < 0.34 ? 'left' : datum.x > 0.66 ? 'right' : 'center'"
    shift = "datum.x < 0.34 ? -9 : datum.x > 0.66 ? 9 : 0"
    tiered = read.with_columns(tier=pl.col("x").rank("ordinal").cast(pl.Int32) - 1)
    return _on_seam(
        tiered,
        "node",
        dy=alt.expr(f"20 + 14 * ({lines})"),
        align=alt.expr(aside),
        dx=alt.expr(f"width < {_NARROW} ? ({shift}) : 0"),
    )


def _names_beside(nodes: pl.DataFrame, rows: Sequence[str]) -> list[alt.Chart]:
    """Return the names of heads and logits, right of them, and those of the rows, at the left edge."""
    sides = pl.DataFrame({"node": list(rows), "y": list(range(len(rows))), "x": [0.0] * len(rows)})
    above = nodes.filter(pl.col("y") > 0)
    return [*_on_seam(above, "node", dx=13, align="left"), *_on_seam(sides, "node", dx=2, align="left")]


def _on_seam(frame: pl.DataFrame, field: str, **mark: Any) -> list[alt.Chart]:
    """Return text that can be read on top of lines: beneath it a seam in the colour of the paper."""
    text = alt.Chart(frame).encode(
        x=alt.X("x:Q", axis=None, scale=_ACROSS), y=alt.Y("y:Q", axis=None), text=f"{field}:N"
    )
    return [
        text.mark_text(fontSize=11, style="seam", strokeWidth=4, strokeJoin="round", **mark),
        text.mark_text(fontSize=11, style="name", **mark),
    ]


def recovered_curve(
    frame: pl.DataFrame, style: VisualizationSettings, *, groups: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw what share kept edges recover against their number, the strongest beside random ones.

    ``frame``: ``num_edges, edges`` (which), ``recovered, ci_low, ci_high``.
    """
    x = alt.X("num_edges:Q", title="kept edges", scale=alt.Scale(type="log", base=2), axis=alt.Axis(format="d"))
    axis = alt.Axis(format=SHARE)
    y = alt.Y("recovered:Q", title="share recovered", axis=axis)
    legend = alt.Legend(symbolOpacity=1, symbolStrokeWidth=0)
    colour = alt.Color("edges:N", title="kept", sort=list(groups), scale=category_scale(style, groups), legend=legend)
    base = alt.Chart(frame)
    band = base.mark_area(opacity=0.2).encode(
        x=x, y=alt.Y("ci_low:Q", title="share recovered", axis=axis), y2=alt.Y2("ci_high:Q"), color=colour
    )
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=30)).encode(
        x=x,
        y=y,
        color=colour,
        tooltip=[
            alt.Tooltip("edges:N", title="kept"),
            alt.Tooltip("num_edges:Q", title="edges"),
            alt.Tooltip("recovered:Q", format=".1%"),
            alt.Tooltip("ci_low:Q", title="interval from", format=".1%"),
            alt.Tooltip("ci_high:Q", title="to", format=".1%"),
        ],
    )
    ends = alt.Chart(pl.DataFrame({"recovered": [0.0, 1.0]})).mark_rule(color=GREY, strokeDash=[4, 3]).encode(y=y)
    return alt.layer(
        ends,
        *([band] if has_intervals(frame) else []),
        line,
        title=alt.Title("How few edges are enough?", subtitle=subtitle),
        width=style.figure_sizes.width * 0.62,
        height=style.figure_sizes.height * 0.6,
    )
