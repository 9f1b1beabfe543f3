"""The question: what was run, and how well did the model do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.overview.answer import accuracy, label_tables, reject_counts
from analyses.questions.overview.tables import ACCURACY, CONFUSION, DECISION_TOKENS, REJECT_COUNTS
from analyses.questions.question import Question
from analyses.wording import count_text, percent_text


class Overview(Question):
    """Accuracy, confusion, rejects and decision tokens; the page shows them before its chapters."""

    name = "overview"
    tables = (ACCURACY, CONFUSION, REJECT_COUNTS, DECISION_TOKENS)

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Count what was said and what was turned away."""
        tables = {"accuracy": accuracy(asked.run, asked.settings), "reject_counts": reject_counts(asked.run)}
        return tables | label_tables(asked.run, asked.settings)

    def headlines(self, answers: Answers, sentences: Mapping[str, Sequence[str]]) -> list[str]:
        """Return how often the model was right, beside always saying the most frequent label."""
        rows = {row["measure"]: row for row in answers["accuracy"].to_dicts()}
        row = rows.get("accuracy")
        if row is None or not row["num_samples"]:
            return ["How well the model did is not known: no sample has a known true label."]
        always = next((name for name in rows if name.startswith("always ")), None)
        beside = f"; {always} would be right in {percent_text(rows[always]['value'])}" if always else ""
        return [
            f"The model was right in {percent_text(row['value'])} of {count_text(row['num_samples'], 'prediction')} "
            f"({row['method']} interval {percent_text(row['ci_low'])} to {percent_text(row['ci_high'])}){beside}."
        ]
