"""Every question asked of an open run, in a loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from analyses.cores import single_threaded_products
from analyses.questions import registry
from analyses.questions.answers import Answers, Asked
from analyses.questions.claims import shared_levels
from analyses.questions.comparisons import comparisons_of
from analyses.runs.run import Run
from analyses.runs.units import RunError
from analyses.runs.values import head_means
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.checks import check_statistics
from analyses.settings.visualization import VisualizationSettings

Watch = Callable[[str], None]
"""Called with what is begun: the name of a question, or of what is made of the answers."""


def ignore(step: str) -> None:
    """Watch nothing."""


def answer_questions(
    run: Run,
    settings: AnalysisSettings,
    style: VisualizationSettings,
    watch: Watch = ignore,
    transfer: Run | None = None,
) -> Answers:
    """Answer every question of ``registry.QUESTIONS``; nothing is written.

    Parameters
    ----------
    watch
        Told of each question as it is begun.
    transfer
        Another run, on which what is trained on this one is judged.

    Raises
    ------
    RunError
        When the run holds no sample, or a statistic that is infinite.
    """
    if run.samples.is_empty() or not run.query_groups:
        raise RunError(f"{run.run_dir}: the run measured no sample{_why_none(run)}. There is nothing to analyse.")
    check_statistics(settings, run.statistics, run.query_groups)
    with single_threaded_products():
        return _answered(run, settings, style, watch, transfer)


def _answered(
    run: Run, settings: AnalysisSettings, style: VisualizationSettings, watch: Watch, transfer: Run | None
) -> Answers:
    means = head_means(run)
    _check_finite(run, means)
    asked = Asked(run, settings, style, tuple(comparisons_of(run, settings)), means, transfer=transfer)
    frames: dict[str, pl.DataFrame] = {}
    for question in registry.QUESTIONS:
        watch(question.name)
        answer = question.answer(asked)
        expected = [table for table in question.tables if table.name in answer or not table.is_optional]
        frames |= {table.name: table.declared(answer[table.name]) for table in expected}
    answers = Answers(run, settings, style, asked.comparisons, means, frames, transfer=transfer)
    smallest = {name: p for question in registry.QUESTIONS for name, p in question.families(answers).items()}
    tested = {name: p for name, p in smallest.items() if p == p}
    answers = replace(answers, levels=shared_levels(tested, settings.alpha))
    settled = {name: frame for question in registry.QUESTIONS for name, frame in question.settled(answers).items()}
    return replace(answers, frames={**frames, **settled})


def _why_none(run: Run) -> str:
    rejects = run.tables.get("rejects")
    if rejects is None:
        return ""
    counted = rejects.group_by("reason").agg(pl.len()).sort("len", "reason", descending=[True, False]).collect()
    listed = ", ".join(f"{reason} {count:,}" for reason, count in counted.iter_rows())
    return f"; every row was rejected ({listed})" if listed else ""


def _check_finite(run: Run, means: pl.DataFrame) -> None:
    """Refuse infinite values: nulls mark what is missing, and a mean of infinities says nothing."""
    names = [name for name in run.statistics if not means[name].drop_nulls().is_finite().all()]
    if names:
        raise RunError(
            f"{run.run_dir}: {', '.join(names[:5])} of head_stats holds infinite values. Statistics are finite, or "
            "null where they are not defined; measure the run again."
        )
