"""Cells that belong to the figure beside them: currencies, per cent, brackets and marks of footnotes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from engine.statements.printed_numbers import DASHES, parse_value, plain_name
from engine.statements.rows import Span, TableRow

_BEFORE = re.compile(
    r"(?:(?:[a-z]{1,3})?[$€£¥₹₩₽₺₫฿元円원]|us\$|usd|eur|gbp|jpy|chf|cad|aud|cny|rmb|inr|hkd|krw|sek|nok|dkk|brl|r\$|rs\.?"
    r"|[(+<>~≈])+",
    re.I,
)
_AFTER = re.compile(r"(?:[)%‰]|pp|bps?|x|pts?)+\.?|[(]?(?:thousand|million|billion|mio\.?|mrd\.?|bn|mn|m|k)[)]?", re.I)
_MARK = re.compile(r"(?:[([](?:[0-9]{1,2}|[a-z])(?:, ?(?:[0-9]{1,2}|[a-z]))*[)\]]|[*†‡§¹²³#]+)+", re.I)
_LONGEST = 16


def _bare(text: str) -> str:
    """Return a cell without the emphasis of Markdown."""
    return plain_name(text) or text if text[:1] in "*_`" else text


def is_sign(text: str) -> bool:
    """Whether a cell holds nothing but what belongs to the figure before or behind it."""
    return is_before(text) or is_after(text)


def is_before(text: str) -> bool:
    """Whether a cell holds a currency, an opening bracket or a minus, which stand before figures."""
    return len(text) <= _LONGEST and _BEFORE.fullmatch(_bare(text).translate(DASHES)) is not None


def is_after(text: str) -> bool:
    """Whether a cell holds a closing bracket, per cent or a scale, which stand behind figures."""
    return len(text) <= _LONGEST and _AFTER.fullmatch(_bare(text).translate(DASHES)) is not None


def is_mark(text: str) -> bool:
    """Whether a cell could be the mark of a footnote; "(1)" is a figure as well."""
    return len(text) <= _LONGEST and _MARK.fullmatch(_bare(text)) is not None


def figures(text: str, cells: Sequence[Span], decimal: str = ".") -> list[float | None]:
    """Return the number of every cell; "(632" with its bracket closed in the next cell is negative."""
    texts = [_bare(text[start:end]) for start, end in cells]
    shown = [place for place, piece in enumerate(texts) if piece]
    values: list[float | None] = [None] * len(texts)
    for nth, place in enumerate(shown):
        before = texts[shown[nth - 1]] if nth else ""
        after = texts[shown[nth + 1]] if nth + 1 < len(shown) else ""
        piece = texts[place]
        if after[:1] == ")" and (piece[:1] == "(" or "(" in piece[:8]) and ")" not in piece:
            piece += ")"
        elif after[:1] == ")" and before[-1:] == "(" and is_before(before):
            piece = f"({piece})"
        values[place] = parse_value(piece, decimal)
    return values


def without_sign_columns(text: str, rows: Sequence[TableRow], width: int) -> list[TableRow]:
    """Return rows that are longer than their header without the cells that only ever hold signs.

    Rows of one length have them at the same places, also where one of them leaves a sign out. A bracket behind a figure
    stays with it where nothing but blanks lie between.

    Parameters
    ----------
    text
        What the spans are of.
    rows
        The table's body.
    width
        Cells beside the label, as the header has them.
    """
    shared = {}
    for length in {len(row.cells) for row in rows if len(row.cells) - 1 > width}:
        alike = [row.cells[1:] for row in rows if len(row.cells) == length]
        pieces = [[text[slice(*span)] for span in column] for column in zip(*alike, strict=True)]
        kept = [
            place for place, column in enumerate(pieces) if not all(not piece or is_sign(piece) for piece in column)
        ]
        if len(kept) == width and any(is_sign(piece) for column in pieces for piece in column):
            shared[length] = kept
    return [_only(text, row, shared.get(len(row.cells))) for row in rows]


def _only(text: str, row: TableRow, kept: Sequence[int] | None) -> TableRow:
    if kept is None:
        return row
    beside = row.cells[1:]
    cells = [
        (beside[place][0], beside[place + 1][1])
        if place + 1 < len(beside)
        and text[slice(*beside[place + 1])][:1] == ")"
        and not text[beside[place][1] : beside[place + 1][0]].strip()
        else beside[place]
        for place in kept
    ]
    return row._replace(cells=(row.cells[0], *cells))


def without_signs(text: str, row: TableRow, width: int) -> TableRow:
    """Return a row that is longer than its header for its signs' sake as one cell for each figure.

    Parameters
    ----------
    text
        What the spans are of.
    row
        A row.
    width
        Cells beside the label, as the header has them.
    """
    beside = row.cells[1:]
    if len(beside) <= width or not any(is_sign(text[start:end]) for start, end in beside):
        return row
    for cells in (
        [span for span in beside if not is_sign(text[slice(*span)])],
        [span for span in beside if span[1] > span[0] and not is_sign(text[slice(*span)])],
    ):
        if len(cells) == width:
            return row._replace(cells=(row.cells[0], *cells))
    return row


class _Column:
    """What stands in one column of a table's body."""

    def __init__(self) -> None:
        self.num_figures = self.num_before = self.num_after = self.num_marks = self.num_words = 0

    def add(self, piece: str, value: float | None) -> None:
        self.num_marks += is_mark(piece)
        if value is not None:
            self.num_figures += 1
        elif piece:
            self.num_before += is_before(piece)
            self.num_after += is_after(piece) or is_mark(piece)
            self.num_words += not is_sign(piece) and not is_mark(piece)

    @property
    def has_marks_only(self) -> bool:
        return self.num_figures == self.num_marks and not self.num_words


