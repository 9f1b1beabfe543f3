"""Spellings in other meanings: in set phrases ("break it down"), as the sign of a figure ("negative EBITDA")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from engine.inputs.answers.languages import languages, phrases, words_of
from engine.inputs.answers.words import LabelWord, folded

_SIGN = re.compile(r"(?:positi[vf]|négati[vf]|negati[vf]|положительн|отрицательн)[^\W\d_]*|正|负|負", re.IGNORECASE)
_REACH = 80
_HEADS = (
    r"(?:growth|outlook|trend|surprise|momentum|news|sentiment|guidance|direction|impact|effect|story|tone|view|change)"
)
_VERBS = (
    r"(?:is|was|are|were|be|been|being|turn(?:ed|s)?|went|goes|go|swung|swings|swing|moved|moves|became|becomes|become|"
    r"remain(?:ed|s)?|stay(?:ed|s)?|came\s+in|ist|war|wurde|bleibt|est|était|reste|es|fue|è|era|resta|é|foi)"
)
_BETWEEN = (
    rf"(?:\s+(?:for|in|of|this|last|next)\s+[\w ]{{1,20}}?)?\s+(?:will\s+|has\s+|have\s+|should\s+|may\s+)?{_VERBS}"
    r"(?:\s+from(?:\s+\w+\s+to)?)?(?:\s+(?:also|still|again|slightly|strongly|highly|already|even|now|to|a|an)){0,2}\s+"
)

BEGIN = r"(?:\A|(?<=[.!?;\n]))[\s*_\"'(>-]*"
"""Where a sentence begins, or a part of one."""
_EVENT_GOES_ON = r"\b[^,.;:?]{0,60}"
_SUPPOSES = r"(?=[^?.;]{0,200}\b(?:would|could|might)\b)"
EVENTS = {
    "en": r"(?:with|under|in|given|after|following|upon)\s+(?:an?|any)\s+(?:[\w'’-]+\s+){0,3}?"
    r"(?:recovery|rebound|upturn|upswing|downturn|recession|slowdown|turnaround|boom|bust|crisis|slump|shock|merger|"
    r"takeover|(?:rate|tax|price|cost)\s+(?:cut|rise|hike|increase)|scenario(?!\s+like))"
    rf"{_EVENT_GOES_ON},(?!\s*(?:I|we)\b){_SUPPOSES}|"
    rf"under\s+(?:[\w'’-]+\s+)?(?:conditions|circumstances){_EVENT_GOES_ON}{_SUPPOSES}",
    "de": r"(?:bei|mit|nach|in)\s+eine[rm]\s+(?:\w+\s+){0,2}?"
    r"(?:erholung|aufschwung|abschwung|rezession|krise|belebung|einbruch|szenario|boom)"
    rf"{_EVENT_GOES_ON}?\s(?=(?:würden?|könnten?)\s+(?!ich\b))",
    "fr": r"(?:avec|dans|lors\s+d['’]|après)\s*une?\s+(?:\w+\s+)?"
    rf"(?:reprise|rebond|récession|crise|ralentissement|scénario){_EVENT_GOES_ON},(?=[^?.;]{{0,200}}rai(?:t|ent)\b)",
    "es": r"(?:con|en|ante|tras)\s+una?\s+(?:\w+\s+)?"
    rf"(?:recuperación|recesión|crisis|desaceleración|repunte|escenario){_EVENT_GOES_ON},(?=[^?.;]{{0,200}}rían?\b)",
    "it": r"(?:con|in|dopo)\s+un(?:a\s+|o\s+|\s+|['’])(?:\w+\s+)?"
    rf"(?:ripresa|recessione|crisi|rallentamento|rimbalzo|scenario){_EVENT_GOES_ON},(?=[^?.;]{{0,200}}rebb(?:e|ero)\b)",
    "pt": r"(?:com|em|numa?|após)\s+(?:uma?\s+)?(?:\w+\s+)?"
    rf"(?:recuperação|recessão|crise|desaceleração|cenário){_EVENT_GOES_ON},(?=[^?.;]{{0,200}}riam?\b)",
}
"""Patterns per language of an event, up to the comma or verb behind it, in a sentence whose verb supposes."""


def outside_phrases(text: str, words: Sequence[LabelWord], spelled: Iterable[str]) -> list[LabelWord]:
    """Return the words that are no part of a set phrase, and no sign of a figure."""
    if not words:
        return []
    spans = [match.span() for match in _set_phrases(tuple(sorted(spelled))).finditer(text)]
    found = [w for w in words if not any(start <= w.start and w.end <= end for start, end in spans)]
    return [w for w in found if not _is_sign_of_figure(text, w)]


@cache
def _set_phrases(spelled: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of the set phrases that have one of some spellings in them."""
    found = (
        phrase for phrase in words_of(languages(), "set_phrases") if any(word in folded(phrase) for word in spelled)
    )
    return re.compile(phrases(found), re.IGNORECASE)


def _is_sign_of_figure(text: str, word: LabelWord) -> bool:
    if not _SIGN.fullmatch(text, word.start, word.end):
        return False
    before, behind = _figures()
    if before.search(text, max(0, word.start - _REACH), word.start):
        return True
    is_value = text[: word.start].rstrip(" *_\"'")[-1:] in (":", "：", "=")
    return not is_value and bool(behind.match(text, word.end))


@cache
def _figures() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return patterns of a figure whose sign is told: before the label, with a verb, and right behind it.

    What is said of a trend, an outlook or the direction of a figure is none.
    """
    figure = phrases(words_of(languages(), "figures"))
    small = r"(?:on|in|for|of|about|towards?|to|and|or|but|as|the|with|at|by)"
    of = r"(?<!\bof )(?<!\bof the )(?<!\bfor )(?<!\bon )(?<!\bof its )(?<!\bin )(?<!\babout )"
    return (
        re.compile(rf"{of}{figure}{_BETWEEN}\Z", re.IGNORECASE),
        re.compile(rf" (?:(?!{small}\b)[^\W\d_]+ )?{figure}(?![\w-])(?!\s+{_HEADS}\b)", re.IGNORECASE),
    )
