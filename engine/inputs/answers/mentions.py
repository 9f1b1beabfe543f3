"""The label words of an answer and what is said of each: denied, merely offered as a choice, said aside.

``main_label`` is the one rule by which a stretch of text (a cue's value, a sentence) names one label or does not.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from engine.inputs.answers.asserted.hearsay import hearsay
from engine.inputs.answers.asserted.speakers import spoken
from engine.inputs.answers.choices import explained, mark_listed, offered_words
from engine.inputs.answers.denied.denials import Denials
from engine.inputs.answers.languages import languages, pattern_of, phrases, words_of
from engine.inputs.answers.unstated.asides import is_attribute, is_said_aside
from engine.inputs.answers.unstated.frames import unasserted
from engine.inputs.answers.unstated.movements import (
    Topic,
    is_beside,
    is_said_of_subject,
    other_verdict,
    speaks_of_subject,
)
from engine.inputs.answers.unstated.phrases import outside_phrases
from engine.inputs.answers.unstated.shares import shares
from engine.inputs.answers.unstated.supposed import conditional, supposed
from engine.inputs.answers.unstated.undecided import is_undecided, only_compared
from engine.inputs.answers.words import LabelWord, LabelWords

_GAP = 40
"""Characters behind a label in which its clause is looked for."""
_CHOICE = re.compile(r"[<>|/\[\]{}]")
_BOUNDARY = re.compile(r"\s*[*_`\"'”’»)\]}$]*\s*(?:[,;:(（，；：،؛—–\n]|-\s|[.!?؟。](?!\d))")


_CLAUSE_END = re.compile(r"[,;，；、،؛.!?。！？؟\n]")
_SENTENCE_STOP = re.compile(r"[\n!?。！？؟]|\.(?!\d)")
_SENTENCE_REACH = 300
_COMING = re.compile(
    r"\b(?:will|is\s+going\s+to|(?:is|are)\s+(?:\w+\s+)?(?:expected|likely|set|bound|poised|projected)\s+to|should)\s+"
    r"(?:\w+ly\s+|now\s+|then\s+|again\s+|soon\s+)*[*_\"']*\Z",
    re.IGNORECASE,
)
"""Right before a verb that tells what is to come."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A label word: whether it is denied, only one of a choice ("increase or decrease"), or only given a probability.

    One that is only given a probability, that somebody else says (``is_of_others``) or that stands under a condition is
    offered, too; ``is_conditional`` says that nothing but a condition makes it so.
    """

    word: LabelWord
    is_denied: bool
    is_offered: bool
    is_share: bool = False
    is_conditional: bool = False
    is_of_others: bool = False


@dataclass(frozen=True, slots=True)
class Mentions:
    """All label words of a text in order, with the languages whose words they were read by."""

    text: str
    codes: tuple[str, ...]
    items: tuple[Mention, ...]
    topic: Topic
    signs: Mapping[str, int] = field(default_factory=dict)
    is_told: bool = True
    _starts: list[int] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        text: str,
        labels: LabelWords,
        denials: Denials,
        codes: tuple[str, ...],
        is_prose: bool = True,
        asked: tuple[str, ...] = (),
        is_told: bool = True,
    ) -> Mentions:
        """Read every label word of a text.

        ``asked`` are words of what is asked for; ``is_told`` says whether the text's language could be told.
        """
        words = outside_phrases(text, labels.find(text, is_prose), labels.spelled)
        denied = denials.of(text, words)
        offered = offered_words(text, words, denied, codes)
        mark_listed(offered, text, words, denied, list(labels.labels))
        legend = explained(text, labels.find(text))
        offered = [is_one or (word.start, word.end) in legend for is_one, word in zip(offered, words, strict=True)]
        given = shares(text, words, denied, codes)
        unsaid = unasserted(text, words, labels.signs, codes)
        compared = only_compared(text, words, labels.labels)
        others = zip(hearsay(text, words, codes), spoken(text, words, codes), strict=True)
        of_others = [is_told or is_spoken for is_told, is_spoken in others]
        kinds = (offered, given, supposed(text, words, codes), unsaid, compared, of_others)
        offered = [any(some) for some in zip(*kinds, strict=True)]
        under = conditional(text, words, codes)
        under = [is_one and not is_other for is_one, is_other in zip(under, offered, strict=True)]
        offered = [any(some) for some in zip(offered, under, strict=True)]
        items = tuple(Mention(*parts) for parts in zip(words, denied, offered, given, under, of_others, strict=True))
        starts = [word.start for word in words]
        return cls(text, codes, items, Topic(codes, asked), labels.signs, is_told, starts)

    def within(self, start: int, end: int) -> Sequence[Mention]:
        """Return those that begin in a stretch."""
        return self.items[bisect_left(self._starts, start) : bisect_left(self._starts, end)]

    def without_conditions(self) -> Mentions:
        """Return the same where what stands under a condition is not offered: a marked answer states it anyhow."""
        if not any(item.is_conditional for item in self.items):
            return self
        items = tuple(replace(item, is_offered=False) if item.is_conditional else item for item in self.items)
        return replace(self, items=items)

    def behind(self, start: int) -> Mentions:
        """Return the same with those alone that begin at a position or behind it."""
        first = bisect_left(self._starts, start)
        return replace(self, items=self.items[first:], _starts=self._starts[first:])


@dataclass(frozen=True, slots=True)
class Reading:
    """The label word that a stretch of text names; None with the reason (a reject's) and the labels met.

    ``is_conflict`` tells several statements that contradict each other from one that names several labels; ``is_aside``
    that the label was only said aside, ``is_beside`` that it is said of something else, ``is_share`` that it is only
    given a probability, ``is_asked`` that it stands in a question that is answered yes; ``value`` is a value that
    stands where a label should, ``since`` where the part of the stretch begins that decides.
    """

    word: LabelWord | None
    reason: str = ""
    labels: tuple[str, ...] = ()
    is_conflict: bool = False
    is_aside: bool = False
    is_beside: bool = False
    is_share: bool = False
    is_asked: bool = False
    value: str = ""
    since: int = 0


def main_label(mentions: Mentions, start: int, end: int, is_first: bool = False, is_weighed: bool = True) -> Reading:
    """Return the one label that a stretch names, once what is denied, offered or said aside is left out.

    Parameters
    ----------
    mentions
        Of the whole text.
    start, end
        The stretch.
    is_first
        Whether the first word of that label counts, not the last.
    is_weighed
        Whether other words of movement are heard, too (see ``weighed``).
    """
    named = mentions.within(start, end)
    live = [mention.word for mention in named if not mention.is_denied]
    if not live:
        return Reading(None, "denied_label" if named else "no_label", _labels(m.word for m in named))
    plain = [mention.word for mention in named if not mention.is_denied and not mention.is_offered]
    if not plain:
        is_share = any(mention.is_share for mention in named)
        is_template = _CHOICE.search(mentions.text, start, end) and not is_share
        return Reading(None, "template_echo" if is_template else "ambiguous_label", _labels(live), is_share=is_share)
    said = [word for word in plain if not is_said_aside(mentions.text, mentions.codes, start, word)]
    whole = [word for word in said if not is_attribute(mentions.text, word)]
    main = _of_what_is_asked(mentions, start, whole or said or plain)
    if len(_labels(main)) > 1:
        last = None
        for last in pattern_of(mentions.codes, "connectors").finditer(mentions.text, start, end):  # noqa: B007
            pass
        behind = [word for word in main if last is not None and word.start >= last.end()]
        if len(_labels(behind)) != 1:
            return Reading(None, "ambiguous_label", _labels(main))
        main, start = behind, last.end() if last else start
    word = main[0] if is_first else main[-1]
    if is_undecided(mentions.text, start, word, mentions.codes):
        return Reading(None, "ambiguous_label", _labels(main))
    reading = Reading(word, is_aside=not said, since=start)
    return weighed(mentions, reading, end) if is_weighed else reading


def _of_what_is_asked(mentions: Mentions, start: int, words: list[LabelWord]) -> list[LabelWord]:
    """Return the words of movement that are said of what is asked for, where the others are said of something else."""
    if len(_labels(words)) < 2:
        return words
    own = [word for word in words if not _is_beside(mentions, start, word)]
    is_all = len(own) < len(words) and all(is_of_subject(mentions, word, start) for word in own)
    return own if own and is_all else _of_the_future(mentions, start, words)


def _of_the_future(mentions: Mentions, start: int, words: list[LabelWord]) -> list[LabelWord]:
    """Return the words of movement that are yet to come, where all others are told in the past, in English."""
    text = mentions.text
    coming = [word for word in words if _COMING.search(text, max(start, word.start - _GAP), word.start)]
    past = [word for word in words if word not in coming and text[word.start : word.end].lower().endswith("ed")]
    is_all = coming and len(coming) + len(past) == len(words)
    return coming if is_all and all(word.label in mentions.signs for word in words) else words


def is_of_subject(mentions: Mentions, word: LabelWord, start: int) -> bool:
    """Whether a label of movement is said of what is asked for, in a stretch that begins there."""
    return word.label in mentions.signs and is_said_of_subject(mentions.text, mentions.topic, start, word)


def weighed(mentions: Mentions, reading: Reading, end: int) -> Reading:
    """Return a reading of a stretch that ends there, once words of movement that are no labels are heard, too."""
    word = reading.word
    if word is None or reading.is_aside or word.label not in mentions.signs:
        return reading
    if _is_said_otherwise(mentions, reading.since, end, word):
        return Reading(None, "ambiguous_label", (word.label,))
    return replace(reading, is_beside=_is_beside(mentions, reading.since, word))


def head_label(mentions: Mentions, start: int, end: int) -> LabelWord | None:
    """Return the label word that a stretch begins with, when the clause ends behind it."""
    plain = [m.word for m in mentions.within(start, end) if not m.is_denied and not m.is_offered]
    if not plain or not fillers().fullmatch(mentions.text, start, plain[0].start):
        return None
    return plain[0] if ends_clause(mentions, plain[0]) else None


def ends_clause(mentions: Mentions, word: LabelWord) -> bool:
    """Whether the clause ends behind a label word."""
    return bool(_BOUNDARY.match(mentions.text, word.end))


@cache
def fillers() -> re.Pattern[str]:
    """Return a pattern of what may stand between a cue and its label: markup, articles, hedges, in any language."""
    words = phrases(words_of(languages(), "fillers"))
    return re.compile(rf"(?>{words}|textbf|text|mathrm|boxed|[\W_])*+", re.IGNORECASE)


def is_aside(mentions: Mentions, word: LabelWord) -> bool:
    """Whether a label word is said aside in its sentence, or of something else than what is asked for."""
    low = max(0, word.start - _SENTENCE_REACH)
    start = low
    for stop in _SENTENCE_STOP.finditer(mentions.text, low, word.start):
        start = stop.end()
    if ends_clause(mentions, word) and fillers().fullmatch(mentions.text, start, word.start):
        return False
    return is_said_aside(mentions.text, mentions.codes, start, word) or _is_beside(mentions, start, word)


def _is_beside(mentions: Mentions, start: int, word: LabelWord) -> bool:
    return word.label in mentions.signs and is_beside(mentions.text, mentions.topic, start, word)


def _is_said_otherwise(mentions: Mentions, start: int, end: int, word: LabelWord) -> bool:
    """Whether another verdict, in a word that is no label, stands before a label of movement, or behind "therefore"."""
    sign = mentions.signs.get(word.label)
    if sign is None or (ends_clause(mentions, word) and fillers().fullmatch(mentions.text, start, word.start)):
        return False
    text, topic = mentions.text, mentions.topic
    labels = {(mention.word.start, mention.word.end) for mention in mentions.within(start, end)}
    if not other_verdict(text, start, end, topic, sign, labels):
        return False
    clause = [start, *(mark.end() for mark in _CLAUSE_END.finditer(text, start, word.start))][-1]
    of_own = speaks_of_subject(text, clause, min(end, word.end + _GAP // 2), topic)
    if other_verdict(text, start, word.start, topic, sign, labels, is_of_subject=of_own):
        return True
    led = pattern_of(mentions.codes, "connectors").search(text, word.end, end)
    if led and other_verdict(text, led.end(), end, topic, sign, labels):
        return True
    is_own = speaks_of_subject(text, start, word.start, topic)
    return not is_own and other_verdict(text, word.end, end, topic, sign, labels, is_of_subject=True)


def _labels(words: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.label for word in words))  # type: ignore[attr-defined]
