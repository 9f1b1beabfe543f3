"""Verdicts that decide nothing, with a label behind them: "mixed, leaning negative", "unclear, maybe increase"."""

from __future__ import annotations

import re
from functools import cache

from engine.inputs.answers.languages import JOINED, phrases, words_of
from engine.inputs.answers.words import LabelWord

_MOST_WORDS, _MOST_SIGNS = 3, 6
_REACH = 60
_GOES_ON = re.compile(
    r"\s*(?:[,;(（，；–—/-]|\b(?:to|but|leaning|with|maybe|perhaps|possibly|probably|slightly|sentiment|feelings?|tendenziell|eher|"
    r"plutôt|más bien|piuttosto|скорее)\b)",
    re.IGNORECASE,
)
_DECIDES = re.compile(
    r"[.:;!?\n。；！？：]|(?<![^\W_])(?:will|is|are|was|should|would|I|we|it|but(?!\s+(?:leaning|slightly|tending|more))|yet|so|overall|hence|thus|therefore|however|aber|"
    r"insgesamt|daher|also|mais|donc|globalement|pero|ma|mas|но|ist|est|es|è|é)(?![^\W_])",
    re.IGNORECASE,
)
"""Behind these another clause decides."""


def is_undecided(text: str, start: int, word: LabelWord, codes: tuple[str, ...]) -> bool:
    """Whether a label only tells where a verdict leans that stands before it in a stretch that begins there."""
    before = text[max(start, word.start - _REACH) : word.start]
    for verdict in _verdicts(codes).finditer(before):
        between = before[verdict.end() :]
        if JOINED.match(verdict.group()):
            is_near = len(between.strip()) <= _MOST_SIGNS
        else:
            is_near = len(between.split()) <= _MOST_WORDS and bool(_GOES_ON.match(between))
        if is_near and not _DECIDES.search(between):
            return True
    return False


@cache
def _verdicts(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(phrases(words_of(tuple(dict.fromkeys((*codes, "en"))), "undecided")), re.IGNORECASE)
