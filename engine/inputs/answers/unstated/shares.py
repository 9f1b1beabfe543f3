"""Labels of which an answer gives only a probability: ``P(up) = 0.2``, "Increase: 20 %", "a chance of an increase".

A probability states no label, unless it is called high, or is the only one and more than a half.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from engine.inputs.answers.languages import JOINED, LETTER, phrases, words_of
from engine.inputs.answers.words import LabelWord

_NUMBER = (
    r"(?P<number>\d{1,3}(?:[.,]\d+)?\s?(?:%|％|percent\b|per\s?cent\b|prozent\b|por\s?ciento\b|por\s?cento\b|"
    r"pour\s?cent\b|per\s?cento\b|процент\w*)|0?[.,]\d+(?!\d|\s?[%€$£])|[01][.,]0+(?![\d.]))"
)
_CLOSED = r"[*_`\"'”’)\]}|]*"
_BEHIND = re.compile(
    rf"{_CLOSED}\s{{0,2}}[:=≈：＝|]\s{{0,2}}[*_~≈\"']*{_NUMBER}"
    rf"(?=[*_\"'\s]*(?:\Z|[\n,;|}})\]。，；]|\.(?!\d)|\s(?:and|und|et|y|e|и|vs)\b|\s?\(?(?:prob|likel|chance|confid)))",
    re.IGNORECASE,
)
"""A share that is all that is said of a label."""
_LOOSE = re.compile(rf"{_CLOSED}\s{{0,2}}[:=≈~|(\[–—-]?\s{{0,2}}[*_~≈(]*{_NUMBER}", re.IGNORECASE)
"""One that may be an amount as well ("Increase (20 %)"): a share where another label has one, too."""
_LOOSE_BEFORE = re.compile(rf"{_NUMBER}\s{{0,2}}(?:for\s|on\s)?[*_\"'(]*\Z", re.IGNORECASE)
_FUNCTION_BEFORE = re.compile(
    r"(?<![^\W_])(?:p|pr|prob|probs|proba|probability)\s?[({\[_]\s?[*_\"'$]{0,3}\Z", re.IGNORECASE
)
_FUNCTION_VALUE = re.compile(rf"[^()\n:=≈<>]{{0,30}}[)\]}}]?\s*(?:[:=≈<>]|\bis\b)?\s*{_NUMBER}", re.IGNORECASE)
_COUNTED = re.compile(rf"{_CLOSED}\s{{0,2}}[:=]\s{{0,2}}\d{{1,3}}(?:\s?/\s?\d{{1,3}})?(?![\d.,]*\d|\w)")
"""A number without a unit, a share where another label has one, too ("Up: 20 / down: 80")."""
_LIKELY = re.compile(rf"{_NUMBER}\s(?:likely|probable|wahrscheinlich|provável|probabile)(?!\w)", re.IGNORECASE)
_ANY_NUMBER = re.compile(_NUMBER, re.IGNORECASE)
_CLAUSE_BEFORE, _CLAUSE_AFTER = re.compile(r"[.!?;:\n。！？；](?!\d)"), re.compile(r"[.!?;\n。！？；,，](?!\d)")
_REACH = 80
_SHORT = 3
"""Letters of a label that no amount stands before ("20 % yes", "70 % B")."""


def shares(text: str, words: Sequence[LabelWord], denied: Sequence[bool], codes: tuple[str, ...]) -> list[bool]:
    """Return of which of a text's label words only a probability is given.

    Parameters
    ----------
    text
        The whole text.
    words
        Its label words.
    denied
        Whether each is denied.
    codes
        Languages whose nouns of probability count.
    """
    marked = [False] * len(words)
    live = [index for index, is_denied in enumerate(denied) if not is_denied]
    loose: list[int] = []
    for index in live:
        word = words[index]
        before = text[max(0, word.start - _REACH) : word.start]
        given = _given(text, word, before, codes)
        number = given if isinstance(given, float) else None
        is_share = given is not None
        is_loose = _LOOSE.match(text, word.end) or _COUNTED.match(text, word.end) or _LOOSE_BEFORE.search(before)
        if is_share or is_loose:
            loose.append(index)
        marked[index] = is_share and (number is None or number <= 0.5)
    if len({words[index].label for index in loose}) > 1:
        for index in loose:
            marked[index] = True
    return marked


def _given(text: str, word: LabelWord, before: str, codes: tuple[str, ...]) -> float | str | None:
    """Return the share that is all that is said of a label; a text where it has no number, None where there is none."""
    if _FUNCTION_BEFORE.search(before):
        value = _FUNCTION_VALUE.match(text, word.end)
        return _value(value["number"]) if value else "P"
    behind = _BEHIND.match(text, word.end)
    if behind:
        return _value(behind["number"])
    if word.end - word.start <= _SHORT:
        ahead = _LOOSE_BEFORE.search(before)
        if ahead:
            return _value(ahead["number"])
    return _chance(text, word, codes)


def _chance(text: str, word: LabelWord, codes: tuple[str, ...]) -> float | str | None:
    """Return the share behind a noun of probability; None where it is called high, or there is no such noun."""
    low = max(0, word.start - _REACH)
    starts = [match.end() for match in _CLAUSE_BEFORE.finditer(text, low, word.start)]
    start = starts[-1] if starts else low
    stop = _CLAUSE_AFTER.search(text, word.end, word.end + _REACH)
    end = stop.start() if stop else min(len(text), word.end + _REACH)
    noun_before, noun_behind, high = _nouns(codes)
    likely = _LIKELY.search(text, start, end)
    if likely:
        return _value(likely["number"])
    if noun_behind.match(text, word.end, end):
        end = min(len(text), word.end + _REACH) if text[end : end + 1] in ":：" else end
    elif not noun_before.search(text[start : word.start]):
        return None
    number = _ANY_NUMBER.search(text, start, min(len(text), end + 12))
    if number:
        return _value(number["number"])
    return None if high.search(text, start, end) else "chance"


@cache
def _nouns(codes: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return patterns of a noun of probability before the label and right behind it, and of what calls it high."""
    nouns = words_of(codes, "chances")
    behind = [noun for noun in nouns if noun not in ("risk", "risco", "rischio", "riesgo", "risque", "risiko")]
    word = rf"{LETTER}+(?:['’]{LETTER}*)?"
    gap = rf"[^\w\n.!?;,]+(?:{word}[^\w\n.!?;]+){{0,5}}?"
    joined = [noun for noun in nouns if JOINED.match(noun)]
    has = rf"(?:{word}[ \t]+){{0,3}}(?:has|have|hat|a|tiene|ha|tem)[ \t]+(?:(?!not\b)[^\s.!?;,]+[ \t]+){{0,3}}?"
    particle = r"(?:\s*的|の|する|할|의|ın|in)?"
    return (
        re.compile(rf"{phrases(nouns)}{gap}\Z", re.IGNORECASE),
        re.compile(rf"(?:[ \t*_\"'”]+(?:{has})?{phrases(behind)}|{particle}{phrases(joined)})", re.IGNORECASE),
        re.compile(phrases(words_of(codes, "high")), re.IGNORECASE),
    )


def _value(number: str) -> float:
    """Return a share between 0 and 1 from its text: ``20 %``, ``0.2``, ``.2``, ``0,2``."""
    plain = re.match(r"[\d.,]+", number)
    assert plain is not None, "a number begins with digits or a point"
    digits = plain.group().replace(",", ".")
    value = float("0" + digits if digits.startswith(".") else digits)
    return value / 100 if number[plain.end() :].strip() else value
