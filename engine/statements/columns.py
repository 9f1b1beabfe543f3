"""What heads the columns of a table: labels, periods, and rows that are periods."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from engine.statements.parts_of_years import ending_together
from engine.statements.printed_numbers import parse_value, plain_name
from engine.statements.printed_periods import (
    TRAILING_ORDER,
    is_no_period,
    is_whole_year,
    may_be_period,
    numbers_beside,
    period_order,
)
from engine.statements.relative_words import COUNTERPARTS
from engine.statements.rows import Span, TableRow
from engine.statements.tables import Column, LineItem

_FIRST_YEAR, _LAST_YEAR = 1000.0, 3000.0
_IS_PART = re.compile(r"[1-4]?[qh][1-4]?")
_NO_UNIT = re.compile(r"prior|previous|preceding|prev\.?|[tnp] ?\(?[-−–] ?[0-9]+\)?")
"""Words that do not say whether they go back by a quarter or by a year."""
_COUNTED_BACK = re.compile(r"[^\W\d_] ?\(?[-−–] ?[0-9]{1,2}\)?\Z")
"""A header that counts back from another one ("LFY-1")."""
_COUNTS = re.compile(
    r"(?:#|n[or]?\.?|nos?\.|num(?:ber)?\.?|№|n°|s\.? ?n(?:o|r)?\.?|sr\.? ?no\.?|lfd\.? ?nr\.?|pos\.?|idx|index|id"
    r"|row|line|行|序号|番号|번호)?"
)
_COUNTED = re.compile(r"([0-9]{1,4})[.)]?")


def column_labels(text: str, header: Sequence[TableRow], width: int) -> tuple[list[Span], dict[int, str]]:
    """Return the cells that head columns, and by column what stands above each other in several header rows.

    The first header row with a period, or else the fullest one. Where rows tell periods together only ("Q1" under
    "2023"), the lowest of them, and names that hold what is above.

    Parameters
    ----------
    text
        What the spans are of.
    header
        The header rows.
    width
        Cells of a row of the body.
    """
    orders = [[order for cell in row.cells[1:] if (order := _order(text, cell)) is not None] for row in header]
    dated = [place for place, found in enumerate(orders) if found]
    if not dated:
        heads = max(header, key=lambda row: sum(end > start for start, end in row.cells))
        return _labels(text, heads, width), {}
    best = max(dated, key=lambda place: len(set(orders[place])))
    if len(set(orders[best])) == len(set(orders[dated[0]])):
        best = dated[0]
    labels, names = _labels(text, header[best], width), {}
    if len(header) > 1 and any(len(set(orders[place])) < len(orders[place]) for place in dated):
        lowest = _labels(text, header[dated[-1]], width)
        joined = _joined(text, [_labels(text, row, width) for row in header[: dated[-1] + 1]])
        together = {order for name in joined.values() if (order := period_order(name)) is not None}
        if len(together) > len(set(orders[best])):
            labels, names = lowest, joined
    if not names:
        for row in header[best + 1 :]:
            labels = _spread(text, labels, _labels(text, row, width))
    return labels, names


def _spread(text: str, labels: list[Span], below: list[Span]) -> list[Span]:
    """Return header cells in which a period stands for the blank ones behind it that have a header of their own below.

    ``2023`` over ``Consolidated`` and ``Parent`` heads both.
    """
    period: Span | None = None
    spread = []
    for place, span in enumerate([*labels, *[(0, 0)] * (len(below) - len(labels))]):
        has_own = place < len(below) and below[place][1] > below[place][0]
        if span[1] > span[0]:
            period = span if has_own and _order(text, span) is not None else None
        spread.append(period if period is not None and span[1] <= span[0] and has_own else span)
    while spread and spread[-1][1] <= spread[-1][0]:
        spread.pop()
    return spread


def _labels(text: str, heads: TableRow, width: int) -> list[Span]:
    # Some headers leave out the corner above the labels.
    has_corner = len(heads.cells) + 1 != width or period_order(text[slice(*heads.cells[0])], strict=True) is None
    labels = list(heads.cells[1:] if has_corner else heads.cells)
    while labels and labels[-1][1] <= labels[-1][0]:
        labels.pop()
    return labels


def _joined(text: str, rows: Sequence[Sequence[Span]]) -> dict[int, str]:
    """Return what header rows say of every column of the lowest one; a cell stands for the blank ones behind it."""
    parts: list[list[str]] = []
    for labels in rows:
        last = ""
        filled = []
        for start, end in labels:
            last = plain_name(text[start:end]) if end > start else last
            filled.append(last)
        parts.append(filled)
    return {
        column: " ".join(dict.fromkeys(row[min(column, len(row) - 1)] for row in parts if row)).strip()
        for column, (start, end) in enumerate(rows[-1])
        if end > start
    }


def columns_of(
    text: str, labels: Sequence[Span], names: Mapping[int, str] | None = None, *, strict: bool = False
) -> tuple[Column, ...]:
    """Return columns with what their periods sort by beside each other.

    Parameters
    ----------
    text
        What the spans are of.
    labels
        Header cells by column.
    names
        What a column is called, by the place of its header cell among those that are not blank; by default what the
        cell says.
    strict
        As for ``period_order``.
    """
    shown = iter((names or {}).values())
    texts = [
        (next(shown, "") if names else plain_name(text[start:end])) if end > start else "" for start, end in labels
    ]
    orders = _beside_each_other(texts, [period_order(name, strict=strict) for name in texts])
    return tuple(
        Column(index, name, start, end, order)
        for index, (name, (start, end), order) in enumerate(zip(texts, labels, orders, strict=True))
    )


def _beside_each_other(texts: Sequence[str], orders: Sequence[float | None]) -> list[float | None]:
    """Return what periods sort by when they stand in one table.

    A year ends with its last part ("FY2022" beside "Q4 2022"). "Current" is newer than years, and "prior year" a year
    before the newest of them.
    """
    plain = [name.casefold() for name in texts]
    orders = ending_together(plain, _with_counterparts(plain, orders))
    known = [order for order in orders if order is not None]
    years = {int(order) for order in known if _FIRST_YEAR < order < _LAST_YEAR}
    if not years:
        return _in_one_unit(plain, orders)
    newest = max(order for order in known if _FIRST_YEAR < order < _LAST_YEAR)
    has_current = any(order == 0.0 and not _IS_PART.fullmatch(name) for name, order in zip(plain, orders, strict=True))
    parts = {
        int(order)
        for name, order in zip(texts, orders, strict=True)
        if order is not None and order < _LAST_YEAR and not is_whole_year(name) and not _is_trailing(name)
    }
    placed: list[float | None] = []
    for name, order in zip(texts, orders, strict=True):
        if order is not None and order < 0 and not has_current:
            placed.append(newest + order * _unit(name.casefold()))
        elif order is not None and order < _FIRST_YEAR:
            placed.append(TRAILING_ORDER - 1000 + order)
        elif order is not None and order.is_integer() and int(order) in parts and is_whole_year(name):
            placed.append(order + 0.9999)
        else:
            placed.append(order)
    return placed


def _with_counterparts(plain: Sequence[str], orders: Sequence[float | None]) -> list[float | None]:
    """Return orders in which words mean the current period that do so beside one for the prior one only.

    "N" and "FY" beside "N-1" and "FY-1"; "Exercice" beside "Exercice précédent".
    """
    made = list(orders)
    for letters in ("n", "y", "yr", "fy", "q", "fq", "p", "lfy", "lfq", "lq", "ytd"):
        if letters in plain and any(re.match(rf"{letters} ?\(?[-−–]", name) for name in plain):
            made = [0.0 if name == letters else order for name, order in zip(plain, made, strict=True)]
    known = [order for order in made if order is not None]
    if known and max(known) < 0:
        meant = COUNTERPARTS.split("|")
        made = [0.0 if order is None and name in meant else order for name, order in zip(plain, made, strict=True)]
    return made


def _unit(name: str) -> float:
    """Return the part of a year that "prior" goes back."""
    if "quarter" in name or name in ("pq", "lq"):
        return 1.0 if re.search(r"year|yr", name) else 0.25
    return 1 / 12 if "month" in name else 1.0


def _in_one_unit(plain: Sequence[str], orders: Sequence[float | None]) -> list[float | None]:
    """Return orders in years where quarters and years before now stand beside each other."""
    units = [_unit(name) for name, order in zip(plain, orders, strict=True) if order is not None and order < 0]
    if len(set(units)) < 2:
        return list(orders)
    return [order if order is None else order * _unit(name) for name, order in zip(plain, orders, strict=True)]


def is_order_known(columns: Sequence[Column], items: Sequence[LineItem]) -> bool:
    """Whether it is known which period of a table is the newest: no figures stand under a header that may be one too.

    Beside words for the prior period alone, every other header may be the current one's.
    """
    known = [column.order for column in columns if column.order is not None]
    filled = {cell.column for item in items for cell in item.cells if cell.value is not None}
    others = [column.label for column in columns if column.order is None and column.label and column.index in filled]
    is_prior_only = bool(known) and max(known) < 0
    dated = [column.label for column in columns if column.order is not None and _is_dated(column.label)]
    if len(dated) > 1 and not all(map(is_whole_year, dated)):
        others += [column.label for column in columns if _NO_UNIT.fullmatch(column.label.casefold())]
    if not known:
        some = [label for label in others if may_be_period(label)]
        return len(some) < 2 and not any(map(_COUNTED_BACK.search, some))  # one may well be the year that a row is of
    if _are_told_apart_by_unread_numbers(columns):
        return False
    return not any(may_be_period(label) or (is_prior_only and not is_no_period(label)) for label in others)


def _are_told_apart_by_unread_numbers(columns: Sequence[Column]) -> bool:
    """Whether columns of one period differ in a number that is not understood ("W1 2022", "W2 2022")."""
    seen: dict[tuple[float, str], tuple[int, ...]] = {}
    for column in columns:
        if column.order is not None and is_whole_year(column.label):
            around, numbers = numbers_beside(column.label, column.order)
            if seen.setdefault((column.order, around), numbers) != numbers:
                return True
    return False


def _is_dated(label: str) -> bool:
    return any(sign.isdigit() for sign in label) and _FIRST_YEAR < (period_order(label) or 0.0) < _LAST_YEAR


def _is_trailing(name: str) -> bool:
    return any(word in ("ltm", "ttm", "trailing", "last", "rolling", "mat") for word in name.casefold().split())


def periods_of_rows(text: str, columns: tuple[Column, ...], items: Sequence[LineItem]) -> tuple[Column, ...]:
    """Return the periods that the rows of a transposed table are; none unless all rows are, and no column is."""
    if not columns or any(column.order is not None for column in columns):
        return ()
    periods = columns_of(text, [(item.start, item.end) for item in items], strict=True)
    return periods if all(period.order is not None for period in periods) else ()


def without_row_numbers(
    text: str, header: Sequence[TableRow], rows: Sequence[TableRow]
) -> tuple[list[TableRow], list[TableRow]]:
    """Return header and rows without the numbers of rows before their labels: 0, 1, 2 under a blank, 1, 2 under "#"."""
    counts = [_COUNTED.fullmatch(text[slice(*row.cells[0])]) for row in rows]
    numbers = [int(count[1]) for count in counts if count]
    is_index = (
        len(numbers) == len(rows)
        and numbers[:1] in ([0], [1])
        and numbers == list(range(numbers[0], numbers[0] + len(rows)))
        and all(_COUNTS.fullmatch(plain_name(text[slice(*row.cells[0])]).casefold()) for row in header)
        and all(len(row.cells) > 2 for row in [*header, *rows])
        and all(row.cells[1][1] > row.cells[1][0] for row in rows)
        and all(parse_value(text[slice(*row.cells[1])]) is None for row in rows)
        and all(period_order(text[slice(*row.cells[1])]) is None for row in header)
    )
    if not is_index:
        return list(header), list(rows)
    return [row._replace(cells=row.cells[1:]) for row in header], [row._replace(cells=row.cells[1:]) for row in rows]


def with_labels(
    text: str, header: Sequence[TableRow], rows: Sequence[TableRow]
) -> tuple[list[TableRow], list[TableRow]]:
    """Return header and rows with a blank label in front where a table has none: figures alone under periods."""
    first = [row.cells[0] for row in rows]
    has_none = (
        bool(rows)
        and all(len(row.cells) == len(rows[0].cells) for row in [*header, *rows])
        and any(period_order(text[slice(*row.cells[0])], strict=True) is not None for row in header)
        and all(parse_value(text[slice(*cell)]) is not None for cell in first)
        and any(period_order(text[slice(*cell)], strict=True) is None for cell in first)
    )
    if not has_none:
        return list(header), list(rows)
    return [_with_blank(row) for row in header], [_with_blank(row) for row in rows]


def _with_blank(row: TableRow) -> TableRow:
    start = row.cells[0][0]
    return row._replace(cells=((start, start), *row.cells))


def _order(text: str, cell: Span) -> float | None:
    return period_order(text[slice(*cell)])
