"""Figures of what differs between groups of samples, head by head: the map, effect against evidence, replication."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from analyses import charts, wording
from analyses.analysis_tables import AnalysisTables
from analyses.charts_parts import specification
from analyses.comparisons import Comparison
from analyses.figure_parts import (
    Figure,
    first_choice,
    rounded,
    row_menu,
    sample_line,
    statistic_menu,
    untested,
)
from analyses.group_differences import is_certain

MAX_POINTS = 2000
"""Tests drawn in a scatter plot: those with the smallest p, then an even sample of the rest."""

MAX_CELLS = 120_000
"""Tests in the map; of a large model with several comparisons it shows the first query groups only."""

DIFFERENCE_TABLES = ("group_differences", "layer_clusters", "replication_by_stratum")


def _compared(tables: AnalysisTables) -> dict[str, str]:
    """Return the comparisons with a test, and "a minus b" for each; the one that charts show first comes first."""
    tested = set(tables.differences.drop_nulls("pvalue")["comparison"])
    return {one.name: f"{one.label_a} minus {one.label_b}" for one in tables.comparisons if one.name in tested}


def _named(tables: AnalysisTables, names: Mapping[str, str]) -> list[Comparison]:
    return [one for one in tables.comparisons if one.name in names]


def difference_map_figure(tables: AnalysisTables) -> Figure | str:
    """Draw the adjusted difference of every head, or say why not."""
    compared = _compared(tables)
    if not compared:
        return untested(tables)
    menu = statistic_menu(tables)
    first = _named(tables, compared)[0]
    is_found = is_certain(tables.settings.alpha).fill_null(False)
    mark = is_found.cast(pl.Int8) * (1 + pl.col("is_replicated").fill_null(False).cast(pl.Int8))
    rows = _rows_shown(tables, len(compared) * len(menu))
    tested = tables.differences.filter(
        pl.col("comparison").is_in(list(compared)) & pl.col("query_group").is_in(list(rows))
    ).with_columns(mark=mark, pvalue_adjusted=pl.col("pvalue_adjusted").round_sig_figs(2))
    wide = tested.pivot(
        "statistic",
        index=["comparison", "query_group", "layer", "head"],
        values=["difference", "pvalue_adjusted", "mark"],
        separator="\x1f",
    )
    ends = {"difference": "", "pvalue_adjusted": "@p", "mark": "@mark"}
    wide = wide.rename(
        {f"{value}\x1f{name}": f"{name}{end}" for value, end in ends.items() for name in menu}, strict=False
    )
    shown = tested.filter(pl.col("comparison") == first.name)
    strongest = shown.drop_nulls("pvalue").sort("pvalue").head(1)
    is_any = shown["mark"].max() or 0
    start = strongest.select("query_group", "statistic").row(0) if is_any and len(strongest) else first_choice(tables)
    chart = charts.difference_map(
        rounded(wide, 3),
        tables.look,
        comparisons=compared,
        limits=_limits(tables, tested, list(compared), list(menu)),
        statistics=menu,
        query_groups=rows,
        start=start,
        subtitle=[
            f"adjusted for predicted label and covariates; {sample_line(tables)}",
            "● significant after adjustment    ◆ significant and replicated",
        ],
    )
    guide = (
        f"The colour says how much more ({first.label_a} higher) or less a head shows the chosen statistic in "
        f"{first.label_a} than in {first.label_b} samples, after adjusting for the predicted label and the covariates. "
        f"A black dot marks a difference that stays significant after adjustment over its whole family of tests; a "
        f"diamond marks one that was also found on some {wording.plural(tables.cluster_noun)} and confirmed on others. "
        "No mark means that the colour may be chance."
    )
    title = f"Where {first.label_a} and {first.label_b} differ"
    if len(compared) > 1:
        title = "Where groups of samples differ"
        guide += " The menu has every comparison that was configured."
    if len(rows) < len(tables.run.query_groups):
        guide += f" To stay small it shows {', '.join(rows.values()).lower()} only; group_differences has all."
    return Figure("difference_map", title, guide, specification(chart), DIFFERENCE_TABLES)


def _rows_shown(tables: AnalysisTables, tests_per_head: int) -> dict[str, str]:
    """Return the query groups whose tests fit into the map, the one shown first before the others."""
    menu, first = row_menu(tables), first_choice(tables)[0]
    ordered = [first, *(name for name in menu if name != first)]
    each = tests_per_head * len(tables.head_types)
    kept = ordered[: max(1, MAX_CELLS // max(each, 1))]
    return {name: menu[name] for name in menu if name in kept}


def _limits(
    tables: AnalysisTables, tested: pl.DataFrame, names: list[str], statistics: list[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the largest |difference| by comparison, query group and statistic; 1 where all are 0."""
    limits = {name: {group: dict.fromkeys(statistics, 1.0) for group in tables.run.query_groups} for name in names}
    reach = tested.group_by("comparison", "query_group", "statistic").agg(pl.col("difference").abs().max().fill_null(0))
    for name, group, statistic, largest in reach.filter(pl.col("difference") > 0).iter_rows():
        limits[name][group][statistic] = float(f"{largest:.4g}")
    return limits


