"""The question: what goes with confident and uncertain answers."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import ERRORS, Part
from analyses.questions.correlations.answer import CHECKS, correlations
from analyses.questions.correlations.figures import correlations_figure
from analyses.questions.correlations.sentences import correlation_family, correlation_sentences, is_found
from analyses.questions.correlations.tables import CORRELATIONS
from analyses.questions.families import claim_pvalue, smallest
from analyses.questions.figure import Absent, Figure
from analyses.questions.method_text import held_fixed_text, held_names
from analyses.questions.question import NUM_LISTED, Question


class Correlations(Question):
    """Rank correlations of every head's statistics with certainty, probability, magnitude, year or any number."""

    name = "correlations"
    tables = (CORRELATIONS,)
    parts = (Part("correlations", "Confident and uncertain answers", ERRORS, has_table=True),)

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Correlate every head with each target."""
        return {"correlations": correlations(asked.run, asked.settings, asked.settings.correlations)}

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return the family of each target."""
        tested = answers["correlations"].drop_nulls("family")
        return {
            correlation_family(str(target), str(family)): smallest(rows.select(claim_pvalue(CHECKS, 1)).to_series())
            for (target, family), rows in tested.group_by("target", "family", maintain_order=True)
        }

    def method(self, answers: Answers) -> list[str]:
        """Return the coefficient, its error and its families."""
        return [
            f"Correlations are Spearman's, with CR2 errors clustered by {answers.cluster_noun}, adjusted like the "
            "differences within each target; a finding needs the same with the covariates held fixed"
            f"{held_fixed_text(answers, ', with {} too')}, and by the pooled variance."
        ]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return per target how many heads go with it."""
        table = answers["correlations"]
        held = {target: held_names(answers, target) for target in table["target"].unique()}
        lines = correlation_sentences(table, answers.settings.alpha, answers.levels, held)
        return {"correlations": lines or ["Nothing was correlated: analysis.correlations is empty."]}

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return the strongest of each target."""
        return [correlations_figure(answers)]

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return counts per target, and the strongest of all."""
        table = answers["correlations"]
        counts = table.group_by("target", maintain_order=True).agg(
            num_tests=pl.col("pvalue").count(),
            num_significant=is_found(answers).sum(),
            note=pl.col("note").drop_nulls().first(),
        )
        tested = table.sort("pvalue", nulls_last=True).drop_nulls("pvalue")
        strongest = tested.head(NUM_LISTED).drop("method", "note")
        return {"correlations": {"targets": counts.to_dicts(), "strongest": strongest.to_dicts()}}
