"""The page that sets several runs side by side, in the first run's ``analysis`` folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import polars as pl

from analyses import wording
from analyses.charts import heads, layers, scatter
from analyses.charts.export import ChartFiles, Exported, export_charts
from analyses.charts.files import as_json
from analyses.charts.parts import Menus, specification
from analyses.charts.themes import THEMES, theme_of_files
from analyses.comparing.analysed_runs import AnalysedRun, CountedNouns, counted_nouns, open_runs, shape_of, shared_nouns
from analyses.comparing.answer import RunComparison, compare_runs
from analyses.comparing.common_samples import EQUIVALENT, is_changed
from analyses.comparing.sentences import sentences
from analyses.comparing.tables import (
    COMPARED_CHANGES,
    COMPARED_HEADS,
    COMPARED_LAYERS,
    COMPARED_PAIRS,
    COMPARED_RUNS,
)
from analyses.comparing.type_rows import type_rows, why_unequal
from analyses.questions.claims import Sentence
from analyses.questions.figure import Figure, rounded
from analyses.questions.heads.head_types import MIXED
from analyses.reporting.findings import claims
from analyses.reporting.json_results import write_json
from analyses.reporting.page import environment, excerpt
from analyses.reporting.tables import write_table
from analyses.runs.key_groups import declared_statistics
from analyses.settings.visualization import VisualizationSettings
from analyses.wording import count_text, p_text, percent_text
from engine.schema import layout

TABLES = {
    COMPARED_RUNS: "runs",
    COMPARED_LAYERS: "layers",
    COMPARED_HEADS: "heads",
    COMPARED_PAIRS: "pairs",
    COMPARED_CHANGES: "changes",
}
"""Table in ``analysis/tables`` to the frame of ``RunComparison``."""


def write_comparison(run_dirs: Sequence[Path], *, partial: bool = False) -> Path:
    """Compare analysed runs, write tables, charts and ``compared_runs.html``, and return the page.

    Things have the names that all runs give them (``analysis.nouns``), and their default names where runs disagree.
    """
    runs = open_runs(run_dirs, partial=partial)
    with wording.named_by(shared_nouns(runs)):
        return _written(runs, run_dirs[0] / layout.ANALYSIS)


def _written(runs: Sequence[AnalysedRun], folder: Path) -> Path:
    compared, nouns = compare_runs(runs), counted_nouns(runs)
    for table, attribute in TABLES.items():
        write_table(getattr(compared, attribute), folder / "tables", table)
    style = VisualizationSettings.from_mapping(runs[0].opened.config.get("visualization") or {})
    figures = _figures(runs, compared, style, nouns)
    (folder / "visualizations").mkdir(exist_ok=True)
    theme, drawings = theme_of_files(style.theme), folder / "visualizations"
    exported = export_charts(
        [
            ChartFiles(figure.specification | {"config": theme}, figure.title, drawings / figure.name, style.formats)
            for figure in figures
        ]
    )
    said = sentences(compared, runs[0].settings.alpha, nouns)
    content = {"findings": [str(line) for line in said], "claims": claims({"compared_runs": said})}
    write_json(folder / "compared_runs.json", content)
    path = folder / "compared_runs.html"
    path.write_text(_page(runs, compared, said, figures, style, folder, exported), encoding="utf-8")
    return path


def _page(
    runs: Sequence[AnalysedRun],
    compared: RunComparison,
    said: Sequence[Sentence],
    figures: Sequence[Figure],
    style: VisualizationSettings,
    folder: Path,
    exported: Exported,
) -> str:
    links = [
        (
            run.name,
            quote(os.path.relpath(run.directory / layout.ANALYSIS / "report.html", folder)),
            run.opened.is_partial,
        )
        for run in runs
    ]
    return (
        environment()
        .get_template("compared_runs.html.j2")
        .render(
            theme=style.theme,
            links=links,
            rows=_side_by_side(compared.runs, [not why_unequal(runs[0], run) for run in runs]),
            sentences=[*said, *unequal_types(runs)],
            figures=figures,
            excerpts={table.name: excerpt(getattr(compared, attribute)) for table, attribute in TABLES.items()},
            specifications={figure.name: as_json(figure.specification) for figure in figures},
            themes=as_json(THEMES),
            bundle=exported.bundle,
            undrawn=exported.problem,
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
    "type_rows": "Head types come from rows of",
}


def unequal_types(runs: Sequence[AnalysedRun]) -> list[str]:
    """Return why types of some runs do not stand beside those of the first, a sentence per run."""
    return [f"{reason}." for run in runs[1:] if (reason := why_unequal(runs[0], run))]


def _side_by_side(table: pl.DataFrame, has_equal_types: Sequence[bool]) -> list[tuple[str, list[object]]]:
    """Return one row per fact, in words, with a value per run; no types beside unequal ones."""
    rows = []
    for name, label in _ROWS.items():
        values = table[name].to_list()
        if name == "accuracy":
            ends = table.select("accuracy", "accuracy_ci_low", "accuracy_ci_high").rows()
            values = ["{} ({} to {})".format(*map(percent_text, row)) for row in ends]
        if name == "smallest_pvalue_adjusted":
            smallest = table[name].cast(pl.Float64).to_list()
            values = [p_text(value).removeprefix("p ").removeprefix("= ") for value in smallest]
        rows.append((label, values))
    for name in table.columns:
        if name.startswith("share_"):
            label = f"Heads of type {wording.head_type_label(name.removeprefix('share_'))}"
            values = [
                percent_text(value or 0.0) if equal else None
                for value, equal in zip(table[name], has_equal_types, strict=True)
            ]
            rows.append((label, values))
    return rows


def _menus(runs: Sequence[AnalysedRun]) -> Menus:
    """Return menus of the statistics and query groups that all runs have."""
    first = runs[0].opened
    names = [name for name in declared_statistics(first) if all(name in run.opened.statistics for run in runs)]
    groups = [name for name in first.query_groups if all(name in run.opened.query_groups for run in runs)]
    statistics = {name: f"{wording.statistic_label(name)} ({wording.statistic_unit(name)})" for name in names}
    labels = {name: wording.query_group_label(name).capitalize() for name in groups}
    wanted = f"mass_{first.vocabulary}"
    rows = "decision" if "decision" in groups else next(iter(groups), "")
    return Menus(labels, statistics, (rows, wanted if wanted in names else next(iter(names), "")))


def _figures(
    runs: Sequence[AnalysedRun], compared: RunComparison, style: VisualizationSettings, nouns: CountedNouns
) -> list[Figure]:
    menus = _menus(runs)
    names = [run.name for run in runs]
    made = [_types(runs, names, style)]
    if menus.statistics and menus.query_groups:
        made.insert(0, _profiles(compared, names, menus, style))
        rows = menus.start[0]
        one_group = replace(menus, query_groups={rows: menus.query_groups[rows]})
        for slot, other in enumerate(runs[1:], start=1):
            changes = compared.changes.filter((pl.col("other_run") == other.name) & (pl.col("query_group") == rows))
            if shape_of(runs[0]) == shape_of(other):
                made.append(_heads_figure(runs[0], other, slot, one_group, style))
            if len(changes):
                pair = compared.pairs.filter(pl.col("other_run") == other.name)
                level = pair["level_changes"].item()
                size = _size_of(changes, nouns)
                made.append(_changes_figure((runs[0].name, other.name), slot, changes, level, one_group, style, size))
    return made


def _profiles(compared: RunComparison, names: list[str], menus: Menus, style: VisualizationSettings) -> Figure:
    known = pl.col("statistic").is_in(list(menus.statistics)) & pl.col("query_group").is_in(list(menus.query_groups))
    frame = rounded(compared.layers.filter(known).rename({"run": "group"}))
    chart = layers.profiles_by_depth(frame, style, runs=names, menus=menus)
    guide = (
        "Each line is a run: the chosen statistic averaged over the heads of a layer, from the first layer (0) to the "
        "last (1), so that models of different depth can be compared. Bands are intervals over each run's own samples."
    )
    return Figure("compared_layers", "Layers by relative depth", guide, specification(chart), ("compared_layers",))


def _types(runs: Sequence[AnalysedRun], names: list[str], style: VisualizationSettings) -> Figure:
    parts = []
    equal = [run for run in runs if not why_unequal(runs[0], run)]
    for run in equal:
        types = run.table("head_types")
        counts = types.group_by("head_type", maintain_order=True).len("num_heads")
        parts.append(counts.with_columns(run=pl.lit(run.name), share=pl.col("num_heads") / len(types)))
    frame = pl.concat(parts)
    types = [*sorted(set(frame["head_type"]) - {MIXED}), MIXED]
    order = {name: slot for slot, name in enumerate(types)}
    labels = {name: wording.head_type_label(name) for name in types}
    frame = frame.with_columns(
        order=pl.col("head_type").replace_strict(order, return_dtype=pl.Int32),
        head_type=pl.col("head_type").replace(labels),
    )
    shown = [run.name for run in equal]
    chart = heads.type_shares(frame, style, runs=shown, types=list(labels.values()))
    guide = f"The share of each run's heads of each type, from rows of {type_rows(runs[0])}, by the same thresholds."
    if len(equal) < len(runs):
        left = ", ".join(name for name in names if name not in shown)
        guide += f" Not beside them: {left}, whose types come from other rows or thresholds."
    return Figure("compared_types", "Head types", guide, specification(chart), ("compared_runs",))


def _heads_figure(
    first: AnalysedRun, other: AnalysedRun, slot: int, menus: Menus, style: VisualizationSettings
) -> Figure:
    keys = ["query_group", "layer", "head"]
    names = list(menus.statistics)

    def long(run: AnalysedRun, value: str) -> pl.DataFrame:
        here = run.table("head_means").filter(pl.col("query_group") == menus.start[0])
        return here.unpivot(names, index=keys, variable_name="statistic", value_name=value)

    frame = long(first, "one").join(long(other, "other"), on=[*keys, "statistic"]).drop_nulls()
    chart = scatter.heads_side_by_side(rounded(frame), style, pair=(first.name, other.name), menus=menus)
    is_common = any(name in other.opened.rows_of for name in first.opened.samples["sample_id"])
    cause = (
        "Far from it the head looks elsewhere in the other run; which changes hold in common samples is tested below."
        if is_common
        else "The runs share no sample, so what lies far from it may be due to the samples as well as to the model."
    )
    guide = f"Each point is a head at the same place in both runs; on the dashed line it does the same in both. {cause}"
    title = f"The same heads in {first.name} and {other.name}"
    return Figure(f"compared_heads_{slot}", title, guide, specification(chart), ("compared_heads",))


def _size_of(changes: pl.DataFrame, nouns: CountedNouns) -> str:
    """Return "n = 40 common samples in 15 companies"."""
    number, clusters = changes.select(pl.max("num_samples", "num_clusters")).row(0)
    return f"n = {count_text(number, f'common {nouns.sample}')} in {count_text(clusters, nouns.cluster)}"


def _changes_figure(
    names: tuple[str, str],
    slot: int,
    changes: pl.DataFrame,
    level: float,
    menus: Menus,
    style: VisualizationSettings,
    size: str,
) -> Figure:
    frame = changes.with_columns(
        limit=pl.col("difference").abs().max().over("statistic"),
        is_significant=is_changed(level),
    ).select(
        "query_group",
        "statistic",
        "layer",
        "head",
        "difference",
        "ci_low",
        "ci_high",
        "pvalue_adjusted",
        "limit",
        "is_significant",
    )
    chart = heads.change_map(rounded(frame), style, pair=names, menus=menus, subtitle=size)
    guide = (
        "What changed for each head in samples that both runs have; a black dot marks a change that is significant "
        "after adjustment over every head and statistic, on ranks too. No dot does not mean no change: "
        f"compared_changes says which are unchanged, to within {EQUIVALENT:g} standard deviations between samples. A "
        "finding is robust where it is found in both runs, with the same sign."
    )
    title = f"What changed from {names[0]} to {names[1]}"
    return Figure(f"compared_changes_{slot}", title, guide, specification(chart), ("compared_changes",))
