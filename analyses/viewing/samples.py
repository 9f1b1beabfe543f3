"""The list of samples: filtered by a column, searched in ids and text, sorted by any column, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from analyses.viewing.source import ViewedRun

PAGE = 50
"""Samples of one page."""

SHOWN = (
    "sample_id",
    "cluster",
    "year",
    "actual_label",
    "predicted_label",
    "is_correct",
    "certainty",
    "num_tokens",
    "logit_difference",
    "label_probability",
)
"""Columns of the list, where the run knows them of any sample."""

OPERATORS = {"is": "is", "not": "is not", "least": "at least", "most": "at most", "has": "contains"}


@dataclass(frozen=True)
class SampleList:
    """One page of the list.

    Attributes
    ----------
    rows
        The samples of the page, columns ``columns``.
    everything
        All samples that fit, for export.
    num_pages, page
        How many pages there are, and which this is, from 1.
    notes
        What the reader should know: texts that are not read yet, filters that say nothing.
    """

    rows: pl.DataFrame
    everything: pl.DataFrame
    num_pages: int
    page: int
    notes: tuple[str, ...]


def list_columns(viewed: ViewedRun) -> list[str]:
    """Return the columns that samples can be filtered and sorted by: those of which any value is known."""
    samples = viewed.run.samples
    return [
        name
        for name, kind in samples.schema.items()
        if not kind.is_nested() and (name == "sample_id" or samples[name].null_count() < len(samples))
    ]


def sample_list(viewed: ViewedRun, asked: Mapping[str, str]) -> SampleList:
    """Return a page of samples.

    Parameters
    ----------
    asked
        ``q`` words to search for in ids and text; ``column, op, value`` a filter; ``sort`` a column, ``down`` whether
        it falls; ``page``. Unknown columns and values that are no number are said, not guessed.
    """
    known, notes = list_columns(viewed), []
    frame = viewed.run.samples
    if words := asked.get("q", "").strip():
        frame = frame.filter(_matches(viewed, words))
        notes += _unread(viewed)
    column, value = asked.get("column", ""), asked.get("value", "").strip()
    if column and value:
        condition = _condition(frame, column, asked.get("op", "is"), value) if column in known else None
        if condition is None:
            notes.append(f"The filter {column} {OPERATORS.get(asked.get('op', ''), '?')} {value!r} says nothing here.")
        else:
            frame = frame.filter(condition)
    if (sort := asked.get("sort", "")) and sort not in known:
        notes.append(f"There is no column {sort!r} to sort by; the order is that of the run.")
    if sort in known:
        frame = frame.sort(sort, descending=asked.get("down") == "1", nulls_last=True, maintain_order=True)
    num_pages = max(1, -(-len(frame) // PAGE))
    page = min(max(_whole(asked.get("page", "1")), 1), num_pages)
    shown = [name for name in SHOWN if name in known]
    extra = [name for name in (sort, column) if name in known and name not in shown]
    columns = list(dict.fromkeys([*shown, *extra]))
    return SampleList(
        frame.slice((page - 1) * PAGE, PAGE).select(columns),
        frame.select(name for name, kind in frame.schema.items() if not kind.is_nested()),
        num_pages,
        page,
        tuple(notes),
    )


def _matches(viewed: ViewedRun, words: str) -> pl.Expr:
    ids = pl.col("sample_id").str.contains_any([words], ascii_case_insensitive=True)
    return ids | pl.col("sample_id").is_in(viewed.texts.containing(words).to_list())


def _unread(viewed: ViewedRun) -> list[str]:
    texts = viewed.texts
    if "tokens" not in viewed.files:
        return ["The run kept no tokens: only ids were searched."]
    if texts.is_cut:
        return [f"Texts are too many to be searched at once: the first {100 * texts.share_read:.0f} % of files were."]
    if texts.share_read < 1:
        return [f"Texts are still being read ({100 * texts.share_read:.0f} %): search again for all of them."]
    return []


def _condition(frame: pl.DataFrame, column: str, op: str, value: str) -> pl.Expr | None:
    """Return the filter, or None where it says nothing: a number that is none."""
    kind = frame.schema[column]
    text = pl.col(column).cast(pl.String)
    if op == "has":
        return text.str.contains(value, literal=True).fill_null(False)
    if op in ("least", "most"):
        number = _number(value)
        if number is None or not (kind.is_numeric() or kind == pl.Boolean):
            return None
        values = pl.col(column).cast(pl.Float64)
        return (values >= number if op == "least" else values <= number).fill_null(False)
    number = _number(value) if kind.is_numeric() else None
    if kind.is_numeric() and number is None:
        return None
    same = pl.col(column).cast(pl.Float64) == number if number is not None else text.str.to_lowercase() == value.lower()
    return (~same).fill_null(True) if op == "not" else same.fill_null(False)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 1
