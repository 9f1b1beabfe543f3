"""Charts of every head of a model: layers and heads are the axes.

Charts compute nothing: every number comes ready in the frame. They carry no theme: ``charts.themes`` is added when a
file is written, and the report's page switches between themes. Sizes follow the number of layers and heads, from 6 x 8
to 28 x 28 and beyond.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from analyses.charts.parts import (
    CHOSEN_ROWS,
    Menus,
    category_scale,
    cell_size,
    comparison_menu,
    frames_of_marked,
    gradient_legend,
    head_grid,
    interval_tooltip,
    marked_head,
    menu,
    named,
    names_in_vega,
    scheme,
    written_difference,
    written_value,
)
from analyses.charts.scatter import NATS
from analyses.settings.visualization import VisualizationSettings
from analyses.wording import head_type_label

_WHICH_HEAD = (alt.Tooltip("layer:Q"), alt.Tooltip("head:Q"))
"""The first lines of every head's tooltip."""


def head_map(frame: pl.DataFrame, style: VisualizationSettings, *, menus: Menus, subtitle: str) -> alt.TopLevelMixin:
    """Draw the mean of a chosen statistic for every head.

    Parameters
    ----------
    frame
        ``query_group, layer, head`` and one column per statistic.
    style
        Colours and sizes.
    menus
        Whose attention, and which statistic of it, can be chosen.
    subtitle
        Line below the title.
    """
    title = alt.Title(text=alt.ExprRef(menus.title()), subtitle=subtitle)
    colour = alt.Color(
        "value:Q",
        title="mean",
        scale=alt.Scale(zero=False, **scheme(style, "sequential")),
        legend=gradient_legend(shown=written_value(menus.is_share())),
    )
    base = (
        head_grid(frame, style, title)
        .transform_filter("datum.query_group == chosen_rows")
        .transform_calculate(value="datum[chosen_statistic]")
        .transform_calculate(written=written_value(menus.is_share()))
    )
    tooltip = [*_WHICH_HEAD, alt.Tooltip("written:N", title="mean")]
    cells = base.mark_rect(cursor="pointer").encode(color=colour, tooltip=tooltip)
    return alt.layer(cells, *frames_of_marked(base), params=named(*menus.parameters(), *marked_head()))


def difference_map(
    frame: pl.DataFrame,
    style: VisualizationSettings,
    *,
    comparisons: Mapping[str, str],
    menus: Menus,
    limits: Mapping[str, Mapping[str, Mapping[str, float]]],
    subtitle: list[str],
) -> alt.TopLevelMixin:
    """Draw the adjusted difference a - b for every head; dots mark adjusted significance, diamonds replication.

    Parameters
    ----------
    frame
        ``comparison, query_group, layer, head`` and per statistic the columns ``<statistic>`` (difference),
        ``<statistic>@p`` (adjusted p) and ``<statistic>@mark`` (0 nothing, 1 significant, 2 replicated as well).
    style, menus, subtitle
        As for ``head_map``.
    comparisons
        Name of each comparison to "a minus b"; the first is shown first.
    limits
        Comparison to query group to statistic to the largest |difference|: the colour scale reaches as far on both
        sides of 0.
    """
    text = f"{names_in_vega(comparisons)}[chosen_comparison] + '. ' + {menus.title()}"
    title = alt.Title(text=alt.ExprRef(text), subtitle=subtitle)
    base = (
        head_grid(frame, style, title)
        .transform_filter("datum.query_group == chosen_rows && datum.comparison == chosen_comparison")
        .transform_calculate(
            difference="datum[chosen_statistic]",
            p="datum[chosen_statistic + '@p']",
            mark="datum[chosen_statistic + '@mark']",
        )
        .transform_calculate(written=written_difference(menus.is_share(), "datum.difference"))
    )
    tooltip = [
        *_WHICH_HEAD,
        alt.Tooltip("written:N", title="difference"),
        alt.Tooltip("p:Q", title="adjusted p", format=".3g"),
    ]
    colour = _difference_colour(style, comparisons, limits, written_difference(menus.is_share()))
    cells = base.mark_rect(cursor="pointer").encode(color=colour, tooltip=tooltip)
    marks = _significance_marks(base, max(20.0, 0.12 * min(cell_size(frame, style)) ** 2), tooltip)
    params = named(comparison_menu(comparisons), *menus.parameters(), *marked_head())
    apart = alt.Resolve(scale=alt.ScaleResolveMap(shape="independent"))
    return alt.layer(cells, marks, *frames_of_marked(base), params=params, resolve=apart)


