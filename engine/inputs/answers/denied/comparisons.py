"""Which of two labels is denied where they are compared, or changed into each other ("upgraded from hold to buy")."""

from __future__ import annotations

import re

from engine.inputs.answers.unstated.undecided import not_as_good
from engine.inputs.answers.unstated.walls import DASHED
from engine.inputs.answers.words import LabelWord

_REACH = 60
SENTENCE_END = re.compile(rf"[{DASHED}\n;!?。！？；]|\.(?!\d)")
_CHANGED = (
    r"(?:\b(?:upgrad|downgrad|rais|cut|mov|chang|revis|switch|lower|shift|amend|adjust|updat|correct|flip|änder|wechs|"
    r"korrig|modifi|cambi|correg|corrig|mud|alter|меня|измен|исправ)\w*\b[^.!?\n]{0,40}\b|[^.!?。\n]{0,40}(?=[从從由]))"
)
_A = r"(?:(?:an?|ein\w*|une?|una|uma?)\s+)?[\"'*“«]*"
_CHANGED_FROM = re.compile(rf"{_CHANGED}(?:(?:from|von|de|da|do|с|со)\s+{_A}|[从從由]\s*)\Z", re.IGNORECASE)
_CHANGED_TO = re.compile(rf"{_CHANGED}(?:to|zu|auf|à|a|en|para|in|на)\s+{_A}\Z", re.IGNORECASE)
_TO = re.compile(
    rf"[\"'*”»]*(?:\s+(?:to|zu|auf|à|a|en|para|in|на)\s+{_A}|\s*(?:改为|改為|改成|变为|變為|变成|修改为|更改为|更改為)\s*)",
    re.IGNORECASE,
)
_FROM = re.compile(rf"[\"'*]*\s+from\s+{_A}", re.IGNORECASE)
"""Between the labels of a verdict that is changed ("upgraded from hold to buy")."""
_NOT_SO_MUCH = re.compile(r"\bnot\s+so\s+much\s+(?:an?\s+)?[\"'*]*\Z", re.IGNORECASE)
_AS = re.compile(r"[\"'*]*\s+(?:but|as)\s+(?:an?\s+)?[\"'*]*", re.IGNORECASE)
"""Around the first of two labels that the second replaces ("not so much a decrease as an increase")."""
_PREFERRED = re.compile(r"\bprefer\w*\s+(?:an?\s+|the\s+)?[\"'*]*\Z", re.IGNORECASE)
_KARA = re.compile(r"\s*(?:から|에서)\s*")
_CHANGED_BEHIND = re.compile(r"\s*(?:に|へ|으?로)\s*(?:変更|修正|訂正|変え|改め|변경|수정|바꾸|바꿉|바꿔|정정)")
"""Around the labels of an answer that is changed, where its verb stands last."""
_MORE = re.compile(
    r"\b(?P<more>más|mas|plus|mais|più|plutôt|mieux|mejor|melhor|meglio)\b|\b(?:menos|moins|meno|peor|pire|pior|peggio)\b",
    re.IGNORECASE,
)
_QUE = re.compile(
    r"[\"'*”»]*\s*(?:(?:es|est|è|é|sera|será|sarà)\s+)?(?:(?:más|plus|mais|più|menos|moins|meno)\s+\w+\s+)?(?:do\s+)?(?:que\s|qu['’]|che\s)"
    r"\s*(?:(?:une?|una|uma?|el|la|le|o|a|il|lo)\s+|un['’]|l['’])?[\"'*“«]*",
    re.IGNORECASE,
)
"""Between two labels that are compared, where the word for "than" is a relative pronoun, too."""


def compared_labels(
    text: str, word: LabelWord, gap: str, following: LabelWord
) -> tuple[bool | None, bool | None] | None:
    """Return which of two labels the words around them deny; None where they compare nothing.

    Parameters
    ----------
    text
        The whole text, with its walls.
    word, following
        The labels.
    gap
        What stands between them.
    """
    if not_as_good().fullmatch(gap):
        return True, bool(re.search(r"\bno\s", gap))
    before = text[max(0, word.start - _REACH) : word.start]
    if _AS.fullmatch(gap) and _NOT_SO_MUCH.search(before):
        return True, False
    if _KARA.fullmatch(gap) and _CHANGED_BEHIND.match(text, following.end):
        return True, False
    if _TO.fullmatch(gap) and _PREFERRED.search(before):
        return False, True
    if _TO.fullmatch(gap) and _CHANGED_FROM.search(before):
        return True, None
    if _FROM.fullmatch(gap) and _CHANGED_TO.search(before):
        return None, True
    if _QUE.fullmatch(gap):
        sentence = SENTENCE_END.split(before)[-1]
        more = _MORE.search(gap) or _MORE.search(sentence)
        return None if more is None else (False, True) if more["more"] else (True, False)
    return None
