"""The question: what was run, and how well did the model do."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import Tile
from analyses.questions.overview.answer import accuracy, label_tables, over_constant, reject_counts
from analyses.questions.overview.tables import ACCURACY, CONFUSION, DECISION_TOKENS, REJECT_COUNTS
from analyses.questions.question import Question
from analyses.wording import count_text, interval_name, percent_text


class Overview(Question):
    """Accuracy, confusion, rejects and decision tokens; the page shows them before its chapters."""

    name = "overview"
    tables = (ACCURACY, CONFUSION, REJECT_COUNTS, DECISION_TOKENS)

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Count what was said and what was turned away."""
        tables = {"accuracy": accuracy(asked.run, asked.settings), "reject_counts": reject_counts(asked.run)}
        return tables | label_tables(asked.run, asked.settings)

    def tiles(self, answers: Answers) -> list[Tile]:
        """Return how often the model was right, beside always saying the most frequent label."""
        rows = {row["measure"]: row for row in answers["accuracy"].to_dicts()}
        row = rows.get("accuracy")
        if row is None or not row["num_samples"]:
            unknown = "No sample has a known true label."
            return [Tile("Accuracy", "unknown", unknown, "run", "how well the model did is not known")]
        value, low, high = row["value"], row["ci_low"], row["ci_high"]
        always = next((name for name in rows if name.startswith("always ")), None)
        clause = f"the model is right in {percent_text(value)} of {count_text(row['num_samples'], 'prediction')}"
        beside = f"n = {row['num_samples']:,}"
        if low is not None:
            beside = f"{interval_name(answers.settings.alpha)} {percent_text(low)} to {percent_text(high)}, {beside}."
        if always is None:
            return [Tile("Accuracy", percent_text(value), beside, "run", clause)]
        constant, (more, least, most) = rows[always]["value"], over_constant(answers.run, answers.settings)
        verdict = "more than" if least > 0 else "less than" if most < 0 else "not shown to be more than"
        said = f"{always[0].upper()}{always[1:]} would be right in {percent_text(constant)}"
        if least == least:
            said += f", a paired difference of {100 * more:+.1f} points ({100 * least:+.1f} to {100 * most:+.1f})"
        clause = f"{clause}, {verdict} {always} ({percent_text(constant)})"
        return [Tile("Accuracy", percent_text(value), f"{said}. {beside}", "run", clause, least > 0)]
