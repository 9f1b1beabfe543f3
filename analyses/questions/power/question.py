"""The question: what could this many samples show at all."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import TRUST, Part
from analyses.questions.power.answer import power
from analyses.questions.power.sentences import power_sentences
from analyses.questions.power.tables import POWER
from analyses.questions.question import Question


class Power(Question):
    """The smallest difference that each comparison could show."""

    name = "power"
    tables = (POWER,)
    parts = (Part("power", "How small an effect could be seen", TRUST, has_table=True),)

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Work out the smallest visible difference of every statistic."""
        return {"power": power(asked.run, asked.settings)}

    def method(self, answers: Answers) -> list[str]:
        """Return what the smallest visible difference follows from."""
        return [
            "The smallest visible effect follows from the same model with the spread and the correlation within "
            "clusters that the samples show."
        ]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return what each comparison could show, of the statistic that charts show first."""
        first = answers.decision_group, f"mass_{answers.vocabulary}"
        return {"power": power_sentences(answers["power"], first) or ["No comparison is configured."]}

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return the whole table."""
        return {"power": answers["power"].to_dicts()}
