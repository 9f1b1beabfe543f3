"""The question: do wrong answers read what stands before them otherwise, and does something else receive."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import ERRORS, Headline, Part
from analyses.questions.families import smallest
from analyses.questions.figure import Absent, Figure
from analyses.questions.question import NUM_LISTED, Question
from analyses.questions.reading.answer import reading_differences
from analyses.questions.reading.figures import reading_figures
from analyses.questions.reading.sentences import FAMILY, reading_headlines, reading_sentences
from analyses.questions.reading.tables import READING_DIFFERENCES
from analyses.questions.reading.values import has_reading


class Reading(Question):
    """How the answer's rows read each key group, and what keys and sentences receive, right against wrong."""

    name = "reading"
    tables = (READING_DIFFERENCES,)
    parts = (Part("reading", "How answers read", ERRORS),)

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Compare right with wrong predictions; no table where nothing of it was measured."""
        if not has_reading(asked.run):
            return {}
        return {"reading_differences": reading_differences(asked.run, asked.settings)}

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return the one family of all measures; none where nothing could be compared."""
        table = answers.get("reading_differences")
        if table is None or table["pvalue_claim"].null_count() == len(table):
            return {}
        return {FAMILY: smallest(table["pvalue_claim"])}

    def method(self, answers: Answers) -> list[str]:
        """Return what is compared, and what it leaves out."""
        table = answers.get("reading_differences")
        if table is None or table.is_empty():
            return []
        return [
            "Drift is the slope over the answer's rows of the position on which the weight on a key group is centred; "
            "concentration is the sum of squared shares of that weight. A sink score is the mean weight on the first "
            "token, receiver kurtosis how unevenly sentences receive from those at least 4 further on. Right and wrong "
            "predictions are compared like the differences; all measures are one family. Centroids are not compared, "
            "since texts differ in length."
        ]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return the verdict and the strongest findings."""
        return {"reading": reading_sentences(answers)}

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return the strongest differences."""
        return reading_figures(answers)

    def headlines(self, answers: Answers) -> list[Headline]:
        """Return one line, where something was tested."""
        return reading_headlines(answers)

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return the strongest differences, where something was measured."""
        table = answers.get("reading_differences")
        if table is None:
            return {}
        tested = table.drop_nulls("pvalue_claim").sort("pvalue_claim", "pvalue")
        return {"reading": {"strongest": tested.head(NUM_LISTED).drop("method", "note").to_dicts()}}
