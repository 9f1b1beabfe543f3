"""Labels that somebody else says, in the languages other than English: "Der Vorstand hofft auf einen Anstieg."."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from engine.inputs.answers.languages import JOINED, languages, phrases, words_of
from engine.inputs.answers.unstated.reporting import FIRST_PERSON
from engine.inputs.answers.words import LabelWord

_REACH_BEFORE, _REACH_BEHIND = 240, 80
"""Characters on either side of a label in which is looked for who says it."""
_SENTENCE_END = re.compile(r"[\n!?;。！？；।]|\.(?!\d)")
_TURNS = re.compile(
    r"(?<![^\W_])(?:aber|doch|jedoch|sondern|dennoch|trotzdem|allerdings|mais|cependant|pourtant|toutefois|néanmoins|pero|sin\s+embargo|aunque|"
    r"ma|però|tuttavia|mas|porém|contudo|entretanto|no\s+entanto|но|однако|fakat|ama|ancak|tetapi|namun|tapi)(?![^\W_])|"
    r"但是|但|然而|不过|不過|しかし|だが|ものの|が、|하지만|그러나|لكن|लेकिन|मगर",
    re.IGNORECASE,
)
"""Behind these another one may speak."""
_NO_OWNER, _NOT_PASSIVE = "(?![的の의])", "(?!され|まれ|된|됩|돼|되)"
"""Behind people: whose earnings they are ("同社のEPS"); behind a verb: what is expected, by nobody in particular."""
_OPENS = re.compile(r"[\"'“‘«„「『](?:[^\W_]+\s+){0,8}[*_]*\Z")
_NAMES = re.compile(
    r"(?<![^\W_])(?:nennt|nannte|bezeichnet|bezeichnete|nomme|qualifie|appelle|llama|llamó|califica|calificó|definisce|chiama|chamou|chama|"
    r"classifica|classificou|называет|назвал\w*)(?![^\W_])|称为|稱為|称之为|と呼",
    re.IGNORECASE,
)
"""Verbs by which somebody calls something what stands in quotes."""
_QUOTED_BEHIND = re.compile(r"[^\n.!?。「」]{0,20}[\"'”’»“」』]\s*,?\s*")


def hearsay(text: str, words: Sequence[LabelWord], codes: tuple[str, ...]) -> list[bool]:
    """Return which of a text's label words somebody else says.

    Parameters
    ----------
    text
        The whole text.
    words
        Its label words.
    codes
        Languages whose words count; of English none does (``voices``, ``unstated.frames``).
    """
    others = tuple(code for code in codes if code != "en" and not languages()[code].is_partial)
    if not others:
        return [False] * len(words)
    return [_is_of_others(text, word, others) for word in words]


def _is_of_others(text: str, word: LabelWord, codes: tuple[str, ...]) -> bool:
    low = max(0, word.start - _REACH_BEFORE)
    start = low
    for mark in _SENTENCE_END.finditer(text, low, word.start):
        start = mark.end()
    for mark in _turning(codes).finditer(text, start, word.start):
        start = mark.end()
    stop = _SENTENCE_END.search(text, word.end, word.end + _REACH_BEHIND)
    end = stop.start() if stop else min(len(text), word.end + _REACH_BEHIND)
    before, behind = text[start : word.start], text[word.end : end]
    place = _said_before(before, behind, codes)
    if place is not None:
        return not FIRST_PERSON.search(before, place) and not (_is_verb_last(codes) and FIRST_PERSON.search(behind))
    quoted = _QUOTED_BEHIND.match(behind)
    said = _verbs(codes).search(behind, quoted.end()) if quoted else None
    if said is not None and not FIRST_PERSON.search(behind):
        return True
    return bool(_OPENS.search(before) and _NAMES.search(before) and not FIRST_PERSON.search(before))


def _said_before(before: str, behind: str, codes: tuple[str, ...]) -> int | None:
    """Return where the words end by which somebody else says what follows; None where there are none."""
    by_name, alone, according, own = _patterns(codes)
    last = None
    for found in according.finditer(before):
        if not own.match(before, found.end()):
            last = found.end()
    for found in by_name.finditer(before):
        last = max(last or 0, found.end())
    for found in alone.finditer(before):
        if not own.search(before[: found.start()]):
            last = max(last or 0, found.end())
    if last is None and "de" in codes and (has := _have_said().search(before)):
        return has.end()
    if last is None and _is_verb_last(codes):
        named = None
        for named in _people(codes).finditer(before):  # noqa: B007
            pass
        if named is not None and _verbs(codes).search(before[named.end() :] + behind):
            last = named.end()
    return last


def _is_verb_last(codes: tuple[str, ...]) -> bool:
    """Whether the verb of who says so may stand behind the label."""
    return bool({"ja", "ko", "tr", "hi"} & set(codes))


@cache
def _turning(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"{_TURNS.pattern}|{phrases(words_of(codes, 'connectors'))}", re.IGNORECASE)


@cache
def _patterns(codes: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return patterns of people with a verb of theirs, of verbs of others, of "according to", and of own sources."""
    people, verbs = words_of(codes, "people"), [*words_of(codes, "expects"), *words_of(codes, "reports")]
    spaced, joined = ([word for word in people if bool(JOINED.match(word)) is is_joined] for is_joined in (False, True))
    said = phrases(verbs)
    by_name = (
        rf"{phrases(spaced)}(?:\s+[^\s,.;:]+){{0,5}}?\s+{said}"
        rf"|{phrases(joined)}{_NO_OWNER}[^。！？，,]{{0,12}}?{said}{_NOT_PASSIVE}"
    )
    alone = [word for code in codes if code not in ("id", "ko", "ja", "zh") for word in languages()[code].reports]
    own = rf"\s*(?:[^\s,.;:]+\s+){{0,3}}?{phrases(words_of(codes, 'own_sources'))}"
    return (
        re.compile(by_name, re.IGNORECASE),
        re.compile(phrases(alone), re.IGNORECASE),
        re.compile(phrases(words_of(codes, "according")), re.IGNORECASE),
        re.compile(own, re.IGNORECASE),
    )


@cache
def _have_said() -> re.Pattern[str]:
    """Return a pattern of German people and the verb before whose participle a label stands ("hat … eingeräumt")."""
    people = phrases(words_of(("de",), "people"))
    return re.compile(rf"{people}\s+(?:hat|haben|hatte|hatten)\s+(?:[^\s,.;:]+\s+){{0,3}}\Z", re.IGNORECASE)


@cache
def _people(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(phrases(words_of(codes, "people")) + _NO_OWNER, re.IGNORECASE)


@cache
def _verbs(codes: tuple[str, ...]) -> re.Pattern[str]:
    verbs = phrases([*words_of(codes, "expects"), *words_of(codes, "reports")])
    return re.compile(verbs + _NOT_PASSIVE, re.IGNORECASE)
