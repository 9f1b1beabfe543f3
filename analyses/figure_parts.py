"""What the figures of a report share: their record, menus, wording of samples and groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from analyses import wording
from analyses.analysis_tables import AnalysisTables
from analyses.attention_profiles import EVERYONE
from analyses.key_groups import declared_statistics


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
    specification: dict[str, Any]
    tables: tuple[str, ...]
    place: str = "page"


def sample_line(tables: AnalysisTables) -> str:
    """Return "n = 300 samples (180 correct, 120 incorrect)"."""
    text = f"n = {wording.count_text(len(tables.run.samples), 'sample')}"
    shown = tables.comparison
    if shown is None:
        return text
    return f"{text} ({shown.is_a.sum():,} {shown.label_a}, {shown.is_b.sum():,} {shown.label_b})"


def statistic_menu(tables: AnalysisTables) -> dict[str, str]:
    """Return the statistics that have any value, with their name and unit."""
    names = [name for name in declared_statistics(tables.run) if tables.head_means[name].is_not_null().any()]
    return {name: f"{wording.statistic_label(name)} ({wording.statistic_unit(name)})" for name in names}


def row_menu(tables: AnalysisTables) -> dict[str, str]:
    """Return the query groups with their names."""
    return {name: wording.query_group_label(name).capitalize() for name in tables.run.query_groups}


def first_choice(tables: AnalysisTables) -> tuple[str, str]:
    """Return the query group and statistic shown first: the decision token's weight on the vocabulary."""
    groups, names = tables.run.query_groups, list(statistic_menu(tables))
    rows = "decision" if "decision" in groups else groups[0]
    wanted = f"mass_{tables.vocabulary}"
    return rows, wanted if wanted in names else names[0]


def rounded(frame: pl.DataFrame, digits: int = 4) -> pl.DataFrame:
    """Return the frame with numbers as exact as a chart can show."""
    return frame.with_columns(pl.col(pl.Float64).round_sig_figs(digits))


def missing_heads(tables: AnalysisTables) -> str | None:
    """Return why no head can be drawn, or None."""
    if not statistic_menu(tables):
        return "head_stats holds no value."
    return None


def untested(tables: AnalysisTables) -> str:
    """Return why there is no test to draw."""
    if tables.comparison is None:
        return "No comparison is configured (analysis.groups is empty)."
    return tables.comparison.problem or "No statistic could be tested."


def interval_name(tables: AnalysisTables) -> str:
    """Return "95 % intervals"."""
    return f"{100 * (1 - tables.settings.alpha):g} % intervals"


def drawn_groups(tables: AnalysisTables, frame: pl.DataFrame) -> tuple[list[str], pl.DataFrame]:
    """Return the groups to draw, a and b where both exist, else everyone, and their rows."""
    shown = tables.comparison
    both = [shown.label_a, shown.label_b] if shown is not None else []
    groups = both if set(both) <= set(frame["group"]) and both else [EVERYONE]
    return groups, frame.filter(pl.col("group").is_in(groups))
