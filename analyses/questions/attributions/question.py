"""The question: what pushed the answers, and is it something else in wrong ones."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.attributions.answer import attribution_differences
from analyses.questions.attributions.figures import attributions_figure
from analyses.questions.attributions.sentences import FAMILY, attribution_sentences
from analyses.questions.attributions.story import attribution_headlines
from analyses.questions.attributions.tables import ATTRIBUTION_DIFFERENCES
from analyses.questions.chapters import ERRORS, Headline, Part
from analyses.questions.families import smallest
from analyses.questions.figure import Absent, Figure
from analyses.questions.question import NUM_LISTED, Question


class Attributions(Question):
    """What each set of keys carries through each head towards the answer, right against wrong predictions."""

    name = "attributions"
    tables = (ATTRIBUTION_DIFFERENCES,)
    parts = (Part("attributions", "What pushed the answers", ERRORS),)

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Compare right with wrong predictions; no row where nothing was attributed."""
        return {"attribution_differences": attribution_differences(asked.run, asked.settings)}

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return the one family of all attributions; none where nothing could be compared."""
        table = answers["attribution_differences"]
        return {} if table["pvalue_claim"].null_count() == len(table) else {FAMILY: smallest(table["pvalue_claim"])}

    def method(self, answers: Answers) -> list[str]:
        """Return what an attribution is, and what it leaves out."""
        if answers["attribution_differences"].is_empty():
            return []
        return [
            "An attribution is the part of the margin that a set of keys adds directly through a head: the sum over "
            "them of the row's weight times what the key's value writes into the residual stream, along the direction "
            "that the frozen final norm turns into the margin. Over all keys it is the head's direct logit "
            "attribution. It leaves out what later layers make of the head's output. Right and wrong predictions are "
            "compared like the differences; all attributions are one family."
        ]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return the verdict and the strongest findings."""
        return {"attributions": attribution_sentences(answers)}

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return the strongest differences."""
        return [attributions_figure(answers)]

    def headlines(self, answers: Answers) -> list[Headline]:
        """Return one line, where something was tested."""
        return attribution_headlines(answers)

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return the strongest differences."""
        tested = answers["attribution_differences"].drop_nulls("pvalue_claim").sort("pvalue_claim", "pvalue")
        return {"attributions": {"strongest": tested.head(NUM_LISTED).drop("method", "note").to_dicts()}}
