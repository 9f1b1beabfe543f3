"""Tables whose columns are set with blanks, as filings and data frames print them: no sign says where a cell ends.

A table begins with a line of periods and goes on as long as lines hold figures. Cells end at two blanks or a row of
dots; where a line has one figure for each period they belong together in order, and otherwise a figure belongs to the
column that it stands in. A table that was copied without its blanks ("Net sales 10,988 5,899") is read where every
figure can be told: under a line that ends in periods, by lines that end in as many figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from engine.statements.layouts.lines import UNIT_LABEL
from engine.statements.printed_numbers import parse_value, plain_name
from engine.statements.printed_periods import BARE_YEAR, period_order
from engine.statements.rows import Span, TableRow
from engine.statements.signs import figures, is_mark, is_sign

_GAP = re.compile(r"[ \xa0]{2,}|[ \xa0]*(?:\.[ \xa0]?){3,}[ \xa0]*|[ \xa0]*…+[ \xa0]*|\t[ \xa0]*")
_RULE = re.compile(r"[ \t\-=_─━═+.]*")
_COLUMN_TAGS = re.compile(r"(?:\s*<[sc]>)+\s*|\s*</?(?:table|caption|page)>\s*", re.I)
_LONGEST_LINE = 600
_LONGEST_HEAD = 40
_MISSING = frozenset(("-", "—", "–", "--", "n/a", "na", "n.a.", "nm", "n.m.", "nil", "none", "nan"))
_NEXT_LINES = 3
_LEAST_INDENT = 8
_MOST_HEADER_ROWS = 4
_SHARE = re.compile(
    r"\(?(?:amounts?|values?|us\$|[$€£¥%]|percent(?:age)?|(?:%|percent) of (?:net )?(?:sales|revenues?|total)|"
    r"betrag|anteil|montant|importe|importo|valor|сумма|金额|金額|占比|比率|構成比|금액|비율)\)?",
    re.I,
)
"""What the columns under one period hold."""
_FIGURE = re.compile(r"[(+-]?[$€£¥]? ?[0-9][0-9.,]*%?[)]?")


class AlignedTable(NamedTuple):
    """Header rows and rows of one table."""

    header: list[TableRow]
    rows: list[TableRow]


class _Line(NamedTuple):
    """A line that is not blank: its span, its fields, and whether a blank line stands before it."""

    start: int
    end: int
    fields: list[Span]
    is_set_off: bool


class _Head(NamedTuple):
    """The line that heads columns: their cells, and what stands above the labels."""

    corner: Span
    cells: list[Span]
    is_collapsed: bool


def aligned_tables(text: str, lines: Sequence[Span]) -> Iterator[AlignedTable]:
    """Yield the tables of lines that follow one another.

    Parameters
    ----------
    text
        What the spans are of.
    lines
        Spans of lines, blank ones and rows of other layouts left out.
    """
    read = [_line(text, lines, place) for place in range(len(lines))]
    place = 0
    while place < len(read):
        head = _head(text, read[place], read[place + 1 : place + 1 + _NEXT_LINES])
        if head is None or _is_over(text, read, place, head):
            place += 1
            continue
        table, after = _table(text, read, place, head)
        if table is not None:
            yield table
        place = after if table is not None else place + 1


def _line(text: str, lines: Sequence[Span], place: int) -> _Line:
    start, end = lines[place]
    is_set_off = place > 0 and text[lines[place - 1][1] : start] not in ("\n", "\r\n", "\r")
    line = text[start:end]
    if len(line) > _LONGEST_LINE or not line.strip():
        return _Line(start, end, [], is_set_off)
    fields, left = [], len(line) - len(line.lstrip())
    right = len(line.rstrip())
    for gap in _GAP.finditer(line, left, right):
        if gap.start() > left:
            fields.append((start + left, start + gap.start()))
        left = gap.end()
    if right > left:
        fields.append((start + left, start + right))
    return _Line(start, end, fields, is_set_off)


def _is_period(text: str, span: Span) -> bool:
    return span[1] - span[0] <= _LONGEST_HEAD and period_order(text[slice(*span)], strict=True) is not None


def _head(text: str, line: _Line, below: Sequence[_Line] = ()) -> _Head | None:
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
    return _Head(corner, cells, is_collapsed=False)


def _is_over(text: str, lines: Sequence[_Line], place: int, head: _Head) -> bool:
    """Whether a line of periods stands over one of more periods, which heads the columns: years over quarters."""
    below = place + 1
    while below < len(lines) and below - place < 3 and _RULE.fullmatch(text, lines[below].start, lines[below].end):
        below += 1
    if below >= len(lines) or lines[below].is_set_off:
        return False
    other = _head(text, lines[below])
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


def _heads_figures(text: str, line: _Line, below: Sequence[_Line]) -> bool:
    """Whether every field of an indented line, the first one too, stands over a figure of the lines below."""
    if line.fields[0][0] - line.start < _LEAST_INDENT:
        return False
    for other in below:
        beside = [field for field in other.fields[1:] if not is_sign(text[slice(*field)])]
        if beside and all(parse_value(text[slice(*field)]) is not None for field in beside):
            return len(beside) == len(line.fields) and not _is_value(text, other.fields[0])
    return False


def _collapsed_head(text: str, field: Span) -> _Head | None:
    """Return the columns of a line without gaps that ends in two or more periods of one word each."""
    words = [(field[0] + word.start(), field[0] + word.end()) for word in re.finditer(r"\S+", text[slice(*field)])]
    cells: list[Span] = []
    while words and len(cells) < 12 and _is_period(text, words[-1]) and len(text[slice(*words[-1])]) > 1:
        cells.insert(0, words.pop())
    if len(cells) < 2 or len(words) > 8:
        return None
    corner = (words[0][0], words[-1][1]) if words else (field[0], field[0])
    return _Head(corner, cells, is_collapsed=True)


def _table(text: str, lines: Sequence[_Line], place: int, head: _Head) -> tuple[AlignedTable | None, int]:
    """Return the table below a header and the line behind it; no table where no figures follow."""
    columns = [_in_line(cell, lines[place]) for cell in head.cells]
    header = [*_above(text, lines, place, columns), _row(lines[place], head.corner, head.cells)]
    num_above = len(header) - 1
    rows: list[TableRow] = []
    waiting: list[TableRow] = []  # labels without figures, which belong to the table if figures follow
    num_figures = 0
    after = place + 1
    for number in range(place + 1, len(lines)):
        line = lines[number]
        piece = text[line.start : line.end]
        if not line.fields or _RULE.fullmatch(piece) or _COLUMN_TAGS.fullmatch(piece):
            continue
        if not rows and not waiting and len(header) == num_above + 1 and _is_shared_out(text, line, head):
            columns = [_in_line(field, line) for field in line.fields]
            size = len(columns) // len(head.cells)
            spread = [(head.corner[1], head.corner[1])] * len(columns)
            spread[::size] = head.cells
            header = [_row(lines[place], head.corner, spread), _row(line, (line.start, line.start), line.fields)]
            head = head._replace(cells=line.fields)
            continue
        if not rows and not waiting and _is_more_header(text, line, len(columns)):
            header.append(_header_row(text, line, columns))
            if len(header) > _MOST_HEADER_ROWS:
                break
            continue
        if (rows or waiting) and _head(text, line) is not None:
            break
        label, cells = _cells(text, line, columns, is_collapsed=head.is_collapsed)
        if any(end > start for start, end in cells):
            rows += [*waiting, _row(line, label, cells)]
            waiting, after = [], number + 1
            num_figures += 1
            columns = _widened(columns, [_in_line(cell, line) for cell in cells], line)
        elif len(waiting) < _NEXT_LINES and len(line.fields) == 1 and line.end - line.start <= 120:
            waiting.append(_row(line, line.fields[0], []))
        else:
            break
    is_one = num_figures >= (2 if head.is_collapsed or len(head.cells) == 1 else 1)
    return (AlignedTable(header, rows), after) if is_one else (None, place + 1)


def _in_line(cell: Span, line: _Line) -> Span:
    return cell[0] - line.start, cell[1] - line.start


def _row(line: _Line, label: Span, cells: Sequence[Span]) -> TableRow:
    return TableRow(line.start, line.end, "row", (label, *cells), True, True)


def _above(text: str, lines: Sequence[_Line], place: int, columns: Sequence[Span]) -> Iterator[TableRow]:
    """Yield the line above a header that says more of its columns ("Year ended December 31,")."""
    above = place - 1
    while above >= 0 and place - above < 3 and _RULE.fullmatch(text, lines[above].start, lines[above].end):
        above -= 1
    if above < 0 or any(line.is_set_off for line in lines[above + 1 : place + 1]):
        return
    line = lines[above]
    left = columns[0][0] - 24
    is_over = all(start - line.start >= max(left, 8) and end - start <= 60 for start, end in line.fields)
    if line.fields and is_over and not any(_is_figure(text, field) for field in line.fields):
        yield _header_row(text, line, columns)


def _is_figure(text: str, field: Span) -> bool:
    piece = text[slice(*field)]
    return parse_value(piece) is not None and BARE_YEAR.fullmatch(piece) is None


def _is_more_header(text: str, line: _Line, width: int) -> bool:
    fields = line.fields
    if len(fields) == 1:
        return UNIT_LABEL.fullmatch(plain_name(text[slice(*fields[0])])) is not None
    beside = fields if len(fields) == width else fields[1:]
    return all(_is_period(text, cell) or _is_unit(text, cell) for cell in beside)


def _is_shared_out(text: str, line: _Line, head: _Head) -> bool:
    """Whether a line under the periods heads several columns of each: an amount and a share."""
    pieces = [plain_name(text[slice(*field)]) for field in line.fields]
    size = len(pieces) // len(head.cells)
    is_even = size > 1 and len(pieces) == size * len(head.cells) and not head.is_collapsed
    return is_even and all(_SHARE.fullmatch(piece) for piece in pieces) and pieces == pieces[:size] * len(head.cells)


def _is_unit(text: str, cell: Span) -> bool:
    piece = text[slice(*cell)]
    return UNIT_LABEL.fullmatch(piece) is not None and not is_sign(piece) and parse_value(piece) is None


def _header_row(text: str, line: _Line, columns: Sequence[Span]) -> TableRow:
    """Return a line of the header whose fields stand over the columns that they reach, or come nearest to."""
    fields = list(line.fields)
    label = (line.start, line.start)
    if fields[0][1] - line.start <= columns[0][0] - 8 or UNIT_LABEL.fullmatch(plain_name(text[slice(*fields[0])])):
        label = fields.pop(0)
    blank = (label[1], label[1])
    cells = [blank] * len(columns)
    firsts = _groups([_in_line(field, line) for field in fields], columns)
    for nth, field in enumerate(fields):
        column = nth if len(fields) == len(columns) else firsts[nth] if firsts else _nearest(field, line, columns)
        if cells[column] == blank:
            cells[column] = field
    return _row(line, label, cells)


def _nearest(field: Span, line: _Line, columns: Sequence[Span]) -> int:
    touched = _touched(field, line, columns)
    middle = (field[0] + field[1]) / 2 - line.start
    return min(range(len(columns)), key=lambda c: abs(sum(columns[c]) / 2 - middle)) if touched is None else touched


def _touched(field: Span, line: _Line, columns: Sequence[Span]) -> int | None:
    """Return the column that a field shares most with, or whose right edge is its own."""
    start, end = _in_line(field, line)
    shared = [min(end, right) - max(start, left) for left, right in columns]
    best = max(range(len(columns)), key=lambda column: (shared[column], -abs(columns[column][1] - end)))
    return best if shared[best] > 0 or abs(columns[best][1] - end) <= 2 else None


def _widened(columns: Sequence[Span], cells: Sequence[Span], line: _Line) -> list[Span]:
    """Return the columns with what figures take of them, as long as they stay apart."""
    wider = [
        (min(column[0], cell[0]), max(column[1], cell[1])) if cell[1] > cell[0] else column
        for column, cell in zip(columns, cells, strict=True)
    ]
    are_apart = all(left[1] < right[0] for left, right in pairwise(wider))
    return wider if are_apart else list(columns)


def _cells(text: str, line: _Line, columns: Sequence[Span], *, is_collapsed: bool) -> tuple[Span, list[Span]]:
    """Return label and cells of a line; all cells blank where it holds no figures."""
    fields = line.fields
    blank = (line.end, line.end)
    none = [blank] * len(columns)
    if len(fields) > 1 and text[slice(*fields[0])].isdigit() and text[fields[1][0]].isalpha():
        fields = fields[1:]  # the number that a data frame gives its rows
    pieces = _pieces(text, fields[0], is_collapsed or len(fields) == 1)
    label, beside = pieces[0], [*pieces[1:], *(piece for field in fields[1:] for piece in _pieces(text, field, False))]
    if not is_collapsed and len(fields) > 1 and len(pieces) == 1:
        label, beside = _without_figure(text, label, beside, line, columns)
    if _is_value(text, label):
        label, beside = (line.start, line.start), [label, *beside]
    beside = [span for span in beside if not is_sign(text[slice(*span)])]
    values = figures(text, beside)
    if not any(value is not None for value in values):
        return label, none
    if len(beside) != len(columns) and len(fields) > 1:
        beside = [span for span in beside if not _is_stray_mark(text, span, line, columns)]
    if len(beside) == len(columns):
        return label, list(beside)
    if len(fields) == 1 or is_collapsed:
        tail = beside[-len(columns) :]
        return label, tail if len(beside) > len(columns) else none
    cells = list(none)
    for span in beside:
        column = _touched(span, line, columns)
        if column is not None and cells[column] == blank:
            cells[column] = span
    return label, cells


def _without_figure(
    text: str, label: Span, beside: list[Span], line: _Line, columns: Sequence[Span]
) -> tuple[Span, list[Span]]:
    """Return a label without the figure that follows it after one blank only, where a column stands."""
    num_values = sum(not is_sign(text[slice(*span)]) for span in beside)
    words = text[slice(*label)].rsplit(" ", 1)
    figure = (label[1] - len(words[-1]), label[1])
    if num_values >= len(columns) or len(words) < 2 or not _is_value_word(text, figure):
        return label, beside
    if _touched(figure, line, columns) != 0:
        return label, beside
    name = words[0].rstrip()
    return (label[0], label[0] + len(name)), [figure, *beside]


def _is_stray_mark(text: str, span: Span, line: _Line, columns: Sequence[Span]) -> bool:
    return is_mark(text[slice(*span)]) and _touched(span, line, columns) is None


def _is_value(text: str, span: Span) -> bool:
    piece = text[slice(*span)]
    return parse_value(piece) is not None or piece.lower() in _MISSING or is_sign(piece)


def _pieces(text: str, field: Span, has_label: bool) -> list[Span]:
    """Return the parts of a field: figures with a single blank between them, behind a label where it has one."""
    if not has_label and parse_value(text[slice(*field)]) is not None:
        return [field]
    words = [(field[0] + word.start(), field[0] + word.end()) for word in re.finditer(r"\S+", text[slice(*field)])]
    last = len(words)
    while last > (1 if has_label else 0) and _is_value_word(text, words[last - 1]):
        last -= 1
    if not has_label and last:
        return _with_last_figure(text, field, words)
    while last < len(words) and last and text[slice(*words[last])].lower() in ("and", "&"):
        last += 1
    parts = [(words[0][0], words[last - 1][1])] if last else []
    return [*parts, *words[last:]] or [field]


def _with_last_figure(text: str, field: Span, words: Sequence[Span]) -> list[Span]:
    """Return a label and the currency and figure that stand behind it after one blank only."""
    if len(words) >= 3 and is_sign(text[slice(*words[-2])]) and _is_value_word(text, words[-1]):
        return [(field[0], words[-3][1]), words[-1]]
    return [field]


def _is_value_word(text: str, span: Span) -> bool:
    piece = text[slice(*span)]
    if piece[:1] == "(" and ")" not in piece:
        piece += ")"
    return parse_value(piece) is not None or piece.lower() in _MISSING or is_sign(piece)
