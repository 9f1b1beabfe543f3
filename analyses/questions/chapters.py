"""Chapters of the report, in the order in which a reader asks, and the parts that questions give them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chapter:
    """One question of the reader: anchor, heading, and what is asked."""

    name: str
    title: str
    question: str


@dataclass(frozen=True)
class Part:
    """A section of a chapter: a chart with its sentences, or sentences and a table alone.

    Attributes
    ----------
    name
        That of the chart and of the sentences; of a part with ``has_table`` also of a table.
    title
        Heading where there is no chart to name one.
    chapter
        Where it stands, after the parts of earlier questions.
    leads
        Whether it stands before all others of its chapter.
    has_table
        Whether it is there without a chart as well, with its sentences and the table of its name.
    """

    name: str
    title: str
    chapter: Chapter
    leads: bool = False
    has_table: bool = False


HEADS = Chapter(
    "heads",
    "Heads",
    "What does each head do, do heads specialise, and which differ between right and wrong predictions?",
)
WORDS = Chapter(
    "words",
    "Words and figures",
    "Which words and numbers do heads look at, in right and in wrong predictions?",
)
LAYERS = Chapter(
    "layers",
    "Layers and flow",
    "How does attention develop from layer to layer, and how does it flow from the prompt to the answer?",
)
SAMPLES = Chapter("samples", "Real samples", "What does this look like in single predictions?")
ERRORS = Chapter(
    "errors",
    "Errors and certainty",
    "What characterises errors, do the heads know of them, and what goes with confident answers?",
)
CAUSES = Chapter("causes", "Causes", "Does any of it matter for the answer?")
TRUST = Chapter("trust", "How far to trust this", "What could this many samples show at all?")

CHAPTERS = (HEADS, WORDS, LAYERS, SAMPLES, ERRORS, CAUSES, TRUST)
"""In the order of the report; a chapter that only a question names comes after them."""
