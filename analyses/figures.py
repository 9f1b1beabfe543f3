"""Which charts a report has: prepares each chart's frame from the analysis tables and says how to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from analyses import charts, wording
from analyses.analysis_tables import AnalysisTables
from analyses.attention_profiles import EVERYONE
from analyses.head_types import type_names
from analyses.key_groups import declared_statistics, of_kind

MAX_VOLCANO_POINTS = 3000
"""Tests drawn in the volcano plot: all with the smallest p, then an even sample of the rest."""

MAX_TOP_TOKENS = 20
"""Tokens drawn in the chart of the decision token; the table holds ``visualization.max_tokens``."""

PROFILE_PANELS = ("entropy_normalized", "first_token", "previous_token", "max_weight")


@dataclass(frozen=True)
class Figure:
    """One chart.

    Attributes
    ----------
    name
        File name without suffix.
    title
        Heading in the report.
    guide
        How to read it, one paragraph.
    specification
        Vega-Lite, without a theme.
    tables
        Names of the tables that hold its numbers.
    """

    name: str
    title: str
    guide: str
    specification: dict[str, Any]
    tables: tuple[str, ...]


def make_figures(tables: AnalysisTables) -> tuple[list[Figure], dict[str, str]]:
    """Return the charts in the order of the report, and for each that is absent its name and the reason."""
    makers: dict[str, Callable[[AnalysisTables], Figure | str]] = {
        "key_group_weight": lambda given: _key_groups(given, "mass"),
        "key_group_lift": lambda given: _key_groups(given, "lift"),
        "head_map": _head_map,
        "difference_map": _difference_map,
        "volcano": _volcano,
        "layer_profile": _layer_profile,
        "head_type_map": _head_type_map,
        "head_types_by_layer": _head_types_by_layer,
        "decision_top_tokens": _decision_top_tokens,
    }
    made = {name: maker(tables) for name, maker in makers.items()}
    figures = [figure for figure in made.values() if isinstance(figure, Figure)]
    return figures, {name: reason for name, reason in made.items() if isinstance(reason, str)}


def sample_line(tables: AnalysisTables) -> str:
    """Return "n = 300 samples (180 correct, 120 incorrect)"."""
    text = f"n = {wording.count_text(len(tables.run.samples), 'sample')}"
    shown = tables.comparison
    if shown is None:
        return text
    return f"{text} ({shown.is_a.sum():,} {shown.label_a}, {shown.is_b.sum():,} {shown.label_b})"


def _statistic_menu(tables: AnalysisTables) -> dict[str, str]:
    """Return the statistics that have any value, with their name and unit."""
    names = [name for name in declared_statistics(tables.run) if tables.head_means[name].is_not_null().any()]
    return {name: f"{wording.statistic_label(name)} ({wording.statistic_unit(name)})" for name in names}


def _row_menu(tables: AnalysisTables) -> dict[str, str]:
    return {name: wording.query_group_label(name).capitalize() for name in tables.run.query_groups}


def _start(tables: AnalysisTables) -> tuple[str, str]:
    """Return the query group and statistic shown first: the decision token's weight on the vocabulary."""
    groups, names = tables.run.query_groups, list(_statistic_menu(tables))
    rows = "decision" if "decision" in groups else groups[0]
    wanted = f"mass_{tables.vocabulary}"
    return rows, wanted if wanted in names else names[0]


def _rounded(frame: pl.DataFrame, digits: int = 4) -> pl.DataFrame:
    return frame.with_columns(pl.col(pl.Float64).round_sig_figs(digits))


def _missing_heads(tables: AnalysisTables) -> str | None:
    if not _statistic_menu(tables):
        return "head_stats holds no value."
    return None


def _head_map(tables: AnalysisTables) -> Figure | str:
    if reason := _missing_heads(tables):
        return reason
    menu = _statistic_menu(tables)
    chart = charts.head_map(
        _rounded(tables.head_means.select("query_group", "layer", "head", *menu)),
        tables.look,
        statistics=menu,
        query_groups=_row_menu(tables),
        start=_start(tables),
        subtitle=sample_line(tables),
    )
    guide = (
        "Each cell is one attention head: rows are layers, from the one that reads the input (0) to the last, columns "
        "are heads. The colour is the mean over samples; choose the statistic and whose attention it describes below "
        "the chart. The colour scale adapts to the choice, so compare cells within a chart, not colours between charts."
    )
    return Figure("head_map", "Every head at a glance", guide, charts.specification(chart), ("head_means",))


