"""Labels of movement (increase, up, …) that are not what moves: said of costs, in an adjunct, beside another verdict.

"EPS will drop with an increase in costs" names "increase" and says the opposite. A label of movement states nothing
in an adjunct, or of something else than what is asked for; nor where another verdict stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from engine.inputs.answers.languages import languages, pattern_of, phrases, words_of
from engine.inputs.answers.unstated.reporting import FIRST_PERSON
from engine.inputs.answers.words import LabelWord

_BOUNDARY = re.compile(r"[,;:，；、،؛：!?。！？؟\n()（）]|\.(?!\d)|\s[-–—]\s")
_REACH_BEFORE, _REACH_BEHIND = 100, 60
_WRITER = re.compile(
    r"\b(?:I|we|my|our|you|will|would|should|is|are|must|may|might|could|can)\s+\w+|\b(?:I|[Ww]e)['’](?:d|ll|m|re|ve)\s+\w+"
)
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
_GRANTS = re.compile(
    r"(?<![^\W_])(?:trotz|ungeachtet|malgré|en\s+dépit|a\s+pesar|pese\s+a|nonostante|malgrado|apesar|несмотря)(?![^\W_])",
    re.IGNORECASE,
)
"""Before a thing that is granted, behind which the writer concludes without a comma ("trotz … rechne ich mit")."""
_GOVERNED = re.compile(r"\b(?:auszugehen|zu\s+rechnen|ausgegangen|gerechnet)\b", re.IGNORECASE)
"""Verbs at a German sentence's end whose object an adjunct's word begins ("von einem Anstieg ist auszugehen")."""
_CAUSES = re.compile(
    r"\b(?:suggest|indicat|lead|led|driv|support|point|result|mean|impl|caus|signal|show|help|boost|contribut|bring|yield|"
    r"translat|hint|imply|justif|make|deutet|spricht|sprechen|führt|führen|lässt|indiqu|suggèr|condui|entraîn|indica|sugier|"
    r"conduc|sugger|porta|leva|suger|указыва|вед)\w*|表明|意味|导致|導致|示し|示す|보여|시사",
    re.IGNORECASE,
)
"""What stands between a thing that moves and a label that it is a reason for ("strong sales suggest an increase")."""
_PAST = re.compile(
    r"(?<!\bover )(?<!\bfrom )(?<!\bthan )(?<!\bversus )(?<!\bvs )(?<!\bto )(?<!\bwith )(?<!\bon )(?<!\bagainst )"
    r"(?<!\bof )"
    r"\b(?:last|the\s+previous|the\s+prior|the\s+past|previous|prior|past)[\s-](?:year|quarter|period|\w+\s+years)\b|"
    r"\bhistorically\b|\bin\s+the\s+past\b|\bpreviously\b|\bin\s+recent\s+years\b|\bpast\s+eps\b|"
    r"\bfrom\s+[$€£]?[\d.,]+\s+(?:\w+\s+){0,3}?to\s+[$€£]?\d",
    re.IGNORECASE,
)
_PAST_AHEAD = re.compile(
    r"(?:\A|[.;\n]\s*)[\W_]*(?:historically|in the past|previously|last year|in recent years|so far)\s*,\s*\Z",
    re.IGNORECASE,
)
_PAST_VERB = re.compile(r"\b(?:was|were|had|saw|has|have|experienced|reported|showed)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Topic:
    """What a text is read for: its languages, and the words of what is asked for (eps in direction_of_eps_change)."""

    codes: tuple[str, ...]
    asked: tuple[str, ...] = ()


def is_beside(text: str, topic: Topic, start: int, word: LabelWord) -> bool:
    """Whether a label of movement stands in an adjunct, tells the past, or is said of something else than is asked for.

    Parameters
    ----------
    text
        The whole text.
    topic
        Its languages, and what is asked for.
    start
        Of the stretch.
    word
        The label's word.
    """
    codes = topic.codes
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
    is_past = _is_past(before, text[word.start : word.end], clause, text[max(start, word.start - _REACH_BEFORE) : low])
    return is_past or _is_of_other(topic, before, clause) or _is_in_adjunct(topic, before, clause)


def _is_past(before: str, label: str, behind: str, ahead: str) -> bool:
    """Whether a clause tells what was ("EPS increased last year"), in English."""
    is_told = _PAST.search(before) or _PAST.search(behind) or _PAST_AHEAD.search(ahead)
    if is_future(before) or not is_told:
        return False
    return label.lower().endswith("ed") or bool(_PAST_VERB.search(before))


def _is_of_other(topic: Topic, before: str, behind: str) -> bool:
    codes, things = topic.codes, _things(topic)
    thing = _object(topic, behind)
    if thing:
        return _is_other(thing)
    nearest = None
    for nearest in things.finditer(before):  # noqa: B007
        pass
    if nearest is None or not _is_other(nearest):
        return False
    if nearest["neighbour"] and _CAUSES.search(before, nearest.end()):
        return False
    if _GRANTS.search(before, 0, nearest.start()) and _concludes(codes, before[nearest.end() :]):
        return False
    return not ("de" in codes and _is_within_adjunct(topic, before[: nearest.start()]))


def _is_other(thing: re.Match[str]) -> bool:
    return thing["other"] is not None or thing["neighbour"] is not None


def _is_within_adjunct(topic: Topic, before: str) -> bool:
    """Whether what moves stands in an adjunct between the subject and its verb ("Gewinn wird dank Kosten… steigen")."""
    adjunct = None
    for adjunct in pattern_of(topic.codes, "adjuncts").finditer(before):  # noqa: B007
        pass
    return adjunct is not None and speaks_of_subject(before, 0, adjunct.start(), topic)


def _object(topic: Topic, behind: str) -> re.Match[str] | None:
    """Return what stands right behind a label as what moves ("increase in EPS"); None where nothing does."""
    places = () if _VERB_LAST & set(topic.codes) else _object_places(topic.codes, behind)
    return next((thing for place in places if (thing := _things(topic).match(behind, place))), None)


def _object_places(codes: tuple[str, ...], behind: str) -> list[int]:
    """Return where what moves may begin behind a label: at once, behind "in the", or one word later."""
    gap = _OF.match(behind)
    places = [1, gap.end()] if gap else [1]
    word = _WORD.match(behind, places[-1])
    if word and not any(pattern_of(codes, kind).search(word.group()) for kind in ("sides", "breaks", "concessives")):
        places.append(word.end())
    return places


def _is_in_adjunct(topic: Topic, before: str, behind: str) -> bool:
    codes = topic.codes
    if _GOVERNED.search(behind) or not pattern_of(codes, "adjuncts").search(before):
        return False
    plain = pattern_of(codes, "not_adjuncts").sub(lambda match: "·" * len(match.group()), before)
    last = None
    for last in pattern_of(codes, "adjuncts").finditer(plain):  # noqa: B007
        pass
    if last is None:
        return False
    between = plain[last.end() :]
    if last.group().lower() == "from" and re.search(r"\bto\s+(?:an?\s+)?(?:\w+\s+)?\Z", between):
        return False  # "revise it from a decrease to an increase"
    thing = None
    for thing in _things(topic).finditer(between):  # noqa: B007
        pass
    is_of_subject = thing is not None and not _is_other(thing)
    return not is_of_subject and not _WRITER.search(before, last.end()) and not _concludes(codes, before[last.end() :])


def _concludes(codes: tuple[str, ...], between: str) -> bool:
    """Whether the writer concludes behind an adjunct, in another language than English ("trotz … erwarte ich")."""
    return codes != ("en",) and bool(FIRST_PERSON.search(between))


def other_verdict(
    text: str,
    start: int,
    end: int,
    topic: Topic,
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
    topic
        The text's languages, and what is asked for.
    sign
        Of the label: 1, -1 or 0 (``LabelWords.signs``).
    labels
        The spans of label words in the stretch.
    is_of_subject
        Whether what is asked for has to stand before that word, in its clause.
    """
    for match in _movements(topic.codes).finditer(text, start, end):
        kind = {"rise": 1, "fall": -1, "level": 0}[match.lastgroup or ""]
        if kind == sign or any(first <= match.start() < last for first, last in labels):
            continue
        if "-" in (text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]):
            continue
        word = LabelWord("", 0, *match.span())
        if is_of_subject and not _has_subject(text, topic, start, word):
            continue
        is_main = not is_beside(text, topic, start, word) and not _is_side(text, topic.codes, start, word)
        if is_main and not _is_in_phrase(text, topic.codes, start, end, word):
            return True
    return False


