"""Charts of one number against another: effects and p-values, halves of the samples, two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from analyses.charts.parts import (
    CHOSEN_ROWS,
    Menus,
    category_scale,
    chart_of,
    comparison_menu,
    gradient_legend,
    marked_head,
    names_in_vega,
    scheme,
    written_value,
)
from analyses.design import GREY
from analyses.settings.visualization import VisualizationSettings

NATS = "change of the lead (nats)"


VERDICTS = ("significant and replicated", "significant, not replicated", "not significant")


def screening(
    frame: pl.DataFrame, style: VisualizationSettings, *, groups: Sequence[str], reach: float, subtitle: str
) -> alt.TopLevelMixin:
    """Draw what ablation did against what the gradient foretold; on the dashed line both are the same.

    ``frame``: ``shown, heads`` (the group), ``predicted, measured, ci_low, ci_high``. ``reach``: largest |value|.
    """
    base = chart_of(frame, alt.Title("Does the gradient foretell the ablation?", subtitle=subtitle))
    axis = alt.Scale(domain=[-reach, reach], nice=True)
    x = alt.X("predicted:Q", title="foretold by the head gradient (nats)", scale=axis)
    y = alt.Y("measured:Q", title="measured by ablation (nats)", scale=axis)
    colour = alt.Color("heads:N", title="heads", sort=list(groups), scale=category_scale(style, groups))
    ends = pl.DataFrame({"predicted": [-reach, reach], "measured": [-reach, reach]})
    line = alt.Chart(ends).mark_line(color=GREY, strokeDash=[5, 3]).encode(x=x, y=y)
    rules = (
        base.transform_filter("isValid(datum.ci_low)")
        .mark_rule(opacity=0.5)
        .encode(
            x=x,
            y=alt.Y("ci_low:Q", scale=axis, title="measured by ablation (nats)"),
            y2=alt.Y2("ci_high:Q"),
            color=colour,
        )
    )
    points = base.mark_point(filled=True, size=45, opacity=0.9).encode(
        x=x,
        y=y,
        color=colour,
        tooltip=[
            alt.Tooltip("shown:N"),
            alt.Tooltip("predicted:Q", format="+.4g"),
            alt.Tooltip("measured:Q", format="+.4g"),
        ],
    )
    side = style.figure_sizes.height
    return alt.layer(line, rules, points, width=side, height=side)


def heads_side_by_side(
    frame: pl.DataFrame,
    style: VisualizationSettings,
    *,
    pair: tuple[str, str],
    menus: Menus,
) -> alt.TopLevelMixin:
    """Draw each head's mean in one run against that in another.

    ``frame``: ``query_group, statistic, layer, head, one, other``.
    """
    title = alt.Title(f"The same heads in {pair[0]} and in {pair[1]}")
    share = menus.is_share()
    axis = alt.Axis(labelExpr=written_value(share))
    base = (
        chart_of(frame, title)
        .transform_filter(CHOSEN_ROWS)
        .transform_calculate(
            shown_one=written_value(share, "datum.one"), shown_other=written_value(share, "datum.other")
        )
    )
    points = base.mark_point(filled=True, size=45, opacity=0.75).encode(
        x=alt.X("one:Q", title=pair[0], scale=alt.Scale(zero=False), axis=axis),
        y=alt.Y("other:Q", title=pair[1], scale=alt.Scale(zero=False), axis=axis),
        color=alt.Color(
            "layer:Q", title="layer", scale=alt.Scale(**scheme(style, "sequential")), legend=gradient_legend("d")
        ),
        tooltip=[
            alt.Tooltip("layer:Q"),
            alt.Tooltip("head:Q"),
            alt.Tooltip("shown_one:N", title=pair[0]),
            alt.Tooltip("shown_other:N", title=pair[1]),
        ],
    )
    line = base.mark_line(color=GREY, strokeDash=[5, 3]).encode(x=alt.X("one:Q"), y=alt.Y("one:Q", title=pair[1]))
    side = style.figure_sizes.height
    return alt.layer(line, points, width=side * 1.2, height=side).add_params(*menus.parameters())


def volcano(
    frame: pl.DataFrame,
    thresholds: pl.DataFrame,
    style: VisualizationSettings,
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
        difference_text, pvalue_adjusted, is_significant``.
    thresholds
        ``comparison, evidence``: above it tests are significant after adjustment; no row where none is.
    style, subtitle
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
    x = alt.X("effect_size_adjusted:Q", title="adjusted difference, in SDs")
    y = alt.Y("evidence:Q", title="−log10 of the unadjusted p")
    base = chart_of(frame, title).transform_filter(here).encode(x=x, y=y)
    chosen = base.transform_filter("datum.layer == marked_layer && datum.head == marked_head").mark_point(
        size=110, stroke=GREY, strokeWidth=2, filled=False
    )
    drawn = _threshold(thresholds, here) if len(thresholds) else []
    layers = alt.layer(_tests(base, style, query_groups), chosen, *drawn)
    sized = layers.properties(width=style.figure_sizes.width, height=style.figure_sizes.height)
    return sized.add_params(comparison_menu(comparisons), *marked_head())


def _tests(base: alt.Chart, style: VisualizationSettings, query_groups: Sequence[str]) -> alt.Chart:
    """Return a point per test, in the colour of its query group; small and pale where it is not significant."""
    return base.mark_point(filled=True, cursor="pointer").encode(
        color=alt.Color(
            "rows:N", title="attention of", sort=list(query_groups), scale=category_scale(style, query_groups)
        ),
        opacity=alt.condition("datum.is_significant", alt.value(0.95), alt.value(0.45)),
        size=alt.condition("datum.is_significant", alt.value(60), alt.value(18)),
        tooltip=[
            alt.Tooltip("shown:N", title="head"),
            alt.Tooltip("statistic_label:N", title="statistic"),
            alt.Tooltip("rows:N", title="attention of"),
            alt.Tooltip("difference_text:N", title="difference"),
            alt.Tooltip("effect_size_adjusted:Q", title="in standard deviations", format="+.2f"),
            alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g"),
        ],
    )


def _threshold(thresholds: pl.DataFrame, here: str) -> list[alt.Chart]:
    """Return the line above which tests pass the adjustment, and its name; ``here``: the comparison is shown."""
    # Hidden at 0 rather than left out where another comparison is shown: Vega warns of an axis without values.
    shown = alt.Chart(thresholds).transform_calculate(at=f"{here} ? datum.evidence : 0")
    line = shown.encode(y=alt.Y("at:Q"), opacity=alt.condition(here, alt.value(1), alt.value(0)))
    rule = line.mark_rule(color=GREY, strokeDash=[5, 3])
    name = line.mark_text(text="passes the adjustment above this line", align="right", dx=-4, dy=-7, color=GREY)
    return [rule, name.encode(x=alt.XValue("width"))]


def replication(
    frame: pl.DataFrame, style: VisualizationSettings, *, comparisons: Mapping[str, str], reach: float, subtitle: str
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
        x=alt.X("discovery:Q", title="where it was looked for (SD)", scale=scale),
        y=alt.Y("confirmation:Q", title="on the clusters kept apart (SD)", scale=scale),
        color=alt.Color("verdict:N", title=None, sort=verdicts, scale=category_scale(style, verdicts)),
        opacity=alt.condition("datum.verdict == 'not significant'", alt.value(0.45), alt.value(0.95)),
        size=alt.condition("datum.verdict == 'not significant'", alt.value(16), alt.value(60)),
        tooltip=[
            alt.Tooltip("shown:N", title="head"),
            alt.Tooltip("statistic_label:N", title="statistic"),
            alt.Tooltip("rows:N", title="attention of"),
            alt.Tooltip("discovery:Q", format="+.2f"),
            alt.Tooltip("confirmation:Q", format="+.2f"),
            alt.Tooltip("verdict:N"),
        ],
    )
    ends = pl.DataFrame({"discovery": [-reach, reach], "confirmation": [-reach, reach]})
    line = (
        alt.Chart(ends)
        .mark_line(color=GREY, strokeDash=[5, 3])
        .encode(x=alt.X("discovery:Q"), y=alt.Y("confirmation:Q"))
    )
    side = style.figure_sizes.height * 1.1
    layers = alt.layer(line, points, width=side, height=side)
    return layers.add_params(comparison_menu(comparisons))
