"""What the figures of a report share: their record, menus, wording of samples and groups."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from analyses import wording
from analyses.questions.answers import Answers
from analyses.questions.comparisons import EVERYONE
from analyses.runs.key_groups import declared_statistics

NUM_STRONGEST = 5
"""Heads told of as sentences, each by its strongest difference; the table holds all."""


@dataclass(frozen=True)
class Figure:
    """One chart.

    Attributes
    ----------
    name
        File name without suffix.
    title
        Heading in the report.
    guide
        How to read it, one paragraph.
    specification
        Vega-Lite, without a theme.
    tables
        Names of the tables that hold its numbers.
    place
        ``page``: a section of its own; ``panel``: in the head atlas; ``samples``: in the sample explorer.
    """

    name: str
    title: str
    guide: str
    specification: dict[str, object]
    tables: tuple[str, ...]
    place: str = "page"


@dataclass(frozen=True)
class Absent:
    """A chart that a report goes without: its name, and the reason in a sentence."""

    name: str
    reason: str


def sample_line(answers: Answers) -> str:
    """Return "n = 300 samples (180 correct, 120 incorrect)"."""
    text = f"n = {wording.count_text(len(answers.run.samples), 'sample')}"
    shown = answers.comparison
    if shown is None:
        return text
    return f"{text} ({shown.is_a.sum():,} {shown.label_a}, {shown.is_b.sum():,} {shown.label_b})"


def head_line(answers: Answers) -> str:
    """Return ``sample_line``, and which rows of a map of heads are empty because these layers have none."""
    text, without = sample_line(answers), answers.run.headless_layers
    return f"{text}; {wording.headless_text(without)}" if without else text


def statistic_menu(answers: Answers) -> dict[str, str]:
    """Return the statistics that have any value, with their name and unit."""
    names = [name for name in declared_statistics(answers.run) if answers.head_means[name].is_not_null().any()]
    return {name: f"{wording.statistic_label(name)} ({wording.statistic_unit(name)})" for name in names}


def row_menu(answers: Answers) -> dict[str, str]:
    """Return the query groups with their names."""
    return {name: wording.query_group_label(name).capitalize() for name in answers.run.query_groups}


def first_choice(answers: Answers) -> tuple[str, str]:
    """Return the query group and statistic shown first: the decision token's weight on the vocabulary."""
    groups, names = answers.run.query_groups, list(statistic_menu(answers))
    rows = "decision" if "decision" in groups else groups[0]
    wanted = f"mass_{answers.vocabulary}"
    return rows, wanted if wanted in names else names[0]


def rounded(frame: pl.DataFrame, digits: int = 4) -> pl.DataFrame:
    """Return the frame with numbers as exact as a chart can show."""
    return frame.with_columns(pl.col(pl.Float64).round_sig_figs(digits))


def missing_heads(answers: Answers) -> str | None:
    """Return why no head can be drawn, or None."""
    if not statistic_menu(answers):
        return "head_stats holds no value."
    return None


def untested(answers: Answers) -> str:
    """Return why there is no test to draw."""
    if answers.comparison is None:
        return "No comparison is configured (analysis.groups is empty)."
    return answers.comparison.problem or "No statistic could be tested."


def drawn_groups(answers: Answers, frame: pl.DataFrame) -> tuple[list[str], pl.DataFrame]:
    """Return the groups to draw, a and b where both exist, else everyone, and their rows."""
    shown = answers.comparison
    both = [shown.label_a, shown.label_b] if shown is not None else []
    groups = both if set(both) <= set(frame["group"]) and both else [EVERYONE]
    return groups, frame.filter(pl.col("group").is_in(groups))
