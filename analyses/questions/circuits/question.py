"""The question: through which heads does what is read reach the answer."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import CAUSES, Headline, Part, Tile
from analyses.questions.circuits.answer import circuit_edges, circuit_faithfulness
from analyses.questions.circuits.figures import circuit_figures
from analyses.questions.circuits.sentences import chosen_text, curve_sentences, edge_families, edge_sentences
from analyses.questions.circuits.story import circuit_headlines, circuit_tiles
from analyses.questions.circuits.tables import CIRCUIT_EDGES, CIRCUIT_FAITHFULNESS
from analyses.questions.circuits.values import has_circuits
from analyses.questions.figure import Absent, Figure
from analyses.questions.question import NUM_LISTED, Question


class Circuits(Question):
    """Edges between heads, from what they read to the logits, and how much the strongest of them recover."""

    name = "circuits"
    tables = (CIRCUIT_EDGES, CIRCUIT_FAITHFULNESS)
    parts = (
        Part("circuit_graph", "From what is read to the answer", CAUSES),
        Part("circuit_faithfulness", "How few edges are enough?", CAUSES),
    )

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        """Average every edge over samples; nothing where the run asked for no circuit."""
        if not has_circuits(asked.run):
            return {}
        return {"circuit_edges": circuit_edges(asked), "circuit_faithfulness": circuit_faithfulness(asked)}

    def families(self, answers: Answers) -> Mapping[str, float]:
        """Return the edges, and the strongest against random ones."""
        return edge_families(answers)

    def method(self, answers: Answers) -> list[str]:
        """Return what an edge is, how it was measured, and what that leaves out."""
        if answers.get("circuit_edges") is None:
            return []
        return [
            "An edge of a circuit is what one head writes into the queries, keys or values of another, or to the "
            "logits. All edges are first linearised (edge attribution patching with integrated gradients); the "
            "strongest are verified by path patching: on a real run, the sender's change reaches that one input of "
            "the receiver alone, and everything behind the receiver is computed anew. What a circuit recovers is "
            "measured with all other edges between its heads cut at once. " + chosen_text(answers)
        ]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        """Return the strongest edges, and what they recover."""
        if answers.get("circuit_edges") is None:
            return {}
        return {"circuit_graph": edge_sentences(answers), "circuit_faithfulness": curve_sentences(answers)}

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        """Return the graph and the curve."""
        return circuit_figures(answers)

    def headlines(self, answers: Answers) -> list[Headline]:
        """Return one line, where edges were tested."""
        return circuit_headlines(answers)

    def tiles(self, answers: Answers) -> list[Tile]:
        """Return one tile, where no head's own effect was tested."""
        return circuit_tiles(answers)

    def results(self, answers: Answers) -> Mapping[str, object]:
        """Return the strongest edges and the curve."""
        edges, curve = answers.get("circuit_edges"), answers.get("circuit_faithfulness")
        if edges is None or curve is None:
            return {}
        strongest = edges.filter(measure="lead").sort(pl.coalesce("mean", "linearised").abs(), descending=True)
        return {
            "circuits": {
                "strongest": strongest.head(NUM_LISTED).drop("method", "note").to_dicts(),
                "faithfulness": curve.drop("method", "note").to_dicts(),
            }
        }
