"""Circuits at the top of the report: one line, with the strongest edge between heads by name, and a tile."""

from __future__ import annotations

from typing import Any

import polars as pl

from analyses.questions.answers import Answers
from analyses.questions.chapters import Headline, Tile
from analyses.questions.circuits.sentences import EDGES_FAMILY, certain_edges, edge_text, lead_edges
from analyses.questions.claims import held_text
from analyses.questions.families import MEAN_CHECKS, claim_pvalue
from analyses.wording import count_text, signed_text

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
    text = (
        f"Circuit: {len(certain):,} of {counted} {'moves' if len(certain) == 1 else 'move'} the answer's lead on real "
        f"runs. {_largest_text(certain)}"
    )
    return [Headline(text, _LINK, pvalue=least, is_finding=True)]


def circuit_tiles(answers: Answers) -> list[Tile]:
    """Return how many edges matter, where a circuit was measured and no head's own effect tested."""
    edges, effects = lead_edges(answers), answers.get("causal_effects")
    heads = pl.DataFrame() if effects is None else effects.filter(pl.col("head").is_not_null(), measure="lead")
    if edges.is_empty() or (len(heads) and heads["pvalue"].is_not_null().any()):
        return []
    label, tested = "Edges that matter", edges.drop_nulls("pvalue")
    beside = "No head's own effect was tested in this run (causal.ablation)"
    if tested.is_empty():
        clause = "which edges between heads matter for the answer could not be tested"
        return [Tile(label, "not tested", f"No edge's effect could be tested. {beside}.", _LINK, clause)]
    certain, counted = certain_edges(answers, tested), count_text(len(tested), "edge")
    size = f"n = {tested['num_samples'].max():,}"
    figure = f"{len(certain):,} of {len(tested):,}"
    if certain.is_empty():
        told = (
            f"Edges of the circuit, cut alone on real runs ({size}); that is no evidence that none matters. {beside}."
        )
        return [Tile(label, figure, told, _LINK, f"none of {counted} of the circuit is shown to matter")]
    row = _largest(certain)
    most = f"{edge_text(row)} ({signed_text(row['mean'], 3)} nats)"
    clause = f"{figure} edges of the circuit move the answer's lead, most of all {most}"
    told = f"Edges of the circuit, cut alone on real runs. {_largest_text(certain)} {size}. {beside}."
    return [Tile(label, figure, told, _LINK, clause, True)]


def _inner(certain: pl.DataFrame) -> pl.DataFrame:
    """Return the edges from head to head, which say more than what any single ablation does."""
    return certain.filter(pl.col("source_layer").is_not_null() & pl.col("target_layer").is_not_null())


def _largest(certain: pl.DataFrame) -> dict[str, Any]:
    inner = _inner(certain)
    return (inner if len(inner) else certain).row(0, named=True)


def _largest_text(certain: pl.DataFrame) -> str:
    row, start = _largest(certain), "Between heads the" if len(_inner(certain)) else "The"
    interval = f"{signed_text(row['ci_low'], 3)} to {signed_text(row['ci_high'], 3)}"
    return f"{start} largest is {edge_text(row)}: {signed_text(row['mean'], 3)} nats ({interval})."
