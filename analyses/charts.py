"""Frames to Altair charts. Computes nothing: every number comes ready in the frame.

The only module that knows Altair. Charts carry no theme: ``analyses.themes`` is added when a file is written, and the
report's page switches between themes. Sizes follow the number of layers and heads, from 6 x 8 to 28 x 28 and beyond.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from analyses.settings import VisualizationSettings
from analyses.themes import GREY, OKABE_ITO

alt.data_transformers.disable_max_rows()

SHARE = ".3~%"
"""Axis format of shares of attention: 0.5%, 10%."""

LONG_FRAME = 50
"""Rows from which a chart's data is embedded as CSV."""


def specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Return a chart's Vega-Lite specification without a theme."""
    content = chart.to_dict()
    content.pop("config", None)
    return content


def head_map(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    statistics: Mapping[str, str],
    query_groups: Mapping[str, str],
    start: tuple[str, str],
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw the mean of a chosen statistic for every head.

    Parameters
    ----------
    frame
        ``query_group, layer, head`` and one column per statistic.
    look
        Colours and sizes.
    statistics, query_groups
        Column or value to its name in words, in the order of the menus.
    start
        Query group and statistic that are shown first, and in exported files.
    subtitle
        Line below the title.
    """
    query_group, statistic = _menus(query_groups, statistics, start)
    title = alt.Title(
        text=_chosen_title(query_groups, statistics),
        subtitle=subtitle,
    )
    colour = alt.Color(
        "value:Q",
        title="mean",
        scale=alt.Scale(zero=False, **_scheme(look, "sequential")),
        legend=_gradient(),
    )
    return (
        _grid(frame, look, title)
        .mark_rect()
        .encode(
            color=colour,
            tooltip=[
                alt.Tooltip("layer:Q"),
                alt.Tooltip("head:Q"),
                alt.Tooltip("value:Q", title="mean", format=".4g"),
            ],
        )
        .add_params(query_group, statistic)
        .transform_filter("datum.query_group == chosen_rows")
        .transform_calculate(value="datum[chosen_statistic]")
    )


def difference_map(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    statistics: Mapping[str, str],
    query_groups: Mapping[str, str],
    start: tuple[str, str],
    limits: Mapping[str, Mapping[str, float]],
    groups: tuple[str, str],
    subtitle: list[str],
) -> alt.TopLevelMixin:
    """Draw the adjusted difference a - b for every head; dots mark adjusted significance, diamonds replication.

    Parameters
    ----------
    frame
        ``query_group, layer, head`` and per statistic the columns ``<statistic>`` (difference), ``<statistic>@p``
        (adjusted p) and ``<statistic>@mark`` (0 nothing, 1 significant, 2 significant and replicated).
    look, statistics, query_groups, start, subtitle
        As for ``head_map``.
    limits
        Query group to statistic to the largest |difference|: the colour scale reaches as far on both sides of 0.
    groups
        Names of a and b.
    """
    query_group, statistic = _menus(query_groups, statistics, start)
    title = alt.Title(
        text=_chosen_title(query_groups, statistics),
        subtitle=subtitle,
    )
    base = (
        _grid(frame, look, title)
        .transform_filter("datum.query_group == chosen_rows")
        .transform_calculate(
            difference="datum[chosen_statistic]",
            p="datum[chosen_statistic + '@p']",
            mark="datum[chosen_statistic + '@mark']",
        )
    )
    reach = f"{json.dumps(limits)}[chosen_rows][chosen_statistic]"
    colour = alt.Color(
        "difference:Q",
        title=f"{groups[0]} minus {groups[1]}",
        scale=alt.Scale(
            domainMin=alt.ExprRef(f"-{reach}"),
            domainMax=alt.ExprRef(reach),
            domainMid=0,
            **_scheme(look, "diverging"),
        ),
        legend=_gradient(),
    )
    tooltip = [
        alt.Tooltip("layer:Q"),
        alt.Tooltip("head:Q"),
        alt.Tooltip("difference:Q", format="+.4g"),
        alt.Tooltip("p:Q", title="adjusted p", format=".3g"),
    ]
    cells = base.mark_rect().encode(color=colour, tooltip=tooltip)
    size = 0.12 * _cell(frame, look) ** 2
    marks = (
        base.transform_filter("datum.mark > 0")
        .mark_point(filled=True, size=size, color="black", stroke="white", strokeWidth=1, opacity=1)
        .encode(
            shape=alt.Shape(
                "kind:N",
                scale=alt.Scale(domain=["significant", "replicated"], range=["circle", "diamond"]),
                legend=None,
            ),
            tooltip=tooltip,
        )
        .transform_calculate(kind="datum.mark > 1 ? 'replicated' : 'significant'")
    )
    return alt.layer(cells, marks).resolve_scale(shape="independent").add_params(query_group, statistic)


def head_type_map(
    frame: pl.DataFrame, look: VisualizationSettings, *, types: Mapping[str, str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw each head's type. ``frame``: ``layer, head, head_type, all_types, initial`` and the numbers behind them.

    ``types`` maps each type to its initial.
    """
    title = alt.Title("What kind of head each one is", subtitle=subtitle)
    numbers = ("diagonal", "previous_token", "beginning", "entropy_normalized", "vocabulary_lift", "prediction_mass")
    tooltip = [
        alt.Tooltip("layer:Q"),
        alt.Tooltip("head:Q"),
        alt.Tooltip("head_type:N", title="type"),
        alt.Tooltip("all_types:N", title="all that fit"),
        *(alt.Tooltip(f"{name}:Q", title=name.replace("_", " "), format=".3f") for name in numbers),
    ]
    legend = alt.Legend(labelExpr=f"{_names(types)}[datum.label] + '  ' + datum.label")
    base = _grid(frame, look, title)
    cells = base.mark_rect(stroke="white", strokeWidth=0.5).encode(
        color=alt.Color("head_type:N", title="type", scale=_categories(look, list(types)), legend=legend),
        tooltip=tooltip,
    )
    size = min(12.0, 0.5 * _cell(frame, look))
    letters = base.mark_text(fontSize=size, color="black").encode(text="initial:N", tooltip=tooltip)
    return alt.layer(cells, letters) if size >= 8 else cells


def head_types_by_layer(
    frame: pl.DataFrame, look: VisualizationSettings, *, types: Sequence[str], subtitle: str
) -> alt.TopLevelMixin:
    """Draw how many heads of each layer have each type. ``frame``: ``layer, head_type, num_heads, order``."""
    return (
        alt.Chart(frame, title=alt.Title("Head types over layers", subtitle=subtitle))
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("layer:O", title="layer (0 reads the input)", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("num_heads:Q", title="number of heads", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("head_type:N", title="type", scale=_categories(look, types)),
            order=alt.Order("order:Q"),
            tooltip=["layer:O", alt.Tooltip("head_type:N", title="type"), alt.Tooltip("num_heads:Q", title="heads")],
        )
        .properties(width=look.figure_sizes["width"], height=look.figure_sizes["height"] * 0.7)
    )


def key_group_comparison(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    groups: Sequence[str],
    measure: str,
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw weight or lift per key group and group of samples with intervals, one panel per query group.

    ``frame``: ``rows, key_group, group, mean, ci_low, ci_high, num_samples, num_clusters, pvalue_adjusted``.
    """
    is_lift = measure == "lift"
    names = {
        "lift": ("Attention to kinds of words, compared with uniform attention", "times uniform attention"),
        "mass": ("Attention to kinds of words", "share of attention"),
    }
    title, axis_title = names[measure]
    style = "~g" if is_lift else SHARE
    order = frame["key_group"].unique(maintain_order=True).to_list()
    y = alt.Y("key_group:N", title=None, sort=order, axis=alt.Axis(labelLimit=200, grid=True))
    offset = alt.YOffset("group:N", sort=list(groups))
    colour = alt.Color("group:N", title="samples", sort=list(groups), scale=_categories(look, groups))
    base = alt.Chart(frame)
    x = alt.X("mean:Q", title=axis_title, axis=alt.Axis(format=style, tickCount=5), scale=alt.Scale(zero=True))
    layers = [
        base.mark_rule(strokeWidth=2).encode(
            y=y, yOffset=offset, x=alt.X("ci_low:Q", title=axis_title), x2="ci_high:Q", color=colour
        ),
        base.mark_point(filled=True, size=55, opacity=1).encode(
            y=y, yOffset=offset, x=x, color=colour, tooltip=_mean_tooltip("key_group", ".3f" if is_lift else ".3%")
        ),
    ]
    if is_lift:
        layers.insert(0, base.mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=alt.datum(1)))
    panels = frame["rows"].unique(maintain_order=True).to_list()
    return (
        alt.layer(*layers)
        .properties(width=max(160, look.figure_sizes["width"] // max(len(panels), 1) - 20), height=alt.Step(15))
        .facet(column=alt.Column("rows:N", title=None, sort=panels), title=alt.Title(title, subtitle=subtitle))
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
    rows = alt.param(name="chosen_rows", value=start, bind=_menu("Attention of ", query_groups))
    drawn = [
        _profile_panel(frame.filter(pl.col("statistic") == name), look, groups, title, unit)
        for name, (title, unit) in panels.items()
    ]
    text = alt.ExprRef(f"{_names(query_groups)}[chosen_rows] + ': from layer to layer'")
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
    colour = alt.Color("group:N", title="samples", sort=list(groups), scale=_categories(look, groups), legend=legend)
    base = alt.Chart(frame).transform_filter("datum.query_group == chosen_rows")
    band = base.mark_area(opacity=0.22).encode(x=x, y=low, y2="ci_high:Q", color=colour)
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=22)).encode(
        x=x, y=y, color=colour, tooltip=_mean_tooltip("statistic", ".4g", "layer:Q")
    )
    heading = alt.Title(title, fontSize=12, offset=6)
    size = {"width": look.figure_sizes["width"] // 3 - 10, "height": look.figure_sizes["height"] * 0.42}
    return alt.layer(band, line).properties(title=heading, **size)


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
    colour = alt.Color("group:N", title="samples", sort=list(groups), scale=_categories(look, groups))
    title = "share of the decision token's attention, mean over heads"
    base = alt.Chart(frame, title=alt.Title("Tokens that the decision token looks at", subtitle=subtitle))
    rules = base.mark_rule(strokeWidth=2).encode(
        y=y, yOffset=offset, color=colour, x=alt.X("ci_low:Q", title=title, axis=alt.Axis(format=SHARE)), x2="ci_high:Q"
    )
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        y=y, yOffset=offset, color=colour, x=alt.X("mean:Q"), tooltip=_mean_tooltip("shown", ".3%")
    )
    return alt.layer(rules, points).properties(width=look.figure_sizes["width"], height=alt.Step(13))


def volcano(
    frame: pl.DataFrame,
    look: VisualizationSettings,
    *,
    query_groups: Sequence[str],
    groups: tuple[str, str],
    threshold: float | None,
    subtitle: str,
) -> alt.TopLevelMixin:
    """Draw effect against evidence for every test.

    ``frame``: ``effect_size_adjusted, evidence`` (-log10 p), ``rows, shown, statistic_label, layer, head, difference,
    pvalue_adjusted, is_significant``. ``threshold``: the evidence above which tests are significant after adjustment.
    """
    title = alt.Title("Effect and evidence of every test", subtitle=subtitle)
    points = (
        _chart(frame, title)
        .mark_point(filled=True)
        .encode(
            x=alt.X(
                "effect_size_adjusted:Q",
                title=f"adjusted difference, {groups[0]} minus {groups[1]}, in standard deviations",
            ),
            y=alt.Y("evidence:Q", title="−log10 of the unadjusted p"),
            color=alt.Color(
                "rows:N", title="attention of", sort=list(query_groups), scale=_categories(look, query_groups)
            ),
            opacity=alt.condition("datum.is_significant", alt.value(0.95), alt.value(0.3)),
            size=alt.condition("datum.is_significant", alt.value(60), alt.value(18)),
            tooltip=[
                alt.Tooltip("shown:N", title="head"),
                alt.Tooltip("statistic_label:N", title="statistic"),
                alt.Tooltip("rows:N", title="attention of"),
                alt.Tooltip("difference:Q", format="+.4g"),
                alt.Tooltip("effect_size_adjusted:Q", title="in standard deviations", format="+.2f"),
                alt.Tooltip("pvalue_adjusted:Q", title="adjusted p", format=".3g"),
            ],
        )
        .properties(width=look.figure_sizes["width"], height=look.figure_sizes["height"])
    )
    if threshold is None:
        return points
    line = alt.Chart().mark_rule(color=GREY, strokeDash=[5, 3]).encode(y=alt.datum(threshold))
    name = alt.Chart().mark_text(text="significant above this line, after adjustment", align="right", dy=-7, color=GREY)
    return alt.layer(points, line, name.encode(y=alt.datum(threshold), x=alt.value(look.figure_sizes["width"])))


def _chart(frame: pl.DataFrame, title: alt.Title) -> alt.Chart:
    """Return a chart of a frame, as CSV where it is long: half the size of one JSON object per row."""
    if len(frame) < LONG_FRAME:
        return alt.Chart(frame, title=title)
    kinds = {name: "number" if kind.is_numeric() else "string" for name, kind in frame.schema.items()}
    kinds |= {name: "boolean" for name, kind in frame.schema.items() if kind == pl.Boolean}
    parsed = alt.CsvDataFormat(type="csv", parse=alt.Parse(**kinds))
    return alt.Chart(alt.InlineData(values=frame.write_csv(), format=parsed), title=title)


def _largest(frame: pl.DataFrame, column: str) -> float:
    return float(frame.select(pl.col(column).max()).item() or 0)


def _cell(frame: pl.DataFrame, look: VisualizationSettings) -> float:
    heads, layers = _largest(frame, "head") + 1, _largest(frame, "layer") + 1
    return max(8.0, min(44.0, look.figure_sizes["width"] / heads, 1.6 * look.figure_sizes["height"] / layers))


def _grid(frame: pl.DataFrame, look: VisualizationSettings, title: alt.Title) -> alt.Chart:
    step = alt.Step(_cell(frame, look))
    axis = {"labelAngle": 0, "labelOverlap": True, "ticks": False, "domain": False}
    return (
        _chart(frame, title)
        .encode(
            x=alt.X("head:O", title="head", axis=alt.Axis(**axis)),
            y=alt.Y("layer:O", title="layer (0 reads the input)", axis=alt.Axis(**axis)),
        )
        .properties(width=step, height=step)
    )


def _gradient() -> alt.Legend:
    return alt.Legend(gradientLength=150, format="~g", tickCount=5, titleLimit=220)


def _menu(label: str, options: Mapping[str, str]) -> Any:
    return alt.binding_select(options=list(options), labels=list(options.values()), name=label)


def _menus(
    query_groups: Mapping[str, str], statistics: Mapping[str, str], start: tuple[str, str]
) -> tuple[alt.Parameter, alt.Parameter]:
    return (
        alt.param(name="chosen_rows", value=start[0], bind=_menu("Attention of ", query_groups)),
        alt.param(name="chosen_statistic", value=start[1], bind=_menu("Statistic ", statistics)),
    )


def _names(options: Mapping[str, str]) -> str:
    """Return a Vega object literal that maps each option to its name."""
    return "{" + ", ".join(f"{_quoted(key)}: {_quoted(name)}" for key, name in options.items()) + "}"


def _chosen_title(query_groups: Mapping[str, str], statistics: Mapping[str, str]) -> alt.ExprRef:
    return alt.ExprRef(f"{_names(query_groups)}[chosen_rows] + ': ' + {_names(statistics)}[chosen_statistic]")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _scheme(look: VisualizationSettings, kind: str) -> dict[str, Any]:
    name = look.color_schemes[kind]
    return {"range": list(OKABE_ITO)} if name == "okabe_ito" else {"scheme": name}


def _categories(look: VisualizationSettings, domain: Sequence[str]) -> alt.Scale:
    colours = _scheme(look, "categorical")
    if "range" in colours:
        colours["range"] = [colours["range"][slot % len(OKABE_ITO)] for slot in range(len(domain))]
    return alt.Scale(domain=list(domain), **colours)


def _mean_tooltip(name: str, style: str, *more: str) -> list[Any]:
    return [
        alt.Tooltip(f"{name}:N", title=" "),
        *more,
        alt.Tooltip("group:N", title="samples"),
        alt.Tooltip("mean:Q", format=style),
        alt.Tooltip("ci_low:Q", title="interval from", format=style),
        alt.Tooltip("ci_high:Q", title="to", format=style),
        alt.Tooltip("num_samples:Q", title="samples"),
        alt.Tooltip("num_clusters:Q", title="clusters"),
    ]
