"""Lines of a text that are rows of a table, with the character spans of their cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

Span = tuple[int, int]

_LINE = re.compile(r"[^\r\n]+")
_PIPE = re.compile(r"\\.|\|")
_RULE_SIGNS = " \t|+:-=_─━═┼"
_RULE_FIELD = re.compile(r"[ \t]*:?[-=─━═]+:?[ \t]*")
UNIT_LABEL = re.compile(r"\(?(?:(?:(?:figures |amounts )?in|units?|currency|usd|eur)\b|[$€£]|thousand|million).*", re.I)


class TableRow(NamedTuple):
    """One line of a table: its span, its kind, its cells, and whether it begins and ends with a pipe.

    ``kind`` is ``row``, or a rule: ``dashes``, ``plus`` (with + at its crossings), ``markdown`` (with pipes).
    """

    start: int
    end: int
    kind: str
    cells: tuple[Span, ...]
    opened: bool
    closed: bool


def table_runs(text: str) -> Iterator[list[TableRow]]:
    """Rows and rules that follow one another line by line; a blank line or any other line ends a run."""
    run: list[TableRow] = []
    end = 0
    for match in _LINE.finditer(text):
        row = _row(match[0], match.start())
        if run and (row is None or text[end : match.start()] not in ("\n", "\r\n", "\r")):
            yield run
            run = []
        if row is not None:
            run.append(row)
        end = match.end()
    if run:
        yield run


def _row(line: str, start: int) -> TableRow | None:
    end = start + len(line)
    if kind := _rule_kind(line):
        return TableRow(start, end, kind, (), False, False)
    pipes = [match.start() for match in _PIPE.finditer(line) if match[0] == "|"]
    if not pipes:
        return None
    opened = not line[: pipes[0]].strip()
    last_is_outer = not line[pipes[-1] + 1 :].strip()
    bounds = [*([] if opened else [-1]), *pipes, *([] if last_is_outer else [len(line)])]
    cells = tuple(_trimmed(line, left + 1, right, start) for left, right in pairwise(bounds))
    return TableRow(start, end, "row", cells, opened, opened and last_is_outer)


def _trimmed(line: str, left: int, right: int, offset: int) -> Span:
    piece = line[left:right]
    start = offset + left + len(piece) - len(piece.lstrip())
    return start, max(start, offset + left + len(piece.rstrip()))


def _rule_kind(line: str) -> str:
    if line.strip(_RULE_SIGNS):
        return ""
    dashes = sum(line.count(sign) for sign in "-=_─━═")
    if "|" not in line and "+" not in line:
        return "dashes" if dashes >= 3 and ":" not in line else ""
    fields = [part for part in re.split(r"[|+]", line) if part.strip()]
    return ("markdown" if "|" in line else "plus") if fields and all(map(_RULE_FIELD.fullmatch, fields)) else ""
