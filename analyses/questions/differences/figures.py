"""Figures of what differs between groups of samples, head by head: the map, effect against evidence, replication."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import polars as pl

from analyses import wording
from analyses.charts import heads, scatter
from analyses.charts.parts import Menus, specification
from analyses.questions.answers import Answers
from analyses.questions.comparisons import Comparison
from analyses.questions.families import is_certain, is_significant
from analyses.questions.figure import (
    Absent,
    Figure,
    first_choice,
    head_line,
    rounded,
    row_menu,
    statistic_menu,
    untested,
)

MAX_POINTS = 2000
"""Tests drawn in a scatter plot: those with the smallest p, then an even sample of the rest."""

MAX_CELLS = 120_000
"""Tests in the map; of a large model with several comparisons it shows the first query groups only."""

_VOLCANO_COLUMNS = (
    "comparison",
    "layer",
    "head",
    "difference_text",
    "effect_size_adjusted",
    "pvalue_adjusted",
    "shown",
    "rows",
    "statistic_label",
    "is_significant",
)

DIFFERENCE_TABLES = ("group_differences", "layer_clusters", "replication_by_stratum")


def _compared(answers: Answers) -> dict[str, str]:
    """Return the comparisons with a test, and "a minus b" for each; the one that charts show first comes first."""
    tested = set(answers["group_differences"].drop_nulls("pvalue")["comparison"])
    return {one.name: f"{one.label_a} minus {one.label_b}" for one in answers.comparisons if one.name in tested}


def _named(answers: Answers, names: Mapping[str, str]) -> list[Comparison]:
    return [one for one in answers.comparisons if one.name in names]


def difference_map_figure(answers: Answers) -> Figure | Absent:
    """Draw the adjusted difference of every head, or say why not."""
    compared = _compared(answers)
    if not compared:
        return Absent("difference_map", untested(answers))
    menu = statistic_menu(answers)
    first = _named(answers, compared)[0]
    mark = significance_mark(pl.col("level"))
    rows = _rows_shown(answers, len(compared) * len(menu))
    tested = (
        answers["group_differences"]
        .filter(pl.col("comparison").is_in(list(compared)) & pl.col("query_group").is_in(list(rows)))
        .with_columns(mark=mark, pvalue_adjusted=pl.col("pvalue_adjusted").round_sig_figs(2))
    )
    shown = tested.filter(pl.col("comparison") == first.name)
    strongest = shown.drop_nulls("pvalue").sort("pvalue").head(1)
    is_any = shown["mark"].max() or 0
    start = strongest.select("query_group", "statistic").row(0) if is_any and len(strongest) else first_choice(answers)
    chart = heads.difference_map(
        rounded(wide_tests(tested, menu), 3),
        answers.style,
        comparisons=compared,
        limits=_limits(answers, tested, list(compared), list(menu)),
        menus=Menus(rows, menu, start),
        subtitle=[
            f"adjusted for predicted label and covariates; {head_line(answers)}",
            "● significant after adjustment    ◆ significant and replicated",
        ],
    )
    title = f"Where {first.label_a} and {first.label_b} differ"
    if len(compared) > 1:
        title = "Where groups of samples differ"
    guide = _map_guide(answers, first, has_menu=len(compared) > 1, rows=rows)
    return Figure("difference_map", title, guide, specification(chart), DIFFERENCE_TABLES)


def significance_mark(level: float | pl.Expr) -> pl.Expr:
    """Return 0 for nothing, 1 for what is significant by every check, 2 for what was replicated as well."""
    return is_certain(level).cast(pl.Int8) * (1 + pl.col("is_replicated").fill_null(False).cast(pl.Int8))


def wide_tests(tested: pl.DataFrame, statistics: Collection[str]) -> pl.DataFrame:
    """Return one row per comparison, query group and head, with difference, adjusted p and mark of each statistic."""
    wide = tested.pivot(
        "statistic",
        index=["comparison", "query_group", "layer", "head"],
        values=["difference", "pvalue_adjusted", "mark"],
        separator="\x1f",
    )
    ends = {"difference": "", "pvalue_adjusted": "@p", "mark": "@mark"}
    names = {f"{value}\x1f{name}": f"{name}{end}" for value, end in ends.items() for name in statistics}
    return wide.rename(names, strict=False)


def _map_guide(answers: Answers, first: Comparison, *, has_menu: bool, rows: Mapping[str, str]) -> str:
    guide = (
        f"The colour says how much more ({first.label_a} higher) or less a head shows the chosen statistic in "
        f"{first.label_a} than in {first.label_b} samples, after adjusting for the predicted label and the covariates. "
        f"A black dot marks a difference that stays significant after adjustment over its whole family of tests; a "
        f"diamond marks one that was also found on some {wording.plural(answers.cluster_noun)} and confirmed on "
        "others. No mark means that the colour may be chance; an empty cell, that no sample has a value of it. "
        "Significant means by every check: p adjusted over the family, the same on ranks, and max-T, which compares a "
        "test with the largest of all tests where chance alone decides, and so holds however tests go together."
    )
    if has_menu:
        guide += " The menu has every comparison that was configured."
    if len(rows) < len(answers.run.query_groups):
        guide += f" To stay small it shows {', '.join(rows.values()).lower()} only; group_differences has all."
    return guide


def _rows_shown(answers: Answers, tests_per_head: int) -> dict[str, str]:
    """Return the query groups whose tests fit into the map, the one shown first before the others."""
    menu, first = row_menu(answers), first_choice(answers)[0]
    ordered = [first, *(name for name in menu if name != first)]
    each = tests_per_head * len(answers["head_types"])
    fitting = ordered[: max(1, MAX_CELLS // max(each, 1))]
    return {name: menu[name] for name in menu if name in fitting}


def _limits(
    answers: Answers, tested: pl.DataFrame, names: list[str], statistics: list[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the largest |difference| by comparison, query group and statistic; 1 where all are 0."""
    limits = {name: {group: dict.fromkeys(statistics, 1.0) for group in answers.run.query_groups} for name in names}
    reach = tested.group_by("comparison", "query_group", "statistic").agg(pl.col("difference").abs().max().fill_null(0))
    for name, group, statistic, largest in reach.filter(pl.col("difference") > 0).iter_rows():
        limits[name][group][statistic] = float(f"{largest:.4g}")
    return limits


