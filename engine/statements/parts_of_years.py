"""Quarters, halves and months to date beside each other in one table: those that end together are one period."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.statements.period_words import in_common_words, months_of_year

_QUARTER_OR_HALF = re.compile(r"(?<![a-z0-9])(?:f?([qh])([1-4])|([1-4])f?([qh]))(?![a-z])")
_TO_DATE = re.compile(r"(?<![a-z])(?:ytd|year[ -]to[ -]date)(?![a-z])")
_YEARS = (1000.0, 3000.0)


def ending_together(names: Sequence[str], orders: Sequence[float | None]) -> list[float | None]:
    """Return what periods sort by, parts of one year by the quarter that they end in, where their kinds are mixed.

    "9M 2023" beside "Q3 2023" is the same period, as is "H1 2023" beside "Q2 2023", and "YTD 2023" beside the last of
    them. Halves and months alone keep their order.

    Parameters
    ----------
    names
        What the columns are called, in lower case.
    orders
        What they sort by alone.
    """
    parts = [_part(name) if _is_year(order) else None for name, order in zip(names, orders, strict=True)]
    kinds = {part[0] for part in parts if part}
    if len(kinds - {"ytd"}) > 1 or ("ytd" in kinds and len(kinds) > 1):
        ends = [_quarter(order, part) for order, part in zip(orders, parts, strict=True)]
        latest: dict[int, float] = {}
        for end, part in zip(ends, parts, strict=True):
            if end is not None and part and part[0] != "ytd":
                latest[int(end)] = max(end, latest.get(int(end), end))
        return [
            latest.get(int(end), end) if end is not None and part and part[0] == "ytd" else end
            for end, part in zip(ends, parts, strict=True)
        ]
    return list(orders)


def _is_year(order: float | None) -> bool:
    return order is not None and _YEARS[0] < order < _YEARS[1]


def _part(name: str) -> tuple[str, int] | None:
    """Return the kind of a part of a year and the month of the year that it ends with; None for others."""
    if several := months_of_year(name):
        month = round((several[1] % 1) * 12) + 1
        return ("m", month) if month > 1 else None
    match = _QUARTER_OR_HALF.search(in_common_words(name))
    if match:
        kind, nth = match[1] or match[4], int(match[2] or match[3])
        return kind, nth * (3 if kind == "q" else 6)
    return ("ytd", 0) if _TO_DATE.search(name) else None


def _quarter(order: float | None, part: tuple[str, int] | None) -> float | None:
    """Return what the quarter that a part ends with sorts by; what it sorted by where it ends inside of one."""
    if order is None or part is None or part[0] == "ytd" or part[1] % 3 or part[1] > 12:
        return order
    return int(order) + (part[1] / 3 - 1) / 4
