"""Charts of what is tested beside the heads' differences: can labels be predicted from heads, what goes with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from analyses.charts_parts import category_scale, chart_of, menu
from analyses.themes import GREY
from analyses.visualization_settings import VisualizationSettings


def decodability(
    frame: pl.DataFrame, look: VisualizationSettings, *, kinds: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw how well each model predicts each target on samples it has not seen.

    ``frame``: ``target, shown`` (the model)``, kind, auroc, ci_low, ci_high, num_samples``, in the order of the rows.
    """
    colour = alt.Color("kind:N", title="predicted from", sort=list(kinds), scale=category_scale(look, kinds))
    y = alt.Y("shown:N", title=None, sort=None, axis=alt.Axis(labelLimit=220, grid=True))
    x = {"title": "held-out AUROC (0.5 is chance, 1 is certainty)", "scale": alt.Scale(zero=False)}
    base = chart_of(frame, alt.Title("Do the heads know?", subtitle=subtitle))
    chance = alt.Chart().mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.datum(0.5))
    rules = base.transform_filter("isValid(datum.ci_low)").mark_rule(strokeWidth=2).encode(
        y=y, x=alt.X("ci_low:Q", **x), x2="ci_high:Q", color=colour
    )  # fmt: skip
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=y, x=alt.X("auroc:Q", **x), color=colour,
        tooltip=["target:N", alt.Tooltip("shown:N", title="from"), alt.Tooltip("auroc:Q", format=".3f"),
                 alt.Tooltip("ci_low:Q", title="interval from", format=".3f"),
                 alt.Tooltip("ci_high:Q", title="to", format=".3f"), alt.Tooltip("num_samples:Q", title="n")],
    )  # fmt: skip
    return alt.layer(chance, rules, points).properties(
        width=look.figure_sizes["width"], height=22 * frame["shown"].n_unique()
    )


def correlations(
    frame: pl.DataFrame, look: VisualizationSettings, *, targets: Mapping[str, str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw the strongest rank correlations of a chosen target with their intervals.

    ``frame``: ``target, shown, layer, head, rho, ci_low, ci_high, pvalue_adjusted, num_samples, verdict``.
    """
    bound = {"bind": menu("What goes with ", targets)} if len(targets) > 1 else {}
    chosen = alt.param(name="chosen_target", value=next(iter(targets)), **bound)
    verdicts = ["significant", "not significant"]
    colour = alt.Color("verdict:N", title=None, sort=verdicts, scale=category_scale(look, verdicts))
    y = alt.Y("shown:N", title=None, sort=alt.SortField("order"), axis=alt.Axis(labelLimit=330, grid=True))
    x = {"title": "Spearman's rho", "scale": alt.Scale(domain=[-1, 1])}
    base = chart_of(frame, alt.Title("What goes with certainty and the other numbers of a sample", subtitle=subtitle))
    base = base.transform_filter("datum.target == chosen_target")
    zero = alt.Chart().mark_rule(color=GREY).encode(x=alt.datum(0))
    rules = base.mark_rule(strokeWidth=2).encode(y=y, x=alt.X("ci_low:Q", **x), x2="ci_high:Q", color=colour)
    points = base.mark_point(filled=True, size=55, opacity=1, cursor="pointer").encode(
        y=y, x=alt.X("rho:Q", **x), color=colour,
        tooltip=[alt.Tooltip("shown:N", title=" "), alt.Tooltip("rho:Q", format="+.3f"),
                 alt.Tooltip("ci_low:Q", title="interval from", format="+.3f"),
                 alt.Tooltip("ci_high:Q", title="to", format="+.3f"),
                 alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g"),
                 alt.Tooltip("num_samples:Q", title="n")],
    )  # fmt: skip
    height = 18 * max(frame["target"].value_counts()["count"].to_list())
    layers = alt.layer(zero, rules, points).properties(width=look.figure_sizes["width"] * 0.75, height=height)
    return layers.add_params(chosen)
