"""Labels of what is only supposed: "A would be right if C were not", "EPS would have increased"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from engine.inputs.answers.languages import phrases, words_of
from engine.inputs.answers.words import LabelWord

_PART = re.compile(
    r"[\n!?。！？;；()（）]|\.(?!\d)|[,，]\s*(?=(?:but|yet|so|therefore|thus|hence|aber|also|daher|mais|donc|pero|así|ma|quindi|mas|"
    r"portanto|но|поэтому)\b)|\b(?:but|aber|mais|pero|ma|mas|но)\b(?!\s+for\b)",
    re.IGNORECASE,
)
"""What ends the part of a sentence that a condition governs."""
_CONDITIONS = {
    "en": "if|unless|but for|were it not|provided", "de": "wenn|falls", "fr": "si", "es": "si", "it": "se",
    "pt": "se|caso", "ru": "если",
}  # fmt: skip
"""Words that begin a condition; of one language only, since they are reflexive in others."""
_CASE = re.compile(
    r"[\s*_\"'(]*(?:if|when|unless|wenn|falls|si|se|если)(?![^\W_])[^,，]*[,，]\s*(?:then\s+|dann\s+)?[*_\"']*",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(
    r"\b(?:otherwise|if not|sonst|andernfalls|sinon|altrimenti|de lo contrario|senão)\b|иначе", re.IGNORECASE
)
_COUNTERFACTUAL = re.compile(
    r"\b(?:would|could|might)\s+(?:not\s+)?(?:have|['’]ve)\s+(?:been|[^\W\d_]+ed|grown|risen|fallen|gone)\b",
    re.IGNORECASE,
)
_WRITER = re.compile(
    r"\b(?:I|we)\s+(?:would|could|might|['’]d)|\b(?:I|we)['’]d\b|"
    r"\b(?:had to|have to|forced|must|pressed|asked|choose|pick|guess|müsste|wählen|devais|choisir|tuviera|elegir|"
    r"dovessi|scegliere|tivesse|escolher)\b",
    re.IGNORECASE,
)
"""The writer chooses under a condition that is met ("if I had to choose, it would be A")."""


def supposed(text: str, words: Sequence[LabelWord], codes: tuple[str, ...]) -> list[bool]:
    """Return which of a text's label words stand in a sentence that only supposes.

    Parameters
    ----------
    text
        The whole text.
    words
        Its label words.
    codes
        Languages whose verbs count.
    """
    marked = [False] * len(words)
    if not words or not (_verbs(codes).search(text) or _condition(codes).search(text)):
        return marked
    start, ends = 0, [*(match.start() for match in _PART.finditer(text)), len(text)]
    index, before, last = 0, 0, ""
    for end in ends:
        first = index
        while index < len(words) and words[index].start < end:
            index += 1
        part = text[start:end]
        is_split = len({word.label for word in words[first:index]}) > 1 and bool(_OTHERWISE.search(part))
        if index > first and (is_split or _supposes(part, codes) or _is_case(text, start, end, words[index - 1])):
            marked[first:index] = [True] * (index - first)
        if index > first:
            is_case = before < first and _OTHERWISE.search(part) and _condition(codes).search(last)
            if is_case and words[first - 1].label != words[first].label:  # "Yes, if …. Otherwise no."
                marked[before:index] = [True] * (index - before)
            before, last = first, part
        start = end
    return marked


def _is_case(text: str, start: int, end: int, word: LabelWord) -> bool:
    """Whether a label is all that is said for a case ("if profits rise, yes")."""
    if _WRITER.search(text, start, end) or re.search(r"[^\W_]", text[word.end : end]):
        return False
    return bool(_CASE.fullmatch(text, start, word.start))


def _supposes(part: str, codes: tuple[str, ...]) -> bool:
    if _WRITER.search(part):
        return False
    if _COUNTERFACTUAL.search(part):
        return True
    return bool(_verbs(codes).search(part) and _condition(codes).search(part))


@cache
def _verbs(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(phrases(words_of(tuple(dict.fromkeys((*codes, "en"))), "irrealis")), re.IGNORECASE)


@cache
def _condition(codes: tuple[str, ...]) -> re.Pattern[str]:
    words = "|".join(_CONDITIONS[code] for code in dict.fromkeys((*codes, "en")) if code in _CONDITIONS)
    return re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])|\A[\s*_\"'(]*(?:Had|Were)\s", re.IGNORECASE)
