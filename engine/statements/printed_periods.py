"""Periods as financial tables head their columns with: years, quarters, dates, t and t-1, current and prior."""

from __future__ import annotations

import re
from functools import lru_cache

from engine.statements import period_words
from engine.statements.printed_numbers import DASHES, plain_name
from engine.statements.relative_words import RELATIVE_WORDS

_LONGEST_PERIOD = 120
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
YEAR = r"(?:1[89]|20)[0-9]{2}"
BARE_YEAR = re.compile(rf"{YEAR}(?:\.0)?")
_MONTH = rf"(?<![a-z])(?P<name>{'|'.join(_MONTHS)})(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?\.?(?![a-z])"
_DAY = r"(?P<d>[0-9]{1,2})(?:st|nd|rd|th)?"
_PART = r"(?<![a-z0-9])(?:f?(?P<part>[qh])(?P<nth>[1-4])|(?P<nth2>[1-4])f?(?P<part2>[qh]))(?:[aefp](?![a-z]))?"
_ANY_YEAR = rf"(?P<y>{YEAR}|[0-9]{{2}})(?![0-9])"
_DATED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<![0-9])(?P<y>{YEAR})(?P<s>[-/.])(?P<m>[0-9]{{1,2}})(?P=s)(?P<d>[0-9]{{1,2}})(?![0-9])",
        rf"(?<![0-9])(?P<y>{YEAR})[-/](?P<m>[0-9]{{1,2}})(?![0-9]|[-/.][0-9])",
        rf"(?<![0-9])(?P<m>[0-9]{{1,2}})(?P<s>[-/.])(?P<d>[0-9]{{1,2}})(?P=s){_ANY_YEAR}",
        rf"{_MONTH}[ /-]?{_DAY}(?:, ?|[ /-])(?P<y>{YEAR})(?![0-9])",
        rf"{_MONTH}[/-]{_DAY}[/-](?P<yy>[0-9]{{2}})(?![0-9])",
        rf"{_MONTH} ?{_DAY},? ?'(?P<yy>[0-9]{{2}})(?![0-9])",
        rf"(?<![0-9./-])(?P<m>[0-9]{{1,2}})(?P<s>[/-])(?P<y>{YEAR})(?![0-9]|[-/.][0-9])",
        rf"\A(?P<y>{YEAR})(?:\.(?P<m>0[1-9]|1[0-2]))\Z",
        rf"\A(?P<y>{YEAR})(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12][0-9]|3[01])\Z",
        rf"(?<![0-9]){_DAY}[ .-]{{1,2}}{_MONTH} '?(?P<yy>[0-9]{{2}})(?![0-9])",
        # Two digits after a blank are a day ("Dec 31"), not a year.
        rf"(?:(?<![0-9]){_DAY}[ .-]{{0,2}})?{_MONTH}[ ,]*-?'?(?:(?P<y>{YEAR})|(?<! )(?P<yy>[0-9]{{2}}))(?![0-9])",
        rf"{_PART}[ ,/'-]{{0,3}}(?:fy[ '-]?)?{_ANY_YEAR}",
        rf"(?:fy[ '-]?(?P<yy>[0-9]{{2}})|(?P<y>{YEAR}))[ ,/-]{{0,2}}{_PART.replace('(?<![a-z0-9])', '')}(?![0-9])",
        rf"(?<![a-z])(?:(?:f?ye|fy|cy)[ '-]{{0,2}}|f'?){_ANY_YEAR}",
        # Years that were read as floats are printed as 1972.0.
        rf"(?<![0-9.,$€£])(?P<y>{YEAR})(?:\.0)?(?![0-9]|[.,][0-9])",
    )
)
_TWO_YEARS = re.compile(rf"(?<![0-9])({YEAR}) ?([-/]) ?({YEAR}|[0-9]{{2}})(?![0-9]|[-/.][0-9])")
_TWO_SHORT_YEARS = re.compile(r"(?<![a-z])(?:fye?|gj) ?'?([0-9]{2})([-/])([0-9]{2})(?![0-9]|[-/.][0-9])")
_BREAK = re.compile(r"<br ?/?>", re.IGNORECASE)
"""A line end in a cell of Markdown."""
_FOOTNOTE = re.compile(r"(?<=.) ?(?:[([](?:[0-9]{1,2}|[a-z])[)\]]|[*†‡§¹²³])+\Z")
_NO_PERIOD = re.compile(r"\b(?:change|chg|growth|variance|vs|versus|yoy|cagr|difference|diff|delta)\b|[Δδ±]")
_FILLERS = re.compile(
    r"(?:the|as|of|at|on|for|fiscal|financial|calendar|years?|quarter|half|months?|period|end|ended|ending|three|six|nine"
    r"|twelve|actual|(?:un)?audited|restated|reported|estimated?|forecast|budget|plan|[aefp]|"
    + period_words.FILLERS
    + ")"
)
_UNIT_WORDS = re.compile(
    r"in|t?eur|k?usd|gbp|chf|jpy|cny|rmb|inr|tsd\.?|mio\.?|mrd\.?|bn|mn|t?[€$£¥₹][mk]?|[mkt][€$£]|us\$|millions?|thousands?"
    r"|['’]000s?|[€$£]['’]000s?|000s?|actuals?|restated|reported|audited|unaudited|adjusted|geprüft|retraité|金额|金額"
)
TRAILING_ORDER = 9000.0
"""What the trailing twelve months sort by: behind every year. Those to come sort behind them."""
_WORD_BEFORE = r"(?:(?:fiscal |financial )?(?:year|period) )?"
_N = re.compile(
    r"(?:(?:exercice|année|annee|ejercicio|año|esercizio|anno|exercício|ano|période|clos le|au"
    r"|(?:au |clos le )?[0-9]{1,2}[/.][0-9]{1,2}[/.]) ?)n ?(?:([+-]) ?([0-9]{1,2}))?"
)
"""The fiscal year as French tables count it; a bare "N" is one beside "N-1" only."""
_OFFSET = re.compile(
    _WORD_BEFORE
    + r"(?:t|yr?|c?fy|fq|n|q|p|[cl]q|cy|mr[qy]|mrfy|lf[yq]|ytd) ?(?P<open>\()?([+-]) ?([0-9]{1,2})(?(open)\))"
    r"|(?:year|period|quarter) ?([+-]?) ?([0-9]{1,2})"
)
_OFFSET_OF_PRIOR = re.compile(r"(?:py|ly|pfy|prior|previous) ?- ?([0-9])")
"""Periods before the prior one ("PY-1"); "LFY-1" is the one before the last fiscal year, which is the current one."""
_NOUN = r"(?: fiscal| financial)? (?:year|period|quarter|month)"
_EARLIER_TRAILING = re.compile(r"(?:ttm|ltm) ?- ?([0-9])")
_DATED_TRAILING = re.compile(rf"(?:ttm|ltm)[ (]{{1,2}}(?:[0-9]{{1,2}}/[0-9]{{1,2}}|{_MONTH})\)?")
"""Trailing months with a date that does not tell its year, or cannot be told: ``TTM 9/23``."""
_RELATIVE = tuple(
    (re.compile(pattern), order)
    for pattern, order in (
        (rf"{_WORD_BEFORE}t ?0?|(?:fy|fq|y|n|p|q) ?0|current|(?:this|current|latest|most recent){_NOUN}", 0.0),
        (rf"prior|previous|preceding|(?:last|prior|previous|preceding){_NOUN}|(?:one|1) year ago", -1.0),
        (rf"(?:two|2) years (?:ago|prior)|year before last|(?:second|2nd) (?:prior|previous|preceding){_NOUN}", -2.0),
        (r"(?:three|3) years (?:ago|prior)", -3.0),
        (rf"next{_NOUN}", 1.0),
    )
)


