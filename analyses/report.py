"""Tests, charts and a report from the tables of a run: ``python -m analyses.report RUN_DIR [RUN_DIR ...]``.

Everything is written into a temporary folder beside ``analysis/`` and moved into place when it is complete, so a
failed analysis leaves an earlier one, and ``_SUCCESS``, as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analyses.analysis_tables import AnalysisTables, compute_tables
from analyses.causal_findings import CAUSAL
from analyses.compared_page import write_comparison
from analyses.described_tables import write_table
from analyses.exports import write_chart
from analyses.findings import ANSWERS
from analyses.group_differences import is_certain
from analyses.methods import table_methods
from analyses.page import render_page
from analyses.report_content import ReportContent, report_content
from analyses.result_files import attention_results, comparison_results, partial_line, text_report
from analyses.run_tables import open_tables
from analyses.settings import AnalysisSettings, SettingsError, check_settings
from analyses.summaries import Overview, overview
from analyses.terminal import print_summary
from analyses.themes import THEMES
from analyses.units import RunError
from analyses.visualization_settings import VisualizationSettings

EXIT_FAILED, EXIT_SETTINGS, EXIT_INPUT = 1, 2, 3


@dataclass(frozen=True)
class AnalysisResult:
    """Where an analysis lies, and what it says in short.

    Attributes
    ----------
    directory, report, summary
        The ``analysis`` folder, ``report.html`` and ``analysis_summary_report.txt`` in it.
    files
        Every file written.
    num_tests, num_significant, num_replicated
        Over all comparisons.
    sentences
        The findings on group differences, the verdict first.
    headlines
        The report in short.
    facts
        What was run, as (what, value).
    seconds
        How long it took.
    partial
        What is missing from the run, in a sentence; empty for a whole run.
    """

    directory: Path
    report: Path
    summary: Path
    files: tuple[Path, ...]
    num_tests: int
    num_significant: int
    num_replicated: int
    sentences: tuple[str, ...]
    headlines: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    seconds: float
    partial: str


def analyze(run_dir: Path, *, partial: bool = False) -> AnalysisResult:
    """Analyse a run and write its ``analysis`` folder.

    Parameters
    ----------
    run_dir
        A run directory.
    partial
        Whether a run without ``_SUCCESS``, or with incomplete shards, is acceptable.

    Raises
    ------
    RunError
        When the directory cannot be analysed.
    SettingsError
        When ``run.yaml`` holds an impossible setting. Nothing was computed or drawn yet.
    """
    started = time.perf_counter()
    run = open_tables(Path(run_dir), partial=partial)
    sections = run.config.get("analysis") or {}, run.config.get("visualization") or {}
    check_settings(*sections, run.samples.columns)
    settings, look = AnalysisSettings.from_mapping(sections[0]), VisualizationSettings.from_mapping(sections[1])
    tables = compute_tables(run, settings, look)
    facts = overview(run, settings)
    target = run.run_dir / "analysis"
    building = run.run_dir / f".analysis-{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    try:
        content = _write(building, tables, facts)
        _replace(target, building)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    found = tables.differences.filter(is_certain(settings.alpha))
    return AnalysisResult(
        directory=target,
        report=target / "report.html",
        summary=target / "analysis_summary_report.txt",
        files=tuple(sorted(path for path in target.rglob("*") if path.is_file())),
        num_tests=tables.differences["pvalue"].count(),
        num_significant=len(found),
        num_replicated=int(found["is_replicated"].fill_null(False).sum()),
        sentences=tuple(content.sentences["difference_map"]),
        headlines=tuple(content.headlines),
        facts=tuple(facts.facts),
        seconds=time.perf_counter() - started,
        partial=partial_line(run) or "",
    )


def _replace(target: Path, building: Path) -> None:
    """Move the finished folder into place; the earlier one is kept until the new one stands."""
    earlier = target.with_name(f".analysis-earlier-{os.getpid()}")
    if target.exists():
        target.rename(earlier)
    try:
        building.rename(target)
    except OSError:
        if earlier.exists():
            earlier.rename(target)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _write(folder: Path, tables: AnalysisTables, facts: Overview) -> ReportContent:
    (folder / "tables").mkdir(parents=True)
    (folder / "visualizations").mkdir()
    frames = _frames(tables, facts)
    methods = table_methods(tables)
    for name, frame in frames.items():
        write_table(frame, folder / "tables", name, methods.get(name))
    content = report_content(tables, facts)
    for figure in content.figures:
        specification = figure.specification | {"config": THEMES[tables.look.theme]}
        write_chart(specification, figure.title, folder / "visualizations" / figure.name, tables.look.formats)
    _write_json(folder / "attention_analysis_results.json", attention_results(tables, facts))
    _write_json(folder / "comparison_analysis_results.json", comparison_results(tables, content.sentences))
    text = text_report(tables, facts, content)
    (folder / "analysis_summary_report.txt").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(render_page(tables, facts, content, frames), encoding="utf-8")
    return content


def _frames(tables: AnalysisTables, facts: Overview) -> dict[str, pl.DataFrame]:
    frames = {
        "group_differences": tables.differences,
        "layer_clusters": tables.layer_clusters,
        "replication_by_stratum": tables.replication_by_stratum,
        "head_types": tables.head_types,
        "head_distributions": tables.head_distributions,
        "head_lifts": tables.head_lifts,
        "head_top_tokens": tables.head_top_tokens,
        "shown_samples": tables.shown_samples.table(),
        "head_means": tables.head_means,
        "layer_profiles": tables.layer_profiles,
        "key_group_attention": tables.key_group_attention,
        **{name: getattr(tables, name) for name in (*ANSWERS, *CAUSAL)},
        "accuracy": facts.accuracy,
        "confusion": facts.confusion,
        "reject_counts": facts.rejects,
        "decision_tokens": facts.decision_tokens,
    }
    if tables.decision_top_tokens is not None:
        frames["decision_top_tokens"] = tables.decision_top_tokens
    return frames


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False), encoding="utf-8")


def _distinct(run_dirs: Sequence[Path]) -> list[Path]:
    """Return each run once, in order; a run is not compared with itself."""
    found: dict[Path, Path] = {}
    for path in run_dirs:
        if path.resolve() in found:
            print(f"{path}: given twice; a run is analysed once and not compared with itself.", file=sys.stderr)
        found.setdefault(path.resolve(), path)
    return list(found.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m analyses.report", description="Tests, charts and a report.")
    parser.add_argument("run_dir", nargs="+", type=Path, help="run directory; several are compared as well")
    parser.add_argument("--partial", action="store_true", help="analyse what is committed of an unfinished run")
    options = parser.parse_args(arguments)
    run_dirs = _distinct(options.run_dir)
    try:
        results = [analyze(path, partial=options.partial) for path in run_dirs]
        for result in results:
            if result.partial:
                print(f"{result.directory.parent}: {result.partial}", file=sys.stderr)
            print_summary(result.facts, result.headlines, result.report)
            print(f"{result.report}  ({result.seconds:.1f} s)")
        if len(results) > 1:
            print(write_comparison(run_dirs, partial=options.partial))
    except (RunError, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_SETTINGS if isinstance(error, SettingsError) else EXIT_INPUT
    except Exception as error:
        print(f"error: the analysis failed, nothing was replaced: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
