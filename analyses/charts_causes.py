"""Charts of causes: maps of heads, knockout curves, agreement by layer, forecast against ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from analyses.charts_parts import (
    category_scale,
    chart_of,
    frames_of_marked,
    gradient_legend,
    head_grid,
    marked_head,
    menu,
    names_in_vega,
    scheme,
)
from analyses.themes import GREY
from analyses.visualization_settings import VisualizationSettings

NATS = "change of the lead (nats)"


def causal_map(
    frame: pl.DataFrame, look: VisualizationSettings, *, causes: Mapping[str, str], start: str, subtitle: list[str]
) -> alt.TopLevelMixin:
    """Draw the mean effect of a chosen cause for every head; black dots mark adjusted significance.

    ``frame``: ``cause, layer, head, mean, ci_low, ci_high, limit`` (largest |mean| of the cause), ``pvalue_adjusted,
    flips`` (share of answers turned, or null), ``is_certain``. ``causes``: value of ``cause`` to its name.
    """
    chosen = alt.param(name="chosen_cause", value=start, bind=menu("Cause ", causes))
    title = alt.Title(text=alt.ExprRef(f"{names_in_vega(causes)}[chosen_cause]"), subtitle=subtitle)
    colour = alt.Color(
        "share:Q",
        title=["share of the", "largest effect"],
        scale=alt.Scale(domain=[-1, 1], **scheme(look, "diverging")),
        legend=gradient_legend(),
    )
    base = head_grid(frame, look, title).transform_filter("datum.cause == chosen_cause").transform_calculate(
        share="datum.mean / max(datum.limit, 1e-12)"
    )  # fmt: skip
    cells = base.mark_rect(cursor="pointer").encode(
        color=colour,
        tooltip=[
            alt.Tooltip("layer:Q"),
            alt.Tooltip("head:Q"),
            alt.Tooltip("mean:Q", title=NATS, format="+.4g"),
            alt.Tooltip("ci_low:Q", title="interval from", format="+.4g"),
            alt.Tooltip("ci_high:Q", title="to", format="+.4g"),
            alt.Tooltip("flips:Q", title="answers turned", format=".1%"),
            alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g"),
        ],
    )
    dots = base.transform_filter("datum.is_certain").mark_point(filled=True, size=28, color="black", opacity=1)
    return alt.layer(cells, dots, *frames_of_marked(base)).add_params(chosen, *marked_head())


def causal_ranking(
    frame: pl.DataFrame, look: VisualizationSettings, *, groups: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw the largest effects with intervals, and beside them those in right and in wrong predictions.

    ``frame``: ``shown, group, mean, ci_low, ci_high`` (or null)``, num_samples``, largest first.
    """
    order = frame["shown"].unique(maintain_order=True).to_list()
    y = alt.Y("shown:N", title=None, sort=order, axis=alt.Axis(labelLimit=240, grid=True))
    offset = alt.YOffset("group:N", sort=list(groups))
    colour = alt.Color("group:N", title="samples", sort=list(groups), scale=category_scale(look, groups))
    base = chart_of(frame, alt.Title("What happens to the answer's lead", subtitle=subtitle))
    zero = base.mark_rule(color=GREY).encode(x=alt.datum(0))
    rules = base.transform_filter("isValid(datum.ci_low)").mark_rule(strokeWidth=2).encode(
        y=y, yOffset=offset, color=colour, x=alt.X("ci_low:Q", title=NATS), x2="ci_high:Q"
    )  # fmt: skip
    points = base.mark_point(filled=True, size=50, opacity=1).encode(
        y=y, yOffset=offset, color=colour, x=alt.X("mean:Q", title=NATS),
        tooltip=["shown:N", "group:N", alt.Tooltip("mean:Q", format="+.4g"),
                 alt.Tooltip("ci_low:Q", format="+.4g"), alt.Tooltip("ci_high:Q", format="+.4g"), "num_samples:Q"],
    )  # fmt: skip
    height = 12 * max(len(order), 1) * len(groups)
    return alt.layer(zero, rules, points).properties(width=look.figure_sizes["width"], height=height)


