"""What a statement is: tables of line items, columns and cells, and the groups of spans that key groups ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

Span = tuple[int, int]

SPAN_KINDS = (
    "line_item",
    "cell",
    "header",
    "current_period",
    "prior_period",
    "earlier_period",
    "magnitude_large",
    "magnitude_small",
)
"""What ``group_spans`` finds, and what a key group may ask for."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One printed cell beside a label; `text` is the text's [start, end), `value` None when it is no number.

    `column` is the place in `Table.columns`; a row longer than its header has cells beyond the last column.
    """

    start: int
    end: int
    text: str
    value: float | None
    column: int


@dataclass(frozen=True, slots=True)
class Column:
    """One column of values; `order` sorts its period (1972.0; -1.0 for t-1), None when the label is no period."""

    index: int
    label: str
    start: int
    end: int
    order: float | None


@dataclass(frozen=True, slots=True)
class LineItem:
    """One row: its label [start, end), its whole line [row_start, row_end), and its cells that are not blank.

    In a transposed table the label is a cell of the header, and stands for the row as well.
    """

    name: str
    start: int
    end: int
    row_start: int
    row_end: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table from its header row to its last row; `header` are the cells that head columns, corner and units too."""

    start: int
    end: int
    columns: tuple[Column, ...]
    items: tuple[LineItem, ...]
    header: tuple[Span, ...]

    def periods(self) -> list[tuple[Column, ...]]:
        """Columns that are periods, newest period first; columns of one period ("2012 plan", "2012") together."""
        columns: defaultdict[float, list[Column]] = defaultdict(list)
        for column in self.columns:
            if column.order is not None:
                columns[column.order].append(column)
        return [tuple(columns[order]) for order in sorted(columns, reverse=True)]

    @property
    def current(self) -> Column | None:
        """The (first) column of the latest period."""
        return next((columns[0] for columns in self.periods()[:1]), None)

    @property
    def prior(self) -> Column | None:
        """The (first) column of the period directly before the latest."""
        return next((columns[0] for columns in self.periods()[1:2]), None)

    @property
    def earlier(self) -> tuple[Column, ...]:
        """The columns of all periods before the prior one, newest first."""
        return tuple(column for columns in self.periods()[2:] for column in columns)


@dataclass(frozen=True, slots=True)
class Statement:
    """The tables of one text, in their order."""

    tables: tuple[Table, ...]


def group_spans(statement: Statement, kind: str) -> list[Span]:
    """Character spans of one kind of words in a statement's tables.

    Parameters
    ----------
    statement
        What `parse_statement` found.
    kind
        `line_item` (labels of rows), `cell` (cells that hold a number), `header` (cells that head columns);
        `current_period`, `prior_period`, `earlier_period` (header cell and numbers of the columns of a table's latest
        period, of the one before, of all older ones); `magnitude_large`, `magnitude_small` (numbers whose absolute
        value lies above, or below, the median of those of their table that are not zero).

    Returns
    -------
    list of tuple of int
        First character and one past the last, in the order of the text; they do not overlap.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    if kind not in SPAN_KINDS:
        raise ValueError(f"{kind!r} is no kind of span in a statement: expected one of {', '.join(SPAN_KINDS)}")
    return sorted(span for table in statement.tables for span in _spans(table, kind) if span[1] > span[0])


def _spans(table: Table, kind: str) -> Iterable[Span]:
    if kind == "line_item":
        return ((item.start, item.end) for item in table.items)
    if kind == "header":
        return table.header
    values = [cell for item in table.items for cell in item.cells if cell.value is not None]
    if kind.startswith("magnitude"):
        middle = median([abs(cell.value) for cell in values if cell.value] or [0.0])
        sign = 1 if kind == "magnitude_large" else -1
        values = [cell for cell in values if cell.value and sign * abs(cell.value) > sign * middle]
    elif kind != "cell":
        first = ("current_period", "prior_period", "earlier_period").index(kind)
        last = first + 1 if first < 2 else None
        columns = [column for columns in table.periods()[first:last] for column in columns]
        return _column_spans(columns, values)
    return ((cell.start, cell.end) for cell in values)


def _column_spans(columns: Iterable[Column], values: Iterable[Cell]) -> Iterator[Span]:
    indices = set()
    for column in columns:
        indices.add(column.index)
        yield column.start, column.end
    yield from ((cell.start, cell.end) for cell in values if cell.column in indices)


def named_item_spans(statement: Statement) -> dict[str, list[Span]]:
    """Spans of every line item by its name: its label and its numbers; a name's second row is "Name (2)"."""
    spans: dict[str, list[Span]] = {}
    nth: dict[str, int] = {}
    for item in (item for table in statement.tables for item in table.items if item.name):
        key = item.name
        while key in spans:
            nth[item.name] = nth.get(item.name, 1) + 1
            key = f"{item.name} ({nth[item.name]})"
        values = ((cell.start, cell.end) for cell in item.cells if cell.value is not None)
        spans[key] = [(item.start, item.end), *values]
    return spans


def period_spans(statement: Statement) -> dict[str, list[Span]]:
    """Spans of every period by its label ("1972"): its header cells and its numbers in all tables."""
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    for table in statement.tables:
        values: defaultdict[int, list[Span]] = defaultdict(list)
        for cell in (cell for item in table.items for cell in item.cells if cell.value is not None):
            values[cell.column].append((cell.start, cell.end))
        for column in (column for column in table.columns if column.order is not None):
            spans[column.label] += [(column.start, column.end), *values[column.index]]
    return {label: sorted(found) for label, found in spans.items()}
