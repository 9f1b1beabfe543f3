"""Charts of one head, which a page hands its numbers by name: they change with the head that is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from analyses.charts.parts import category_scale, interval_tooltip, written_value
from analyses.design import GREY
from analyses.settings.visualization import VisualizationSettings


def head_distribution(
    style: VisualizationSettings, *, groups: Sequence[str], title: str, is_share: bool
) -> alt.TopLevelMixin:
    """Draw how one head's values spread over samples: middle half as a bar, median, 5 to 95 % as a line.

    Data ``rows``: ``group, q05, q25, median, q75, q95, num_samples``. The parameter ``is_share`` (whether they are
    shares of attention) can be set with them.
    """
    names = ("q05", "q25", "median", "q75", "q95")
    base = alt.Chart(alt.NamedData("rows"), title=alt.Title(title)).transform_calculate(
        **{f"shown_{name}": written_value("is_share", f"datum.{name}") for name in names}
    )
    y = alt.Y("group:N", title=None, sort=list(groups), axis=alt.Axis(labelLimit=160))
    colour = alt.Color("group:N", sort=list(groups), scale=category_scale(style, groups), legend=None)
    axis = alt.Axis(labelExpr=written_value("is_share"))
    x = {"title": "value of the samples", "scale": alt.Scale(zero=False), "axis": axis}
    tooltip = [
        alt.Tooltip("group:N", title="samples"),
        *(
            alt.Tooltip(f"shown_{name}:N", title=told)
            for name, told in zip(names, ("5 % lie below", "25 %", "median", "75 %", "95 %"), strict=True)
        ),
        alt.Tooltip("num_samples:Q", title="n"),
    ]
    rules = base.mark_rule(strokeWidth=1.5).encode(y=y, x=alt.X("q05:Q", **x), x2=alt.X2("q95:Q"), color=colour)
    bars = base.mark_bar(opacity=0.55, height=14).encode(
        y=y, x=alt.X("q25:Q", **x), x2=alt.X2("q75:Q"), color=colour, tooltip=tooltip
    )
    ticks = base.mark_tick(thickness=3, size=20).encode(y=y, x=alt.X("median:Q", **x), color=colour, tooltip=tooltip)
    drawn = alt.layer(rules, bars, ticks, width=style.figure_sizes.width // 2, height=30 * len(groups))
    return drawn.add_params(alt.param(name="is_share", value=is_share))


def head_lifts(style: VisualizationSettings, *, num_rows: int, has_intervals: bool, title: str) -> alt.TopLevelMixin:
    """Draw one head's weight on each key group over that of uniform attention, the random vocabularies beside it.

    Data ``rows``: ``key_group, kind`` (vocabulary, figures, random)``, mean, ci_low, ci_high, num_samples``.
    """
    kinds = ["vocabulary", "figures", "random words"]
    base = alt.Chart(alt.NamedData("rows"), title=alt.Title(title))
    y = alt.Y("key_group:N", title=None, sort=None, axis=alt.Axis(labelLimit=180, grid=True))
    colour = alt.Color(
        "kind:N", title=None, sort=kinds, scale=category_scale(style, kinds), legend=alt.Legend(orient="bottom")
    )
    x = {"title": "times uniform attention", "scale": alt.Scale(zero=True)}
    rule = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.XDatum(1))
    rules = base.mark_rule(strokeWidth=2).encode(y=y, x=alt.X("ci_low:Q", **x), x2=alt.X2("ci_high:Q"), color=colour)
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        y=y,
        x=alt.X("mean:Q", **x),
        color=colour,
        tooltip=[
            alt.Tooltip("key_group:N", title=" "),
            alt.Tooltip("mean:Q", format=".3f"),
            *interval_tooltip(".3f"),
            alt.Tooltip("num_samples:Q", title="n"),
        ],
    )
    return alt.layer(
        rule, *([rules] if has_intervals else []), points, width=style.figure_sizes.width // 2, height=17 * num_rows
    )
