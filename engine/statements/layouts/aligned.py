"""Tables whose columns are set with blanks, as filings and data frames print them: no sign says where a cell ends.

A table begins with a line of periods and goes on as long as lines hold figures. Cells end at two blanks or a row of
dots; where a line has one figure for each period they belong together in order, and otherwise a figure belongs to the
column that it stands in. A table that was copied without its blanks ("Net sales 10,988 5,899") is read where every
figure can be told: under a line that ends in periods, by lines that end in as many figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from engine.statements.layouts.aligned_cells import cells_of
from engine.statements.layouts.aligned_headers import (
    RULE,
    ColumnHeads,
    column_heads,
    header_row,
    is_more_header,
    is_over,
    is_shared_out,
    row_above,
)
from engine.statements.layouts.aligned_lines import AlignedLine, aligned_line, in_line, row_of
from engine.statements.rows import Span, TableRow

_COLUMN_TAGS = re.compile(r"(?:\s*<[sc]>)+\s*|\s*</?(?:table|caption|page)>\s*", re.I)
_NEXT_LINES = 3
_MOST_HEADER_ROWS = 4


class AlignedTable(NamedTuple):
    """Header rows and rows of one table."""

    header: list[TableRow]
    rows: list[TableRow]


def aligned_tables(text: str, lines: Sequence[Span]) -> Iterator[AlignedTable]:
    """Yield the tables of lines that follow one another.

    Parameters
    ----------
    text
        What the spans are of.
    lines
        Spans of lines, blank ones and rows of other layouts left out.
    """
    read = [aligned_line(text, lines, place) for place in range(len(lines))]
    place = 0
    while place < len(read):
        head = column_heads(text, read[place], read[place + 1 : place + 1 + _NEXT_LINES])
        if head is None or is_over(text, read, place, head):
            place += 1
            continue
        table, after = _table(text, read, place, head)
        if table is not None:
            yield table
        place = after if table is not None else place + 1


def _table(text: str, lines: Sequence[AlignedLine], place: int, head: ColumnHeads) -> tuple[AlignedTable | None, int]:
    """Return the table below a header and the line behind it; no table where no figures follow."""
    columns = [in_line(cell, lines[place]) for cell in head.cells]
    header = [*row_above(text, lines, place, columns), row_of(lines[place], head.corner, head.cells)]
    num_above = len(header) - 1
    rows: list[TableRow] = []
    waiting: list[TableRow] = []  # labels without figures, which belong to the table if figures follow
    num_figures = 0
    after = place + 1
    for number in range(place + 1, len(lines)):
        line = lines[number]
        piece = text[line.start : line.end]
        if not line.fields or RULE.fullmatch(piece) or _COLUMN_TAGS.fullmatch(piece):
            continue
        if not rows and not waiting and len(header) == num_above + 1 and is_shared_out(text, line, head):
            columns = [in_line(field, line) for field in line.fields]
            size = len(columns) // len(head.cells)
            spread = [(head.corner[1], head.corner[1])] * len(columns)
            spread[::size] = head.cells
            header = [row_of(lines[place], head.corner, spread), row_of(line, (line.start, line.start), line.fields)]
            head = head._replace(cells=line.fields)
            continue
        if not rows and not waiting and is_more_header(text, line, len(columns)):
            header.append(header_row(text, line, columns))
            if len(header) > _MOST_HEADER_ROWS:
                break
            continue
        if (rows or waiting) and column_heads(text, line) is not None:
            break
        label, cells = cells_of(text, line, columns, is_collapsed=head.is_collapsed)
        if any(end > start for start, end in cells):
            rows += [*waiting, row_of(line, label, cells)]
            waiting, after = [], number + 1
            num_figures += 1
            columns = _widened(columns, [in_line(cell, line) for cell in cells], line)
        elif len(waiting) < _NEXT_LINES and len(line.fields) == 1 and line.end - line.start <= 120:
            waiting.append(row_of(line, line.fields[0], []))
        else:
            break
    is_one = num_figures >= (2 if head.is_collapsed or len(head.cells) == 1 else 1)
    return (AlignedTable(header, rows), after) if is_one else (None, place + 1)


def _widened(columns: Sequence[Span], cells: Sequence[Span], line: AlignedLine) -> list[Span]:
    """Return the columns with what figures take of them, as long as they stay apart."""
    wider = [
        (min(column[0], cell[0]), max(column[1], cell[1])) if cell[1] > cell[0] else column
        for column, cell in zip(columns, cells, strict=True)
    ]
    are_apart = all(left[1] < right[0] for left, right in pairwise(wider))
    return wider if are_apart else list(columns)
