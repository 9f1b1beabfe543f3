"""The year of a row: a number, or the one year that a date, a quarter or a fiscal year names."""

from __future__ import annotations

import re

from engine.inputs.answers.recorded import plain_text
from engine.inputs.selection import as_number

READ, UNREAD = "year_from_text", "unread_year"
_MOST = 9_999
_NAMED = re.compile(r"(?<!\d)(?:1[5-9]|2[01])\d\d(?!\d)")
_DAY = re.compile(r"((?:1[5-9]|2[01])\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])?")
"""A date in digits alone: 20011231, 200112."""


def year_of(value: object) -> tuple[int | None, tuple[str, ...]]:
    """Return the year that a field holds, and a flag where it is only a part of it, or was not found.

    Examples
    --------
    >>> year_of("2001"), year_of(2001.0), year_of("2001-12-31"), year_of("last year")
    ((2001, ()), (2001, ()), (2001, ('year_from_text',)), (None, ('unread_year',)))
    """
    number = as_number(value)
    if number is not None and abs(number) <= _MOST:
        return int(number), ()
    text = str(int(number)) if number is not None and number.is_integer() else plain_text(value)
    if text is None or not text.strip():
        return None, ()
    day = _DAY.fullmatch(text.strip())
    named = {day[1]} if day else set(_NAMED.findall(text))
    return (int(named.pop()), (READ,)) if len(named) == 1 else (None, (UNREAD,))
