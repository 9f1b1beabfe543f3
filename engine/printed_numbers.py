"""Numbers as financial tables print them: signs, brackets, currencies, scales, points and commas."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

_LONGEST_VALUE = 64
DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹣－", "-") | {"’": "'", "\\": None})
_EMPHASIS = re.compile(r"(\*{1,3}|_{1,2}|`)(.*)\1")
_NUMBER = re.compile(r"([^0-9.,]*)([.,]?[0-9](?:[0-9.,' ]*[0-9])?[.,]?)(e[+-]?[0-9]{1,3})?([^0-9]*)")
_CURRENCY = re.compile(r"us\$|[$€£¥₹]|usd|eur|gbp|jpy|chf|cad|aud|cny|rmb|inr|hkd|krw|sek|nok|dkk|rs\.?|[\s*†‡¹²³]")
_TAIL = re.compile(r"([a-z%]*)(\)?)([a-z%]*)(-?)")
_GROUPED_BY_BLANKS = re.compile(r"[0-9]{1,3}(?:[ '][0-9]{3})+(?:[.,][0-9]*)?")
_PLAIN = re.compile(r"[0-9]*\.?[0-9]+|[0-9]+\.")
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]*)?|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]*)?")
_NEEDS_COMMA = re.compile(r"(?<![0-9])0,[0-9]|\.[0-9]{3},[0-9]|[0-9],(?:[0-9]{1,2}|[0-9]{4,})(?![0-9,])")
_NEEDS_POINT = re.compile(r"(?<![0-9])0?\.[0-9]|,[0-9]{3}\.[0-9]|[0-9]\.(?:[0-9]{1,2}|[0-9]{4,})(?![0-9.])")
_SCALES: dict[str, float] = {
    scale: factor
    for factor, scales in (
        (1.0, ("", "%", "x", "bp", "bps", "pp")),
        (1e3, ("k", "thousand")),
        (1e6, ("m", "mm", "mn", "mio", "million", "millions")),
        (1e9, ("b", "bn", "mrd", "billion", "billions")),
        (1e12, ("tn", "trillion")),
    )
    for scale in scales
}


def parse_value(text: str, decimal: str = ".") -> float | None:
    """Read a number as statements print it: "(1,234)", "$ (3.4)", "−1.2", "1.234,56", "1 234", "12%", "3.4 bn".

    Parameters
    ----------
    text
        One cell.
    decimal
        The sign that wins where both readings are possible ("1.234", "1,234"): "." or ",".

    Returns
    -------
    float, or None
        The number in units (3.4 bn is 3.4e9), a percentage as printed (12% is 12.0); None when it is no number.
    """
    if len(text) > _LONGEST_VALUE:
        return None
    match = _NUMBER.fullmatch(" ".join(_unemphasised(text).translate(DASHES).lower().split()))
    if match is None:
        return None
    head, digits, exponent, tail = match.groups()
    head = _CURRENCY.sub("", head)
    ending = _TAIL.fullmatch(_CURRENCY.sub("", tail))
    if ending is None or head not in ("", "+", "-", "(", "(-", "-(") or ("(" in head) != (ending[2] == ")"):
        return None
    scale = ending[1] + ending[3]
    number = _number(digits, decimal)
    if number is None or scale not in _SCALES or (ending[4] and head):
        return None
    value = float(f"{number}{exponent or ''}") * _SCALES[scale]
    if not math.isfinite(value):
        return None
    return -value if value and (head or ending[4]) not in ("", "+") else value


def _number(digits: str, decimal: str) -> str | None:
    if _GROUPED_BY_BLANKS.fullmatch(digits):
        digits = digits.replace(" ", "").replace("'", "")
    swapped = digits.translate(str.maketrans(".,", ",."))
    for candidate in (digits, swapped) if decimal == "." else (swapped, digits):
        if _PLAIN.fullmatch(candidate):
            # "000" is a unit ("thousands"), not a figure.
            return candidate if len(candidate) == 1 or candidate.strip("0") else None
        if _GROUPED.fullmatch(candidate):
            return candidate.replace(",", "")
    return None


def decimal_sign(texts: Iterable[str]) -> str:
    """Choose a table's decimal sign: a comma only when some cell cannot be read otherwise and none needs a point."""
    comma = point = False
    for text in (text for text in texts if len(text) <= _LONGEST_VALUE):
        comma = comma or _NEEDS_COMMA.search(text) is not None
        point = point or _NEEDS_POINT.search(text) is not None
    return "," if comma and not point else "."


def _unemphasised(text: str) -> str:
    match = _EMPHASIS.fullmatch(text)
    return match[2] if match else text


def plain_name(text: str) -> str:
    """Return a label without Markdown emphasis and escapes, inner blanks collapsed."""
    return " ".join(_unemphasised(text).replace("\\|", "|").split())
