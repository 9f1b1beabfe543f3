"""The question: do the hypotheses hold that were written down beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import ERRORS, Headline, Part
from analyses.questions.families import smallest
from analyses.questions.figure import Absent, Figure
from analyses.questions.hypotheses.answer import CONTRADICTED, DECIDED, SUPPORTED, hypotheses, settled
from analyses.questions.hypotheses.figures import hypothesis_figure
from analyses.questions.hypotheses.sentences import FAMILY, hypothesis_sentences
from analyses.questions.hypotheses.tables import HYPOTHESES
from analyses.questions.method_text import held_fixed_text
from analyses.questions.question import Question
from analyses.wording import count_text, p_text


class Hypotheses(Question):
    """One number per sample for each hypothesis, and a verdict."""

    name = "hypotheses"
    tables = (HYPOTHESES,)
    parts = (Part("hypotheses", "Hypotheses", ERRORS, has_table=True),)

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Test every hypothesis of the config."""
        return {"hypotheses": hypotheses(asked.run, asked.settings, asked.settings.hypotheses)}

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return all hypotheses as one family."""
        table = answers["hypotheses"]
        return {FAMILY: smallest(table["pvalue_claim"])} if len(table) else {}

    def settled(self, answers: Answers) -> Mapping[str, pl.DataFrame]:
        """Return the verdicts at the level of the family."""
        return {"hypotheses": settled(answers["hypotheses"], answers.level(FAMILY))}

    def method(self, answers: Answers) -> list[str]:
        """Return what is tested of a hypothesis, and over what p is adjusted."""
        return [
            "A hypothesis is tested by one number per sample, with CR2 errors clustered by "
            f"{answers.cluster_noun}, adjusted over all hypotheses; on normal scores too, and where groups "
            f"are compared by the variance pooled under the null{held_fixed_text(answers, ' and with {}')}."
        ]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return each verdict."""
        return {"hypotheses": hypothesis_sentences(answers) or ["No hypothesis is configured."]}

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return the effects with their intervals."""
        return [hypothesis_figure(answers)]

    def headlines(self, answers: Answers) -> list[Headline]:
        """Return how many there are of each verdict, and those that are decided."""
        table = answers["hypotheses"]
        if table.is_empty():
            return []
        counts = table["verdict"].value_counts(sort=True)
        listed = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.iter_rows())
        decided = table.filter(pl.col("verdict").is_in(DECIDED)).sort("pvalue_claim")
        named = "; ".join(
            f"“{row['text'] or row['hypothesis']}” is {row['verdict']} ({p_text(row['pvalue_claim'])})"
            for row in decided.to_dicts()
        )
        text = f"Of {count_text(len(table), 'hypothesis')}: {listed}{f'. {named}' if named else ''}."
        # A mixed verdict is one that the chart takes back: no finding to begin a report with.
        found = table.filter(pl.col("verdict").is_in((SUPPORTED, CONTRADICTED)))
        least = (found if len(found) else table)["pvalue_claim"].min()
        return [Headline(text, "hypotheses", pvalue=least, is_finding=len(found) > 0)]  # pyright: ignore[reportArgumentType]

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return the whole table."""
        return {"hypotheses": answers["hypotheses"].to_dicts()}
