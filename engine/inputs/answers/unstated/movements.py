"""Labels of movement (increase, up, …) that are not what moves: said of costs, in an adjunct, beside another verdict.

"EPS will drop with an increase in costs" names "increase" and says the opposite. A label of movement states nothing
in an adjunct, or of something else than what is asked for; nor where another verdict stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

from engine.inputs.answers.languages import pattern_of, phrases, words_of
from engine.inputs.answers.words import LabelWord

_BOUNDARY = re.compile(r"[,;:，；、：!?。！？\n()（）]|\.(?!\d)|\s[-–—]\s")
_REACH_BEFORE, _REACH_BEHIND = 100, 60
_WRITER = re.compile(r"\b(?:I|we|my|our|you|will|would|should|is|are|must|may|might|could|can)\s+\w+")
_OF = re.compile(
    r"[*_`\"'’]*\s*(?:(?:in|of|for|to|on|der|des|die|den|dem|am|an|bei|von|im|en|de|du|la|le|les|los|las|del|dei|degli|"
    r"delle|della|dell|nei|nelle|nel|dos|das|do|da|nos|nas|no|na|в|pada|dalam)['’\s]\s*)?"
    r"(?:(?:the|our|its|their|los|las|les|dei|gli|le|die|der|os|both|all)\s+)?",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+\s+")
_VERB_LAST = frozenset(("tr", "hi", "ja", "ko", "zh"))
"""Languages in which what moves stands before its movement only."""
_FUTURE = re.compile(
    r"\b(?:will|should|going to|likely|expect\w*|predict\w*|forecast\w*|wird|werden|dürfte|va|vont|sera|будет|akan)\b|"
    r"['’]ll\b|将|將|预计|預計|会|會|だろう|でしょう|予[想測]|것|ecek|acak|س|गा|गी",
    re.IGNORECASE,
)
_KEY_WORDS = 4
"""Words of a key at most, which says what its value is said of ("Cost trend: …")."""
_BEHIND_GAP = 4
"""Signs between a label and what ends an adjunct behind it: an ending."""


def is_beside(text: str, codes: tuple[str, ...], start: int, word: LabelWord) -> bool:
    """Whether a label of movement stands in an adjunct, or is said of something else than what is asked for.

    Parameters
    ----------
    text
        The whole text.
    codes
        Of its languages.
    start
        Of the stretch.
    word
        The label's word.
    """
    low = max(start, word.start - _REACH_BEFORE)
    for boundary in _BOUNDARY.finditer(text, low, word.start):
        if boundary.group() not in ":：" or len(text[low : boundary.start()].split()) > _KEY_WORDS:
            low = boundary.end()
    before = text[low : word.start]
    behind = text[word.end : word.end + _REACH_BEHIND]
    end = _BOUNDARY.search(behind)
    clause = behind[: end.start()] if end else behind
    ending = pattern_of(codes, "adjuncts_behind").search(clause[: _BEHIND_GAP + 12])
    if ending and ending.start() <= _BEHIND_GAP:
        return True
    return _is_of_other(codes, before, clause) or _is_in_adjunct(codes, before)


def _is_of_other(codes: tuple[str, ...], before: str, behind: str) -> bool:
    things = _things(codes)
    for place in () if _VERB_LAST & set(codes) else _object_places(codes, behind):
        thing = things.match(behind, place)
        if thing:
            return thing["other"] is not None
    nearest = None
    for nearest in things.finditer(before):  # noqa: B007
        pass
    if nearest is None or nearest["other"] is None:
        return False
    return not ("de" in codes and _is_within_adjunct(codes, before[: nearest.start()]))


def _is_within_adjunct(codes: tuple[str, ...], before: str) -> bool:
    """Whether what moves stands in an adjunct between the subject and its verb ("Gewinn wird dank Kosten… steigen")."""
    adjunct = None
    for adjunct in pattern_of(codes, "adjuncts").finditer(before):  # noqa: B007
        pass
    return adjunct is not None and any(t["other"] is None for t in _things(codes).finditer(before, 0, adjunct.start()))


def _object_places(codes: tuple[str, ...], behind: str) -> list[int]:
    """Return where what moves may begin behind a label: at once, behind "in the", or one word later."""
    gap = _OF.match(behind)
    places = [1, gap.end()] if gap else [1]
    word = _WORD.match(behind, places[-1])
    if word and not any(pattern_of(codes, kind).search(word.group()) for kind in ("sides", "breaks", "concessives")):
        places.append(word.end())
    return places


def _is_in_adjunct(codes: tuple[str, ...], before: str) -> bool:
    if not pattern_of(codes, "adjuncts").search(before):
        return False
    plain = pattern_of(codes, "not_adjuncts").sub(lambda match: "·" * len(match.group()), before)
    last = None
    for last in pattern_of(codes, "adjuncts").finditer(plain):  # noqa: B007
        pass
    if last is None:
        return False
    between = plain[last.end() :]
    thing = None
    for thing in _things(codes).finditer(between):  # noqa: B007
        pass
    is_of_subject = thing is not None and thing["other"] is None
    return not is_of_subject and not _WRITER.search(between)


def other_verdict(
    text: str,
    start: int,
    end: int,
    codes: tuple[str, ...],
    sign: int,
    labels: Collection[tuple[int, int]],
    is_of_subject: bool = False,
) -> bool:
    """Return whether a stretch has a word of another movement that is no label, no adjunct, and of nothing else.

    Parameters
    ----------
    text
        The whole text.
    start, end
        The stretch.
    codes
        Of the text's languages.
    sign
        Of the label: 1, -1 or 0 (``LabelWords.signs``).
    labels
        The spans of label words in the stretch.
    is_of_subject
        Whether what is asked for has to stand before that word, in its clause.
    """
    for match in _movements(codes).finditer(text, start, end):
        kind = {"rise": 1, "fall": -1, "level": 0}[match.lastgroup or ""]
        if kind == sign or any(first <= match.start() < last for first, last in labels):
            continue
        if "-" in (text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]):
            continue
        word = LabelWord("", 0, *match.span())
        if is_of_subject and not _has_subject(text, codes, start, word):
            continue
        is_main = not is_beside(text, codes, start, word) and not _is_side(text, codes, start, word)
        if is_main and not _is_in_phrase(text, codes, start, end, word):
            return True
    return False


def _is_in_phrase(text: str, codes: tuple[str, ...], start: int, end: int, word: LabelWord) -> bool:
    met = pattern_of(codes, "set_phrases").finditer(text, start, end)
    return any(match.start() <= word.start < match.end() for match in met)


def _has_subject(text: str, codes: tuple[str, ...], start: int, word: LabelWord) -> bool:
    clause = re.split(r"[,;，；、.]", text[max(start, word.start - _REACH_BEFORE) : word.start])[-1]
    return any(thing["other"] is None for thing in _things(codes).finditer(clause))


def speaks_of_subject(text: str, start: int, end: int, codes: tuple[str, ...]) -> bool:
    """Whether a stretch names what is asked for (earnings, profit)."""
    return any(thing["other"] is None for thing in _things(codes).finditer(text, start, end))


def is_future(text: str) -> bool:
    """Whether a sentence speaks of what comes."""
    return bool(_FUTURE.search(text))


def _is_side(text: str, codes: tuple[str, ...], start: int, word: LabelWord) -> bool:
    clause = re.split(r"[,;，；、]", text[max(start, word.start - _REACH_BEFORE) : word.start])[-1]
    kinds = ("sides", "concessives", "before", "unbelieved", "conditional", "contrasts")
    return any(pattern_of(codes, kind).search(clause) for kind in kinds)


@cache
def _movements(codes: tuple[str, ...]) -> re.Pattern[str]:
    kinds = (("rise", "rises"), ("fall", "falls"), ("level", "levels"))
    parts = "|".join(f"(?P<{name}>{phrases(words_of(codes, kind))})" for name, kind in kinds)
    return re.compile(parts, re.IGNORECASE)


@cache
def _things(codes: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of what is asked for, and of what moves beside it (the group ``other``)."""
    return re.compile(
        rf"{phrases(words_of(codes, 'subjects'))}|(?P<other>{phrases(words_of(codes, 'others'))})", re.IGNORECASE
    )