def _difference_colour(
    style: VisualizationSettings,
    comparisons: Mapping[str, str],
    limits: Mapping[str, Mapping[str, Mapping[str, float]]],
    shown: str,
) -> alt.Color:
    """Return the colour of a difference, whose scale follows the menus and reaches as far on both sides of 0.

    ``shown`` is Vega's expression for a difference as text.
    """
    reach = f"{json.dumps(limits)}[chosen_comparison][chosen_rows][chosen_statistic]"
    return alt.Color(
        "difference:Q",
        title=next(iter(comparisons.values())) if len(comparisons) == 1 else "difference",
        scale=alt.Scale(
            domainMin=alt.ExprRef(f"-{reach}"),
            domainMax=alt.ExprRef(reach),
            domainMid=0,
            **scheme(style, "diverging"),
        ),
        legend=gradient_legend(shown=shown),
    )


def _significance_marks(base: alt.Chart, size: float, tooltip: Sequence[alt.Tooltip]) -> alt.Chart:
    """Return a dot on every head whose ``mark`` is 1 (significant), a diamond where it is 2 (replicated as well)."""
    return (
        base.transform_filter("datum.mark > 0")
        .mark_point(filled=True, size=size, color="black", stroke="white", strokeWidth=1, opacity=1)
        .encode(
            shape=alt.Shape(
                "kind:N",
                scale=alt.Scale(domain=["significant", "replicated"], range=["circle", "diamond"]),
                legend=None,
            ),
            tooltip=list(tooltip),
        )
        .transform_calculate(kind="datum.mark > 1 ? 'replicated' : 'significant'")
    )


