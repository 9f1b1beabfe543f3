"""The chapters of a report with their parts, and its charts in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyses.charts.parts import unchecked_parts
from analyses.questions import registry
from analyses.questions.answers import Answers
from analyses.questions.chapters import CHAPTERS, SAMPLES, Chapter, Part
from analyses.questions.figure import Absent, Figure

ATLAS, EXPLORER = "head_map", "explorer"
"""Parts of the page beside plain charts: the chart with the head panel, and the sample explorer."""

_EXPLORER = Part(EXPLORER, "Sample explorer", SAMPLES)


def chapters() -> list[tuple[Chapter, list[Part]]]:
    """Return every chapter with its parts: those of the report, then those that only a question names."""
    parts = [part for question in registry.QUESTIONS for part in question.parts] + [_EXPLORER]
    named = dict.fromkeys([*CHAPTERS, *(part.chapter for part in parts)])
    ordered = sorted(parts, key=lambda part: not part.leads)
    return [(chapter, [part for part in ordered if part.chapter == chapter]) for chapter in named]


def parts() -> dict[str, Part]:
    """Return every part by its name, in the order of the report."""
    return {part.name: part for _, listed in chapters() for part in listed}


def make_figures(answers: Answers) -> tuple[list[Figure], dict[str, str]]:
    """Return the charts in the order of the report, and for each that is absent its name and the reason."""
    with unchecked_parts():
        made = [figure for question in registry.QUESTIONS for figure in question.figures(answers)]
    order = {name: slot for slot, name in enumerate(parts())}
    made.sort(key=lambda figure: order[figure.name])
    figures = [figure for figure in made if isinstance(figure, Figure)]
    return figures, {absent.name: absent.reason for absent in made if isinstance(absent, Absent)}


def absent_parts(listed: Sequence[Part], absent: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return heading and reason of each part of a chapter that it lacks."""
    return [(part.title, absent[part.name]) for part in listed if part.name in absent]