def _difference_map(tables: AnalysisTables) -> Figure | str:
    shown = tables.comparison
    if shown is None or tables.tested["difference"].is_null().all():
        return _untested(tables)
    menu, labels = _statistic_menu(tables), (shown.label_a, shown.label_b)
    is_found = pl.col("pvalue_adjusted") <= tables.settings.alpha
    mark = is_found.fill_null(False).cast(pl.Int8) * (1 + pl.col("is_replicated").fill_null(False).cast(pl.Int8))
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
    start = strongest.select("query_group", "statistic").row(0) if is_any and len(strongest) else _start(tables)
    reach = tested.group_by("query_group", "statistic").agg(pl.col("difference").abs().max().fill_null(0))
    limits = {group: dict.fromkeys(menu, 1.0) for group in tables.run.query_groups}
    for group, name, largest in reach.filter(pl.col("difference") > 0).iter_rows():
        limits[group][name] = float(f"{largest:.4g}")
    chart = charts.difference_map(
        _rounded(wide),
        tables.look,
        limits=limits,
        statistics=menu,
        query_groups=_row_menu(tables),
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
        "A black dot marks a difference that stays significant after adjustment over every head, statistic and query "
        "group together; a diamond marks one that was also found on some companies and confirmed on others. No mark "
        "means that the colour may be chance."
    )
    title = f"Where {shown.label_a} and {shown.label_b} differ"
    return Figure("difference_map", title, guide, charts.specification(chart), ("group_differences",))


def _untested(tables: AnalysisTables) -> str:
    if tables.comparison is None:
        return "No comparison is configured (analysis.groups is empty)."
    return tables.comparison.problem or "No statistic could be tested."


