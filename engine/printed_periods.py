"""Periods as financial tables head their columns with: years, quarters, dates, t and t-1, current and prior."""

from __future__ import annotations

import re

from engine.printed_numbers import DASHES, plain_name

_LONGEST_PERIOD = 120
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
YEAR = r"(?:1[89]|20)[0-9]{2}"
BARE_YEAR = re.compile(rf"{YEAR}(?:\.0)?")
_MONTH = rf"(?<![a-z])(?P<name>{'|'.join(_MONTHS)})(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?\.?(?![a-z])"
_DAY = r"(?P<d>[0-9]{1,2})(?:st|nd|rd|th)?"
_PART = r"(?<![a-z0-9])(?:(?P<part>[qh])(?P<nth>[1-4])|(?P<nth2>[1-4])(?P<part2>[qh]))"
_ANY_YEAR = rf"(?P<y>{YEAR}|[0-9]{{2}})(?![0-9])"
_DATED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<![0-9])(?P<y>{YEAR})(?P<s>[-/.])(?P<m>[0-9]{{1,2}})(?P=s)(?P<d>[0-9]{{1,2}})(?![0-9])",
        rf"(?<![0-9])(?P<y>{YEAR})[-/](?P<m>[0-9]{{1,2}})(?![0-9]|[-/.][0-9])",
        rf"(?<![0-9])(?P<m>[0-9]{{1,2}})(?P<s>[-/.])(?P<d>[0-9]{{1,2}})(?P=s){_ANY_YEAR}",
        rf"{_MONTH}[ -]?{_DAY}(?:, ?| )(?P<y>{YEAR})(?![0-9])",
        # Two digits after a blank are a day ("Dec 31"), not a year.
        rf"(?:(?<![0-9]){_DAY}[ .-]{{0,2}})?{_MONTH}[ ,]*-?'?(?:(?P<y>{YEAR})|(?<! )(?P<yy>[0-9]{{2}}))(?![0-9])",
        rf"{_PART}[ ,/'-]{{0,3}}(?:fy[ '-]?)?{_ANY_YEAR}",
        rf"(?:fy[ '-]?(?P<yy>[0-9]{{2}})|(?P<y>{YEAR}))[ ,/-]{{0,2}}{_PART.replace('(?<![a-z0-9])', '')}(?![0-9])",
        rf"(?<![a-z])fye?[ '-]{{0,2}}{_ANY_YEAR}",
        # Years that were read as floats are printed as 1972.0.
        rf"(?<![0-9.,$€£])(?P<y>{YEAR})(?:\.0)?(?![0-9]|[.,][0-9])",
    )
)
_TWO_YEARS = re.compile(rf"(?<![0-9])({YEAR}) ?([-/]) ?({YEAR}|[0-9]{{2}})(?![0-9]|[-/.][0-9])")
_NO_PERIOD = re.compile(r"\b(?:change|chg|growth|variance|vs|versus|yoy|cagr|difference|diff|delta)\b|[Δδ±]")
_FILLERS = re.compile(
    r"(?:the|as|of|at|on|for|fiscal|financial|calendar|years?|quarter|half|months?|period|end|ended|ending|three|six|nine"
    r"|twelve|actual|(?:un)?audited|restated|reported|estimated?|forecast|budget|plan|[aefp])"
)
_WORD_BEFORE = r"(?:(?:fiscal |financial )?(?:year|period) )?"
_OFFSET = re.compile(_WORD_BEFORE + r"(?:t|y|fy) ?([+-]) ?([0-9]{1,2})|(?:year|period) ?([+-]?) ?([0-9]{1,2})")
_NOUN = r"(?: fiscal| financial)? (?:year|period|quarter|month)"
_RELATIVE = tuple(
    (re.compile(pattern), order)
    for pattern, order in (
        (rf"{_WORD_BEFORE}t ?0?|fy0|current|(?:this|current|latest|most recent){_NOUN}", 0.0),
        (rf"prior|previous|preceding|(?:last|prior|previous|preceding){_NOUN}|(?:one|1) year ago", -1.0),
        (rf"(?:two|2) years (?:ago|prior)|year before last|(?:second|2nd) (?:prior|previous|preceding){_NOUN}", -2.0),
        (r"(?:three|3) years (?:ago|prior)", -3.0),
        (rf"next{_NOUN}", 1.0),
    )
)


