"""Charts of estimates with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from analyses.charts.parts import (
    SHARE,
    category_scale,
    chart_of,
    has_intervals,
    interval_tooltip,
    mean_tooltip,
    menu,
)
from analyses.charts.scatter import NATS
from analyses.design import GREY
from analyses.settings.visualization import VisualizationSettings


def decodability(
    frame: pl.DataFrame, style: VisualizationSettings, *, kinds: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw how well each model predicts each target on samples it has not seen.

    ``frame``: ``target, shown`` (the model)``, kind, auroc, ci_low, ci_high, num_samples``, in the order of the rows.
    """
    colour = alt.Color("kind:N", title="predicted from", sort=list(kinds), scale=category_scale(style, kinds))
    y = alt.Y("shown:N", title=None, sort=None, axis=alt.Axis(labelLimit=220, grid=True))
    x = {"title": "held-out AUROC (0.5 is chance, 1 is certainty)", "scale": alt.Scale(zero=False)}
    base = chart_of(frame, alt.Title("Do the heads know?", subtitle=subtitle))
    chance = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.XDatum(0.5))
    rules = (
        base.transform_filter("isValid(datum.ci_low)")
        .mark_rule(strokeWidth=2)
        .encode(y=y, x=alt.X("ci_low:Q", **x), x2=alt.X2("ci_high:Q"), color=colour)
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=y,
        x=alt.X("auroc:Q", **x),
        color=colour,
        tooltip=[
            alt.Tooltip("target:N"),
            alt.Tooltip("shown:N", title="from"),
            alt.Tooltip("auroc:Q", format=".3f"),
            *interval_tooltip(".3f"),
            alt.Tooltip("num_samples:Q", title="n"),
        ],
    )
    return alt.layer(chance, rules, points, width=style.figure_sizes.width, height=22 * frame["shown"].n_unique())


