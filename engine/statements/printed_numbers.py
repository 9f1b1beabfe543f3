"""Numbers as financial tables print them: signs, brackets, currencies, scales, points and commas."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

_LONGEST_VALUE = 64
DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹣－", "-") | {"’": "'", "\\": None, "\u2060": None})
_EMPHASIS = re.compile(r"(\*{1,3}|_{1,2}|`|~~)(.*)\1")
_NUMBER = re.compile(r"([^0-9.,]*)([.,]?[0-9](?:[0-9.,' ]*[0-9])?[.,]?)(e[+-]?[0-9]{1,3})?([^0-9]*)")
_CURRENCY = re.compile(r"us\$|[$€£¥₹]|usd|eur|gbp|jpy|chf|cad|aud|cny|rmb|inr|hkd|krw|sek|nok|dkk|rs\.?|[\s*†‡¹²³]")
_TRIANGLES = str.maketrans(dict.fromkeys("△▲▽▼", "-"))
"""Minus signs of Japanese statements; where they stand for up and down the size is the same."""
_FOOTNOTES = re.compile(r"(?<=[0-9)%])(?:\s*(?:\[\^?[a-z0-9]{1,3}\]|\((?:[a-z]|[0-9]{1,2})\)))+$")
_AROUND = re.compile(r"([^0-9]*?(?=[.,]?[0-9]|$))(.*[0-9])?([^0-9]*)", re.DOTALL)
_CURRENCY_BEFORE = re.compile(
    r"(?<![a-z])(?:[a-z]{1,3}\$|\$[a-z]|rs|re|kr|sfr|fr|rp|rm|zł|kč|ft|php|cr|dr|brl|zar|mxn|sgd|twd|nzd|pln|czk|huf|try|thb"
    r"|idr|myr|rub|ils|aed|sar|vnd|cop|clp|ars|nt|[₩₽₺₫฿元円원₪₱₦₴¢])\.?(?![a-z$])\s*"
)
_CURRENCY_BEHIND = re.compile(
    r"^\s*(?:[a-z]{1,3}\$|kr|sfr|fr|zł|kč|ft|cr|dr|brl|zar|mxn|sgd|twd|nzd|pln|czk|huf|try|thb|idr|myr|rub|ils|aed|sar|vnd"
    r"|[₩₽₺₫฿元円원₪₱₦₴¢]|cts?|cents?|c|p|pence)\.?\s*(\)?)$"
)
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_TAIL = re.compile(r"([a-z%百千万萬亿億兆백만억조천]*)(\)?)([a-z%百千万萬亿億兆백만억조천]*)(-?)")
_UNIT_BEHIND_SCALE = re.compile(r"(?<=[百千万萬亿億兆백만억조천])(?:人民币|人民幣|元|圆|圓|円|원|港元|美元)(?=\)?$)")
"""What is counted, behind an East Asian scale: 12.5亿元, 1,250億円."""
_GROUPED_BY_BLANKS = re.compile(r"[0-9]{1,3}(?:[ '][0-9]{3})+(?:[.,][0-9]*)?")
_PLAIN = re.compile(r"[0-9]*\.?[0-9]+|[0-9]+\.")
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]*)?|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]*)?")
_NEEDS_COMMA = re.compile(r"(?<![0-9])0,[0-9]|\.[0-9]{3},[0-9]|[0-9],(?:[0-9]{1,2}|[0-9]{4,})(?![0-9,])")
_NEEDS_POINT = re.compile(r"(?<![0-9])0?\.[0-9]|,[0-9]{3}\.[0-9]|[0-9]\.(?:[0-9]{1,2}|[0-9]{4,})(?![0-9.])")
_DIGITS = re.compile(r"[0-9][0-9.,]*[0-9]|[0-9]")
_GROUPED_BY_POINTS = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+")
_SCALES: dict[str, float] = {
    scale: factor
    for factor, scales in (
        (1.0, ("", "%", "x", "bp", "bps", "pp")),
        (1e3, ("k", "thousand")),
        (1e5, ("lakh", "lakhs", "lac")),
        (1e7, ("crore", "crores")),
        (1e6, ("m", "mm", "mn", "mio", "million", "millions")),
        (1e9, ("b", "bn", "mrd", "billion", "billions")),
        (1e12, ("tn", "trillion")),
        (1e3, ("千", "천")),
        (1e4, ("万", "萬", "만")),
        (1e6, ("百万", "百萬", "백만")),
        (1e7, ("千万", "千萬", "천만")),
        (1e8, ("亿", "億", "억")),
        (1e12, ("万亿", "萬億", "兆", "조")),
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
    plain = " ".join(_unemphasised(text).translate(DASHES).lower().split())
    plain = plain if plain.isascii() else _UNIT_BEHIND_SCALE.sub("", plain)
    value = _value(plain, decimal)
    if value is None and (bare := _without_additions(plain)) != plain and not _YEAR.fullmatch(bare):
        return _value(bare, decimal)
    return value


def _without_additions(text: str) -> str:
    """Return a number without marks of footnotes, rarer currencies, cents, and with a minus for a triangle.

    What is left may be a year, as in the header "2023(1)".
    """
    text = _FOOTNOTES.sub("", text).translate(_TRIANGLES)
    around = _AROUND.fullmatch(text)
    if around is None:
        return text
    head, number, tail = around.groups(default="")
    head, tail = _CURRENCY_BEFORE.sub("", head), _CURRENCY_BEHIND.sub(r"\1", tail)
    return f"{head}{number}{tail}".strip()


def _value(text: str, decimal: str) -> float | None:
    """Return the number of a text without emphasis, in lower case."""
    match = _NUMBER.fullmatch(text)
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
    """Choose a table's decimal sign: a comma only when some cell cannot be read otherwise and none needs a point.

    Where neither decides, points before three digits group thousands if whole numbers of two or three digits stand
    beside them and no larger one is printed without.
    """
    comma = point = grouped = small = other = False
    for text in (text for text in texts if len(text) <= _LONGEST_VALUE):
        comma = comma or _NEEDS_COMMA.search(text) is not None
        point = point or _NEEDS_POINT.search(text) is not None
        for number in _DIGITS.findall(text):
            grouped = grouped or _GROUPED_BY_POINTS.fullmatch(number) is not None
            comma = comma or (number.count(".") > 1 and _GROUPED_BY_POINTS.fullmatch(number) is not None)
            small = small or (number.isdigit() and len(number) in (2, 3))
            other = other or "," in number or (number.isdigit() and len(number) > 3)
    if not comma and not point and grouped and small and not other:
        return ","
    return "," if comma and not point else "."


def _unemphasised(text: str) -> str:
    match = _EMPHASIS.fullmatch(text)
    return match[2] if match else text


def plain_name(text: str) -> str:
    """Return a label without Markdown emphasis and escapes, inner blanks collapsed."""
    return " ".join(_unemphasised(text).replace("\\|", "|").split())
