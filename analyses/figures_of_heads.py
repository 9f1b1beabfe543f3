"""Figures that show every head: prepares each chart's frame from the analysis tables and says how to read it."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses import charts, wording
from analyses.analysis_tables import AnalysisTables
from analyses.charts_parts import specification
from analyses.figure_parts import (
    Figure,
    first_choice,
    missing_heads,
    rounded,
    row_menu,
    sample_line,
    statistic_menu,
)
from analyses.head_types import type_names


def head_map_figure(tables: AnalysisTables) -> Figure | str:
    """Draw the mean of every head, or say why not."""
    if reason := missing_heads(tables):
        return reason
    menu = statistic_menu(tables)
    chart = charts.head_map(
        rounded(tables.head_means.select("query_group", "layer", "head", *menu)),
        tables.look,
        statistics=menu,
        query_groups=row_menu(tables),
        start=first_choice(tables),
        subtitle=sample_line(tables),
    )
    guide = (
        "Each cell is one attention head: rows are layers, from the one that reads the input (0) to the last, columns "
        "are heads. The colour is the mean over samples; choose the statistic and whose attention it describes below "
        "the chart. The colour scale adapts to the choice, so compare cells within a chart, not colours between "
        "charts. Click a head, or choose it with the arrow keys, to see all of it in the panel."
    )
    return Figure("head_map", "Head atlas", guide, specification(chart), ("head_means",))


def head_type_map_figure(tables: AnalysisTables) -> Figure | str:
    """Draw the type of every head, or say why not."""
    if tables.head_types.is_empty():
        return "head_stats holds no rows."
    types = type_names(tables.run)
    initials = _initials(types)
    frame = tables.head_types.with_columns(initial=pl.col("head_type").replace(initials))
    chart = charts.head_type_map(rounded(frame), tables.look, types=initials, subtitle=_type_line(tables))
    limits = ", ".join(f"{name} {value:g}" for name, value in tables.settings.head_types.items())
    guide = (
        "Each head gets the first type that fits, in the order of the legend; hover to see every type that fits and "
        "the numbers behind it. “Causal (previous token)” is the customary name of a head that looks at the token "
        "before, and says nothing about causal effects. The types are descriptions by documented thresholds "
        f"({limits}), not proof of what a head is for."
    )
    return Figure("head_type_map", "What kind of head each one is", guide, specification(chart), ("head_types",))


def _initials(types: tuple[str, ...]) -> Mapping[str, str]:
    """Return one or two letters per type that tell it from the others."""
    initials: dict[str, str] = {}
    for name in types:
        short = next(text for text in (name[0], name[:2], name[:3], name) if text.upper() not in initials.values())
        initials[name] = short.upper()
    return initials


def _type_line(tables: AnalysisTables) -> str:
    return f"{wording.count_text(len(tables.head_types), 'head')}, {sample_line(tables)}"


def head_types_by_layer_figure(tables: AnalysisTables) -> Figure | str:
    """Draw the number of heads of each type per layer, or say why not."""
    if tables.head_types.is_empty():
        return "head_stats holds no rows."
    types = type_names(tables.run)
    counts = tables.head_types.group_by("layer", "head_type").agg(num_heads=pl.len())
    order = {name: slot for slot, name in enumerate(types)}
    frame = counts.with_columns(order=pl.col("head_type").replace_strict(order)).sort("layer", "order")
    chart = charts.head_types_by_layer(frame, tables.look, types=types, subtitle=_type_line(tables))
    guide = (
        "Each bar is a layer; its parts are the numbers of heads of each type, so that specialisation over depth shows."
    )
    return Figure("head_types_by_layer", "Head types over layers", guide, specification(chart), ("head_types",))