def _is_in_phrase(text: str, codes: tuple[str, ...], start: int, end: int, word: LabelWord) -> bool:
    met = pattern_of(codes, "set_phrases").finditer(text, start, end)
    return any(match.start() <= word.start < match.end() for match in met)


def _has_subject(text: str, topic: Topic, start: int, word: LabelWord) -> bool:
    clause = re.split(r"[,;，；、،؛.]", text[max(start, word.start - _REACH_BEFORE) : word.start])[-1]
    return speaks_of_subject(clause, 0, len(clause), topic)


def speaks_of_subject(text: str, start: int, end: int, topic: Topic) -> bool:
    """Whether a stretch names what is asked for (earnings, profit)."""
    return any(not _is_other(thing) for thing in _things(topic).finditer(text, start, end))


def is_said_of_subject(text: str, topic: Topic, start: int, word: LabelWord) -> bool:
    """Whether a label's own clause names what is asked for, before the label or right behind it ("increase in EPS")."""
    low = max(start, word.start - _REACH_BEFORE)
    for boundary in _BOUNDARY.finditer(text, low, word.start):
        low = low if boundary.group() in ":：" else boundary.end()
    stop = _BOUNDARY.search(text, word.end, word.end + _REACH_BEHIND)
    end = stop.start() if stop else word.end + _REACH_BEHIND
    own = _object(topic, text[word.end : end])
    if own is not None:
        return not _is_other(own)
    last = None
    for last in _things(topic).finditer(text, low, word.start):  # noqa: B007
        pass
    return not _is_other(last) if last is not None else speaks_of_subject(text, word.end, end, topic)


