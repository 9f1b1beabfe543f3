"""Groups of spans of a statement, as key groups ask for them: line items, periods, columns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from statistics import median

from engine.statements.signs import is_mark
from engine.statements.tables import Cell, Column, Span, Statement, Table

SPAN_KINDS = (
    "line_item",
    "cell",
    "header",
    "current_period",
    "prior_period",
    "earlier_period",
    "magnitude_large",
    "magnitude_small",
)
"""What ``group_spans`` finds, and what a key group may ask for."""


_SIDE = re.compile(r"[0-9)][ \xa0]*(cr|dr)\.?[)*\s]*\Z", re.IGNORECASE)
_SIDE_BEFORE = re.compile(r"[*(\s]*(cr|dr)\.?[ \xa0]*[$€£¥]?[ \xa0]*[0-9(]", re.IGNORECASE)
_REFERENCE = re.compile(r"\b(?:notes?|see|page|footnotes?|item|section)\b", re.IGNORECASE)


def group_spans(statement: Statement, kind: str) -> list[Span]:
    """Return the character spans of one kind of words in a statement's tables.

    Parameters
    ----------
    statement
        What ``parse_statement`` found.
    kind
        ``line_item`` (labels of rows), ``cell`` (cells that hold a number), ``header`` (cells that head columns);
        ``current_period``, ``prior_period``, ``earlier_period`` (header cell and numbers of the columns of a table's
        latest period, of the one before, of all older ones); ``magnitude_large``, ``magnitude_small`` (numbers whose
        absolute value lies above, or below, the median of those of their table that are not zero).

    Returns
    -------
    list of tuple of int
        First character and one past the last, in the order of the text; they do not overlap.

    Raises
    ------
    ValueError
        When there is no such kind.
    """
    if kind not in SPAN_KINDS:
        raise ValueError(f"{kind!r} is no kind of span in a statement: expected one of {', '.join(SPAN_KINDS)}")
    return sorted(span for table in statement.tables for span in _spans(table, kind) if span[1] > span[0])


def _spans(table: Table, kind: str) -> Iterable[Span]:
    if kind == "line_item":
        return ((item.start, item.end) for item in table.items)
    if kind == "header":
        return table.header
    values = [cell for item in table.items for cell in item.cells if cell.value is not None]
    if kind.startswith("magnitude"):
        middle = median([abs(cell.value) for cell in values if cell.value] or [0.0])
        sign = 1 if kind == "magnitude_large" else -1
        values = [cell for cell in values if cell.value and sign * abs(cell.value) > sign * middle]
    elif kind != "cell":
        first = ("current_period", "prior_period", "earlier_period").index(kind)
        last = first + 1 if first < 2 else None
        columns = [column for columns in table.ordered_periods()[first:last] for column in columns]
        return _column_spans(columns, values)
    return ((cell.start, cell.end) for cell in values)


def _column_spans(columns: Sequence[Column], values: Iterable[Cell]) -> Iterator[Span]:
    indices = {column.index for column in columns}
    yield from {(column.start, column.end) for column in columns}
    yield from ((cell.start, cell.end) for cell in values if cell.column in indices)


def named_item_spans(statement: Statement) -> dict[str, list[Span]]:
    """Return the spans of every line item by its name: its label, then its numbers.

    A name's second row is "Name (2)".
    """
    spans: dict[str, list[Span]] = {}
    nth: dict[str, int] = {}
    for item in (item for table in statement.tables for item in table.items if item.name):
        key = item.name
        while key in spans:
            nth[item.name] = nth.get(item.name, 1) + 1
            key = f"{item.name} ({nth[item.name]})"
        values = ((cell.start, cell.end) for cell in item.cells if cell.value is not None)
        spans[key] = [(item.start, item.end), *values]
    return spans


def period_spans(statement: Statement) -> dict[str, list[Span]]:
    """Return the spans of every period by its label ("1972"): its header cells and its numbers in all tables."""
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    for table in statement.tables:
        values: defaultdict[int, list[Span]] = defaultdict(list)
        for cell in (cell for item in table.items for cell in item.cells if cell.value is not None):
            values[cell.column].append((cell.start, cell.end))
        for column in (column for column in table.columns if column.order is not None):
            spans[column.label] += [(column.start, column.end), *values[column.index]]
    return {label: sorted(set(parts)) for label, parts in spans.items()}


def empty_periods(statement: Statement) -> list[str]:
    """Return the labels of periods that head columns in which a table has no figure."""
    return [
        columns[0].label
        for table in statement.tables
        for columns in table.periods()
        if not {column.index for column in columns}
        & {cell.column for item in table.items for cell in item.cells if cell.value is not None}
    ]


def unordered_periods(statement: Statement) -> list[str]:
    """Return the headers of tables of which it is not known which period is the newest."""
    return [
        column.label for table in statement.tables if not table.is_ordered for column in table.columns if column.label
    ]


def unread_headers(statement: Statement) -> list[str]:
    """Return the headers of those tables that name no period that is understood; all of them where each does."""
    headers: list[str] = []
    for table in (table for table in statement.tables if not table.is_ordered):
        named = [column.label for column in table.columns if column.label]
        headers += [column.label for column in table.columns if column.label and column.order is None] or named
    return headers


def figures_without_sign(statement: Statement) -> list[str]:
    """Return figures that are marked as debit or credit, which does not tell their sign; "Cr" alone may be crores."""
    marked = []
    for table in statement.tables:
        texts = [cell.text for item in table.items for cell in item.cells if cell.value is not None]
        sides = [
            (text, match[1].lower()) for text in texts if (match := _SIDE.search(text) or _SIDE_BEFORE.match(text))
        ]
        is_crores = {side for _, side in sides} == {"cr"} and any("₹" in text or "rs" in text.lower() for text in texts)
        marked += [] if is_crores else [text for text, _ in sides]
    return marked


def unread_figures(statement: Statement) -> list[str]:
    """Return the cells under periods that hold digits and are no figures that are read, and figures under no header.

    They belong to no period. References ("see note 5") and marks of footnotes are none.
    """
    unread = []
    for table in statement.tables:
        heads = {column.index: column for column in table.columns if column.label}
        if not table.periods():
            continue
        for cell in (cell for item in table.items for cell in item.cells):
            head = heads.get(cell.column)
            is_unread = cell.value is None and any(sign.isdigit() for sign in unescape(cell.text))
            if (head is not None and head.order is not None and is_unread) or (head is None and cell.value is not None):
                unread.append(cell.text)
    return [text for text in unread if not is_mark(text) and not _REFERENCE.search(text)]