def head_type_map(
    frame: pl.DataFrame, style: VisualizationSettings, *, types: Mapping[str, str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw each head's type. ``frame``: ``layer, head, head_type, all_types, initial`` and the numbers behind them.

    ``types`` maps each type to its initial.
    """
    title = alt.Title("What kind of head each one is", subtitle=subtitle)
    numbers = ("diagonal", "previous_token", "beginning", "entropy_normalized", "vocabulary_lift", "prediction_mass")
    tooltip = [
        *_WHICH_HEAD,
        alt.Tooltip("head_type:N", title="type"),
        alt.Tooltip("all_types:N", title="all that fit"),
        *(alt.Tooltip(f"{name}:Q", title=name.replace("_", " "), format=".3f") for name in numbers),
    ]
    shown = {name: f"{initial}  {head_type_label(name)}" for name, initial in types.items()}
    legend = alt.Legend(labelExpr=f"{names_in_vega(shown)}[datum.label]")
    base = head_grid(frame, style, title)
    cells = base.mark_rect(stroke="white", strokeWidth=0.5, cursor="pointer").encode(
        color=alt.Color("head_type:N", title="type", scale=category_scale(style, list(types)), legend=legend),
        tooltip=tooltip,
    )
    size = min(12.0, 0.5 * min(cell_size(frame, style)))
    letters = base.mark_text(fontSize=size, color="black").encode(text=alt.Text("initial:N"), tooltip=tooltip)
    shown_letters = [letters] if size >= 8 else []
    return alt.layer(cells, *shown_letters, *frames_of_marked(base), params=named(*marked_head()))


def head_types_by_layer(
    frame: pl.DataFrame, style: VisualizationSettings, *, types: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw how many heads of each layer have each type. ``frame``: ``layer, head_type, num_heads, order``."""
    names = {name: head_type_label(name) for name in types}
    legend = alt.Legend(labelExpr=f"{names_in_vega(names)}[datum.label]")
    return (
        alt.Chart(frame, title=alt.Title("Head types over layers", subtitle=subtitle))
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("layer:O", title="layer (0 reads the input)", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("num_heads:Q", title="number of heads", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("head_type:N", title="type", scale=category_scale(style, types), legend=legend),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("layer:O"),
                alt.Tooltip("head_type:N", title="type"),
                alt.Tooltip("num_heads:Q", title="heads"),
            ],
        )
        .properties(width=style.figure_sizes.width, height=style.figure_sizes.height * 0.7)
    )


def causal_map(
    frame: pl.DataFrame, style: VisualizationSettings, *, causes: Mapping[str, str], start: str, subtitle: list[str]
) -> alt.TopLevelMixin:
    """Draw the mean effect of a chosen cause for every head; black dots mark adjusted significance.

    ``frame``: ``cause, layer, head, mean, ci_low, ci_high, limit`` (largest |mean| of the cause), ``pvalue_adjusted,
    flips`` (share of answers turned, or null), ``is_certain``. ``causes``: value of ``cause`` to its name.
    """
    chosen = alt.param(name="chosen_cause", value=start, bind=menu("Cause ", causes))
    title = alt.Title(text=alt.ExprRef(f"{names_in_vega(causes)}[chosen_cause]"), subtitle=subtitle)
    base = (
        head_grid(frame, style, title)
        .transform_filter("datum.cause == chosen_cause")
        .transform_calculate(share="datum.mean / max(datum.limit, 1e-12)")
    )
    cells = base.mark_rect(cursor="pointer").encode(
        color=_share_colour(style, ["share of the", "largest effect"]),
        tooltip=[
            *_WHICH_HEAD,
            alt.Tooltip("mean:Q", title=NATS, format="+.4g"),
            *interval_tooltip("+.4g"),
            alt.Tooltip("flips:Q", title="answers turned", format=".1%"),
            alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g"),
        ],
    )
    return alt.layer(cells, _dots(base, "datum.is_certain"), *frames_of_marked(base)).add_params(chosen, *marked_head())


def change_map(
    frame: pl.DataFrame,
    style: VisualizationSettings,
    *,
    pair: tuple[str, str],
    menus: Menus,
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw what changed from one run to another for every head, in samples that both have; dots mark significance.

    ``frame``: ``query_group, statistic, layer, head, difference, ci_low, ci_high, pvalue_adjusted, limit`` (largest
    |difference| of the statistic)``, is_significant``.
    """
    names = ("difference", "ci_low", "ci_high")
    written = {f"shown_{name}": written_difference(menus.is_share(), f"datum.{name}") for name in names}
    base = (
        head_grid(frame, style, alt.Title(alt.ExprRef(menus.title()), subtitle=subtitle))
        .transform_filter(CHOSEN_ROWS)
        .transform_calculate(share="datum.difference / max(datum.limit, 1e-12)", **written)
    )
    cells = base.mark_rect().encode(
        color=_share_colour(style, [f"{pair[1]} minus", pair[0], "(share of the largest)"]),
        tooltip=[
            *_WHICH_HEAD,
            *(
                alt.Tooltip(f"shown_{name}:N", title=told)
                for name, told in zip(names, ("difference", "interval from", "to"), strict=True)
            ),
            alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g"),
        ],
    )
    return alt.layer(cells, _dots(base, "datum.is_significant")).add_params(*menus.parameters())


def _share_colour(style: VisualizationSettings, title: list[str]) -> alt.Color:
    """Return the colour of a share of the largest effect, -1 to 1."""
    return alt.Color(
        "share:Q",
        title=title,
        scale=alt.Scale(domain=[-1, 1], **scheme(style, "diverging")),
        legend=gradient_legend(),
    )


def _dots(base: alt.Chart, condition: str) -> alt.Chart:
    """Return a black dot on every head for which a Vega expression holds."""
    return base.transform_filter(condition).mark_point(filled=True, size=28, color="black", opacity=1)


def type_shares(
    frame: pl.DataFrame, style: VisualizationSettings, *, runs: Sequence[str], types: Sequence[str]
) -> alt.TopLevelMixin:
    """Draw the share of heads of each type, a bar per run. ``frame``: ``run, head_type, share, num_heads, order``."""
    return (
        alt.Chart(frame, title=alt.Title("Head types"))
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            y=alt.Y("run:N", title=None, sort=list(runs), axis=alt.Axis(labelLimit=200)),
            x=alt.X("share:Q", title="share of heads", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("head_type:N", title="type", sort=list(types), scale=category_scale(style, types)),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("run:N"),
                alt.Tooltip("head_type:N"),
                alt.Tooltip("share:Q", format=".1%"),
                alt.Tooltip("num_heads:Q"),
            ],
        )
        .properties(width=style.figure_sizes.width, height=28 * len(runs))
    )
