"""Several answers given at once ("A, C", "Yes, but no"), where one is asked for."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

from engine.inputs.answers.languages import languages, phrases, words_of
from engine.inputs.answers.mentions import Mentions, Reading, fillers
from engine.inputs.answers.words import LabelWord, LabelWords

_MARKS = r"[\s*_`\"'“”‘’«»()（）\[\]{}$\\|-]"
_ENDS = re.compile(
    r"[*_`\"'”’»)）\]}$|]*"
    r"(?:\s*(?:\Z|\n|[,;:，；：)\]}—–]|[.!。！](?!\d)|\\|</)|\s+(?:-\s|because\b|since\b|are\b|both\b|sind\b|sont\b|son\b|sono\b|são\b)|\s?(?:입니다|です))"
)
_NEXT_LINE = re.compile(r"[ \t]*[.,;]?[*_ \t]*\n[ \t]*(?:[-*•+]|\d{1,2}[.)])?[ \t]*(?P<said>[^\n]{1,60})")
_OPENS = re.compile(r"[*_`\"'”)）\]]*\s*[:：)）\]?]")
_IF = re.compile(r"[*_\"'”,]*\s+(?:only\s+)?(?:if|when|unless|provided|falls|wenn|si|se|если)\b", re.IGNORECASE)
_ELSE = re.compile(
    r"\b(?:otherwise|else|if not|sonst|andernfalls|sinon|de lo contrario|si no|altrimenti|caso contrário|senão|иначе)"
    r"[\s,:*_]*(?:it(?:'s| is)\s+)?\Z",
    re.IGNORECASE,
)
_ELSE_BEHIND = re.compile(r"[*_\"'”]*\s+(?:otherwise|if not|sonst|sinon|altrimenti|si no|senão|иначе)\b", re.IGNORECASE)
_MOST = 200
"""Characters of a stretch that is looked at."""


def several_answers(mentions: Mentions, labels: LabelWords, start: int, end: int) -> Reading | None:
    """Return a reading that names the labels that a stretch begins by listing; None when it lists no two.

    They are joined by signs or words such as and, or, but, and the list ends where a clause does. Sentences that say
    nothing but a label ("A. C.") are listed when the stretch says nothing else.

    Parameters
    ----------
    mentions
        Of the whole text.
    labels
        The label words.
    start, end
        The stretch: a line, or the value of a cue or field.
    """
    end = _with_lines_of_labels(mentions.text, labels, end)
    stretch = mentions.text[start : min(end, start + _MOST)]
    words = labels.find(stretch)
    if words and len({word.label for word in words}) == 1 and _is_one_of_both(stretch, words[-1]):
        return Reading(None, "ambiguous_label", (words[0].label,), is_conflict=True)
    if len({word.label for word in words}) < 2 or not _head().fullmatch(stretch, 0, words[0].start):
        return None
    denied = {mention.word.start - start for mention in mentions.within(start, end) if mention.is_denied}
    listed = _listed(stretch, words, denied)
    if len({word.label for word in listed}) < 2:
        listed = _conditional(stretch, [word for word in words if word.start not in denied])
    elif not _ENDS.match(stretch, listed[-1].end) or _is_choice_of_next(stretch, listed, words):
        return None
    names = tuple(dict.fromkeys(word.label for word in listed))
    if len(names) < 2:
        return None
    return Reading(None, "ambiguous_label", names, is_conflict=True)


def _is_one_of_both(stretch: str, word: LabelWord) -> bool:
    """Whether "both" stands before the one label of a list that ends behind it ("Both A")."""
    is_both = _head().fullmatch(stretch, 0, word.start) and _both().search(stretch, 0, word.start)
    return bool(is_both and _ENDS.match(stretch, word.end))


def _with_lines_of_labels(text: str, labels: LabelWords, end: int) -> int:
    """Return the end of a stretch with the lines right behind it that say a label and nothing else."""
    while line := _NEXT_LINE.match(text, end):
        if not labels.exact(line["said"]):
            break
        end = line.end()
    return end


def _listed(stretch: str, words: list[LabelWord], denied: set[int]) -> list[LabelWord]:
    """Return the words that are joined to the first one."""
    joint, stop = _joints()
    is_all = not re.search(r"[^\W_]", stretch[words[-1].end :])
    is_all = is_all and words[-1].label not in {word.label for word in words[:-1]}  # else a choice, and the answer
    gaps = [stretch[word.end : following.start] for word, following in pairwise(words)]
    is_all = is_all and all(gap.count("(") <= gap.count(")") for gap in gaps)
    if is_all and all(joint.fullmatch(gap) or stop.fullmatch(gap) for gap in gaps):
        return [] if denied & {word.start for word in words} else words
    listed = words[:1]
    for gap, word in zip(gaps, words[1:], strict=True):
        if not joint.fullmatch(gap) or word.start in denied:
            break
        listed.append(word)
    return [] if words[0].start in denied else listed


def _is_choice_of_next(stretch: str, listed: list[LabelWord], words: list[LabelWord]) -> bool:
    """Whether a list is the choice that another label follows ("(yes/no): no")."""
    return len(words) > len(listed) and bool(_OPENS.match(stretch, listed[-1].end))


def _conditional(stretch: str, words: list[LabelWord]) -> list[LabelWord]:
    """Return the labels that are given for two cases ("yes if …, otherwise no")."""
    cases = [word for word in words if _IF.match(stretch, word.end)]
    other = [
        word
        for word in words[1:]
        if _ELSE.search(stretch[max(0, word.start - 20) : word.start]) or _ELSE_BEHIND.match(stretch, word.end)
    ]
    return [*words[:1], *other] if other else cases


@cache
def _head() -> re.Pattern[str]:
    """Return a pattern of what may stand before a list: the number of an item, both, and what fills cues."""
    words = phrases(word for kind in ("joins", "both") for word in words_of(languages(), kind))
    nouns = r"(?:options?|choices?|answers?)\s+"
    return re.compile(rf"(?:\s*\d{{1,2}}[.)]\s)?(?:{fillers().pattern}|{nouns}|{words}[\s*_]*)*", re.IGNORECASE)


@cache
def _both() -> re.Pattern[str]:
    return re.compile(phrases(words_of(languages(), "both")), re.IGNORECASE)


@cache
def _joints() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return patterns of what joins two labels of a list, and of what does when nothing else is said."""
    pairs = ("als auch", "wie auch", "como", "sia", "che", "bien que", "y también", "e anche", "так и", "hem", "maupun")
    words = phrases([*words_of(languages(), "joins"), *pairs])
    signs = rf"(?:{_MARKS}*(?:[,;/&+、，；·]|…|\.{{2,3}}|{words}))"
    return (
        re.compile(rf"{signs}{{1,4}}{_MARKS}*", re.IGNORECASE),
        re.compile(rf"(?:{_MARKS}|[,;/&+、，；·….!。！–—:]|{words}|\n\s*\d{{1,2}}[.)])*", re.IGNORECASE),
    )
