"""One line of an aligned table: its fields, and the column that a field stands in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from engine.statements.printed_numbers import parse_value
from engine.statements.rows import Span, TableRow
from engine.statements.signs import is_sign

_GAP = re.compile(r"[ \xa0]{2,}|[ \xa0]*(?:\.[ \xa0]?){3,}[ \xa0]*|[ \xa0]*…+[ \xa0]*|\t[ \xa0]*")
_LONGEST_LINE = 600
MISSING_WORDS = frozenset(("-", "—", "–", "--", "n/a", "na", "n.a.", "nm", "n.m.", "nil", "none", "nan"))


class AlignedLine(NamedTuple):
    """A line that is not blank: its span, its fields, and whether a blank line stands before it."""

    start: int
    end: int
    fields: list[Span]
    is_set_off: bool


def aligned_line(text: str, lines: Sequence[Span], place: int) -> AlignedLine:
    """Return a line with its fields, which end at gaps; without any where it is blank or too long for a table."""
    start, end = lines[place]
    is_set_off = place > 0 and text[lines[place - 1][1] : start] not in ("\n", "\r\n", "\r")
    line = text[start:end]
    if len(line) > _LONGEST_LINE or not line.strip():
        return AlignedLine(start, end, [], is_set_off)
    fields, left = [], len(line) - len(line.lstrip())
    right = len(line.rstrip())
    for gap in _GAP.finditer(line, left, right):
        if gap.start() > left:
            fields.append((start + left, start + gap.start()))
        left = gap.end()
    if right > left:
        fields.append((start + left, start + right))
    return AlignedLine(start, end, fields, is_set_off)


def in_line(cell: Span, line: AlignedLine) -> Span:
    """Return a span counted from the start of its line."""
    return cell[0] - line.start, cell[1] - line.start


def row_of(line: AlignedLine, label: Span, cells: Sequence[Span]) -> TableRow:
    """Return a line as a row of a table."""
    return TableRow(line.start, line.end, "row", (label, *cells), True, True)


def nearest_column(field: Span, line: AlignedLine, columns: Sequence[Span]) -> int:
    """Return the column that a field reaches, or otherwise the one whose middle is nearest."""
    touched = touched_column(field, line, columns)
    middle = (field[0] + field[1]) / 2 - line.start
    return min(range(len(columns)), key=lambda c: abs(sum(columns[c]) / 2 - middle)) if touched is None else touched


def touched_column(field: Span, line: AlignedLine, columns: Sequence[Span]) -> int | None:
    """Return the column that a field shares most with, or whose right edge is its own."""
    start, end = in_line(field, line)
    shared = [min(end, right) - max(start, left) for left, right in columns]
    best = max(range(len(columns)), key=lambda column: (shared[column], -abs(columns[column][1] - end)))
    return best if shared[best] > 0 or abs(columns[best][1] - end) <= 2 else None


def is_value(text: str, span: Span) -> bool:
    """Whether a span is a number, a word for a missing one, or a sign that belongs to one."""
    piece = text[slice(*span)]
    return parse_value(piece) is not None or piece.lower() in MISSING_WORDS or is_sign(piece)
