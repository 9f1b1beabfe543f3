"""Periods in other words: months, quarters and years of other languages and calendars, in one spelling."""

from __future__ import annotations

import re

_MONTHS = {
    "jan": "januar jänner janvier janv enero gennaio janeiro januari января январь янв",
    "feb": "februar février févr fevrier febrero febbraio fevereiro fev februari февраля февраль фев",
    "mar": "märz maerz mrz mars marzo março marco maart марта март мар",
    "apr": "avril avr abril abr aprile апреля апрель апр",
    "may": "mai mayo maggio mag maio mei мая май",
    "jun": "juni juin junio giugno giu junho июня июнь июн",
    "jul": "juli juillet juil julio luglio lug julho июля июль июл",
    "aug": "août aout agosto ago augustus августа август авг",
    "sep": "septembre septiembre settembre setembro сентября сентябрь сен",
    "oct": "oktober okt octobre octubre ottobre ott outubro out октября октябрь окт",
    "nov": "novembre noviembre novembro ноября ноябрь ноя",
    "dec": "dezember dez décembre déc decembre diciembre dic dicembre dezembro декабря декабрь дек",
}
_ENGLISH = {name: month for month, names in _MONTHS.items() for name in names.split()}
_MONTH = re.compile(rf"(?<![^\W\d_])(?:{'|'.join(sorted(_ENGLISH, key=len, reverse=True))})(?![^\W\d_])")
_BETWEEN = re.compile(r"(?<=[0-9a-z]) (?:de|del|d['’]) (?=[0-9a-z])")
_ERAS = {"令和": 2018, "平成": 1988, "昭和": 1925, "民國": 1911, "民国": 1911}
_ERA = re.compile(rf"({'|'.join(_ERAS)}) ?([0-9]{{1,3}}|元) ?年")
_NTH = {"first": "1", "second": "2", "third": "3", "fourth": "4", "一": "1", "二": "2", "三": "3", "四": "4"}
_NTH |= {"i": "1", "ii": "2", "iii": "3", "iv": "4"}
_MONTH_COUNTS = {"three": 3, "six": 6, "nine": 9, "twelve": 12}
_NUMBER = (
    r"([1-4]|first|second|third|fourth|iv|i{1,3})"
    r"(?:st|nd|rd|th|er|ère|ème|eme|ro|do|to|ra|da|ta|re|e|º|°|o|ª|\.|-?[йя])?"
)
_IS_DATED = r"(?=[ ,/'-]{0,3}(?:de |fy ?)?'?(?:(?:1[89]|20)?[0-9]{2})(?![0-9]))"
_PARTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            rf"(?<![^\W_]){_NUMBER} ?(?:fiscal )?"
            r"(?:quarter|qtr|quartal|kwartaal|trimestre|trim?\.?|çeyrek|кв(?:артал)?\.?)(?: of)?"
        ),
        "q",
    ),
    (re.compile(rf"(?<![^\W_]){_NUMBER} ?(?:half(?:[ -]year)?|halbjahr|semestre|sem\.?|полугодие)(?: of)?"), "h"),
    (re.compile(r"第 ?([1-4一二三四]) ?(?:季度?|四半期)|([1-4]) ?분기|(?:前 ?)?([一二三四]) ?季(?:度|报|報)"), "q"),
    (re.compile(rf"(?<![a-z0-9])([1-4])ç{_IS_DATED}"), "q"),
    (re.compile(rf"(?<![a-z0-9])t([1-4]){_IS_DATED}|(?<![a-z0-9])([1-4])t{_IS_DATED}"), "q"),
    (re.compile(rf"(?<![a-z0-9])s([12]){_IS_DATED}|(?<![a-z0-9])([12])s{_IS_DATED}"), "h"),
)
_HALVES = (
    ("半年度报告", "q2"),  # reports up to then, beside those of quarters
    ("半年报", "q2"),
    ("中报", "q2"),
    ("中報", "q2"),
    ("年度报告", " "),
    ("年报", " "),
    ("年報", " "),
    ("上半年", "h1"),
    ("下半年", "h2"),
    ("상반기", "h1"),
    ("하반기", "h2"),
)
_CALENDAR: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<![0-9])([0-9]{2}) ?년"), r"20\1년"),
    (re.compile(r"((?:1[89]|20)[0-9]{2}) ?[年년] ?[0-9]{1,2} ?[月월]? ?[-~至到] ?([0-9]{1,2}) ?[月월]"), r"\1-\2"),
    (re.compile(r"((?:1[89]|20)[0-9]{2}) ?[年년] ?([0-9]{1,2}) ?[月월] ?([0-9]{1,2}) ?[日일]"), r"\1-\2-\3"),
    (re.compile(r"((?:1[89]|20)[0-9]{2}) ?[年년] ?([0-9]{1,2}) ?[月월](?: ?[期末])?"), r"\1-\2"),
    (re.compile(r"((?:1[89]|20)[0-9]{2}) ?[年년][度도]?(?:末|期)?"), r"\1 "),
)
MONTHS_OF_YEAR = re.compile(
    r"(?<![a-z0-9])(?:([0-9]{1,2}) ?m(?:onths?|os|onaten?|ois|eses|esi)?|(three|six|nine|twelve) months)"
    r"[ -]?(?:of |fy ?|cy ?)?'?"
    r"((?:(?:1[89]|20)[0-9]{2})|(?<!months)(?<! )[0-9]{2})(?![0-9])"
)