def _volcano(tables: AnalysisTables) -> Figure | str:
    shown = tables.comparison
    tested = tables.tested.drop_nulls(["pvalue", "effect_size_adjusted"]).sort("pvalue")
    if shown is None or tested.is_empty():
        return _untested(tables)
    num_first = 2 * MAX_VOLCANO_POINTS // 3
    rest = tested[num_first:]
    step = max(1, -(-len(rest) // (MAX_VOLCANO_POINTS - num_first)))
    drawn = pl.concat([tested[:num_first], rest.gather_every(step)])
    is_found = (pl.col("pvalue_adjusted") <= tables.settings.alpha).fill_null(False)
    labels = {name: wording.statistic_label(name) for name in tested["statistic"].unique()}
    frame = drawn.select(
        "layer",
        "head",
        "difference",
        "effect_size_adjusted",
        "pvalue_adjusted",
        shown=pl.format("layer {}, head {}", "layer", "head"),
        rows=pl.col("query_group").replace(_row_menu(tables)),
        statistic_label=pl.col("statistic").replace(labels),
        evidence=-pl.col("pvalue").clip(1e-300).log10(),
        is_significant=is_found,
    )
    weakest = tested.filter(is_found).select(pl.col("pvalue").max()).item()
    threshold = None if weakest is None else float(-np.log10(max(weakest, 1e-300)))
    num_found = int(tested.select(is_found.sum()).item())
    chart = charts.volcano(
        _rounded(frame),
        tables.look,
        query_groups=list(_row_menu(tables).values()),
        groups=(shown.label_a, shown.label_b),
        threshold=threshold,
        subtitle=f"{num_found:,} of {len(tested):,} tests significant after adjustment; {len(drawn):,} drawn",
    )
    guide = (
        "Each point is one test (head, statistic, query group). To the right the statistic is higher in "
        f"{shown.label_a} samples, to the left in {shown.label_b} ones; higher up the evidence is stronger. Points "
        "above the dashed line are significant after adjustment; without a line none is."
    )
    return Figure("volcano", "Effect against evidence", guide, charts.specification(chart), ("group_differences",))


def _layer_profile(tables: AnalysisTables) -> Figure | str:
    if reason := _missing_heads(tables):
        return reason
    known = set(tables.layer_profiles["statistic"])
    vocabulary = [
        f"mass_{name}" for name in (tables.vocabulary, "number", "statement", "reasoning", "response") if name
    ]
    panels = [name for name in (*vocabulary[:2], *PROFILE_PANELS, *vocabulary[2:]) if name in known][:6]
    panels = panels or sorted(known)[:6]
    groups, rows = _groups(tables, tables.layer_profiles)
    chart = charts.layer_profile(
        _rounded(rows.filter(pl.col("statistic").is_in(panels)).sort("layer")),
        tables.look,
        panels={name: (wording.statistic_label(name), wording.statistic_unit(name)) for name in panels},
        groups=groups,
        query_groups=_row_menu(tables),
        start=_start(tables)[0],
        subtitle=f"mean over heads and samples with {_interval_name(tables)}, {sample_line(tables)}",
    )
    guide = (
        "Each panel follows one statistic from the first layer to the last, averaged over a layer's heads. Bands are "
        f"{_interval_name(tables)} over samples, allowing for several samples of one company. Whether bands "
        "overlap decides nothing; the tests of group differences do. Panels have their own vertical scales."
    )
    return Figure("layer_profile", "From layer to layer", guide, charts.specification(chart), ("layer_profiles",))


def _interval_name(tables: AnalysisTables) -> str:
    return f"{100 * (1 - tables.settings.alpha):g} % intervals"


def _groups(tables: AnalysisTables, frame: pl.DataFrame) -> tuple[list[str], pl.DataFrame]:
    """Return the groups to draw, a and b where both exist, else everyone, and their rows."""
    shown = tables.comparison
    both = [shown.label_a, shown.label_b] if shown is not None else []
    groups = both if set(both) <= set(frame["group"]) and both else [EVERYONE]
    return groups, frame.filter(pl.col("group").is_in(groups))


def _key_groups(tables: AnalysisTables, measure: str) -> Figure | str:
    groups, rows = _groups(tables, tables.key_group_attention.filter(pl.col("measure") == measure))
    kept = ["union", "category"]
    numbers = [name for name in of_kind(tables.run, "structure") if name in _BESIDE_VOCABULARY]
    rows = rows.filter(pl.col("kind").is_in(kept) | pl.col("key_group").is_in(numbers))
    if rows.is_empty():
        return "The run has no vocabulary." if measure == "mass" else "The run has no baselines table."
    menu = _row_menu(tables)
    frame = rows.with_columns(
        key_group=pl.col("key_group").replace({name: wording.key_group_label(name) for name in tables.run.key_groups}),
        rows=pl.col("query_group").replace(menu),
    ).drop("query_group", "kind", "measure")
    chart = charts.key_group_comparison(
        _rounded(frame),
        tables.look,
        groups=groups,
        measure=measure,
        subtitle=f"mean over heads, layers and samples with {_interval_name(tables)}, {sample_line(tables)}",
    )
    if measure == "mass":
        title = "Which words heads look at"
        guide = (
            "Each point is the share of attention that goes to tokens of one kind, averaged over all heads, with its "
            "interval over samples. A kind with many tokens gets more attention for that reason alone, so read this "
            "beside the next chart. Categories can overlap, and their union is counted once."
        )
    else:
        title = "Which words heads look at more than chance would have it"
        guide = (
            "The same attention divided by what uniform attention would give these tokens. At the dashed line (1) they "
            "get exactly their share; above it they are looked at more than their number explains, below it less. Much "
            "attention rests on the first token in most models, which pushes everything else below 1."
        )
    return Figure(
        f"key_group_{'weight' if measure == 'mass' else 'lift'}",
        title,
        guide,
        charts.specification(chart),
        ("key_group_attention",),
    )


_BESIDE_VOCABULARY = (
    "number",
    "percentage",
    "year",
    "magnitude_large",
    "magnitude_small",
    "current_period",
    "prior_period",
)


def _head_type_map(tables: AnalysisTables) -> Figure | str:
    if tables.head_types.is_empty():
        return "head_stats holds no rows."
    types = type_names(tables.run)
    initials = _initials(types)
    frame = tables.head_types.with_columns(initial=pl.col("head_type").replace(initials))
    chart = charts.head_type_map(_rounded(frame), tables.look, types=initials, subtitle=_type_line(tables))
    limits = ", ".join(f"{name} {value:g}" for name, value in tables.settings.head_types.items())
    guide = (
        "Each head gets the first type that fits, in the order of the legend; hover to see every type that fits and "
        f"the numbers behind it. The types are descriptions by documented thresholds ({limits}), not proof of what a "
        "head is for."
    )
    return Figure("head_type_map", "What kind of head each one is", guide, charts.specification(chart), ("head_types",))


def _initials(types: tuple[str, ...]) -> Mapping[str, str]:
    """Return one or two letters per type that tell it from the others."""
    initials: dict[str, str] = {}
    for name in types:
        short = next(text for text in (name[0], name[:2], name[:3], name) if text.upper() not in initials.values())
        initials[name] = short.upper()
    return initials


def _type_line(tables: AnalysisTables) -> str:
    return f"{wording.count_text(len(tables.head_types), 'head')}, {sample_line(tables)}"


def _head_types_by_layer(tables: AnalysisTables) -> Figure | str:
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
    return Figure("head_types_by_layer", "Head types over layers", guide, charts.specification(chart), ("head_types",))


def _decision_top_tokens(tables: AnalysisTables) -> Figure | str:
    found = tables.decision_top_tokens
    if found is None:
        return "The run kept no decision_top_keys."
    groups, rows = _groups(tables, found)
    frame = rows.filter(pl.col("rank") <= min(MAX_TOP_TOKENS, tables.look.max_tokens)).sort("rank")
    shown = {token: wording.visible_token(token) for token in frame["token"].unique()}
    frame = frame.with_columns(shown=pl.col("token").replace(shown)).drop("token")
    chart = charts.decision_top_keys(
        _rounded(frame),
        tables.look,
        groups=groups,
        subtitle=f"mean over heads and samples with {_interval_name(tables)}, {sample_line(tables)}",
    )
    guide = (
        "When the model is about to write its answer's decisive token, these are the tokens it looks at most, summed "
        "over their occurrences and averaged over heads (␣ stands for a space). Only each head's heaviest keys were "
        "kept, so the shares are lower bounds."
    )
    title = "What the model looks at when it decides"
    return Figure("decision_top_tokens", title, guide, charts.specification(chart), ("decision_top_tokens",))
