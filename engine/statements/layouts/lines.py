"""Lines of a text that are rows of a table, between pipes or tabs, with the character spans of their cells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from engine.statements.rows import Span, TableRow, trimmed

_LINE = re.compile(r"[^\r\n]+")
_PIPE = re.compile(r"\\.|\|")
_RULE_SIGNS = " \t|+:-=_─━═┼"
_RULE_FIELD = re.compile(r"[ \t]*:?[-=─━═]+:?[ \t]*")
UNIT_LABEL = re.compile(r"\(?(?:(?:(?:figures |amounts )?in|units?|currency|usd|eur)\b|[$€£]|thousand|million).*", re.I)

QUALIFIERS = re.compile(
    r"\(?(?:as )?(?:(?:un)?audited|actuals?|(?:originally )?reported|(?:re)?stated|adjusted|budget(?:ed)?|plan(?:ned)?|"
    r"forecasts?|estimated?|consolidated|parent(?: company)?|group|stand-?alone|pro[- ]forma|preliminary|final|revised|"
    r"recast|original|(?:non-?)?gaap|ifrs|amounts?|values?|(?:un)?geprüft|ist|soll|plan|(?:non )?auditée?s?|"
    r"[iuf](?:8|16|32|64)|u?int64|float64|str|object|実績|予想|经审计|未经审计|" + UNIT_LABEL.pattern + r")\)?[*†]?",
    re.I,
)
"""What a second row of headers says of periods."""


def table_runs(text: str, beside: Sequence[Span] = ()) -> tuple[list[list[TableRow]], list[list[Span]]]:
    """Return the rows and rules that follow one another line by line, and the lines between them.

    A blank line, any other line, or a row of another layout ends a run; among rows between tabs a line without one is
    a row that has a label only.

    Parameters
    ----------
    text
        Any text.
    beside
        Spans, in order, whose lines are left out.

    Returns
    -------
    tuple of list and list
        Runs of rows, and the lines between rows, rules among them and blank ones left out.
    """
    lines = list(_lines(text, beside))
    runs: list[list[TableRow]] = [[]]
    others: list[list[Span]] = [[]]
    for place, (start, end) in enumerate(lines):
        row, run = _row(text[start:end], start), runs[-1]
        is_direct = bool(run) and text[run[-1].end : start] in ("\n", "\r\n", "\r")
        if (
            row is None
            and is_direct
            and _has_tabs(text, run[-1])
            and _goes_on_with_tabs(text, lines[place : place + 2])
        ):
            row = TableRow(start, end, "row", (trimmed(text, start, end),), True, True)
        if run and not (row is not None and is_direct and _is_one_layout(text, run, row)):
            runs.append([])
        if row is not None:
            runs[-1].append(row)
        if row is None or row.kind != "row":
            others[-1].append((start, end))
        elif others[-1]:
            others.append([])
    return [run for run in runs if run], [group for group in others if group]


def _lines(text: str, beside: Sequence[Span]) -> Iterator[Span]:
    nth = 0
    for match in _LINE.finditer(text):
        while nth < len(beside) and beside[nth][1] <= match.start():
            nth += 1
        if nth == len(beside) or match.end() <= beside[nth][0]:
            yield match.span()


def _has_tabs(text: str, row: TableRow) -> bool:
    return row.kind == "row" and ("\t" in text[row.start : row.end] or len(row.cells) == 1) and row.opened


def _goes_on_with_tabs(text: str, lines: Sequence[Span]) -> bool:
    return (
        len(lines) == 2 and "\t" in text[slice(*lines[1])] and text[lines[0][1] : lines[1][0]] in ("\n", "\r\n", "\r")
    )


def _is_one_layout(text: str, run: Sequence[TableRow], row: TableRow) -> bool:
    if row.kind != "row":
        return True
    last = next((other for other in reversed(run) if other.kind == "row"), row)
    return _has_pipes(text, last) == _has_pipes(text, row)


def _has_pipes(text: str, row: TableRow) -> bool:
    return "|" in text[row.start : row.end]


def _row(line: str, start: int) -> TableRow | None:
    end = start + len(line)
    if kind := _rule_kind(line):
        return TableRow(start, end, kind, (), False, False)
    pipes = [match.start() for match in _PIPE.finditer(line) if match[0] == "|"]
    if not pipes:
        return _tabbed_row(line, start)
    opened = not line[: pipes[0]].strip()
    last_is_outer = not line[pipes[-1] + 1 :].strip()
    bounds = [*([] if opened else [-1]), *pipes, *([] if last_is_outer else [len(line)])]
    cells = tuple(_trimmed(line, left + 1, right, start) for left, right in pairwise(bounds))
    return TableRow(start, end, "row", cells, opened, opened and last_is_outer)


def _tabbed_row(line: str, start: int) -> TableRow | None:
    """Return the row of a line whose cells stand between tabs; None for one without two of them."""
    if "\t" not in line.strip():
        return None
    # A tab at the beginning is an empty label, one at the end nothing.
    tabs = [place for place, sign in enumerate(line.rstrip()) if sign == "\t"]
    bounds = [-1, *tabs, len(line)]
    cells = tuple(_trimmed(line, left + 1, right, start) for left, right in pairwise(bounds))
    return TableRow(start, start + len(line), "row", cells, True, True)


def _trimmed(line: str, left: int, right: int, offset: int) -> Span:
    start, end = trimmed(line, left, right)
    return offset + start, offset + end


def _rule_kind(line: str) -> str:
    if line.strip(_RULE_SIGNS):
        return ""
    dashes = sum(line.count(sign) for sign in "-=_─━═")
    if "|" not in line and "+" not in line:
        return "dashes" if dashes >= 3 and ":" not in line else ""
    fields = [part for part in re.split(r"[|+]", line) if part.strip()]
    return ("markdown" if "|" in line else "plus") if fields and all(map(_RULE_FIELD.fullmatch, fields)) else ""
