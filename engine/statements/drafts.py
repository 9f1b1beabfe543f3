"""Which rows make one table: where a table begins, which of its rows head columns, and where the next one begins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from engine.statements.layouts.lines import QUALIFIERS, UNIT_LABEL
from engine.statements.printed_numbers import plain_name
from engine.statements.printed_periods import BARE_YEAR, is_no_period, period_order
from engine.statements.rows import TableRow
from engine.statements.signs import figures

_WORD_OR_UNIT = re.compile(r"[^\W\d_]|[$€£¥₹%]")
_MISSING = frozenset(("n/a", "na", "n.a.", "nm", "n.m.", "nil", "none"))


class _Beside(NamedTuple):
    """What stands beside the label of a row that holds no figures."""

    texts: int
    orders: list[float]
    only_years: bool


@dataclass
class Draft:
    """The rows of one table; what later rows are compared with is kept, so that no row is read for each of them."""

    ruled: bool
    corner: str
    is_caption: bool
    header: list[TableRow]
    rows: list[TableRow] = field(default_factory=list)

    def is_dated(self, text: str) -> bool:
        """Whether its header names a period so far."""
        return any(period_order(text[slice(*cell)]) is not None for row in self.header for cell in row.cells[1:])


def drafts(text: str, run: list[TableRow]) -> Iterator[Draft]:
    """Yield the tables of rows and rules that follow one another, each with its header rows and rows."""
    draft: Draft | None = None
    for place, row in enumerate(run):
        if row.kind != "row" or not row.cells:
            continue
        before, after = [other.kind for other in run[max(place - 3, 0) : place]], run[place + 1 : place + 2]
        # Under a bare header the rule may have a plus at its crossings, as databases print it.
        ruled = bool(after) and (after[0].kind == "markdown" or (after[0].kind == "plus" and not row.closed))
        ruled = ruled or (draft is None and _heads_bare_rows(text, row, run[place + 1 :]))
        if not (ruled or row.opened or (draft and draft.ruled)):
            if draft:
                yield draft
            draft = None
        elif draft is None:
            # A pipe at the right may be missing, of two cells or more.
            is_head = ruled or ((row.closed or len(row.cells) > 1) and stands_beside(text, row))
            draft = _draft(text, row, ruled) if is_head else None
        elif not _is_header(text, row, draft, ruled, _set_apart(before, after)):
            draft.rows.append(row)
        elif draft.rows or (ruled and draft.ruled and not _is_qualified(text, row)):
            yield draft
            draft = _draft(text, row, ruled)
        else:
            draft.header.append(row)
            draft.ruled |= ruled
            draft.is_caption = False
    if draft:
        yield draft


def _heads_bare_rows(text: str, row: TableRow, below: list[TableRow]) -> bool:
    """Whether a row without outer pipes names periods, and those below have as many cells, the first with figures."""
    heads = [text[slice(*cell)] for cell in row.cells[1:]]
    are_periods = [period_order(head, strict=True) is not None for head in heads]
    if row.opened or not below or not any(are_periods):
        return False
    if not all(is_one or is_no_period(head) for is_one, head in zip(are_periods, heads, strict=True)):
        return False
    are_alike = all(other.kind == "row" and len(other.cells) == len(row.cells) for other in below[:3])
    return are_alike and any(value is not None for value in figures(text, below[0].cells[1:]))


def _draft(text: str, row: TableRow, ruled: bool) -> Draft:
    corner = plain_name(text[slice(*row.cells[0])]).casefold()
    return Draft(ruled, corner, not any(end > start for start, end in row.cells[1:]), [row])


def _set_apart(before: list[str], after: list[TableRow]) -> bool:
    """Whether rules set a row apart as a header, in a table that has no rule between all of its rows."""
    if not after or after[0].kind == "row" or not before:
        return False
    if before[-1] == "row":
        return after[0].kind == "markdown"
    return len(before) == 3 and (before[1] != "row" or before[0] == "row")


def stands_beside(text: str, row: TableRow) -> _Beside | None:
    """Return what stands beside a row's label; None for one with a figure, or without anything, which is no header."""
    texts, orders, only_years = 0, [], True
    for (start, end), value in zip(row.cells[1:], figures(text, row.cells[1:]), strict=True):
        cell = text[start:end]
        is_year = end - start < 16 and BARE_YEAR.fullmatch(plain_name(cell)) is not None
        if not is_year and value is not None:
            return None
        order = period_order(cell) if cell else None
        if order is not None:
            orders.append(order)
            only_years &= is_year
        elif _WORD_OR_UNIT.search(cell) and cell.lower() not in _MISSING:
            texts += 1
    return _Beside(texts, orders, only_years) if any(end > start for start, end in row.cells) else None


def _is_header(text: str, row: TableRow, draft: Draft, ruled: bool, set_apart: bool) -> bool:
    """Whether a row inside a table heads columns: those of the next table, or its own as a second header row."""
    beside = stands_beside(text, row)
    label = plain_name(text[slice(*row.cells[0])])
    is_unit = UNIT_LABEL.fullmatch(label) is not None
    if beside is None or not (beside.texts or beside.orders):
        return beside is not None and not draft.rows and is_unit
    if set_apart:
        return True
    if beside.orders:
        # Bare years beside another label: figures can look like that (employees: 1971, 1985), successive years hardly.
        steps = {right - left for left, right in pairwise(beside.orders)}
        is_first = not draft.rows and (is_unit or not draft.is_dated(text))
        return is_first or not beside.only_years or label.casefold() in ("", draft.corner) or steps in ({1.0}, {-1.0})
    if draft.rows:
        return False
    # Directly under the header: the true header under a caption, or a row of units.
    return (ruled and not draft.ruled) or draft.is_caption or not label or is_unit or _is_qualified(text, row)


def _is_qualified(text: str, row: TableRow) -> bool:
    """Whether all that stands beside a row's label says more of periods: audited, restated, a unit, a type."""
    said = [plain_name(text[start:end]) for start, end in row.cells[1:] if end > start]
    return bool(said) and all(map(QUALIFIERS.fullmatch, said))
