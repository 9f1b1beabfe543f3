"""What a statement is: tables of line items, columns and cells."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Cell:
    """One printed cell beside a label.

    Attributes
    ----------
    start, end
        First character and one past the last.
    text
        What stands there.
    value
        Its number; None when it is none.
    column
        Its place in ``Table.columns``; a row longer than its header has cells beyond the last column.
    """

    start: int
    end: int
    text: str
    value: float | None
    column: int


@dataclass(frozen=True, slots=True)
class Column:
    """One column of values; ``order`` sorts its period (1972.0; -1.0 for t-1), None when the label is no period."""

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
    """One table from its header row to its last row.

    ``header`` are cells that head columns, corner and units too. ``is_ordered``: whether the newest period is known;
    where a header beside the known ones may name another period, there is no current, prior or earlier one.
    """

    start: int
    end: int
    columns: tuple[Column, ...]
    items: tuple[LineItem, ...]
    header: tuple[Span, ...]
    is_ordered: bool = True

    def ordered_periods(self) -> list[tuple[Column, ...]]:
        """Return what ``periods`` does; nothing where it is not known which period is the newest."""
        return self.periods() if self.is_ordered else []

    def periods(self) -> list[tuple[Column, ...]]:
        """Return the columns that are periods, newest first; columns of one period ("2012 plan", "2012") together."""
        columns: defaultdict[float, list[Column]] = defaultdict(list)
        for column in self.columns:
            if column.order is not None:
                columns[column.order].append(column)
        return [tuple(columns[order]) for order in sorted(columns, reverse=True)]

    @property
    def current(self) -> Column | None:
        """The (first) column of the latest period."""
        return next((columns[0] for columns in self.ordered_periods()[:1]), None)

    @property
    def prior(self) -> Column | None:
        """The (first) column of the period directly before the latest."""
        return next((columns[0] for columns in self.ordered_periods()[1:2]), None)

    @property
    def earlier(self) -> tuple[Column, ...]:
        """The columns of all periods before the prior one, newest first."""
        return tuple(column for columns in self.ordered_periods()[2:] for column in columns)


@dataclass(frozen=True, slots=True)
class Statement:
    """The tables of one text, in their order."""

    tables: tuple[Table, ...]
