"""The label and the cells of a line of an aligned table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.statements.layouts.aligned_lines import MISSING_WORDS, AlignedLine, is_value, touched_column
from engine.statements.printed_numbers import parse_value
from engine.statements.rows import Span
from engine.statements.signs import figures, is_mark, is_sign


def cells_of(text: str, line: AlignedLine, columns: Sequence[Span], *, is_collapsed: bool) -> tuple[Span, list[Span]]:
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
    if is_value(text, label):
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
        column = touched_column(span, line, columns)
        if column is not None and cells[column] == blank:
            cells[column] = span
    return label, cells


def _without_figure(
    text: str, label: Span, beside: list[Span], line: AlignedLine, columns: Sequence[Span]
) -> tuple[Span, list[Span]]:
    """Return a label without the figure that follows it after one blank only, where a column stands."""
    num_values = sum(not is_sign(text[slice(*span)]) for span in beside)
    words = text[slice(*label)].rsplit(" ", 1)
    figure = (label[1] - len(words[-1]), label[1])
    if num_values >= len(columns) or len(words) < 2 or not _is_value_word(text, figure):
        return label, beside
    if touched_column(figure, line, columns) != 0:
        return label, beside
    name = words[0].rstrip()
    return (label[0], label[0] + len(name)), [figure, *beside]


def _is_stray_mark(text: str, span: Span, line: AlignedLine, columns: Sequence[Span]) -> bool:
    return is_mark(text[slice(*span)]) and touched_column(span, line, columns) is None


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
    return parse_value(piece) is not None or piece.lower() in MISSING_WORDS or is_sign(piece)