_PART_OF_YEAR = re.compile(
    rf"{re.sub(r'[?]P<[a-z0-9]+>', '', _PART)}|[qh][1-4](?![0-9])|{_MONTH.replace('?P<name>', '')}|[0-9][-/.][0-9]"
    r"|months|(?<![a-z0-9])[0-9]{1,2} ?m(?![a-z])"
)


@lru_cache(maxsize=8192)
def period_order(label: str, strict: bool = False) -> float | None:
    """Find what a period sorts by: its year, plus the part of the year where it is known, or its offset to now.

    1972 is 1972.0, "Q3 2012" 2012.5, "2012-12-31" just under 2013, "FY12" 2012.0, "2012/13" 2013.0; "t" and "current
    year" are 0.0, "t-1" and "prior year" are -1.0; "TTM" is behind all years, "LTM Sep-23" where its date is. Months,
    quarters and years may be those of the languages in ``period_words``.

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
    plain = " ".join(plain_name(_BREAK.sub(" ", label)).translate(DASHES).lower().split())
    if _NO_PERIOD.search(plain):
        return None
    bare = _FOOTNOTE.sub("", plain)
    for words in dict.fromkeys((plain, bare, _without_units(bare))):
        if (order := _relative_order(words.removeprefix("(").removesuffix(")"))) is not None:
            return order
    plain = period_words.in_common_words(bare)
    if plain != bare and (order := _relative_order(plain)) is not None:
        return order
    for pattern in (_TWO_YEARS, _TWO_SHORT_YEARS):
        two = pattern.search(plain)
        if two and (int(two[3]) - int(two[1]) - 1) % 100 == 0 and not (two[2] == "-" and 1 <= int(two[3]) <= 12):
            year = int(two[1]) + 1.0
            return _unless_more(plain, two, year if year > 100 else year + _century(int(year)), strict)
    if len(set(re.findall(rf"(?<![0-9]){YEAR}(?![0-9])", plain))) > 1:
        return None
    if several := period_words.months_of_year(plain):
        return _unless_more(plain, *several, strict)
    for pattern in _DATED:
        match = pattern.search(plain)
        if match and (order := _dated_order(match)) is not None:
            return _unless_more(plain, match, order, strict)
    return None


def _without_units(plain: str) -> str:
    """Return a label without units and words for how figures came about: "Vorjahr TEUR", "Prior Year Actual"."""
    words = [word for word in plain.split() if _UNIT_WORDS.fullmatch(word.strip("()[],")) is None]
    return " ".join(words) or plain


def _unless_more(plain: str, match: re.Match[str], order: float, strict: bool) -> float | None:
    beside = re.sub(r"[\W_]+", " ", plain[: match.start()] + " " + plain[match.end() :])
    return None if strict and any(_FILLERS.fullmatch(word) is None for word in beside.split()) else order


def _relative_order(plain: str) -> float | None:
    if match := _OFFSET.fullmatch(plain):
        return float((match[2] or match[4] or "") + (match[3] or match[5]))
    if match := _OFFSET_OF_PRIOR.fullmatch(plain):
        return -1.0 - int(match[1])
    if match := _N.fullmatch(plain):
        return float(f"{match[1]}{match[2]}") if match[1] else 0.0
    if match := re.fullmatch(r"([1-4])?([qh])([1-4])?", plain):
        nth = int(match[1] or match[3] or 0)
        return _part_of_year(match[2], nth) if nth and not (match[1] and match[3]) else None
    if plain in RELATIVE_WORDS:
        return RELATIVE_WORDS[plain]
    if match := _EARLIER_TRAILING.fullmatch(plain):
        return TRAILING_ORDER - int(match[1])
    if period_words.TRAILING.fullmatch(plain) or _DATED_TRAILING.fullmatch(plain):
        return TRAILING_ORDER
    if period_words.FORWARD.fullmatch(plain):
        return TRAILING_ORDER + 1
    return next((order for pattern, order in _RELATIVE if pattern.fullmatch(plain)), None)


def is_whole_year(label: str) -> bool:
    """Whether a period is a year as such ("2022", "FY22"), and no part or day of one, whose place it could share."""
    plain = period_words.in_common_words(" ".join(plain_name(label).translate(DASHES).lower().split()))
    return _PART_OF_YEAR.search(plain) is None


def numbers_beside(label: str, order: float) -> tuple[str, tuple[int, ...]]:
    """Return what a label says around its numbers, and those that are not its year; marks of footnotes are left out.

    "W1 2022" and "W2 2022" say the same around other numbers.

    Parameters
    ----------
    label
        A period.
    order
        What it sorts by.
    """
    plain = _FOOTNOTE.sub("", " ".join(plain_name(_BREAK.sub(" ", label)).translate(DASHES).lower().split()))
    years = (int(order), int(order) % 100)
    numbers = tuple(number for text in re.findall(r"[0-9]+", plain) if (number := int(text)) not in years)
    return re.sub(r"[0-9]+", "#", plain), numbers


def _part_of_year(part: str, nth: int) -> float | None:
    parts = 4 if part == "q" else 2
    return (nth - 1) / parts if nth <= parts else None


def _century(year: int) -> int:
    return 1900 if year >= 50 else 2000


def _dated_order(match: re.Match[str]) -> float | None:
    found = match.groupdict()
    digits = found.get("yy") or found["y"]
    # Two digits: 50 to 99 are of the last century.
    year = int(digits) + (0 if len(digits) == 4 else _century(int(digits)))
    if part := found.get("part") or found.get("part2"):
        fraction = _part_of_year(part, int(found.get("nth") or found["nth2"]))
        return None if fraction is None else year + fraction
    month = _MONTHS.index(found["name"]) + 1 if found.get("name") else int(found.get("m") or 1)
    day = int(found.get("d") or 1)
    if "m" in found and found.get("d") and match.start("m") < match.start("y"):
        # Day and month before the year: with points the day is first, with strokes (as in the US) the month is.
        month, day = (day, month) if found["s"] == "." or month > 12 else (month, day)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return year + (month - 1) / 12 + (day - 1) / 372


_SMELLS = re.compile(
    r"(?<![^\W\d_])(?:(?:geschäfts|vor|berichts|boek)?jahr(?:es)?\w*|years?|yrs?|annual|periods?|perioden?|quarters?|quartal|months?"
    r"|monat|weeks|exercice|année|période|ejercicio|año|per[ií]odo|esercizio|anno|exerc[ií]cio|ano|atual|jaar|год\w*|период\w*"
    r"|yıl|dönem|tahun|periode|rok|år|السنة|العام|الفترة|वर्ष|अवधि|actuals?|ist|soll|budget|plan|forecast|outlook|guidance"
    r"|estimates?|reported|restated|realizado|consuntivo|réel|current|latest|recent|prior|previous|preceding|vorig\w*"
    r"|last|this|next|now|today|ago|opening|closing|beginning|ending|anterior|précédent\w*|precedente|corrente|fye?|cy|py|ytd"
    r"|ttm|ltm|ntm|mr[qy]|mrfy|[lpcn]?f?[yq]|p{1,2}y|[lpc]ytd|prev|curr|base"
    r"|(?:[a-z]{0,2}f?[yqhmtnp]|yr|[lpc]?ytd|[lnt]tm|prev\.?|curr\.?) ?\(?[+-] ?[0-9]{1,2}\)?"
    r"|[fcp]?y ?[0-9]{1,2}|p[0-9]"
    r"|[qh][1-4]|[1-4][qh])(?![^\W\d_])"
    r"|[年期月년기월]|(?<![0-9.,])(?:1[89]|20)[0-9]{2}(?![0-9.,])"
)
_NO_TIME = re.compile(
    r"%|[Δδ]|\b(?:notes?|refs?\.?|reference|changes?|chg|growth|variance|var\.?|vs\.?|versus|yoy|qoq|cagr|diff\w*|delta"
    r"|increase|decrease|averages?|avg\.?|mean|median|total|margin|share|ratio|per share|units?|veränderung\w*|abw\w*"
    r"|variation|écart|variación|variação|variazione|изменени\w*|değişim)\b"
    r"|增减|增長|增长|变动|變動|増減|同比|环比|증감|附注|附註|注記|주석"
)


def is_no_period(label: str) -> bool:
    """Whether a label says that a column holds no period's figures: notes, changes, shares, averages."""
    return _NO_TIME.search(" ".join(plain_name(label).translate(DASHES).lower().split())) is not None


def may_be_period(label: str) -> bool:
    """Whether a label that ``period_order`` does not know has words or numbers that periods are named with."""
    plain = " ".join(plain_name(label).translate(DASHES).lower().split())
    is_month = period_words.in_common_words(plain)
    has_month = re.search(_MONTH.replace("?P<name>", ""), is_month) is not None
    return not is_no_period(label) and (has_month or _SMELLS.search(plain) is not None)
