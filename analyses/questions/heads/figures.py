"""Figures that show every head: prepares each chart's frame from the analysis tables and says how to read it."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses import wording
from analyses.charts import heads
from analyses.charts.parts import Menus, specification
from analyses.questions.answers import Answers
from analyses.questions.figure import (
    Absent,
    Figure,
    first_choice,
    head_line,
    missing_heads,
    rounded,
    row_menu,
    statistic_menu,
)
from analyses.questions.heads.head_types import type_names


def head_map_figure(answers: Answers) -> Figure | Absent:
    """Draw the mean of every head, or say why not."""
    if reason := missing_heads(answers):
        return Absent("head_map", reason)
    menu = statistic_menu(answers)
    chart = heads.head_map(
        rounded(answers.head_means.select("query_group", "layer", "head", *menu)),
        answers.style,
        menus=Menus(row_menu(answers), menu, first_choice(answers)),
        subtitle=head_line(answers),
    )
    guide = (
        "Each cell is one attention head: rows are layers, from the one that reads the input (0) to the last, columns "
        "are heads. The colour is the mean over samples; choose the statistic and whose attention it describes below "
        "the chart. The colour scale adapts to the choice, so compare cells within a chart, not colours between "
        "charts. Click a head, or choose it with the arrow keys, to see all of it in the panel."
    )
    return Figure("head_map", "Head atlas", guide, specification(chart), ("head_means",))


def head_type_map_figure(answers: Answers) -> Figure | Absent:
    """Draw the type of every head, or say why not."""
    if answers["head_types"].is_empty():
        return Absent("head_type_map", "head_stats holds no rows.")
    types = type_names(answers.run)
    initials = _initials(types)
    frame = answers["head_types"].with_columns(initial=pl.col("head_type").replace(initials))
    chart = heads.head_type_map(rounded(frame), answers.style, types=initials, subtitle=_type_line(answers))
    limits = ", ".join(f"{name} {value:g}" for name, value in answers.settings.head_types)
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


def _type_line(answers: Answers) -> str:
    return f"{wording.count_text(len(answers['head_types']), 'head')}, {head_line(answers)}"


def head_types_by_layer_figure(answers: Answers) -> Figure | Absent:
    """Draw the number of heads of each type per layer, or say why not."""
    if answers["head_types"].is_empty():
        return Absent("head_types_by_layer", "head_stats holds no rows.")
    types = type_names(answers.run)
    counts = answers["head_types"].group_by("layer", "head_type").agg(num_heads=pl.len())
    order = {name: slot for slot, name in enumerate(types)}
    frame = counts.with_columns(order=pl.col("head_type").replace_strict(order)).sort("layer", "order")
    chart = heads.head_types_by_layer(frame, answers.style, types=types, subtitle=_type_line(answers))
    guide = (
        "Each bar is a layer; its parts are the numbers of heads of each type, so that specialisation over depth shows."
    )
    return Figure("head_types_by_layer", "Head types over layers", guide, specification(chart), ("head_types",))