def correlations(
    frame: pl.DataFrame, style: VisualizationSettings, *, targets: Mapping[str, str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw the strongest rank correlations of a chosen target with their intervals.

    ``frame``: ``target, shown, layer, head, rho, ci_low, ci_high, pvalue_adjusted, num_samples, verdict``.
    """
    bound = menu("What goes with ", targets) if len(targets) > 1 else alt.Undefined
    chosen = alt.param(name="chosen_target", value=next(iter(targets)), bind=bound)
    verdicts = ["significant", "not significant"]
    colour = alt.Color("verdict:N", title=None, sort=verdicts, scale=category_scale(style, verdicts))
    y = alt.Y("shown:N", title=None, sort=alt.SortField("order"), axis=alt.Axis(labelLimit=420, grid=True))
    x = {"title": "Spearman's rho", "scale": alt.Scale(domain=[-1, 1])}
    base = chart_of(frame, alt.Title("What goes with certainty and the other numbers of a sample", subtitle=subtitle))
    base = base.transform_filter("datum.target == chosen_target")
    zero = alt.Chart().mark_rule(color=GREY).encode(x=alt.XDatum(0))
    rules = base.mark_rule(strokeWidth=2).encode(y=y, x=alt.X("ci_low:Q", **x), x2=alt.X2("ci_high:Q"), color=colour)
    points = base.mark_point(filled=True, size=55, opacity=1, cursor="pointer").encode(
        y=y,
        x=alt.X("rho:Q", **x),
        color=colour,
        tooltip=[
            alt.Tooltip("shown:N", title=" "),
            alt.Tooltip("rho:Q", format="+.3f"),
            *interval_tooltip("+.3f"),
            alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g"),
            alt.Tooltip("num_samples:Q", title="n"),
        ],
    )
    # On a telephone labels have two lines.
    height = 22 * max(frame["target"].value_counts()["count"].to_list())
    layers = alt.layer(zero, rules, points, width=style.figure_sizes.width * 0.75, height=height)
    return layers.add_params(chosen)


def causal_ranking(
    frame: pl.DataFrame,
    style: VisualizationSettings,
    *,
    groups: Sequence[str],
    subtitle: str,
    title: str = "What happens to the answer's lead",
    unit: str = NATS,
    is_share: bool = False,
) -> alt.TopLevelMixin:
    """Draw the largest effects with intervals, and beside them those in right and in wrong predictions.

    ``frame``: ``shown, group, mean, ci_low, ci_high`` (or null)``, num_samples``, largest first; ``is_share`` where
    they lie in 0..1, so that no axis begins below 0.
    """
    order = frame["shown"].unique(maintain_order=True).to_list()
    y = alt.Y("shown:N", title=None, sort=order, axis=alt.Axis(labelLimit=240, grid=True))
    offset = alt.YOffset("group:N", sort=list(groups))
    colour = alt.Color("group:N", title="samples", sort=list(groups), scale=category_scale(style, groups))
    base = chart_of(frame, alt.Title(title, subtitle=subtitle))
    zero = base.mark_rule(color=GREY).encode(x=alt.XDatum(0))
    number = SHARE if is_share else "+.4g"

    def across(field: str) -> alt.X:
        x = alt.X(field, title=unit)
        return x.scale(domainMin=0).axis(format=SHARE) if is_share else x

    rules = (
        base.transform_filter("isValid(datum.ci_low)")
        .mark_rule(strokeWidth=2)
        .encode(y=y, yOffset=offset, color=colour, x=across("ci_low:Q"), x2=alt.X2("ci_high:Q"))
    )
    points = base.mark_point(filled=True, size=50, opacity=1).encode(
        y=y,
        yOffset=offset,
        color=colour,
        x=across("mean:Q"),
        tooltip=[
            alt.Tooltip("shown:N"),
            alt.Tooltip("group:N"),
            alt.Tooltip("mean:Q", format=number),
            alt.Tooltip("ci_low:Q", format=number),
            alt.Tooltip("ci_high:Q", format=number),
            alt.Tooltip("num_samples:Q"),
        ],
    )
    height = 12 * max(len(order), 1) * len(groups)
    return alt.layer(
        zero, *([rules] if has_intervals(frame) else []), points, width=style.figure_sizes.width, height=height
    )


def key_group_comparison(
    frame: pl.DataFrame,
    style: VisualizationSettings,
    *,
    groups: Sequence[str],
    measure: str,
    title: str,
    subtitle: str,
    apart: Sequence[str] = (),
) -> alt.TopLevelMixin:
    """Draw weight or lift per key group and group of samples with intervals, one panel per query group.

    ``frame``: ``rows, key_group, group, mean, ci_low, ci_high, num_samples, num_clusters, pvalue_adjusted``. ``apart``:
    key groups that stand first, an empty row before the others: unions of them.
    """
    is_lift = measure == "lift"
    axis_title = "times uniform attention" if is_lift else "share of attention"
    number_format = "~g" if is_lift else SHARE
    named = frame["key_group"].unique(maintain_order=True).to_list()
    first = [name for name in named if name in apart]
    order = [*first, *([" "] if first else []), *(name for name in named if name not in first)]
    scale = alt.Scale(domain=order) if first else alt.Undefined
    y = alt.Y("key_group:N", title=None, sort=order, scale=scale, axis=alt.Axis(labelLimit=200, grid=True))
    offset = alt.YOffset("group:N", sort=list(groups))
    colour = alt.Color("group:N", title="samples", sort=list(groups), scale=category_scale(style, groups))
    base = alt.Chart(frame)
    x = alt.X("mean:Q", title=axis_title, axis=alt.Axis(format=number_format, tickCount=4), scale=alt.Scale(zero=True))
    rules = base.mark_rule(strokeWidth=2).encode(
        y=y, yOffset=offset, x=alt.X("ci_low:Q", title=axis_title), x2=alt.X2("ci_high:Q"), color=colour
    )
    layers: list[alt.Chart] = [
        *([rules] if has_intervals(frame) else []),
        base.mark_point(filled=True, size=55, opacity=1).encode(
            y=y, yOffset=offset, x=x, color=colour, tooltip=mean_tooltip("key_group", ".3f" if is_lift else ".3%")
        ),
    ]
    if is_lift:
        layers.insert(0, base.mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.XDatum(1)))
    panels = frame["rows"].unique(maintain_order=True).to_list()
    return (
        alt.layer(*layers, width=max(160, style.figure_sizes.width // max(len(panels), 1) - 20), height=alt.Step(15))
        .facet(
            facet=alt.Facet("rows:N", title=None, sort=panels),
            columns=max(len(panels), 1),
            title=alt.Title(title, subtitle=subtitle),
            spacing=34,
        )
        .resolve_scale(x="shared" if not is_lift else "independent")
    )


def decision_top_keys(
    frame: pl.DataFrame, style: VisualizationSettings, *, groups: Sequence[str], subtitle: str
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
    colour = alt.Color("group:N", title="samples", sort=list(groups), scale=category_scale(style, groups))
    title = "share of the decision token's attention, mean over heads"
    base = alt.Chart(frame, title=alt.Title("Tokens that the decision token looks at", subtitle=subtitle))
    # A share has no values below 0, though the interval of a token that few samples hold may reach there.
    low = alt.X("ci_low:Q", title=title, axis=alt.Axis(format=SHARE), scale=alt.Scale(domainMin=0))
    rules = base.mark_rule(strokeWidth=2, clip=True).encode(
        y=y, yOffset=offset, color=colour, x=low, x2=alt.X2("ci_high:Q")
    )
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        y=y,
        yOffset=offset,
        color=colour,
        x=alt.X("mean:Q", title=title, axis=alt.Axis(format=SHARE)),
        tooltip=mean_tooltip("shown", ".3%"),
    )
    height = 13 * max(len(order), 1) * len(groups)
    layers = [rules, points] if has_intervals(frame) else [points]
    return alt.layer(*layers, width=style.figure_sizes.width, height=height)


def hypotheses(
    frame: pl.DataFrame, style: VisualizationSettings, *, verdicts: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw effects with their intervals, one panel per unit, coloured by verdict.

    ``frame``: ``shown, unit, effect, ci_low, ci_high, share`` (percentage points, or null)``, verdict, pvalue,
    expected, num_samples``.
    """
    colour = alt.Color("verdict:N", title="verdict", sort=list(verdicts), scale=category_scale(style, verdicts))
    panels = []
    for unit in frame["unit"].unique(maintain_order=True):
        own = frame.filter(pl.col("unit") == unit)
        base = alt.Chart(own)
        y = alt.Y("shown:N", title=None, sort=None, axis=alt.Axis(labelLimit=420, grid=True))
        zero = base.mark_rule(color=GREY).encode(x=alt.XDatum(0))
        x = {"title": unit, "scale": alt.Scale(zero=True, nice=True)}
        rules = base.mark_rule(strokeWidth=2).encode(
            y=y, x=alt.X("ci_low:Q", **x), x2=alt.X2("ci_high:Q"), color=colour
        )
        points = base.mark_point(filled=True, size=70, opacity=1).encode(
            y=y,
            x=alt.X("effect:Q", **x),
            color=colour,
            tooltip=[
                alt.Tooltip("shown:N", title=" "),
                alt.Tooltip("verdict:N"),
                alt.Tooltip("expected:N"),
                alt.Tooltip("effect:Q", format="+.3g"),
                *interval_tooltip("+.3g"),
                alt.Tooltip("share:Q", title="in points of attention", format="+.2g"),
                alt.Tooltip("pvalue:Q", title="adjusted p, all checks", format=".2g"),
                alt.Tooltip("num_samples:Q", title="n"),
            ],
        )
        panels.append(alt.layer(zero, rules, points, width=style.figure_sizes.width, height=26 * len(own)))
    shared = alt.Resolve(scale=alt.ScaleResolveMap(color="shared"))
    return alt.vconcat(*panels, title=alt.Title("Effects of hypotheses", subtitle=subtitle), resolve=shared)