def _points(answers: Answers, tested: pl.DataFrame, num_comparisons: int) -> pl.DataFrame:
    """Return at most ``MAX_POINTS`` tests over all comparisons, the smallest p and an even sample of the rest."""
    allowed = MAX_POINTS // num_comparisons
    num_first = 2 * allowed // 3
    rest = tested[num_first:]
    step = max(1, -(-len(rest) // (allowed - num_first)))
    drawn = pl.concat([tested[:num_first], rest.gather_every(step)])
    labels = {name: wording.statistic_label(name) for name in tested["statistic"].unique()}
    told = [wording.difference_text(*pair) for pair in drawn.select("statistic", "difference").iter_rows()]
    return drawn.with_columns(
        pl.Series("difference_text", told, dtype=pl.String),
        shown=pl.format("layer {}, head {}", "layer", "head"),
        rows=pl.col("query_group").replace(row_menu(answers)),
        statistic_label=pl.col("statistic").replace(labels),
        is_significant=is_significant(),
    )


def volcano_figure(answers: Answers) -> Figure | Absent:
    """Draw effect against evidence, or say why not."""
    compared = _compared(answers)
    if not compared:
        return Absent("volcano", untested(answers))
    first = _named(answers, compared)[0]
    is_found = is_significant()
    is_above = (pl.col("pvalue_adjusted") <= pl.col("level")).fill_null(False)
    frames, thresholds, counts = [], [], []
    for name in compared:
        tested = answers.tests_of(name).drop_nulls(["pvalue", "effect_size_adjusted"]).sort("pvalue")
        drawn = _points(answers, tested, len(compared))
        frames.append(drawn.select(*_VOLCANO_COLUMNS, evidence=-pl.col("pvalue").clip(1e-300).log10()))
        weakest = tested.filter(is_above).select(pl.col("pvalue").max()).item()
        if weakest is not None:
            thresholds.append((name, float(-np.log10(max(weakest, 1e-300)))))
        num_significant = int(tested.select(is_found.sum()).item())
        start = f"{name}: " if len(compared) > 1 else ""
        counts.append(
            f"{start}{num_significant:,} of {len(tested):,} tests significant by every check"
            f"{_drawn(len(drawn), len(tested))}"
        )
    chart = scatter.volcano(
        rounded(pl.concat(frames)),
        pl.DataFrame(thresholds, schema={"comparison": pl.String, "evidence": pl.Float64}, orient="row"),
        answers.style,
        comparisons=compared,
        query_groups=list(row_menu(answers).values()),
        subtitle=" · ".join(counts),
    )
    guide = (
        "Each point is one test (head, statistic, query group). To the right the statistic is higher in "
        f"{first.label_a} samples, to the left in {first.label_b} ones; higher up the evidence is stronger. Points "
        "above the dashed line pass the adjustment, strong ones every check; without a line none passes. "
        "A ring is round the head that was chosen in a map."
    )
    if len(compared) > 1:
        guide += " Of another comparison, to the right is its first group."
    return Figure("volcano", "Effect against evidence", guide, specification(chart), ("group_differences",))


def _drawn(number: int, total: int) -> str:
    """Return which tests a chart draws where it does not draw all."""
    return "" if number == total else f" (drawn: {number:,}, those with the smallest p and an even share of the rest)"


def _tested_on_both_parts(answers: Answers, name: str) -> pl.DataFrame:
    """Return a comparison's tests that have an effect on both parts of the clusters, smallest p first."""
    halves = ["effect_size_discovery", "effect_size_confirmation"]
    return answers.tests_of(name).drop_nulls([*halves, "pvalue"]).sort("pvalue")


def _with_verdicts(points: pl.DataFrame) -> pl.DataFrame:
    """Return what the chart of both parts draws: the two effects, and one of ``scatter.VERDICTS``."""
    certain, again = pl.col("is_significant"), pl.col("is_replicated").fill_null(False)
    verdict = pl.when(certain & again).then(pl.lit(scatter.VERDICTS[0])).when(certain).then(pl.lit(scatter.VERDICTS[1]))
    return points.select(
        "comparison",
        "layer",
        "head",
        "shown",
        "rows",
        "statistic_label",
        discovery="effect_size_discovery",
        confirmation="effect_size_confirmation",
        verdict=verdict.otherwise(pl.lit(scatter.VERDICTS[2])),
    )


def replication_figure(answers: Answers) -> Figure | Absent:
    """Draw each test's difference on both parts of the clusters, or say why not."""
    compared = _compared(answers)
    if not compared:
        return Absent("replication", untested(answers))
    halves = {name: tests for name in compared if len(tests := _tested_on_both_parts(answers, name))}
    if not halves:
        return Absent(
            "replication",
            "Nothing was kept apart to confirm differences: analysis.confirmation_fraction is 0, or there are too few "
            f"{wording.plural(answers.cluster_noun)}.",
        )
    frame = _with_verdicts(pl.concat(_points(answers, tests, len(halves)) for tests in halves.values()))
    reach = frame.select(pl.max_horizontal(pl.col("discovery", "confirmation").abs().max())).item()
    rho = frame.select(pl.corr("discovery", "confirmation", method="spearman").fill_nan(None)).item()
    agreement = "unknown" if rho is None else f"{rho:+.2f}"
    chart = scatter.replication(
        rounded(frame.sort("verdict")),  # what is not significant first, so that it lies below
        answers.style,
        comparisons={name: compared[name] for name in halves},
        reach=reach or 1.0,
        subtitle=f"rank correlation of both parts over these {len(frame):,} tests: {agreement}",
    )
    noun = wording.plural(answers.cluster_noun)
    share = answers.settings.confirmation_fraction
    guide = (
        "Differences are in standard deviations of the samples (SD). "
        f"They are looked for on {100 * (1 - share):g} % of the {noun} and looked at again on the "
        f"{100 * share:g} % kept apart. Points on the dashed line are as large there as where they were found; those "
        "near the horizontal axis were chance, or need more samples. Few samples are kept apart, so that clouds are "
        "wide."
    )
    title = "Do differences hold on samples that they were not found on?"
    return Figure("replication", title, guide, specification(chart), ("group_differences",))
