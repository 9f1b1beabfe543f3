"""Figures that show every head: prepares each chart's frame from the analysis tables and says how to read it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
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
    untested,
)
from analyses.group_differences import is_certain
from analyses.head_types import type_names

MAX_VOLCANO_POINTS = 3000
"""Tests drawn in the volcano plot: all with the smallest p, then an even sample of the rest."""


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
        "the chart. The colour scale adapts to the choice, so compare cells within a chart, not colours between charts."
    )
    return Figure("head_map", "Every head at a glance", guide, specification(chart), ("head_means",))


def difference_map_figure(tables: AnalysisTables) -> Figure | str:
    """Draw the adjusted difference of every head, or say why not."""
    shown = tables.comparison
    if shown is None or tables.tested["difference"].is_null().all():
        return untested(tables)
    menu, labels = statistic_menu(tables), (shown.label_a, shown.label_b)
    is_found = is_certain(tables.settings.alpha).fill_null(False)
    mark = is_found.cast(pl.Int8) * (1 + pl.col("is_replicated").fill_null(False).cast(pl.Int8))
    tested = tables.tested.with_columns(mark=mark)
    wide = tested.pivot(
        "statistic",
        index=["query_group", "layer", "head"],
        values=["difference", "pvalue_adjusted", "mark"],
        separator="\x1f",
    )
    ends = {"difference": "", "pvalue_adjusted": "@p", "mark": "@mark"}
    wide = wide.rename(
        {f"{value}\x1f{name}": f"{name}{end}" for value, end in ends.items() for name in menu}, strict=False
    )
    strongest = tested.drop_nulls("pvalue").sort("pvalue").head(1)
    is_any = tested["mark"].max() or 0
    start = strongest.select("query_group", "statistic").row(0) if is_any and len(strongest) else first_choice(tables)
    reach = tested.group_by("query_group", "statistic").agg(pl.col("difference").abs().max().fill_null(0))
    limits = {group: dict.fromkeys(menu, 1.0) for group in tables.run.query_groups}
    for group, name, largest in reach.filter(pl.col("difference") > 0).iter_rows():
        limits[group][name] = float(f"{largest:.4g}")
    chart = charts.difference_map(
        rounded(wide),
        tables.look,
        limits=limits,
        statistics=menu,
        query_groups=row_menu(tables),
        start=start,
        groups=labels,
        subtitle=[
            f"{labels[0]} minus {labels[1]}, adjusted for predicted label and covariates; {sample_line(tables)}",
            "● significant after adjustment    ◆ significant and replicated",
        ],
    )
    guide = (
        f"The colour says how much more ({shown.label_a} higher) or less a head shows the chosen statistic in "
        f"{shown.label_a} than in {shown.label_b} samples, after adjusting for the predicted label and the covariates. "
        f"A black dot marks a difference that stays significant after adjustment over its whole family of tests; a "
        f"diamond marks one that was also found on some {wording.plural(tables.cluster_noun)} and confirmed on others. "
        "No mark means that the colour may be chance."
    )
    title = f"Where {shown.label_a} and {shown.label_b} differ"
    return Figure("difference_map", title, guide, specification(chart), DIFFERENCE_TABLES)


DIFFERENCE_TABLES = ("group_differences", "layer_clusters", "replication_by_stratum")


def volcano_figure(tables: AnalysisTables) -> Figure | str:
    """Draw effect against evidence, or say why not."""
    shown = tables.comparison
    tested = tables.tested.drop_nulls(["pvalue", "effect_size_adjusted"]).sort("pvalue")
    if shown is None or tested.is_empty():
        return untested(tables)
    num_first = 2 * MAX_VOLCANO_POINTS // 3
    rest = tested[num_first:]
    step = max(1, -(-len(rest) // (MAX_VOLCANO_POINTS - num_first)))
    drawn = pl.concat([tested[:num_first], rest.gather_every(step)])
    is_found = is_certain(tables.settings.alpha).fill_null(False)
    is_above = (pl.col("pvalue_adjusted") <= tables.settings.alpha).fill_null(False)
    labels = {name: wording.statistic_label(name) for name in tested["statistic"].unique()}
    frame = drawn.select(
        "layer",
        "head",
        "difference",
        "effect_size_adjusted",
        "pvalue_adjusted",
        shown=pl.format("layer {}, head {}", "layer", "head"),
        rows=pl.col("query_group").replace(row_menu(tables)),
        statistic_label=pl.col("statistic").replace(labels),
        evidence=-pl.col("pvalue").clip(1e-300).log10(),
        is_significant=is_found,
    )
    weakest = tested.filter(is_above).select(pl.col("pvalue").max()).item()
    threshold = None if weakest is None else float(-np.log10(max(weakest, 1e-300)))
    num_found = int(tested.select(is_found.sum()).item())
    chart = charts.volcano(
        rounded(frame),
        tables.look,
        query_groups=list(row_menu(tables).values()),
        groups=(shown.label_a, shown.label_b),
        threshold=threshold,
        subtitle=f"{num_found:,} of {len(tested):,} tests significant by every check; {len(drawn):,} drawn",
    )
    guide = (
        "Each point is one test (head, statistic, query group). To the right the statistic is higher in "
        f"{shown.label_a} samples, to the left in {shown.label_b} ones; higher up the evidence is stronger. Points "
        "above the dashed line pass the adjustment, strong ones every check; without a line none passes."
    )
    return Figure("volcano", "Effect against evidence", guide, specification(chart), ("group_differences",))


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
        f"the numbers behind it. The types are descriptions by documented thresholds ({limits}), not proof of what a "
        "head is for."
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