_YEAR_OF_MONTHS = re.compile(r"(?<![0-9])((?:1[89]|20)[0-9]{2})[ -]?([0-9]{1,2}) ?m(?:onths)?(?![a-z])")


def in_common_words(plain: str) -> str:
    """Return a label in lower case with months, parts of years and years as English and figures write them.

    "31 de diciembre de 2022" is "31 dec 2022", "令和4年3月期" is "2022-3", "第3四半期" and "3er trimestre" are "q3".
    """
    if not plain.isascii():
        plain = _ERA.sub(lambda match: f"{_ERAS[match[1]] + (1 if match[2] == '元' else int(match[2]))}年", plain)
        for word, part in _HALVES:
            plain = plain.replace(word, f"年 {part} ").replace("年年 ", "年 ")
        for pattern, spelling in _CALENDAR:
            plain = pattern.sub(spelling, plain)
    plain = _MONTH.sub(lambda match: _ENGLISH[match[0]], plain)
    for pattern, part in _PARTS:
        plain = pattern.sub(lambda match, part=part: _part(match, part), plain)
    return " ".join(_BETWEEN.sub(" ", plain).split())


def _part(match: re.Match[str], part: str) -> str:
    nth = next(group for group in match.groups() if group)
    return f"{part}{_NTH.get(nth, nth)}"


def months_of_year(plain: str) -> tuple[re.Match[str], float] | None:
    """Return where "9M 2022" or "six months 2022" stand, and what they sort by; twelve months are the year."""
    match = MONTHS_OF_YEAR.search(plain)
    if match is None:
        match = _YEAR_OF_MONTHS.search(plain)
        months = int(match[2]) if match else 0
        return (match, int(match[1]) + (months - 1) / 12) if match and 1 <= months < 12 else None
    months = int(match[1]) if match[1] else _MONTH_COUNTS[match[2]]
    year = int(match[3]) + (0 if len(match[3]) == 4 else 2000)
    return (match, year + (months - 1) / 12 if months < 12 else float(year)) if 1 <= months <= 12 else None


TRAILING = re.compile(
    r"(?:ttm|ltm|t12m|l12m|r12m?|12 ?m(?:onths?)? (?:trailing|rolling)|udm|uam"
    r"|(?:trailing|last|latest|past|previous|rolling|moving)[ -]"
    r"(?:(?:twelve|12)[ -]?(?:m|months?|mos\.?)(?: total)?|(?:four|4) quarters)"
    r"|moving annual total|mat|letzten? (?:zwölf|12) monate|(?:12|douze) derniers mois"
    r"|[úu]ltimos (?:doce|doze|12) meses|ultimi (?:dodici|12) mesi|последние 12 месяцев"
    r"|(?:过去|最近|近|滚动)(?:12|十二)个?月|直近(?:12|十二)(?:ヶ|か|カ|ケ|箇)?月|최근 ?12개월)"
)
"""The year up to now, which belongs to no fiscal year."""
FORWARD = re.compile(r"(?:ntm|f12m|(?:next|forward)[ -](?:twelve|12)[ -]?(?:m|months?))")

FILLERS = (
    r"geschäftsjahr|gj|jahr|zum|am|bis|exercice|exercices|clos|le|au|année|ejercicio|año|al|esercizio|anno|exercício"
    r"|exercicio|ano|em|год|года|за|на|г|den|de|weeks?|52|53|26|13|39|usd?|eur|gbp|chf|jpy|m|mn|mio|k|bn|tsd|teur"
    r"|millions?|thousands?|in|ttm|ltm|trailing|last|rolling|ytd|cy|pro|forma|adjusted|revised|consolidated|preliminary"
)
