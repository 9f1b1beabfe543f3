"""Values of cues that are an answer, but none of the labels ("Answer: flat"): what follows them does not decide."""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.cued.cue_patterns import Cue
from engine.inputs.answers.languages import JOINED, NOT_AFTER_LETTER, languages, pattern_of, phrases, words_of
from engine.inputs.answers.mentions import Mentions, Reading, head_label

_MOST_WORDS, _MOST_SIGNS = 3, 6
"""Of a value that is no sentence: words, or signs of a script that puts no blanks between words."""
_VAGUE = frozenset(
    (
        "result",
        "outcome",
        "trend",
        "outlook",
        "conclusion",
        "response",
        "output",
        "option",
        "rating",
        "recommendation",
        "ergebnis",
        "fazit",
        "bewertung",
        "schlussfolgerung",
        "endergebnis",
        "resultado",
        "tendencia",
        "conclusión",
        "résultat",
        "tendance",
        "risultato",
        "conclusione",
        "tendenza",
        "conclusão",
        "tendência",
        "вывод",
        "результат",
        "итог",
        "тенденция",
        "заключение",
    )
)
"""Nouns of cues that also head an account of something else than the label."""
_ACCOUNTS = (
    "trend", "outlook", "ausblick", "tendenz", "tendencia", "tendance", "perspectives", "tendenza", "tendência",
    "тенденция",    "趋势", "趨勢", "展望", "見通し", "전망", "추세",
)  # fmt: skip
"""Nouns that head an account of what was more often than an answer ("Trend: revenue decreased by 3 %")."""
_NO_VALUE = re.compile(r"[\[<{|/\\:：=_]|\.\.\.|…")
"""Signs of a template, of a table, or of another field."""
_NONE = re.compile(
    r"(?:none|neither|no(?:ne)? of|keine[rs]?|aucune?|ning[uú]n[oa]?|nessun[oa]?|nenhuma?)\b", re.IGNORECASE
)
NEXT_KEY = re.compile(r",\s*[\"'“][^\"'\n]{1,40}[\"'”]\s*:")
_DRESS = " \t\n*_`\"'“”‘’()«»「」『』$,;-–—}"


def heads_account(mentions: Mentions, cue: Cue) -> bool:
    """Whether a cue heads a sentence about what moves, not a label: that sentence is read as prose."""
    if cue.is_said or cue.is_final or not _accounts().search(mentions.text, cue.start, cue.value_start):
        return False
    if _answers().search(mentions.text, cue.start, cue.value_start):
        return False
    return head_label(mentions, cue.value_start, cue.value_end) is None and _is_sentence(
        mentions.text[cue.value_start : cue.value_end]
    )


def _is_sentence(value: str) -> bool:
    return len(value.split()) > _MOST_WORDS or bool(JOINED.match(value.strip()) and len(value.strip()) > _MOST_SIGNS)


@cache
def _accounts() -> re.Pattern[str]:
    return re.compile(phrases(_ACCOUNTS), re.IGNORECASE)


@cache
def _answers() -> re.Pattern[str]:
    """Return a pattern of nouns that head an answer and no account ("trend prediction")."""
    return re.compile(phrases(noun for noun in words_of(languages(), "nouns") if noun not in _ACCOUNTS), re.IGNORECASE)


def unlabelled(mentions: Mentions, start: int, value_start: int, value_end: int, reading: Reading) -> Reading | None:
    """Return a reading that says which value stands behind a cue in a label's place; None when none does.

    Parameters
    ----------
    mentions
        Of the whole text.
    start
        Where the cue begins.
    value_start, value_end
        Its value: to the end of the sentence.
    reading
        What was read in the value.
    """
    if not _nouns().search(mentions.text, start, value_start):
        return None
    value = mentions.text[value_start:value_end]
    key = NEXT_KEY.search(value)
    if key:
        value = value[: key.start()]
    elif reading.is_aside:
        side = pattern_of(mentions.codes, "sides").search(value)
        value = value[: side.start()] if side else ""
    elif reading.word or reading.reason == "template_echo":
        return None
    if reading.word and not reading.is_aside and reading.word.end <= value_start + len(value):
        return None
    value = value.strip(_DRESS)
    if not _is_short(value) or _NO_VALUE.search(value):
        return None
    if mentions.within(value_start, value_start + len(value)) and (key or reading.is_aside):
        return None
    return Reading(None, reading.reason or "no_label", reading.labels, value=value)


def _is_short(value: str) -> bool:
    if not re.search(r"[^\W\d_]", value) or re.search(r"\d", value):
        return False
    if JOINED.match(value):
        return len(value) <= _MOST_SIGNS
    return len(value.split()) <= _MOST_WORDS or bool(_NONE.match(value))


@cache
def _nouns() -> re.Pattern[str]:
    nouns = [noun for noun in words_of(languages(), "nouns") if noun not in _VAGUE]
    return re.compile(rf"{NOT_AFTER_LETTER}{phrases(nouns)}", re.IGNORECASE)