def knockout_curves(
    frame: pl.DataFrame, look: VisualizationSettings, *, groups: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw the effect of blocking each key group against the middle of the window of layers.

    ``frame``: ``middle, window, key_group, mean, ci_low, ci_high, flips, flips_low, flips_high, pvalue_adjusted``.
    """
    x = alt.X("middle:Q", title="middle of the window of layers", axis=alt.Axis(tickMinStep=1))
    legend = alt.Legend(symbolOpacity=1, symbolStrokeWidth=0)
    colour = alt.Color("key_group:N", title="not seen", sort=list(groups), scale=category_scale(look, groups),
                       legend=legend)  # fmt: skip
    size = {"width": look.figure_sizes["width"] * 0.62, "height": look.figure_sizes["height"] * 0.55}
    tooltip = [alt.Tooltip("window:N", title="layers"), alt.Tooltip("key_group:N", title="not seen"),
               alt.Tooltip("mean:Q", title=NATS, format="+.4g"), alt.Tooltip("flips:Q", title="turned", format=".1%"),
               alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g")]  # fmt: skip

    def panel(names: tuple[str, str, str], title: str, style: str) -> Any:
        axis = alt.Axis(format=style)
        band = chart_of(frame, alt.Title("")).mark_area(opacity=0.18).encode(
            x=x, y=alt.Y(f"{names[1]}:Q", title=title, axis=axis), y2=f"{names[2]}:Q", color=colour
        )  # fmt: skip
        line = chart_of(frame, alt.Title("")).mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=26)).encode(
            x=x, y=alt.Y(f"{names[0]}:Q", title=title, axis=axis), color=colour, tooltip=tooltip
        )  # fmt: skip
        zero = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 3]).encode(y=alt.datum(0))
        return alt.layer(zero, band, line).properties(**size)

    lead = panel(("mean", "ci_low", "ci_high"), NATS, "~g")
    flips = panel(("flips", "flips_low", "flips_high"), "answers turned", ".0%")
    return alt.vconcat(lead, flips, title=alt.Title("The answer when tokens are not seen", subtitle=subtitle))


def agreement_by_layer(
    frame: pl.DataFrame, look: VisualizationSettings, *, pairs: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw the rank correlation between measures of heads, layer by layer, dashed over all heads.

    ``frame``: ``pair, layer`` (null over all heads), ``rho, ci_low, ci_high, num_heads``.
    """
    colour = alt.Color("pair:N", title=None, sort=list(pairs), scale=category_scale(look, pairs),
                       legend=alt.Legend(labelLimit=320, orient="bottom", columns=1))  # fmt: skip
    y = alt.Y("rho:Q", title="rank correlation over heads", scale=alt.Scale(domain=[-1, 1]))
    x = alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap=True))
    layers, whole = frame.filter(pl.col("layer").is_not_null()), frame.filter(pl.col("layer").is_null())
    base = chart_of(layers, alt.Title("Do attention, gradients and ablation agree?", subtitle=subtitle))
    offset = alt.XOffset("pair:N", sort=list(pairs))
    rules = base.transform_filter("isValid(datum.ci_low)").mark_rule().encode(
        x=x, xOffset=offset, y=alt.Y("ci_low:Q"), y2="ci_high:Q", color=colour
    )  # fmt: skip
    points = base.mark_point(filled=True, size=45, opacity=1).encode(
        x=x, xOffset=offset, y=y, color=colour,
        tooltip=["pair:N", "layer:O", alt.Tooltip("rho:Q", format="+.2f"), alt.Tooltip("ci_low:Q", format="+.2f"),
                 alt.Tooltip("ci_high:Q", format="+.2f"), "num_heads:Q"],
    )  # fmt: skip
    overall = alt.Chart(whole).mark_rule(strokeDash=[5, 3], strokeWidth=1.5).encode(y="rho:Q", color=colour)
    zero = alt.Chart().mark_rule(color=GREY).encode(y=alt.datum(0))
    return alt.layer(zero, overall, rules, points).properties(
        width=look.figure_sizes["width"], height=look.figure_sizes["height"] * 0.8
    )


def screening(
    frame: pl.DataFrame, look: VisualizationSettings, *, groups: Sequence[str], reach: float, subtitle: str
) -> alt.TopLevelMixin:
    """Draw what ablation did against what the gradient foretold; on the dashed line both are the same.

    ``frame``: ``shown, heads`` (the group), ``predicted, measured, ci_low, ci_high``. ``reach``: largest |value|.
    """
    base = chart_of(frame, alt.Title("Does the gradient foretell the ablation?", subtitle=subtitle))
    axis = alt.Scale(domain=[-reach, reach], nice=True)
    x = alt.X("predicted:Q", title="foretold by the head gradient (nats)", scale=axis)
    y = alt.Y("measured:Q", title="measured by ablation (nats)", scale=axis)
    colour = alt.Color("heads:N", title="heads", sort=list(groups), scale=category_scale(look, groups))
    ends = pl.DataFrame({"predicted": [-reach, reach], "measured": [-reach, reach]})
    line = alt.Chart(ends).mark_line(color=GREY, strokeDash=[5, 3]).encode(x=x, y=y)
    rules = base.transform_filter("isValid(datum.ci_low)").mark_rule(opacity=0.5).encode(
        x=x, y=alt.Y("ci_low:Q", scale=axis, title="measured by ablation (nats)"), y2="ci_high:Q", color=colour
    )  # fmt: skip
    points = base.mark_point(filled=True, size=45, opacity=0.9).encode(
        x=x, y=y, color=colour,
        tooltip=["shown:N", alt.Tooltip("predicted:Q", format="+.4g"), alt.Tooltip("measured:Q", format="+.4g")],
    )  # fmt: skip
    side = look.figure_sizes["height"]
    return alt.layer(line, rules, points).properties(width=side, height=side)
