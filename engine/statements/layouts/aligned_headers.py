"""The lines that head an aligned table: periods, what stands above them, and what the columns of one period hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from engine.statements.layouts.aligned_lines import AlignedLine, in_line, is_value, nearest_column, row_of
from engine.statements.layouts.lines import UNIT_LABEL
from engine.statements.printed_numbers import parse_value, plain_name
from engine.statements.printed_periods import BARE_YEAR, period_order
from engine.statements.rows import Span, TableRow
from engine.statements.signs import is_sign

RULE = re.compile(r"[ \t\-=_─━═+.]*")
_LONGEST_HEAD = 40
_LEAST_INDENT = 8
_SHARE = re.compile(
    r"\(?(?:amounts?|values?|us\$|[$€£¥%]|percent(?:age)?|(?:%|percent) of (?:net )?(?:sales|revenues?|total)|"
    r"betrag|anteil|montant|importe|importo|valor|сумма|金额|金額|占比|比率|構成比|금액|비율)\)?",
    re.I,
)
"""What the columns under one period hold."""
_FIGURE = re.compile(r"[(+-]?[$€£¥]? ?[0-9][0-9.,]*%?[)]?")


class ColumnHeads(NamedTuple):
    """The line that heads columns: their cells, and what stands above the labels."""

    corner: Span
    cells: list[Span]
    is_collapsed: bool


def _is_period(text: str, span: Span) -> bool:
    return span[1] - span[0] <= _LONGEST_HEAD and period_order(text[slice(*span)], strict=True) is not None


def column_heads(text: str, line: AlignedLine, below: Sequence[AlignedLine] = ()) -> ColumnHeads | None:
    """Return the columns of a line that heads some; None where it heads none.

    The lines below tell whether a first word without a place at the left heads a column too ("Actual   Prior Year").
    """
    fields = line.fields
    if not fields or len(fields) > 40:
        return None
    last = text[slice(*fields[-1])].rpartition(" ")[2]
    if _FIGURE.fullmatch(last) and BARE_YEAR.fullmatch(last) is None and parse_value(last) is not None:
        return None  # most lines of tables end here
    if len(fields) == 1:
        return _collapsed_head(text, fields[0])
    has_corner = not _is_period(text, fields[0]) and not _heads_figures(text, line, below)
    cells = fields[1:] if has_corner else fields
    dated = [cell for cell in cells if _is_period(text, cell)]
    if not dated or any(end - start > _LONGEST_HEAD for start, end in cells):
        return None
    if any(parse_value(text[slice(*cell)]) is not None for cell in cells if cell not in dated):
        return None
    corner = fields[0] if has_corner else (line.start, line.start)
    return ColumnHeads(corner, cells, is_collapsed=False)


def is_over(text: str, lines: Sequence[AlignedLine], place: int, head: ColumnHeads) -> bool:
    """Whether a line of periods stands over one of more periods, which heads the columns: years over quarters."""
    below = place + 1
    while below < len(lines) and below - place < 3 and RULE.fullmatch(text, lines[below].start, lines[below].end):
        below += 1
    if below >= len(lines) or lines[below].is_set_off:
        return False
    other = column_heads(text, lines[below])
    if other is None or other.is_collapsed != head.is_collapsed or len(other.cells) <= len(head.cells):
        return False
    is_shared = len(other.cells) % len(head.cells) == 0
    return is_shared and all(_is_period(text, cell) for cell in other.cells)


def _groups(fields: Sequence[Span], columns: Sequence[Span]) -> list[int] | None:
    """Return the first of the columns under each of several fields that stand over more than one.

    As many columns under each where that can be, and otherwise the nearest ones. None where every field stands over one
    column alone, or the columns cannot be shared out.
    """
    if len(fields) < 2 or len(columns) <= len(fields):
        return None
    shared = [[min(end, right) - max(start, left) for left, right in columns] for start, end in fields]
    if all(sum(size > 0 for size in sizes) == 1 for sizes in shared):
        return None
    if len(columns) % len(fields) == 0:
        size = len(columns) // len(fields)
        return [size * number for number in range(len(fields))]
    nearest = [
        min(range(len(fields)), key=lambda f, column=column: abs(sum(fields[f]) - sum(column))) for column in columns
    ]
    is_shared_out = nearest == sorted(nearest) and set(nearest) == set(range(len(fields)))
    return [nearest.index(number) for number in range(len(fields))] if is_shared_out else None


def _heads_figures(text: str, line: AlignedLine, below: Sequence[AlignedLine]) -> bool:
    """Whether every field of an indented line, the first one too, stands over a figure of the lines below."""
    if line.fields[0][0] - line.start < _LEAST_INDENT:
        return False
    for other in below:
        beside = [field for field in other.fields[1:] if not is_sign(text[slice(*field)])]
        if beside and all(parse_value(text[slice(*field)]) is not None for field in beside):
            return len(beside) == len(line.fields) and not is_value(text, other.fields[0])
    return False


def _collapsed_head(text: str, field: Span) -> ColumnHeads | None:
    """Return the columns of a line without gaps that ends in two or more periods of one word each."""
    words = [(field[0] + word.start(), field[0] + word.end()) for word in re.finditer(r"\S+", text[slice(*field)])]
    cells: list[Span] = []
    while words and len(cells) < 12 and _is_period(text, words[-1]) and len(text[slice(*words[-1])]) > 1:
        cells.insert(0, words.pop())
    if len(cells) < 2 or len(words) > 8:
        return None
    corner = (words[0][0], words[-1][1]) if words else (field[0], field[0])
    return ColumnHeads(corner, cells, is_collapsed=True)


def row_above(text: str, lines: Sequence[AlignedLine], place: int, columns: Sequence[Span]) -> Iterator[TableRow]:
    """Yield the line above a header that says more of its columns ("Year ended December 31,")."""
    above = place - 1
    while above >= 0 and place - above < 3 and RULE.fullmatch(text, lines[above].start, lines[above].end):
        above -= 1
    if above < 0 or any(line.is_set_off for line in lines[above + 1 : place + 1]):
        return
    line = lines[above]
    left = columns[0][0] - 24
    is_over = all(start - line.start >= max(left, 8) and end - start <= 60 for start, end in line.fields)
    if line.fields and is_over and not any(_is_figure(text, field) for field in line.fields):
        yield header_row(text, line, columns)


def _is_figure(text: str, field: Span) -> bool:
    piece = text[slice(*field)]
    return parse_value(piece) is not None and BARE_YEAR.fullmatch(piece) is None


def is_more_header(text: str, line: AlignedLine, width: int) -> bool:
    """Whether a line under the periods says more of them: periods again, or units."""
    fields = line.fields
    if len(fields) == 1:
        return UNIT_LABEL.fullmatch(plain_name(text[slice(*fields[0])])) is not None
    beside = fields if len(fields) == width else fields[1:]
    return all(_is_period(text, cell) or _is_unit(text, cell) for cell in beside)


def is_shared_out(text: str, line: AlignedLine, head: ColumnHeads) -> bool:
    """Whether a line under the periods heads several columns of each: an amount and a share."""
    pieces = [plain_name(text[slice(*field)]) for field in line.fields]
    size = len(pieces) // len(head.cells)
    is_even = size > 1 and len(pieces) == size * len(head.cells) and not head.is_collapsed
    return is_even and all(_SHARE.fullmatch(piece) for piece in pieces) and pieces == pieces[:size] * len(head.cells)


def _is_unit(text: str, cell: Span) -> bool:
    piece = text[slice(*cell)]
    return UNIT_LABEL.fullmatch(piece) is not None and not is_sign(piece) and parse_value(piece) is None


def header_row(text: str, line: AlignedLine, columns: Sequence[Span]) -> TableRow:
    """Return a line of the header whose fields stand over the columns that they reach, or come nearest to."""
    fields = list(line.fields)
    label = (line.start, line.start)
    if fields[0][1] - line.start <= columns[0][0] - 8 or UNIT_LABEL.fullmatch(plain_name(text[slice(*fields[0])])):
        label = fields.pop(0)
    blank = (label[1], label[1])
    cells = [blank] * len(columns)
    firsts = _groups([in_line(field, line) for field in fields], columns)
    for nth, field in enumerate(fields):
        column = nth if len(fields) == len(columns) else firsts[nth] if firsts else nearest_column(field, line, columns)
        if cells[column] == blank:
            cells[column] = field
    return row_of(line, label, cells)
