"""Financial tables inside a prompt: where the statement stands, and its line items, periods and cells as spans.

Everything is found by characters of the text, never by tokens, and a table is read as it is printed: in the dashed
layout of the users' prompts, as Markdown or HTML, or with its columns set by tabs or blanks. Every step is linear in
the length of the text: lines are split once, and the patterns below only ever see one line or one cell of bounded
length.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from functools import lru_cache

from engine.statements.columns import (
    column_labels,
    columns_of,
    is_order_known,
    periods_of_rows,
    with_labels,
    without_row_numbers,
)
from engine.statements.drafts import Draft, drafts, stands_beside
from engine.statements.layouts.aligned import aligned_tables
from engine.statements.layouts.html import HtmlTable, html_tables, readable
from engine.statements.layouts.lines import table_runs
from engine.statements.layouts.unread import wiki_tables
from engine.statements.printed_numbers import decimal_sign, plain_name
from engine.statements.rows import TableRow
from engine.statements.signs import figures, placed_labels, without_sign_columns, without_signs
from engine.statements.spans import (
    SPAN_KINDS,
    empty_periods,
    figures_without_sign,
    group_spans,
    named_item_spans,
    period_spans,
    unordered_periods,
    unread_figures,
    unread_headers,
)
from engine.statements.tables import Cell, Column, LineItem, Span, Statement, Table

__all__ = [
    "SPAN_KINDS",
    "Cell",
    "Column",
    "LineItem",
    "Statement",
    "Table",
    "empty_periods",
    "figures_without_sign",
    "group_spans",
    "named_item_spans",
    "parse_statement",
    "period_spans",
    "statement_span",
    "unordered_periods",
    "unread_figures",
    "unread_headers",
]

_TABLE_ROW = re.compile(r"^[ \t]*\|.*\|[ \t]*\r?$", re.MULTILINE)
_TITLE = re.compile(r"[^\n]*:[ \t]*\r?\n(?:[ \t]*-{3,}[ \t]*\r?\n)?\Z")
_RULE_AFTER = re.compile(r"\r?\n[ \t]*-{3,}[ \t]*")


def statement_span(text: str) -> Span | None:
    """Find the part of a prompt that holds its tables.

    The statement runs from the first table row to the last, with the title line (ending in a colon) and the dashed
    rules that belong to them; whatever lies between two tables belongs to it as well. Rows stand between pipes; where
    there are no two of them, the tables are those of ``parse_statement`` (Markdown without outer pipes). Tables without
    pipes count beside them.

    Parameters
    ----------
    text
        Content of a user message.

    Returns
    -------
    tuple of int, or None
        First character and one past the last, or None when the text has no table of at least two rows.
    """
    text = text if text.isascii() else text.translate(_SIGNS)
    rows = [match.span() for match in _TABLE_ROW.finditer(text)]
    tables = [(table.start, table.end) for table in parse_statement(text).tables]
    if len(rows) < 2:
        rows = tables
    if not rows:
        return None
    others = [span for span in tables if "|" not in text[slice(*span)].partition("\n")[0]]
    start = min(first for first, _ in (rows[0], *others))
    end = max(last for _, last in (rows[-1], *others))
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


_BOXES = str.maketrans(dict.fromkeys("│┃║┆┊╎├┤╞╡╟╢╠╣┠┨┣┫", "|") | dict.fromkeys("┌┬┐└┴┘╔╦╗╚╩╝┏┳┓┗┻┛╭╮╰╯┼╪╫╬╋", "+"))
"""Lines that terminals and data frames draw around cells, as pipes and plus signs."""
_ZEROS = "٠۰०০௦๐០၀０"
"""The digit zero of scripts whose other digits follow it: Arabic, Persian, Devanagari, Bengali, Tamil, Thai, …"""
_DIGITS = {ord(zero) + digit: str(digit) for zero in _ZEROS for digit in range(10)}
_SIGNS = _BOXES | _DIGITS | str.maketrans("，．（）％－＋＄￥／＇：٫٬", ",.()%-+$¥/':.,")
"""Digits of other scripts and full-width signs, as figures are read; each is one character for one."""


@lru_cache(maxsize=4)
def parse_statement(text: str) -> Statement:
    """Find every financial table of a text, with its line items, periods and cells as character spans.

    A table is a header row and rows under it, of which at least one holds a figure. Rows begin with a pipe; without
    outer pipes they count only under a Markdown rule (``---|---``). Rows of HTML are those of ``<tr>``. Between tabs or
    blanks a table counts where its header names a period. A blank line or a line of prose ends a table, and a row that
    heads columns begins the next one.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    Statement
        Without tables when there are none.
    """
    written = text
    text = text if text.isascii() else text.translate(_SIGNS)
    plain, pages = html_tables(text)
    unread = [(page.start, page.end) for page in pages] + wiki_tables(text)
    runs, others = table_runs(plain, sorted(unread))
    tables = [
        table
        for run in runs
        for draft in drafts(plain, run)
        if (table := _table(plain, draft)) is not None and ("|" in plain[table.start : table.end] or table.periods())
    ]
    for lines in others:
        for aligned in aligned_tables(plain, lines):
            table = _table(plain, Draft(True, "", False, aligned.header, aligned.rows))
            if table is not None and table.periods():
                tables.append(table)
    for page in pages:
        found = drafts(plain, _with_rule(plain, page))
        tables += [_as_written(text, table) for draft in found if (table := _table(plain, draft)) is not None]
    if text != written:
        tables = [_as_written(written, table) for table in tables]
    return Statement(tuple(sorted(tables, key=lambda table: table.start)))


def _with_rule(text: str, page: HtmlTable) -> list[TableRow]:
    """Return the rows of a table in HTML, with a rule under its head."""
    rows, head = list(page.rows), page.num_head_rows
    if 0 < head < len(rows) and all(stands_beside(text, row) is not None for row in rows[head - 1 : head]):
        rows.insert(head, TableRow(rows[head].start, rows[head].start, "markdown", (), False, False))
    return rows


def _as_written(text: str, table: Table) -> Table:
    """Return a table of a text without tags with the names and cells of the text itself."""
    return replace(
        table,
        columns=tuple(
            replace(column, label=plain_name(readable(text[column.start : column.end])))
            if len(column.label) <= column.end - column.start
            else column
            for column in table.columns
        ),
        items=tuple(
            replace(
                item,
                name=plain_name(readable(text[item.start : item.end])),
                cells=tuple(replace(cell, text=text[cell.start : cell.end]) for cell in item.cells),
            )
            for item in table.items
        ),
    )


def _table(text: str, draft: Draft) -> Table | None:
    """Return the table that rows make; None when they hold no figure."""
    head, body = with_labels(text, *without_row_numbers(text, draft.header, draft.rows))
    width = max((len(row.cells) - 1 for row in head if all(end > start for start, end in row.cells[1:])), default=0)
    if width:
        body = [without_signs(text, row, width) for row in without_sign_columns(text, body, width)]
    decimal = decimal_sign(text[start:end] for row in body for start, end in row.cells[1:])
    beside = [row.cells[1:] for row in body]
    width = next(
        (len(cells) + 1 for cells in beside if any(value is not None for value in figures(text, cells, decimal))), 0
    )
    if not width:
        return None
    labels, names = column_labels(text, head, width)
    placed, marks = placed_labels(text, labels, body, decimal)
    rows = [(row, item) for row in body if (item := _item(text, row, decimal, marks))]
    if not any(cell.value is not None for _, item in rows for cell in item.cells):
        return None
    items = tuple(item for _, item in rows)
    columns = columns_of(text, placed, names)
    header = tuple(cell for row in head for cell in row.cells if cell[1] > cell[0])
    if periods := periods_of_rows(text, columns, items):
        named = set(labels)
        items, columns = _transposed(columns, items), periods
        header = (
            *(cell for cell in header if cell not in named),
            *((period.start, period.end) for period in periods),
        )
    return Table(draft.header[0].start, rows[-1][0].end, columns, items, header, is_order_known(columns, items))


def _item(text: str, row: TableRow, decimal: str, marks: frozenset[int]) -> LineItem | None:
    """Return the line item of a row; None for a row of blanks. Marks of footnotes have no value."""
    values = figures(text, row.cells[1:], decimal)
    cells = tuple(
        Cell(start, end, text[start:end], None if column in marks else value, column)
        for column, ((start, end), value) in enumerate(zip(row.cells[1:], values, strict=True))
        if end > start
    )
    start, end = row.cells[0]
    return (
        LineItem(plain_name(text[start:end]), start, end, row.start, row.end, cells) if end > start or cells else None
    )


def _transposed(columns: tuple[Column, ...], items: tuple[LineItem, ...]) -> tuple[LineItem, ...]:
    """Return the line items of a table whose rows are periods: its columns.

    Cells beyond the header have no label, and go.
    """
    cells: defaultdict[int, list[Cell]] = defaultdict(list)
    for period, item in enumerate(items):
        for cell in item.cells:
            cells[cell.column].append(replace(cell, column=period))
    return tuple(
        LineItem(label.label, label.start, label.end, label.start, label.end, tuple(cells[label.index]))
        for label in columns
    )