def is_future(text: str) -> bool:
    """Whether a sentence speaks of what comes."""
    return bool(_FUTURE.search(text))


def _is_side(text: str, codes: tuple[str, ...], start: int, word: LabelWord) -> bool:
    clause = re.split(r"[,;，；、،؛]", text[max(start, word.start - _REACH_BEFORE) : word.start])[-1]
    kinds = ("sides", "concessives", "before", "unbelieved", "conditional", "contrasts")
    return any(pattern_of(codes, kind).search(clause) for kind in kinds)


@cache
def _movements(codes: tuple[str, ...]) -> re.Pattern[str]:
    kinds = (("rise", "rises"), ("fall", "falls"), ("level", "levels"))
    parts = "|".join(f"(?P<{name}>{phrases(words_of(codes, kind))})" for name, kind in kinds)
    return re.compile(parts, re.IGNORECASE)


@cache
def _things(topic: Topic) -> re.Pattern[str]:
    """Return a pattern of what is asked for, and of what moves beside it (the groups ``other`` and ``neighbour``).

    What the decision's field names is asked for; where that is earnings, revenue and the like move beside it.
    """
    asked = {word.casefold() for word in topic.asked}
    earnings = {word.casefold() for word in words_of(languages(), "subjects")}
    kinds = {kind: words_of(topic.codes, kind) for kind in ("subjects", "others", "neighbours")}
    is_of_earnings = bool(asked & earnings)
    others, neighbours = (
        [
            word
            for word in kinds[kind]
            if not asked & set(word.casefold().rstrip("s*").split()) | asked & {word.casefold()}
        ]
        for kind in ("others", "neighbours")
    )
    # A stock's price is asked for where nothing is known of what is, and moves beside earnings.
    subjects = [word for word in kinds["subjects"] if not is_of_earnings or word not in neighbours]
    own = [*subjects, *topic.asked] if is_of_earnings or not asked else [*topic.asked, *subjects]
    beside = phrases(neighbours if is_of_earnings else ())
    # "Stock price" before "stock".
    return re.compile(rf"(?P<neighbour>{beside})|{phrases(own)}|(?P<other>{phrases(others)})", re.IGNORECASE)