def period_order(label: str, strict: bool = False) -> float | None:
    """Find what a period sorts by: its year, plus the part of the year where it is known, or its offset to now.

    1972 is 1972.0, "Q3 2012" 2012.5, "2012-12-31" just under 2013, "FY12" 2012.0, "2012/13" 2013.0; "t" and "current
    year" are 0.0, "t-1" and "prior year" are -1.0.

    Parameters
    ----------
    label
        Text of a header cell, or the label of a row.
    strict
        Allow nothing beside the period but words such as "fiscal year ended"; without it "Revenue 2012" is 2012.0.

    Returns
    -------
    float, or None
        None when the label is no period, or names two of them ("2012 vs 2011").
    """
    if len(label) > _LONGEST_PERIOD:
        return None
    plain = " ".join(plain_name(label).translate(DASHES).lower().split())
    if _NO_PERIOD.search(plain):
        return None
    if (order := _relative_order(plain.removeprefix("(").removesuffix(")"))) is not None:
        return order
    two = _TWO_YEARS.search(plain)
    if two and (int(two[3]) - int(two[1]) - 1) % 100 == 0 and not (two[2] == "-" and 1 <= int(two[3]) <= 12):
        return _unless_more(plain, two, int(two[1]) + 1.0, strict)
    if len(set(re.findall(rf"(?<![0-9]){YEAR}(?![0-9])", plain))) > 1:
        return None
    for pattern in _DATED:
        match = pattern.search(plain)
        if match and (order := _dated_order(match)) is not None:
            return _unless_more(plain, match, order, strict)
    return None


def _unless_more(plain: str, match: re.Match[str], order: float, strict: bool) -> float | None:
    beside = re.sub(r"[\W_]+", " ", plain[: match.start()] + " " + plain[match.end() :])
    return None if strict and any(_FILLERS.fullmatch(word) is None for word in beside.split()) else order


def _relative_order(plain: str) -> float | None:
    if match := _OFFSET.fullmatch(plain):
        return float((match[1] or match[3] or "") + (match[2] or match[4]))
    if match := re.fullmatch(r"([1-4])?([qh])([1-4])?", plain):
        nth = int(match[1] or match[3] or 0)
        return _part_of_year(match[2], nth) if nth and not (match[1] and match[3]) else None
    return next((order for pattern, order in _RELATIVE if pattern.fullmatch(plain)), None)


def _part_of_year(part: str, nth: int) -> float | None:
    parts = 4 if part == "q" else 2
    return (nth - 1) / parts if nth <= parts else None


def _dated_order(match: re.Match[str]) -> float | None:
    found = match.groupdict()
    digits = found.get("yy") or found["y"]
    # Two digits: 50 to 99 are of the last century.
    year = int(digits) + (0 if len(digits) == 4 else 1900 if int(digits) >= 50 else 2000)
    if part := found.get("part") or found.get("part2"):
        fraction = _part_of_year(part, int(found.get("nth") or found["nth2"]))
        return None if fraction is None else year + fraction
    month = _MONTHS.index(found["name"]) + 1 if found.get("name") else int(found.get("m") or 1)
    day = int(found.get("d") or 1)
    if "m" in found and match.start("m") < match.start("y"):
        # Day and month before the year: with points the day is first, with strokes (as in the US) the month is.
        month, day = (day, month) if found["s"] == "." or month > 12 else (month, day)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return year + (month - 1) / 12 + (day - 1) / 372
