"""Financial tables inside a prompt: where the statement stands, and its line items, periods and cells as spans.

Everything is found by characters of the text, never by tokens, and a table is read as it is printed: in the dashed
layout of the users' prompts or as Markdown. Every step is linear in the length of the text: lines are split once, and
the patterns below only ever see one line or one cell of bounded length.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

from engine.printed_numbers import decimal_sign, parse_value, plain_name
from engine.printed_periods import BARE_YEAR, period_order
from engine.statement_tables import (
    SPAN_KINDS,
    Cell,
    Column,
    LineItem,
    Span,
    Statement,
    Table,
    group_spans,
    named_item_spans,
    period_spans,
)
from engine.table_rows import UNIT_LABEL, TableRow, table_runs

__all__ = [
    "SPAN_KINDS",
    "Cell",
    "Column",
    "LineItem",
    "Statement",
    "Table",
    "group_spans",
    "named_item_spans",
    "parse_statement",
    "period_spans",
    "statement_span",
]

_TABLE_ROW = re.compile(r"^[ \t]*\|.*\|[ \t]*\r?$", re.MULTILINE)
_TITLE = re.compile(r"[^\n]*:[ \t]*\r?\n(?:[ \t]*-{3,}[ \t]*\r?\n)?\Z")
_RULE_AFTER = re.compile(r"\r?\n[ \t]*-{3,}[ \t]*")


def statement_span(text: str) -> Span | None:
    """Find the part of a prompt that holds its tables.

    The statement runs from the first table row to the last, with the title line (ending in a colon) and the dashed
    rules that belong to them; whatever lies between two tables belongs to it as well. Rows stand between pipes; where
    there are no two of them, the tables are those of `parse_statement` (Markdown without outer pipes).

    Parameters
    ----------
    text
        Content of a user message.

    Returns
    -------
    tuple of int, or None
        First character and one past the last, or None when the text has no table of at least two rows.
    """
    rows = [match.span() for match in _TABLE_ROW.finditer(text)]
    if len(rows) < 2:
        rows = [(table.start, table.end) for table in parse_statement(text).tables]
    if not rows:
        return None
    start, end = rows[0][0], rows[-1][1]
    after = _RULE_AFTER.match(text, end)
    return _with_title(text, start), after.end() if after else end


def _with_title(text: str, start: int) -> int:
    # Only the two lines before the first row can belong to it. Searching all that stands before it is quadratic.
    last_line = text.rfind("\n", 0, max(start - 1, 0)) + 1
    line_before = text.rfind("\n", 0, max(last_line - 1, 0)) + 1
    for title in (line_before, last_line):
        if _TITLE.match(text, title, start):
            return title
    line = text[last_line:start].removesuffix("\n").removesuffix("\r").rstrip(" \t")
    before_rule = line.rstrip("-")
    return last_line + len(before_rule.rstrip(" \t")) if len(line) - len(before_rule) >= 3 else start


_WORD_OR_UNIT = re.compile(r"[^\W\d_]|[$€£¥₹%]")
_MISSING = frozenset(("n/a", "na", "n.a.", "nm", "n.m.", "nil", "none"))


class _Beside(NamedTuple):
    """What stands beside the label of a row that holds no figures."""

    texts: int
    orders: list[float]
    only_years: bool


@dataclass
class _Draft:
    """The rows of one table; what later rows are compared with is kept, so that no row is read for each of them."""

    ruled: bool
    corner: str
    is_caption: bool
    header: list[TableRow]
    rows: list[TableRow] = field(default_factory=list)


def parse_statement(text: str) -> Statement:
    """Find every financial table of a text, with its line items, periods and cells as character spans.

    A table is a header row and rows under it, of which at least one holds a figure. Rows begin with a pipe; without
    outer pipes they count only under a Markdown rule (`---|---`). A blank line or a line of prose ends a table, and a
    row that heads columns begins the next one.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    Statement
        Without tables when there are none.
    """
    tables = (_table(text, draft) for run in table_runs(text) for draft in _drafts(text, run))
    return Statement(tuple(table for table in tables if table is not None))


def _drafts(text: str, run: list[TableRow]) -> Iterator[_Draft]:
    draft: _Draft | None = None
    for place, row in enumerate(run):
        if row.kind != "row" or not row.cells:
            continue
        before, after = [other.kind for other in run[max(place - 3, 0) : place]], run[place + 1 : place + 2]
        # Under a bare header the rule may have a plus at its crossings, as databases print it.
        ruled = bool(after) and (after[0].kind == "markdown" or (after[0].kind == "plus" and not row.closed))
        if not (ruled or row.opened or (draft and draft.ruled)):
            if draft:
                yield draft
            draft = None
        elif draft is None:
            # A pipe at the right may be missing, of two cells or more.
            is_head = ruled or ((row.closed or len(row.cells) > 1) and _beside(text, row))
            draft = _draft(text, row, ruled) if is_head else None
        elif not _is_header(text, row, draft, ruled, _set_apart(before, after)):
            draft.rows.append(row)
        elif draft.rows or (ruled and draft.ruled):
            yield draft
            draft = _draft(text, row, ruled)
        else:
            draft.header.append(row)
            draft.ruled |= ruled
            draft.is_caption = False
    if draft:
        yield draft


def _draft(text: str, row: TableRow, ruled: bool) -> _Draft:
    corner = plain_name(text[slice(*row.cells[0])]).casefold()
    return _Draft(ruled, corner, not any(end > start for start, end in row.cells[1:]), [row])


def _set_apart(before: list[str], after: list[TableRow]) -> bool:
    """Whether rules set a row apart as a header, in a table that has no rule between all of its rows."""
    if not after or after[0].kind == "row" or not before:
        return False
    if before[-1] == "row":
        return after[0].kind == "markdown"
    return len(before) == 3 and (before[1] != "row" or before[0] == "row")


def _beside(text: str, row: TableRow) -> _Beside | None:
    """None for a row that holds a figure or nothing at all, which can be no header."""
    texts, orders, only_years = 0, [], True
    for start, end in row.cells[1:]:
        cell = text[start:end]
        is_year = end - start < 16 and BARE_YEAR.fullmatch(plain_name(cell)) is not None
        if not is_year and parse_value(cell) is not None:
            return None
        order = period_order(cell) if cell else None
        if order is not None:
            orders.append(order)
            only_years &= is_year
        elif _WORD_OR_UNIT.search(cell) and cell.lower() not in _MISSING:
            texts += 1
    return _Beside(texts, orders, only_years) if any(end > start for start, end in row.cells) else None


def _is_header(text: str, row: TableRow, draft: _Draft, ruled: bool, set_apart: bool) -> bool:
    """Whether a row inside a table heads columns: those of the next table, or its own as a second header row."""
    beside = _beside(text, row)
    if beside is None or not (beside.texts or beside.orders):
        return False
    if set_apart:
        return True
    label = plain_name(text[slice(*row.cells[0])])
    if beside.orders:
        # Bare years beside another label: figures can look like that (employees: 1971, 1985), successive years hardly.
        steps = {right - left for left, right in pairwise(beside.orders)}
        return not beside.only_years or label.casefold() in ("", draft.corner) or steps in ({1.0}, {-1.0})
    if draft.rows:
        return False
    # Directly under the header: the true header under a caption, or a row of units.
    return (ruled and not draft.ruled) or draft.is_caption or not label or UNIT_LABEL.fullmatch(label) is not None


def _table(text: str, draft: _Draft) -> Table | None:
    decimal = decimal_sign(text[start:end] for row in draft.rows for start, end in row.cells[1:])
    rows = [(row, item) for row in draft.rows if (item := _item(text, row, decimal))]
    width = next((len(row.cells) for row, item in rows if any(cell.value is not None for cell in item.cells)), 0)
    if not width:
        return None
    items = tuple(item for _, item in rows)
    dated = (row for row in draft.header if any(_order(text, cell) is not None for cell in row.cells[1:]))
    heads = next(dated, None) or max(draft.header, key=lambda row: sum(end > start for start, end in row.cells))
    # Some headers leave out the corner above the labels.
    has_corner = len(heads.cells) + 1 != width or period_order(text[slice(*heads.cells[0])], strict=True) is None
    labels = list(heads.cells[1:] if has_corner else heads.cells)
    while labels and labels[-1][0] == labels[-1][1]:
        labels.pop()
    header = tuple(cell for row in draft.header for cell in row.cells if cell[1] > cell[0])
    columns = _columns(text, labels)
    if labels and all(column.order is None for column in columns):
        periods = _columns(text, [(item.start, item.end) for item in items], strict=True)
        if all(period.order is not None for period in periods):
            items, columns = _transposed(columns, items), periods
            named = set(labels)
            header = tuple(cell for cell in header if cell not in named)
            header += tuple((period.start, period.end) for period in periods)
    return Table(draft.header[0].start, rows[-1][0].end, columns, items, header)


def _order(text: str, cell: Span) -> float | None:
    return period_order(text[slice(*cell)])


def _columns(text: str, labels: list[Span], strict: bool = False) -> tuple[Column, ...]:
    texts = [text[start:end] for start, end in labels]
    return tuple(
        Column(index, plain_name(label), start, end, period_order(label, strict))
        for index, (label, (start, end)) in enumerate(zip(texts, labels, strict=True))
    )


def _item(text: str, row: TableRow, decimal: str) -> LineItem | None:
    """Read the line item of a row; None for a row of blanks."""
    cells = tuple(
        Cell(start, end, text[start:end], parse_value(text[start:end], decimal), column)
        for column, (start, end) in enumerate(row.cells[1:])
        if end > start
    )
    start, end = row.cells[0]
    return (
        LineItem(plain_name(text[start:end]), start, end, row.start, row.end, cells) if end > start or cells else None
    )


def _transposed(columns: tuple[Column, ...], items: tuple[LineItem, ...]) -> tuple[LineItem, ...]:
    """Line items of a table whose rows are periods: its columns. Cells beyond the header have no label, and go."""
    cells: defaultdict[int, list[Cell]] = defaultdict(list)
    for period, item in enumerate(items):
        for cell in item.cells:
            cells[cell.column].append(replace(cell, column=period))
    return tuple(
        LineItem(label.label, label.start, label.end, label.start, label.end, tuple(cells[label.index]))
        for label in columns
    )
