"""Tables in layouts that are not read: told from other text, so that a plan can say so."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from engine.statements.printed_numbers import parse_value
from engine.statements.printed_periods import period_order
from engine.statements.rows import Span

_LATEX = re.compile(r"\\begin\{(?:tabular[xy*]?|longtable|array|tabulary|tblr)\}")
_WIKI = re.compile(r"^[ \t]*\{\|.*?(?:^[ \t]*\|\}|\Z)", re.MULTILINE | re.DOTALL)
_YEAR = r"(?:1[89]|20)[0-9]{2}"
_JSON_FIGURE = re.compile(
    rf"(?:[\"'][^\"'\n]{{1,80}}[\"']|{_YEAR})\s*:"
    r"\s*(?:[\"'][-(]?[$€£]?[0-9][0-9.,]*\)?%?[\"']|-?[0-9][0-9.eE+]*)"
)
_JSON_TEXT = re.compile(r"[\"']([^\"'\n]{1,40})[\"']")
_NAMED = re.compile(
    rf"[ \t]*(?:[-*•]\s+)?(?:[^\W\d][^:=\n]{{0,80}}?|{_YEAR})(?:\*\*)?[ \t]*[:=](?:\*\*)?"
    r"[ \t]*(\S[^\n]{0,40}?)[ \t]*"
)
_HEADING = re.compile(r"[ \t]*(?:[-*•#]\s*)*[^\s:][^:\n]{0,60}:(?:\*\*)?[ \t]*")
"""A line that names what the lines below it are of ("revenue:", "FY2022:")."""
_FEWEST_FIGURES = 3
"""Figures in JSON, or lines of names and values, that make a table."""
_LONGEST_LINE = 600


def unread_layout(text: str, read: Sequence[Span]) -> str | None:
    """Return the name of a layout that a text holds a table in and that is not read; None where there is none.

    Parameters
    ----------
    text
        Content of a user's message.
    read
        Spans of the tables that were read.

    Returns
    -------
    str or None
        ``LaTeX``, ``MediaWiki``, ``JSON``, ``CSV``, or ``lines`` of names and values, or of columns set with blanks.
    """
    for start, end in sorted(read, reverse=True):
        text = f"{text[:start]}\n\n{text[end:]}"
    if _LATEX.search(text) and "&" in text:
        return "LaTeX"
    if wiki_tables(text):
        return "MediaWiki"
    if _has_json(text):
        return "JSON"
    lines = text.splitlines()
    if any(_is_csv(lines[place : place + 2], sign) for place in range(len(lines) - 1) for sign in ",;"):
        return "CSV"
    return "lines" if _has_named_figures(lines) or _has_set_figures(lines) else None


def wiki_tables(text: str) -> list[Span]:
    """Return the spans of tables in the markup of MediaWiki, whose pipes begin rows of another kind."""
    found = (match.span() for match in _WIKI.finditer(text) if "{|" in text)
    return [(start, end) for start, end in found if re.search(r"^[ \t]*\|-", text[start:end], re.MULTILINE)]


def _has_json(text: str) -> bool:
    """Whether an object holds figures and a period."""
    begin, end = text.find("{"), text.rfind("}")
    if not 0 <= begin < end:
        return False
    inside = text[begin:end]
    if sum(1 for _ in _JSON_FIGURE.finditer(inside)) < _FEWEST_FIGURES:
        return False
    named = any(period_order(match[1], strict=True) is not None for match in _JSON_TEXT.finditer(inside))
    named = named or re.search(rf"{_YEAR}\s*:", inside) is not None
    return named or re.search(r"[\"'](?:year|period|fiscal_?year|date)[\"']\s*:", inside, re.I) is not None


def _is_csv(lines: Sequence[str], sign: str) -> bool:
    """Whether a line of periods stands over one with as many fields and figures, with a sign between them."""
    if any(sign not in line or len(line) > _LONGEST_LINE for line in lines):
        return False
    head, body = (_fields(line, sign) for line in lines)
    return (
        len(head) == len(body)
        and not any(letter.isdigit() for letter in head[0])
        and any(period_order(cell, strict=True) is not None for cell in head)
        and any(parse_value(cell) is not None for cell in body[1:])
        and not any(parse_value(cell) is not None for cell in head if period_order(cell, strict=True) is None)
    )


def _fields(line: str, sign: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=sign, skipinitialspace=True), [])]


def _has_set_figures(lines: Sequence[str]) -> bool:
    """Whether several lines in a row have figures set with blanks behind a name, or behind a period."""
    named = dated = 0
    for line in lines:
        fields = re.split(r"[ \t]{2,}", line.strip()) if len(line) <= _LONGEST_LINE else []
        is_row = len(fields) > 1 and all(parse_value(field) is not None for field in fields[1:])
        words = line.split() if len(line) <= _LONGEST_LINE else []
        is_period = len(words) > 1 and all(parse_value(word) is not None for word in words[1:])
        named = named + 1 if is_row and fields[0][:1].isalpha() else 0
        dated = dated + 1 if is_period and period_order(words[0], strict=True) is not None else 0
        if named >= _FEWEST_FIGURES or dated > 1:
            return True
    return False


def _has_named_figures(lines: Sequence[str]) -> bool:
    """Whether several lines in a row name a value each."""
    number = 0
    for line in lines:
        if _HEADING.fullmatch(line):
            continue
        match = _NAMED.fullmatch(line) if len(line) <= _LONGEST_LINE else None
        number = number + 1 if match is not None and parse_value(match[1].strip("* ")) is not None else 0
        if number >= _FEWEST_FIGURES:
            return True
    return False
