"""The page that sets several runs side by side, in the first run's ``analysis`` folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from analyses import charts_runs, wording
from analyses.charts_parts import specification
from analyses.compared_runs import AnalysedRun, Comparison, compare_runs, open_runs, shape_of
from analyses.described_tables import write_table
from analyses.exports import as_json, javascript_bundle, vegalite_version, write_chart
from analyses.figure_parts import Figure, rounded
from analyses.head_types import MIXED
from analyses.key_groups import declared_statistics
from analyses.page import environment, excerpt
from analyses.themes import THEMES
from analyses.visualization_settings import VisualizationSettings
from analyses.wording import count_text, interval_name, p_text, percent_text

TABLES = {
    "compared_runs": "runs",
    "compared_layers": "layers",
    "compared_heads": "heads",
    "compared_pairs": "pairs",
    "compared_changes": "changes",
}
"""File in ``analysis/tables`` to the frame of ``Comparison``."""


def write_comparison(run_dirs: Sequence[Path], *, partial: bool = False) -> Path:
    """Compare analysed runs, write tables, charts and ``compared_runs.html``, and return the page."""
    runs = open_runs(run_dirs, partial=partial)
    compared = compare_runs(runs)
    folder = run_dirs[0] / "analysis"
    for name, attribute in TABLES.items():
        write_table(getattr(compared, attribute), folder / "tables", name)
    look = VisualizationSettings.from_mapping(runs[0].tables.config.get("visualization") or {})
    figures = _figures(runs, compared, look)
    (folder / "visualizations").mkdir(exist_ok=True)
    for figure in figures:
        themed = figure.specification | {"config": THEMES[look.theme]}
        write_chart(themed, figure.title, folder / "visualizations" / figure.name, look.formats)
    path = folder / "compared_runs.html"
    path.write_text(_page(runs, compared, figures, look, folder), encoding="utf-8")
    return path


def _page(
    runs: Sequence[AnalysedRun],
    compared: Comparison,
    figures: Sequence[Figure],
    look: VisualizationSettings,
    folder: Path,
) -> str:
    links = [
        (run.name, quote(os.path.relpath(run.directory / "analysis" / "report.html", folder)), run.tables.is_partial)
        for run in runs
    ]
    return (
        environment()
        .get_template("compared_runs.html.j2")
        .render(
            theme=look.theme,
            links=links,
            rows=_side_by_side(compared.runs),
            sentences=sentences(runs, compared),
            figures=figures,
            excerpts={name: excerpt(getattr(compared, attribute)) for name, attribute in TABLES.items()},
            specifications={figure.name: as_json(figure.specification) for figure in figures},
            themes=as_json(THEMES),
            bundle=javascript_bundle(vegalite_version(figures[0].specification)),
        )
    )


_ROWS = {
    "model_path": "Model",
    "num_samples": "Samples with a known true label",
    "accuracy": "Accuracy",
    "num_layers": "Layers",
    "num_heads": "Heads",
    "num_tests": "Tests, all comparisons",
    "num_significant": "Significant by every check",
    "num_replicated": "Significant and replicated",
    "smallest_pvalue_adjusted": "Smallest adjusted p",
}


def _side_by_side(table: pl.DataFrame) -> list[tuple[str, list[Any]]]:
    """Return one row per fact, in words, with a value per run."""
    rows = []
    for name, label in _ROWS.items():
        values = table[name].to_list()
        if name == "accuracy":
            ends = table.select("accuracy", "accuracy_ci_low", "accuracy_ci_high").rows()
            values = ["{} ({} to {})".format(*map(percent_text, row)) for row in ends]
        rows.append((label, values))
    for name in table.columns:
        if name.startswith("share_"):
            label = f"Heads of type {wording.head_type_label(name.removeprefix('share_'))}"
            rows.append((label, [percent_text(value or 0.0) for value in table[name]]))
    return rows


def sentences(runs: Sequence[AnalysedRun], compared: Comparison) -> list[str]:
    """Say of each other run how answers, heads, types and findings compare with those of the first."""
    alpha = runs[0].settings.alpha
    told = []
    for row in compared.pairs.to_dicts():
        one, two = row["run"], row["other_run"]
        told.append(f"{one} and {two}: {_answers(row, alpha)}")
        if row["is_same_shape"]:
            told.append(f"{one} and {two}: {_heads(row, compared)}")
        if row["note"]:
            told.append(f"{one} and {two}: {row['note']}.")
    return told


def _answers(row: dict[str, Any], alpha: float) -> str:
    if not row["num_samples"]:
        return "they share no sample (no common sample_id); their columns stand side by side and are not tested."
    text = f"{count_text(row['num_samples'], 'sample')} in common"
    if row["share_same_answer"] is not None:
        text += f", of which {percent_text(row['share_same_answer'])} get the same answer"
    if row["accuracy"] is None:
        return f"{text}; no common sample has a known true label in both."
    text += f"; right are {percent_text(row['accuracy'])} and {percent_text(row['accuracy_other'])}"
    if row["ci_low"] is None:
        return f"{text}."
    ends = [f"{100 * row[name]:+.1f}" for name in ("difference", "ci_low", "ci_high")]
    return (
        f"{text}, a paired difference of {ends[0]} points ({interval_name(alpha)} {ends[1]} to {ends[2]}, "
        f"{p_text(row['pvalue'])}, {count_text(row['num_clusters'], 'cluster')})."
    )


def _heads(row: dict[str, Any], compared: Comparison) -> str:
    rhos = compared.heads.filter(pl.col("other_run") == row["other_run"])["rho"].drop_nulls()
    parts = []
    if len(rhos):
        parts.append(f"statistics rank the heads alike with rho {rhos.median():+.2f} (median over {len(rhos):,})")
    if row["share_same_type"] is not None:
        parts.append(f"{percent_text(row['share_same_type'])} of the heads have the same type")
    if row["num_tests"]:
        parts.append(
            f"of {count_text(row['num_tests'], 'test')} in both, {row['num_significant']:,} and "
            f"{row['num_significant_other']:,} are significant, {row['num_agreeing']:,} in both with the same sign"
        )
    if row["num_changed"] is not None:
        changes = compared.changes.filter(pl.col("other_run") == row["other_run"]).height
        parts.append(
            f"{row['num_changed']:,} of {changes:,} statistics of heads changed significantly in the common samples"
        )
    return f"{'; '.join(parts)}." if parts else "no statistic is in both."


def _menus(runs: Sequence[AnalysedRun]) -> tuple[dict[str, str], dict[str, str], tuple[str, str]]:
    """Return the statistics and query groups that all runs have, with names, and those shown first."""
    first = runs[0].tables
    names = [name for name in declared_statistics(first) if all(name in run.tables.statistics for run in runs)]
    groups = [name for name in first.query_groups if all(name in run.tables.query_groups for run in runs)]
    statistics = {name: f"{wording.statistic_label(name)} ({wording.statistic_unit(name)})" for name in names}
    labels = {name: wording.query_group_label(name).capitalize() for name in groups}
    wanted = f"mass_{first.vocabulary}"
    rows = "decision" if "decision" in groups else next(iter(groups), "")
    return statistics, labels, (rows, wanted if wanted in names else next(iter(names), ""))


def _figures(runs: Sequence[AnalysedRun], compared: Comparison, look: VisualizationSettings) -> list[Figure]:
    statistics, groups, start = _menus(runs)
    names = [run.name for run in runs]
    made = [_types(runs, names, look)]
    if statistics and groups:
        made.insert(0, _profiles(compared, names, statistics, groups, start, look))
        rows = {start[0]: groups[start[0]]}
        for slot, other in enumerate(runs[1:], start=1):
            changes = compared.changes.filter((pl.col("other_run") == other.name) & (pl.col("query_group") == start[0]))
            menus = {"statistics": statistics, "query_groups": rows, "start": start, "look": look}
            if shape_of(runs[0]) == shape_of(other):
                made.append(_heads_figure(runs[0], other, slot, menus))
            if len(changes):
                made.append(_changes_figure(runs[0], other, slot, changes, menus))
    return made


def _profiles(
    compared: Comparison,
    names: list[str],
    statistics: dict[str, str],
    groups: dict[str, str],
    start: tuple[str, str],
    look: VisualizationSettings,
) -> Figure:
    known = pl.col("statistic").is_in(list(statistics)) & pl.col("query_group").is_in(list(groups))
    frame = rounded(compared.layers.filter(known).rename({"run": "group"}))
    chart = charts_runs.profiles_by_depth(
        frame, look, runs=names, statistics=statistics, query_groups=groups, start=start
    )
    guide = (
        "Each line is a run: the chosen statistic averaged over the heads of a layer, from the first layer (0) to the "
        "last (1), so that models of different depth can be compared. Bands are intervals over each run's own samples."
    )
    return Figure("compared_layers", "Layers by relative depth", guide, specification(chart), ("compared_layers",))


def _types(runs: Sequence[AnalysedRun], names: list[str], look: VisualizationSettings) -> Figure:
    parts = []
    for run in runs:
        types = run.table("head_types")
        counts = types["head_type"].value_counts().rename({"count": "num_heads"})
        parts.append(counts.with_columns(run=pl.lit(run.name), share=pl.col("num_heads") / len(types)))
    frame = pl.concat(parts)
    types = [*sorted(set(frame["head_type"]) - {MIXED}), MIXED]
    order = {name: slot for slot, name in enumerate(types)}
    labels = {name: wording.head_type_label(name) for name in types}
    frame = frame.with_columns(
        order=pl.col("head_type").replace_strict(order, return_dtype=pl.Int32),
        head_type=pl.col("head_type").replace(labels),
    )
    chart = charts_runs.type_shares(frame, look, runs=names, types=list(labels.values()))
    guide = "The share of each run's heads of each type, by the thresholds of that run's own config."
    return Figure("compared_types", "Head types", guide, specification(chart), ("compared_runs",))


def _heads_figure(first: AnalysedRun, other: AnalysedRun, slot: int, menus: dict[str, Any]) -> Figure:
    keys = ["query_group", "layer", "head"]
    names = list(menus["statistics"])

    def long(run: AnalysedRun, value: str) -> pl.DataFrame:
        here = run.table("head_means").filter(pl.col("query_group") == menus["start"][0])
        return here.unpivot(names, index=keys, variable_name="statistic", value_name=value)

    frame = long(first, "one").join(long(other, "other"), on=[*keys, "statistic"]).drop_nulls()
    chart = charts_runs.heads_side_by_side(rounded(frame), pair=(first.name, other.name), **menus)
    guide = (
        "Each point is a head at the same place in both runs; on the dashed line it does the same in both. Far from it "
        "the checkpoint or the prompt format changed what the head looks at."
    )
    title = f"The same heads in {first.name} and {other.name}"
    return Figure(f"compared_heads_{slot}", title, guide, specification(chart), ("compared_heads",))


def _changes_figure(
    first: AnalysedRun, other: AnalysedRun, slot: int, changes: pl.DataFrame, menus: dict[str, Any]
) -> Figure:
    frame = changes.with_columns(
        limit=pl.col("difference").abs().max().over("statistic"),
        is_significant=(pl.col("pvalue_adjusted") <= first.settings.alpha).fill_null(False),
    ).select("query_group", "statistic", "layer", "head", "difference", "ci_low", "ci_high", "pvalue_adjusted", "limit",
             "is_significant")  # fmt: skip
    number, clusters = changes.select(pl.max("num_samples", "num_clusters")).row(0)
    size = f"n = {count_text(number, 'common sample')} in {count_text(clusters, 'cluster')}"
    chart = charts_runs.change_map(rounded(frame), pair=(first.name, other.name), subtitle=size, **menus)
    guide = (
        "What changed for each head in samples that both runs have; a black dot marks a change that is significant "
        "after adjustment over every head and statistic. Under a reformatted prompt a finding is robust where its head "
        "shows no change, or the same finding in both runs."
    )
    title = f"What changed from {first.name} to {other.name}"
    return Figure(f"compared_changes_{slot}", title, guide, specification(chart), ("compared_changes",))
