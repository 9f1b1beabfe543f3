"""The top of the report: question, answer in one sentence, tiles, a line per comparison and cause, one picture.

Everything here restates what a chapter shows, at the same levels; tiles and lines link to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from analyses.charts.parts import specification
from analyses.charts.summary import summary_map
from analyses.questions import registry
from analyses.questions.answers import Answers
from analyses.questions.causes.story import causal_heads
from analyses.questions.chapters import Headline, Tile
from analyses.questions.differences.story import differing_heads
from analyses.questions.figure import Figure
from analyses.questions.heads.head_types import MIXED
from analyses.wording import head_type_label

PICTURE = "summary_map"
"""Name of the picture of the run."""


@dataclass(frozen=True)
class Story:
    """What a reader sees first.

    Attributes
    ----------
    question
        What the run asks.
    answer
        The answer, in one sentence.
    tiles
        Figures, each linked to its evidence.
    lines
        One per comparison, cause and further question, strongest first.
    """

    question: str
    answer: str
    tiles: Sequence[Tile]
    lines: Sequence[Headline]

    @property
    def told(self) -> list[str]:
        """The answer and the lines, for where there are no tiles."""
        return [self.answer, *self.lines]


def story(answers: Answers) -> Story:
    """Return the top of the report."""
    tiles = [tile for question in registry.QUESTIONS for tile in question.tiles(answers)]
    lines = [line for question in registry.QUESTIONS for line in question.headlines(answers)]
    return Story(_question(answers), _answer(tiles), tiles, sorted(lines, key=lambda line: line.rank))


def _question(answers: Answers) -> str:
    shown = answers.comparison
    groups = f"{shown.label_a} and {shown.label_b} samples" if shown else "samples"
    num_heads = answers["head_types"].height
    if num_heads == 1:
        return f"Does the one attention head tell {groups} apart, and does it matter for the answer?"
    return f"Which of {num_heads:,} attention heads tell {groups} apart, and which of them matter for the answer?"


def _answer(tiles: Sequence[Tile]) -> str:
    """Return one sentence; further questions that found nothing are left to their tiles, or it has too many parts."""
    text = "; ".join(tile.clause for tile in tiles if tile.is_finding or not tile.is_further)
    return f"{text[:1].upper()}{text[1:]}."


def summary_figure(answers: Answers) -> Figure | None:
    """Return the picture of the run: head types, differing heads marked, causal heads ringed; None without heads."""
    types = answers["head_types"].select("layer", "head", "head_type")
    if types.is_empty():
        return None
    differing, causal = differing_heads(answers), causal_heads(answers)
    finding = pl.when(pl.col("is_confirmed")).then(2).when(pl.col("differs").is_not_null()).then(1).otherwise(0)
    frame = (
        types.join(differing, on=["layer", "head"], how="left")
        .join(causal, on=["layer", "head"], how="left")
        .with_columns(finding=finding.cast(pl.Int8), is_causal=pl.col("matters").is_not_null())
        .with_columns(
            pl.col("differs").fill_null("in nothing that was tested"), pl.col("matters").fill_null("not shown")
        )
        .drop("is_confirmed")
    )
    names = [name for name in types["head_type"].unique().sort() if name != MIXED]
    shown = {name: head_type_label(name) for name in [*names, *([MIXED] if MIXED in types["head_type"] else [])]}
    num_marked, num_ringed = int((frame["finding"] > 0).sum()), int(frame["is_causal"].sum())
    chart = summary_map(
        frame,
        answers.style,
        types=shown,
        subtitle=[
            f"● differs between groups of samples ({num_marked:,} of {len(frame):,} heads)    ◆ confirmed as well",
            f"○ moves the answer when intervened on ({num_ringed:,})",
        ],
    )
    guide = (
        "Every cell is a head, coloured by its type. A dot marks a head whose attention differs between groups of "
        "samples, a diamond one where that was confirmed on samples kept apart; a ring marks a head that moves the "
        "answer when it is intervened on. A head without a mark is not shown to do either; that is no evidence that it "
        "does not."
    )
    tables = ("head_types", "group_differences", "causal_effects")
    return Figure(PICTURE, "The run in one picture", guide, specification(chart), tables, "story")
