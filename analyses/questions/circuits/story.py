"""Circuits at the top of the report: one line, with the strongest edge between heads by name."""

from __future__ import annotations

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.chapters import Headline
from analyses.questions.circuits.sentences import EDGES_FAMILY, certain_edges, edge_text, lead_edges
from analyses.questions.claims import held_text
from analyses.questions.families import MEAN_CHECKS, claim_pvalue
from analyses.wording import count_text

_LINK = "circuit_graph"


def circuit_headlines(answers: Answers) -> list[Headline]:
    """Return how many edges path patching confirms, and the largest; nothing where none was tested."""
    tested = lead_edges(answers).drop_nulls("pvalue")
    if tested.is_empty():
        return []
    level, counted = answers.level(EDGES_FAMILY), count_text(len(tested), "edge")
    least = float(tested.select(claim_pvalue(MEAN_CHECKS).min()).item())
    certain = certain_edges(answers, tested)
    if certain.is_empty():
        held = held_text(least, level, answers.settings.alpha)
        return [
            Headline(
                f"Circuit: none of {counted} is shown to move the answer's lead (at best {held}).", _LINK, pvalue=least
            )
        ]
    # An edge from head to head says more than what any single ablation does.
    inner = certain.filter(pl.col("source_layer").is_not_null() & pl.col("target_layer").is_not_null())
    row = (inner if len(inner) else certain).row(0, named=True)
    text = (
        f"Circuit: {len(certain):,} of {counted} {'moves' if len(certain) == 1 else 'move'} the answer's lead on real "
        f"runs. {'Between heads the' if len(inner) else 'The'} largest is {edge_text(row)}: {row['mean']:+.3g} nats "
        f"({row['ci_low']:+.3g} to {row['ci_high']:+.3g})."
    )
    return [Headline(text, _LINK, pvalue=least, is_finding=True)]
