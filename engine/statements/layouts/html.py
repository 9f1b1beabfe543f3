"""Tables in HTML inside a text: their rows and cells as spans, and the text as it reads without its tags."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from engine.statements.rows import Span, TableRow, trimmed

_TAG = re.compile(r"<(/?)(table|thead|tr|td|th)\b([^<>]*)>", re.I)
_COUNT = re.compile(r"\b(col|row)span\s*=\s*[\"']?\s*([0-9]{1,4})", re.I)
_BLANKED = re.compile(
    r"<sup\b[^<>]*>[^<>]{0,8}</sup>|<!--.*?-->|<[/a-z!][^<>]*>|&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});"
    r"|[\r\n\t\xa0]",
    re.I | re.DOTALL,
)
_TAGS = re.compile(r"<sup\b[^<>]*>[^<>]{0,8}</sup>|<!--.*?-->|<[/a-z!][^<>]*>", re.I | re.DOTALL)
_MOST_CELLS = 150
"""Cells of one row at most: a table may say that a cell spans any number of columns."""
_MOST_BLANK = 20
"""Blank cells that a table may have for each of its cells, for those that span others, before spans count no more."""
_PAD = "\u2060"
"""Stands for the characters of an entity beyond the one that it means; no figure is read otherwise for it."""


@dataclass(slots=True)
class _Row:
    start: int
    end: int
    cells: list[tuple[Span, int, int]] = field(default_factory=list)
    """Span of the content, columns and rows that it takes."""


@dataclass(frozen=True, slots=True)
class HtmlTable:
    """One table, from its first tag to its last, with its rows; ``num_head_rows`` of them stand in ``thead``."""

    start: int
    end: int
    rows: tuple[TableRow, ...]
    num_head_rows: int


def html_tables(text: str) -> tuple[str, list[HtmlTable]]:
    """Find the tables between ``<tr>`` tags.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    tuple of str and list of HtmlTable
        The text with as many characters, in which blanks stand for the tables' tags, marks of footnotes (``sup``) and
        line ends, and characters for their entities; and the tables. A table inside another's cell is one of its own,
        and so is what the outer one has behind it.
    """
    if "<t" not in text and "<T" not in text:
        return text, []
    regions = _regions(text)
    if not regions:
        return text, []
    parts, place = [], 0
    for start, end, _, _ in regions:
        parts += [text[place:start], _BLANKED.sub(_as_wide, text[start:end])]
        place = end
    plain = "".join([*parts, text[place:]])
    tables = [HtmlTable(start, end, _expanded(plain, start, end, rows), head) for start, end, rows, head in regions]
    return plain, tables


def readable(markup: str) -> str:
    """Return what a cell says: without tags, its entities as characters."""
    return html.unescape(_TAGS.sub("", markup)) if "<" in markup or "&" in markup else markup


def _as_wide(match: re.Match[str]) -> str:
    size = len(match[0])
    if match[0][0] != "&":
        return " " * size
    meant = html.unescape(match[0])[:size]
    return " " * size if meant.isspace() else meant.ljust(size, _PAD)


def _regions(text: str) -> list[tuple[int, int, list[_Row], int]]:
    """Return start, end, rows and number of head rows of every table that has cells."""
    regions: list[tuple[int, int, list[_Row], int]] = []
    rows: list[_Row] = []
    start = end = head = 0
    cell: tuple[int, int, int] | None = None

    def close_cell(at: int) -> None:
        nonlocal cell
        if cell is not None:
            rows[-1].cells.append(((cell[0], at), cell[1], cell[2]))
            rows[-1].end = at
        cell = None

    def close_table() -> None:
        nonlocal rows, head
        if any(row.cells for row in rows):
            regions.append((start, end, [row for row in rows if row.cells], head))
        rows, head = [], 0

    for tag in _TAG.finditer(text):
        is_end, name = bool(tag[1]), tag[2].lower()
        close_cell(tag.start())
        if name == "table":
            end = tag.end() if is_end else end
            close_table()
        elif name == "thead" and is_end:
            head = len(rows)
        elif name == "tr" and not is_end:
            if not rows:
                start = tag.start()
            rows.append(_Row(tag.start(), tag.end()))
        elif name == "tr" and rows:
            rows[-1].end = tag.end()
        elif name in ("td", "th") and not is_end and rows:
            counts = {kind.lower(): max(int(number), 1) for kind, number in _COUNT.findall(tag[3])}
            cell = tag.end(), counts.get("col", 1), counts.get("row", 1)
        end = tag.end() if rows else end
    if cell is not None:
        end = next((sign.start() for sign in re.compile(r"[<\r\n]").finditer(text, cell[0])), len(text))
    close_cell(end)
    close_table()
    return regions


def _expanded(plain: str, start: int, end: int, rows: list[_Row]) -> tuple[TableRow, ...]:
    """Return rows of single cells: a cell that spans columns or rows is followed by blank ones."""
    expanded: list[TableRow] = []
    below: dict[int, int] = {}  # rows that the cell above a column still takes
    num_left = _MOST_BLANK * sum(len(row.cells) for row in rows)
    for number, row in enumerate(rows):
        cells: list[Span] = []
        num_left -= len(expanded[-1].cells) if expanded else 0
        for (left, right), columns, lines in row.cells:
            columns, lines = (columns, lines) if num_left > 0 else (1, 1)
            while num_left > 0 and below.get(len(cells), 0) and len(cells) < _MOST_CELLS:
                below[len(cells)] -= 1
                cells.append((left, left))
            span = trimmed(plain, left, right)
            for nth in range(min(columns, _MOST_CELLS - len(cells))):
                if lines > 1:
                    below[len(cells)] = lines - 1
                cells.append((span[1], span[1]) if nth else span)
        is_last = number + 1 == len(rows)
        bounds = start if not expanded else row.start, end if is_last else row.end
        expanded.append(TableRow(*bounds, "row", tuple(cells), True, True))
    return tuple(expanded)
