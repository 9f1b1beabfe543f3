"""Verdicts that decide nothing, with a label behind them: "mixed, leaning negative", "unclear, maybe increase"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise

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


_MOST_BETWEEN, _BETWEEN_REACH = 60, 120
"""Characters between two labels that are compared, and before them in which the choice of these two is looked for."""
_VERDICT = (
    r"(?:better|worse|stronger|weaker|poorer|superior|inferior|besser|schlechter|schwächer|mieux|meilleure?|pire|mejor|peor|"
    r"migliore|meglio|peggiore|peggio|melhor|pior|лучше|хуже)"
)
_BETTER = re.compile(
    rf"[\"'*”»)]*\s*(?:(?:is|are|seems|looks|was|fits|ist|est|es|è|é)\s+)?(?:\w+\s+){{0,3}}?{_VERDICT}\s*,?\s*(?:\w+\s+){{0,2}}?"
    r"(?:than|to|als|que|che|di|do\s+que|чем)\s+(?:option\s+|choice\s+|response\s+|answer\s+|the\s+|an?\s+)?[\"'*“«(]*",
    re.IGNORECASE,
)
_NOT_AS_GOOD = re.compile(
    r"[\"'*”»)]*\s*(?:(?:(?:is|are|seems|looks)\s*(?:n['’]t|\s+not)|isnt)\s+(?:\w+\s+){0,2}?(?:as|so)\s+(?:\w+\s+){1,3}?as|"
    r"(?:is|are)\s+no\s+(?:better|more\s+\w+)\s+than|ist\s+nicht\s+(?:\w+\s+)?(?:so|ebenso)\s+\w+\s+wie|"
    r"n['’]est\s+pas\s+(?:aussi|si)\s+\w+\s+que|no\s+es\s+tan\s+\w+\s+como|non\s+è\s+(?:così|tanto)\s+\w+\s+(?:come|quanto)|"
    r"não\s+é\s+tão\s+\w+\s+(?:quanto|como)|не\s+так\w*\s+\w+,?\s+как|不如|没有|沒有)\s*"
    r"(?:option\s+|choice\s+|response\s+|answer\s+)?[\"'*“«(]*",
    re.IGNORECASE,
)
_TIES = frozenset(("tie", "draw", "equal", "even", "both", "same", "neither", "none", "tied", "similar"))
"""Labels that say of two others that neither is the better one."""


def not_as_good() -> re.Pattern[str]:
    """Return a pattern of what stands between two labels of which the first is called the lesser one."""
    return _NOT_AS_GOOD


def only_compared(text: str, words: Sequence[LabelWord], labels: Iterable[str]) -> list[bool]:
    """Return which label words are only compared with another one, where there are further labels.

    "B is not as good as C" decides between two; of four it says neither that C is right nor that D is not.

    Parameters
    ----------
    text
        The whole text.
    words
        Its label words.
    labels
        All labels.
    """
    marked = [False] * len(words)
    rivals = [label for label in labels if label.casefold() not in _TIES]
    if len(rivals) <= 2:
        return marked
    for index, (word, following) in enumerate(pairwise(words)):
        gap = text[word.end : following.start] if following.start - word.end <= _MOST_BETWEEN else ""
        is_compared = word.label != following.label and bool(_BETTER.fullmatch(gap) or _NOT_AS_GOOD.fullmatch(gap))
        if is_compared and not _is_between(text, word, following):
            marked[index] = marked[index + 1] = True
    return marked


def _is_between(text: str, word: LabelWord, following: LabelWord) -> bool:
    """Whether the answer has come down to the two labels that are compared ("between B and C, …")."""
    first, second = (re.escape(text[each.start : each.end]) for each in (word, following))
    names = rf"(?:{first}\W+(?:and|or)\s+\W*{second}|{second}\W+(?:and|or)\s+\W*{first})\b"
    ahead = text[max(0, word.start - _BETWEEN_REACH) : word.start]
    return bool(
        re.search(rf"\b(?:between|down\s+to|of|among)\s+(?:options?\s+|choices\s+)?\W*{names}", ahead, re.IGNORECASE)
    )


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
