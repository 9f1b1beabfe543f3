"""What a question is: its answer, columns, method, sentences and figures, declared in one folder.

A new question is a folder with a class as below, and a row in ``registry.QUESTIONS``. Everything else follows: its
tables are written with their metadata, its method stands in the report, its parts in their chapter, its sentences in
the text and in the JSON. A question's folder imports no other question's; what several need is in ``Asked`` and beside
this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import polars as pl

from analyses.questions.answer_table import AnswerTable
from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import Headline, Part, Tile
from analyses.questions.figure import Absent, Figure

NUM_LISTED = 50
"""Tests that the JSON lists of one table, the strongest first; the table holds all."""


class Question(Protocol):
    """One question asked of a run.

    Attributes
    ----------
    name
        Its name.
    tables
        The tables that answer it.
    parts
        Its sections of the report, in order.
    """

    name: str
    tables: tuple[AnswerTable, ...] = ()
    parts: tuple[Part, ...] = ()

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Return each of ``tables`` by its name; those that are optional may be absent."""
        ...

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return the further families of tests, each with the smallest p at which any of its tests could be claimed.

        That is after adjustment within the family, the largest of all checks that a claim needs; NaN where nothing was
        tested. The families of all questions share one alpha (``questions.claims``).
        """
        return {}

    def settled(self, answers: Answers) -> Mapping[str, pl.DataFrame]:
        """Return those of its tables that depend on ``answers.levels``."""
        return {}

    def method(self, answers: Answers) -> list[str]:
        """Return how it was answered and what that assumes: paragraphs of the report's Methods."""
        return []

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return what came out, in the weakest honest wording, by the part that it belongs to."""
        return {}

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return its charts, and for each that cannot be drawn why."""
        return []

    def tiles(self, answers: Answers) -> list[Tile]:
        """Return the figures that stand for it at the top of the report; most questions have none."""
        return []

    def headlines(self, answers: Answers) -> list[Headline]:
        """Return its lines of the story: one per comparison, per cause, or per thing that was asked."""
        return []

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return what ``comparison_analysis_results.json`` holds of it beside its sentences, JSON-ready."""
        return {}
