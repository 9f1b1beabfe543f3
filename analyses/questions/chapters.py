"""Chapters of the report, in the order in which a reader asks, and the parts that questions give them.

Before the chapters stands the story: figures on tiles (``Tile``) and one line per comparison and cause (``Headline``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


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


@dataclass(frozen=True)
class Tile:
    """A figure that stands for a question at the top of the report.

    Attributes
    ----------
    label
        What it is a figure of.
    figure
        The figure with its unit: "60.7 %", "3 of 48".
    beside
        What it is to be read against, with interval and n; one or two sentences.
    link
        Name of the part, or of the section of the page, that is its evidence.
    clause
        Its part of the answer in one sentence, without a full stop.
    is_finding
        Whether something was found; the tile is set apart where it was.
    is_further
        Whether it is about more than the report's own question (which heads differ, and which matter): the answer
        leaves its clause out where nothing was found.
    """

    label: str
    figure: str
    beside: str
    link: str
    clause: str
    is_finding: bool = False
    is_further: bool = False


class Headline(str):
    """One line of the story: on a comparison, on a cause, or on what else was asked.

    Text with the name of the part that is its evidence (``link``) and its strength: the smallest adjusted p that it
    rests on (``pvalue``), and whether that passes its level (``is_finding``).
    """

    __slots__ = ("is_finding", "link", "pvalue")
    link: str
    pvalue: float
    is_finding: bool

    def __new__(cls, text: str, link: str, *, pvalue: float | None = None, is_finding: bool = False) -> Self:
        """Return the text with what it rests on."""
        made = super().__new__(cls, text)
        made.link, made.is_finding = link, is_finding
        made.pvalue = 1.0 if pvalue is None else pvalue
        return made

    @property
    def rank(self) -> tuple[bool, float]:
        """What lines are sorted by: findings first, each by its p."""
        return not self.is_finding, self.pvalue
