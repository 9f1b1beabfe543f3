"""One row of a table, whatever its layout: the spans of its cells."""

from __future__ import annotations

from typing import NamedTuple

Span = tuple[int, int]


class TableRow(NamedTuple):
    """One line of a table: its span, its kind, its cells, and whether it begins and ends with a pipe.

    ``kind`` is ``row``, or a rule: ``dashes``, ``plus`` (with + at its crossings), ``markdown`` (with pipes). Cells
    between tabs, tags or columns of blanks count as if they stood between pipes.
    """

    start: int
    end: int
    kind: str
    cells: tuple[Span, ...]
    opened: bool
    closed: bool


def trimmed(text: str, left: int, right: int) -> Span:
    """Return the span of what is not blank between two places of a text."""
    piece = text[left:right]
    start = left + len(piece) - len(piece.lstrip())
    return start, max(start, left + len(piece.rstrip()))