def _points(tables: AnalysisTables, tested: pl.DataFrame, num_comparisons: int) -> pl.DataFrame:
    """Return at most ``MAX_POINTS`` tests over all comparisons, the smallest p and an even sample of the rest."""
    allowed = MAX_POINTS // num_comparisons
    num_first = 2 * allowed // 3
    rest = tested[num_first:]
    step = max(1, -(-len(rest) // (allowed - num_first)))
    drawn = pl.concat([tested[:num_first], rest.gather_every(step)])
    labels = {name: wording.statistic_label(name) for name in tested["statistic"].unique()}
    return drawn.with_columns(
        shown=pl.format("layer {}, head {}", "layer", "head"),
        rows=pl.col("query_group").replace(row_menu(tables)),
        statistic_label=pl.col("statistic").replace(labels),
        is_significant=is_certain(tables.settings.alpha).fill_null(False),
    )


def volcano_figure(tables: AnalysisTables) -> Figure | str:
    """Draw effect against evidence, or say why not."""
    compared = _compared(tables)
    if not compared:
        return untested(tables)
    first = _named(tables, compared)[0]
    is_found = is_certain(tables.settings.alpha).fill_null(False)
    is_above = (pl.col("pvalue_adjusted") <= tables.settings.alpha).fill_null(False)
    frames, thresholds, told = [], [], []
    for name in compared:
        tested = tables.tests_of(name).drop_nulls(["pvalue", "effect_size_adjusted"]).sort("pvalue")
        drawn = _points(tables, tested, len(compared))
        frames.append(
            drawn.select(
                "comparison", "layer", "head", "difference", "effect_size_adjusted", "pvalue_adjusted", "shown", "rows",
                "statistic_label", "is_significant", evidence=-pl.col("pvalue").clip(1e-300).log10(),
            )
        )  # fmt: skip
        weakest = tested.filter(is_above).select(pl.col("pvalue").max()).item()
        if weakest is not None:
            thresholds.append((name, float(-np.log10(max(weakest, 1e-300)))))
        found = int(tested.select(is_found.sum()).item())
        start = f"{name}: " if len(compared) > 1 else ""
        told.append(f"{start}{found:,} of {len(tested):,} tests significant by every check; {len(drawn):,} drawn")
    chart = charts.volcano(
        rounded(pl.concat(frames)),
        pl.DataFrame(thresholds, schema={"comparison": pl.String, "evidence": pl.Float64}, orient="row"),
        tables.look,
        comparisons=compared,
        query_groups=list(row_menu(tables).values()),
        subtitle=" · ".join(told),
    )
    guide = (
        "Each point is one test (head, statistic, query group). To the right the statistic is higher in "
        f"{first.label_a} samples, to the left in {first.label_b} ones; higher up the evidence is stronger. Points "
        "above the dashed line pass the adjustment, strong ones every check; without a line none passes."
    )
    if len(compared) > 1:
        guide += " Of another comparison, to the right is its first group."
    return Figure("volcano", "Effect against evidence", guide, specification(chart), ("group_differences",))


def replication_figure(tables: AnalysisTables) -> Figure | str:
    """Draw each test's difference on both parts of the clusters, or say why not."""
    compared = _compared(tables)
    if not compared:
        return untested(tables)
    halves = ["effect_size_discovery", "effect_size_confirmation"]
    compared = {
        name: text for name, text in compared.items() if len(tables.tests_of(name).drop_nulls([*halves, "pvalue"]))
    }
    if not compared:
        return (
            "Nothing was kept apart to confirm differences: analysis.confirmation_fraction is 0, or there are too few "
            f"{wording.plural(tables.cluster_noun)}."
        )
    parts = [
        _points(tables, tables.tests_of(name).drop_nulls([*halves, "pvalue"]).sort("pvalue"), len(compared))
        for name in compared
    ]
    frame = pl.concat(parts)
    certain, again = pl.col("is_significant"), pl.col("is_replicated").fill_null(False)
    verdict = pl.when(certain & again).then(pl.lit(charts.VERDICTS[0])).when(certain).then(pl.lit(charts.VERDICTS[1]))
    frame = frame.select(
        "comparison", "layer", "head", "shown", "rows", "statistic_label",
        discovery="effect_size_discovery", confirmation="effect_size_confirmation",
        verdict=verdict.otherwise(pl.lit(charts.VERDICTS[2])),
    )  # fmt: skip
    reach = frame.select(pl.max_horizontal(pl.col("discovery", "confirmation").abs().max())).item()
    rho = frame.select(pl.corr("discovery", "confirmation", method="spearman").fill_nan(None)).item()
    agreement = "unknown" if rho is None else f"{rho:+.2f}"
    chart = charts.replication(
        rounded(frame.sort("verdict")),  # what is not significant first, so that it lies below
        tables.look,
        comparisons=compared,
        reach=reach or 1.0,
        subtitle=f"rank correlation over the {len(frame):,} tests drawn: {agreement}",
    )
    noun = wording.plural(tables.cluster_noun)
    share = tables.settings.confirmation_fraction
    guide = (
        f"Differences are looked for on {100 * (1 - share):g} % of the {noun} and looked at again on the "
        f"{100 * share:g} % kept apart. Points on the dashed line are as large there as where they were found; those "
        "near the horizontal axis were chance, or need more samples. Few samples are kept apart, so that clouds are "
        "wide."
    )
    title = "Do differences hold on samples that they were not found on?"
    return Figure("replication", title, guide, specification(chart), ("group_differences",))
