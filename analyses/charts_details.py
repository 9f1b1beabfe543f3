"""Charts of what the page's reader chose: one head's values and lifts, one sample's decision row over layers.

Their data is named, so that the page can replace it by that of another head or sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from analyses.charts_parts import SHARE, category_scale, scheme
from analyses.themes import GREY
from analyses.visualization_settings import VisualizationSettings


def head_distribution(look: VisualizationSettings, *, groups: Sequence[str], title: str) -> alt.TopLevelMixin:
    """Draw how one head's values spread over samples: middle half as a bar, median, 5 to 95 % as a line.

    Data ``rows``: ``group, q05, q25, median, q75, q95, num_samples``.
    """
    base = alt.Chart(alt.NamedData("rows"), title=alt.Title(title))
    y = alt.Y("group:N", title=None, sort=list(groups), axis=alt.Axis(labelLimit=160))
    colour = alt.Color("group:N", sort=list(groups), scale=category_scale(look, groups), legend=None)
    x = {"title": "value of the samples", "scale": alt.Scale(zero=False)}
    tooltip = [
        alt.Tooltip("group:N", title="samples"),
        alt.Tooltip("q05:Q", title="5 % lie below", format=".4g"),
        alt.Tooltip("q25:Q", title="25 %", format=".4g"),
        alt.Tooltip("median:Q", format=".4g"),
        alt.Tooltip("q75:Q", title="75 %", format=".4g"),
        alt.Tooltip("q95:Q", title="95 %", format=".4g"),
        alt.Tooltip("num_samples:Q", title="n"),
    ]
    rules = base.mark_rule(strokeWidth=1.5).encode(y=y, x=alt.X("q05:Q", **x), x2="q95:Q", color=colour)
    bars = base.mark_bar(opacity=0.55, height=14).encode(
        y=y, x=alt.X("q25:Q", **x), x2="q75:Q", color=colour, tooltip=tooltip
    )
    ticks = base.mark_tick(thickness=3, size=20).encode(
        y=y, x=alt.X("median:Q", **x), color=colour, tooltip=tooltip
    )  # fmt: skip
    return alt.layer(rules, bars, ticks).properties(width=look.figure_sizes["width"] // 2, height=30 * len(groups))


def head_lifts(look: VisualizationSettings, *, num_rows: int, has_intervals: bool, title: str) -> alt.TopLevelMixin:
    """Draw one head's weight on each key group over that of uniform attention, the random vocabularies beside it.

    Data ``rows``: ``key_group, kind`` (vocabulary, figures, random)``, mean, ci_low, ci_high, num_samples``.
    """
    kinds = ["vocabulary", "figures", "random words"]
    base = alt.Chart(alt.NamedData("rows"), title=alt.Title(title))
    y = alt.Y("key_group:N", title=None, sort=None, axis=alt.Axis(labelLimit=180, grid=True))
    colour = alt.Color("kind:N", title=None, sort=kinds, scale=category_scale(look, kinds),
                       legend=alt.Legend(orient="bottom"))  # fmt: skip
    x = {"title": "times uniform attention", "scale": alt.Scale(zero=True)}
    rule = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.datum(1))
    rules = base.mark_rule(strokeWidth=2).encode(y=y, x=alt.X("ci_low:Q", **x), x2="ci_high:Q", color=colour)
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        y=y, x=alt.X("mean:Q", **x), color=colour,
        tooltip=[alt.Tooltip("key_group:N", title=" "), alt.Tooltip("mean:Q", format=".3f"),
                 alt.Tooltip("ci_low:Q", title="interval from", format=".3f"),
                 alt.Tooltip("ci_high:Q", title="to", format=".3f"), alt.Tooltip("num_samples:Q", title="n")],
    )  # fmt: skip
    return alt.layer(rule, *([rules] if has_intervals else []), points).properties(
        width=look.figure_sizes["width"] // 2, height=17 * num_rows
    )


def sample_flow(look: VisualizationSettings, *, num_layers: int, title: str, subtitle: str) -> alt.TopLevelMixin:
    """Draw where one sample's decision row looks from layer to layer, tokens in bins, segments marked.

    Data ``rows``: ``layer, first, last`` (positions)``, end`` (last + 1)``, share, text``; ``segments``: ``start,
    segment``.
    """
    x = alt.X("first:Q", title="token position", axis=alt.Axis(format="d", grid=False), scale=alt.Scale(nice=False))
    y = alt.Y("layer:O", title="layer", axis=alt.Axis(labelOverlap=True, ticks=False, domain=False))
    colour = alt.Color(
        "share:Q", title="share of attention", scale=alt.Scale(type="sqrt", **scheme(look, "sequential")),
        legend=alt.Legend(orient="bottom", format=SHARE, tickCount=5, gradientLength=220, titleLimit=220),
    )  # fmt: skip
    cells = alt.Chart(alt.NamedData("rows"), title=alt.Title(title, subtitle=subtitle)).mark_rect(
        cursor="pointer"
    ).encode(
        x=x, x2="end:Q", y=y, color=colour,
        tooltip=["layer:O", alt.Tooltip("first:Q", title="from token"), alt.Tooltip("last:Q", title="to token"),
                 alt.Tooltip("share:Q", format=".2%"), alt.Tooltip("text:N", title="heaviest")],
    )  # fmt: skip
    marks = alt.Chart(alt.NamedData("segments"))
    rules = marks.mark_rule(color=GREY, strokeDash=[3, 2], strokeWidth=1.5).encode(x="start:Q")
    names = marks.mark_text(align="left", angle=0, dx=3, dy=-8, fontSize=11, color=GREY, baseline="bottom").encode(
        x="start:Q", y=alt.value(0), text="segment:N"
    )  # fmt: skip
    height = max(12, min(22, 420 // num_layers)) * num_layers
    return alt.layer(cells, rules, names).properties(
        width=look.figure_sizes["width"], height=height, padding={"top": 18, "left": 5, "right": 5}
    )


def segment_flow(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    segments: Mapping[str, str],
    panels: Sequence[str],
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw what share of the attention goes to each part of the text, layer by layer, one panel per query group.

    ``frame``: ``rows, layer, segment, share, ci_low, ci_high, order``. ``segments``: value of ``segment`` to its name.
    """
    names = list(segments.values())
    base = alt.Chart(frame).mark_bar(stroke="white", strokeWidth=0.3).encode(
        x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        y=alt.Y("share:Q", title="share of attention", stack="zero", scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=SHARE, tickCount=5)),
        color=alt.Color("segment:N", title="goes to", sort=names, scale=category_scale(look, names)),
        order=alt.Order("order:Q"),
        tooltip=["layer:O", alt.Tooltip("segment:N", title="goes to"), alt.Tooltip("share:Q", format=".2%"),
                 alt.Tooltip("ci_low:Q", title="interval from", format=".2%"),
                 alt.Tooltip("ci_high:Q", title="to", format=".2%")],
    )  # fmt: skip
    width = max(160, look.figure_sizes["width"] // max(len(panels), 1) - 40)
    title = alt.Title("Where attention flows, layer by layer", subtitle=subtitle)
    return base.properties(width=width, height=look.figure_sizes["height"] * 0.7).facet(
        facet=alt.Facet("rows:N", title=None, sort=list(panels)), columns=len(panels), title=title, spacing=28
    )