def placed_labels(
    text: str, labels: Sequence[Span], rows: Iterable[TableRow], decimal: str
) -> tuple[list[Span], frozenset[int]]:
    """Move header cells from columns of signs to the columns of their figures.

    A header over a currency goes for the figures on its right, one over per cent or a closing bracket for those on its
    left, and one over blanks to the side on which all of them find figures.

    Parameters
    ----------
    text
        What the spans are of.
    labels
        Header cells by column, blank ones included.
    rows
        The table's body.
    decimal
        Its decimal sign.

    Returns
    -------
    tuple of list and frozenset
        Header cells by column, and the columns that hold marks of footnotes.
    """
    columns: list[_Column] = []
    for row in rows:
        beside = row.cells[1:]
        while len(columns) < len(beside):
            columns.append(_Column())
        for column, span, value in zip(columns, beside, figures(text, beside, decimal), strict=False):
            column.add(text[slice(*span)], value)
    heads = [place for place, (start, end) in enumerate(labels) if end > start]
    marks = frozenset(
        place
        for place, column in enumerate(columns)
        if column.num_figures
        and column.has_marks_only
        and place not in heads
        and place - 1 in heads
        and columns[place - 1].num_figures
        and not columns[place - 1].has_marks_only
    )
    moved = _moved(columns, heads, marks)
    if all(place == head for head, place in moved.items()):
        return list(labels), marks
    placed: list[Span] = [(start, start) for start, _ in labels]
    placed += [placed[-1]] * (max(moved.values()) + 1 - len(placed))
    for head, place in moved.items():
        placed[place] = labels[head]
    return placed, marks


def _moved(columns: Sequence[_Column], heads: Sequence[int], marks: frozenset[int]) -> dict[int, int]:
    """Return which column every header cell goes for; its own where nothing else is known."""
    choices = [dict(_choices(columns, heads, marks, prefers_right=side)) for side in (True, False)]
    return max(
        choices,
        key=lambda moved: sum(columns[place].num_figures > 0 for place in moved.values() if place < len(columns)),
    )


def _choices(
    columns: Sequence[_Column], heads: Sequence[int], marks: frozenset[int], *, prefers_right: bool
) -> Iterator[tuple[int, int]]:
    taken: set[int] = set(heads)
    for nth, head in enumerate(heads):
        column = columns[head] if head < len(columns) else _Column()
        if column.num_figures or column.num_words:
            yield head, head
            continue
        first = heads[nth - 1] + 1 if nth else 0
        last = heads[nth + 1] if nth + 1 < len(heads) else len(columns)
        right = [place for place in range(head + 1, last) if _is_free(columns, place, taken, marks)]
        left = [
            place
            for place in range(min(head, len(columns)) - 1, first - 1, -1)
            if _is_free(columns, place, taken, marks)
        ]
        if column.num_before != column.num_after:
            sides = (right, left) if column.num_before > column.num_after else (left, right)
        else:
            sides = (right, left) if prefers_right else (left, right)
        place = next((side[0] for side in sides if side), head)
        taken.add(place)
        yield head, place


def _is_free(columns: Sequence[_Column], place: int, taken: set[int], marks: frozenset[int]) -> bool:
    return place not in taken and place not in marks and columns[place].num_figures > 0
