"""An analysis, written: everything into a temporary folder beside ``analysis/``, moved into place when it is complete.

A failed analysis leaves an earlier one, and ``_SUCCESS``, as they are.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

from analyses.charts.export import ChartFiles, export_charts
from analyses.charts.themes import theme_of_files
from analyses.questions import registry
from analyses.questions.answers import Answers
from analyses.questions.families import is_significant
from analyses.reporting.analysis import Watch, answer_questions, ignore
from analyses.reporting.content import ReportContent, report_content
from analyses.reporting.json_results import attention_results, comparison_results, write_json
from analyses.reporting.page import render_page
from analyses.reporting.tables import write_table
from analyses.reporting.text import partial_line, text_report
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.checks import check_columns
from analyses.settings.visualization import VisualizationSettings
from analyses.wording import named_by
from engine.schema import layout

_EARLIER, _BUILDING = ".analysis-earlier-", ".analysis-"
"""What temporary folders begin with; host and number of the process follow."""
_ABANDONED_SECONDS = 24 * 3600.0
"""A temporary folder of this age is nobody's, though another process may have its number by now."""


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
        The report in short: the answer in one sentence, then a line per comparison and cause, strongest first.
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


STEPS = ("open the run", *(question.name for question in registry.QUESTIONS), "sentences and charts", "page")
"""What an analysis does, in order: what ``analyze`` tells whoever watches."""


def analyze(
    run_dir: Path, *, partial: bool = False, watch: Watch = ignore, transfer: Path | None = None
) -> AnalysisResult:
    """Analyse a run and write its ``analysis`` folder.

    Parameters
    ----------
    run_dir
        A run directory.
    partial
        Whether a run without ``_SUCCESS``, or with incomplete shards, is acceptable.
    watch
        Told of each of ``STEPS`` as it is begun.
    transfer
        Another run directory, on which probes trained on this run are judged.

    Raises
    ------
    RunError
        When the directory cannot be analysed.
    SettingsError
        When ``run.yaml`` holds an impossible setting. Nothing was computed or drawn yet.
    """
    started = time.perf_counter()
    watch(STEPS[0])
    run = open_tables(Path(run_dir), partial=partial)
    sections = run.config.get("analysis") or {}, run.config.get("visualization") or {}
    settings, style = AnalysisSettings.from_mapping(sections[0]), VisualizationSettings.from_mapping(sections[1])
    check_columns(settings, run.samples.columns)
    other = None if transfer is None else open_tables(Path(transfer), partial=partial)
    with named_by(settings.nouns):
        answers = answer_questions(run, settings, style, watch, other)
    target = run.run_dir / layout.ANALYSIS
    building = run.run_dir / f"{_BUILDING}{socket.gethostname()}-{os.getpid()}"
    _sweep(run.run_dir, target)
    try:
        with named_by(settings.nouns):
            content = _write(building, answers, watch)
        _replace(target, building)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    tests = answers["group_differences"]
    certain = tests.filter(is_significant())
    return AnalysisResult(
        directory=target,
        report=target / "report.html",
        summary=target / "analysis_summary_report.txt",
        files=tuple(sorted(path for path in target.rglob("*") if path.is_file())),
        num_tests=tests["pvalue"].count(),
        num_significant=len(certain),
        num_replicated=int(certain["is_replicated"].fill_null(False).sum()),
        sentences=tuple(content.sentences["difference_map"]),
        headlines=tuple(content.story.told),
        facts=tuple(content.facts),
        seconds=time.perf_counter() - started,
        partial=partial_line(run) or "",
    )


def _sweep(run_dir: Path, target: Path) -> None:
    """Remove what analyses left that were killed; an earlier analysis that one of them moved aside comes back."""
    for folder in run_dir.glob(".analysis-*"):
        host, _, number = folder.name.removeprefix(_EARLIER).removeprefix(_BUILDING).rpartition("-")
        if not number.isdigit() or _is_at_work(host, int(number), folder):
            continue
        if folder.name.startswith(_EARLIER) and not target.exists():
            folder.rename(target)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _is_at_work(host: str, number: int, folder: Path) -> bool:
    """Whether the process of a temporary folder may still write it; of other hosts only its age is known."""
    if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
        return False
    if host not in ("", socket.gethostname()):
        return True
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return number != os.getpid()


def _replace(target: Path, building: Path) -> None:
    """Move the finished folder into place; the earlier one is kept until the new one stands."""
    earlier = target.with_name(f"{_EARLIER}{socket.gethostname()}-{os.getpid()}")
    if target.exists():
        target.rename(earlier)
    try:
        building.rename(target)
    except OSError:
        if earlier.exists():
            earlier.rename(target)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _write(folder: Path, answers: Answers, watch: Watch) -> ReportContent:
    (folder / "tables").mkdir(parents=True)
    (folder / "visualizations").mkdir()
    for question in registry.QUESTIONS:
        for table in question.tables:
            if (frame := answers.get(table.name)) is not None:
                write_table(frame, folder / "tables", table, answers)
    watch(STEPS[-2])
    content = report_content(answers)
    theme, formats = theme_of_files(answers.style.theme), answers.style.formats
    exported = export_charts(
        [
            ChartFiles(
                figure.specification | {"config": theme}, figure.title, folder / "visualizations" / figure.name, formats
            )
            for figure in content.figures
        ]
    )
    watch(STEPS[-1])
    if exported.problem:
        content = replace(content, facts=[*content.facts, ("Charts", exported.problem)])
    write_json(folder / "attention_analysis_results.json", attention_results(answers, content.facts))
    write_json(
        folder / "comparison_analysis_results.json", comparison_results(answers, content.sentences, content.story)
    )
    (folder / "analysis_summary_report.txt").write_text(text_report(answers, content), encoding="utf-8")
    (folder / "report.html").write_text(render_page(answers, content, exported.bundle), encoding="utf-8")
    return content
