"""The ranking: of all that an answer says about labels, what it states.

1. The answer's field, in JSON, in a tag, or as ``key: value`` (``fields``); the last value counts. An answer that says
   yes or no to each label and nothing else (``verdict_rows``) states the one it says yes to.
2. A cue: ``Answer:``, ``the answer is``, a box, ``####``, the configured pattern (``cues``).
3. A bare label at the beginning of the first line, or alone on the last (``asserted.bare_labels``).
4. The conclusion in prose (``prose.conclusion``), in English where a frame states it (``asserted``); or a question of
   its own that it says yes to.

The first rank that names a label decides, and what stands around it never overrules it, but for a correction behind a
field, which counts. Where one rank states several labels, the one marked final counts; without any, the answer is
ambiguous.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from engine.config import DecisionSection
from engine.config.user_patterns import UserPattern
from engine.inputs.answers.asserted.bare_labels import bare_label
from engine.inputs.answers.asserted.questions import answered_question
from engine.inputs.answers.cued.cues import CueReader, field_words
from engine.inputs.answers.cued.taken_back import taken_back, turned_round
from engine.inputs.answers.cued.verdict_rows import verdict_rows
from engine.inputs.answers.cued.whole_values import WholeValues
from engine.inputs.answers.denied.denials import language_denials
from engine.inputs.answers.fields import FieldAnswer, end_of_object, field_answer
from engine.inputs.answers.heard import Heard, language_of
from engine.inputs.answers.mentions import Mentions, Reading, is_aside
from engine.inputs.answers.prose import Conclusion, conclusion, subject_of, subject_words
from engine.inputs.answers.unstated.several import several_answers
from engine.inputs.answers.values import ValueReader
from engine.inputs.answers.words import LabelWord, LabelWords

_UNREAD = (Reading(None, "no_label"), False, Conclusion(Reading(None, "no_label"), frozenset()))
"""Of the text around a field, which decides nothing."""
_FIRST_LINE = re.compile(r"\S[^\n]*")


@dataclass(frozen=True, slots=True)
class StatedAnswer:
    """What an answer states.

    Attributes
    ----------
    field
        What the configured field says; None when the answer has no such field.
    text
        What cues, bare labels or prose state where there is no field; a reading without a word has the reason.
    is_marked
        Whether a cue or a bare label states it, not prose.
    is_unanimous
        Whether no concluding sentence names another label.
    words
        Every label word that is not denied, in order.
    heard
        The language of the answer.
    mentions, start
        The label words as they were read, in the part of the answer that begins there.
    """

    field: FieldAnswer | None
    text: Reading
    is_marked: bool
    is_unanimous: bool
    words: tuple[LabelWord, ...]
    heard: Heard
    mentions: Mentions
    start: int

    def is_aside(self, word: LabelWord) -> bool:
        """Whether one of the words is said aside, or of something else than what is asked for."""
        return is_aside(self.mentions, word.moved(-self.start))


class AnswerReader:
    """Reads what answers state, by the rules of a config."""

    def __init__(self, decision: DecisionSection):
        self.labels = LabelWords(decision.labels, decision.match, is_inflected=True)
        self._field = decision.field
        self._locate = decision.locate
        self._asked = subject_words(decision.field)
        self._subject = subject_of(self._asked)
        self._negations = None if decision.negations is None else tuple(decision.negations)
        self._spelled = frozenset(self.labels.spelled)
        pattern = UserPattern("decision.pattern", decision.pattern) if decision.pattern else None
        self._whole = WholeValues(self.labels)
        self._cues = CueReader(self.labels, self._whole, pattern, field_words(decision.field))

    def values(self, text: str) -> ValueReader:
        """Return the reader of values in a text, by the text's language."""
        return self._value_reader(language_of(text))

    def _value_reader(self, heard: Heard) -> ValueReader:
        denials = language_denials(heard.codes, self._negations, self._spelled, heard.is_told)
        return ValueReader(self.labels, self._whole, denials, heard.codes, self._asked)

    def stated(self, answer: str, start: int = 0, end: int | None = None) -> StatedAnswer:
        """Return what an answer states.

        Parameters
        ----------
        answer
            The whole answer.
        start, end
            The characters in which labels are looked for; positions are those of the whole answer.
        """
        part = answer[start:end]
        heard = language_of(part)
        values = self._value_reader(heard)
        field = field_answer(part, self._field, values) if self._field else None
        mentions = Mentions.of(
            part, self.labels, values.denials, heard.codes, asked=values.asked, is_told=heard.is_told
        )
        reading, is_marked, concluded = _UNREAD if field else self._in_text(mentions, values)
        corrected = self._corrected(part, field, mentions, values)
        if corrected and self._locate == "field":
            assert field is not None and field.word is not None, "a correction stands behind a field's label"
            field = FieldAnswer(None, field.source, field.text, "ambiguous_label")
        elif corrected:
            field, reading, is_marked = None, Reading(corrected), True
        elif field is not None and field.word is not None:
            behind = end_of_object(part, field.word.end)
            if taken_back(mentions, field.word, behind, self._subject):
                field = FieldAnswer(None, field.source, field.text, "ambiguous_label")
        words = [mention.word for mention in mentions.items if not mention.is_denied]
        return StatedAnswer(
            field=_moved_field(field, start),
            text=_moved(reading, start),
            is_marked=is_marked,
            is_unanimous=bool(reading.word and concluded.labels <= {reading.word.label}),
            words=tuple(word.moved(start) for word in words),
            heard=heard,
            mentions=mentions,
            start=start,
        )

    def _corrected(
        self, part: str, field: FieldAnswer | None, mentions: Mentions, values: ValueReader
    ) -> LabelWord | None:
        """Return another label that a correction behind the field's object states, or a final answer there."""
        if field is None or field.word is None:
            return None
        behind = end_of_object(part, field.word.end)
        if not re.search(r"[^\W_]", part[behind:]):
            return None
        word = self._cues.correction(mentions, values.denials, behind)
        return word if word and word.label != field.word.label else None

    def _in_text(self, mentions: Mentions, values: ValueReader) -> tuple[Reading, bool, Conclusion]:
        """Return what cues, a bare label or prose state, whether it is marked, and the conclusion in prose."""
        concluded = conclusion(mentions, self._subject)
        if rows := verdict_rows(mentions.text, self.labels):
            return rows, True, concluded
        cued = self._cues.stated(mentions, values.denials)
        if cued.word or cued.is_conflict:
            return self._unless_taken_back(mentions, cued), True, concluded
        bare = self._whole_line(mentions) or self._several(mentions) or bare_label(mentions)
        if bare.word is None and bare.reason == "no_label" and not bare.value:
            bare = self._all_it_says(mentions)
        if bare.word or bare.is_conflict:
            return self._unless_taken_back(mentions, bare), True, concluded
        if cued.value or bare.value:
            return cued if cued.value else bare, True, concluded
        reading = concluded.reading
        asked = answered_question(mentions, self._spelled) if reading.word is None else None
        if asked is not None:
            return asked, False, replace(concluded, labels=frozenset())
        if reading.word is None and cued.reason not in ("", "no_label") and reading.reason == "no_label":
            reading = cued
        turned = turned_round(mentions, reading.word) if reading.word else None
        return turned or reading, False, concluded

    def _unless_taken_back(self, mentions: Mentions, reading: Reading) -> Reading:
        word = reading.word
        return (word and taken_back(mentions, word, word.end, self._subject)) or reading

    def _several(self, mentions: Mentions) -> Reading | None:
        """Return the labels that the first line lists, or all of a short answer; None where there are no two."""
        first = _FIRST_LINE.search(mentions.text)
        return several_answers(mentions, self.labels, *first.span()) if first else None

    def _whole_line(self, mentions: Mentions) -> Reading | None:
        """Return what the first line means as a whole, or the last one; a conflict where another one is a label."""
        text = mentions.text
        body = text.strip()
        first = text.find(body[:1]) if body else 0
        lines = [(first, first + len(body.split("\n", 1)[0]))]
        last = first + body.rfind("\n") + 1
        lines += [(last, first + len(body))] if last > first else []
        readings = [reading for line in lines if (reading := self._whole.read(text, *line, is_all=True))]
        if not readings:
            return None
        bare = bare_label(mentions)
        words = [reading.word for reading in (*readings, bare) if reading.word]
        labels = tuple(dict.fromkeys(word.label for word in words))
        if len(labels) > 1 or bare.is_conflict:
            return Reading(None, "ambiguous_label", labels or bare.labels, is_conflict=True)
        return readings[0]

    def _all_it_says(self, mentions: Mentions) -> Reading:
        """Return the label that an answer's first line is, in any case ("b", "b)")."""
        first = _FIRST_LINE.search(mentions.text)
        is_asked = first is not None and first.group().rstrip(" *_\"'`)").endswith(("?", "？", "؟"))
        word = self._cues.exact_word(mentions.text, *first.span()) if first and not is_asked else None
        if word and any(mention.is_denied for mention in mentions.within(word.start, word.end)):
            word = None
        return Reading(word, "" if word else "no_label")


def _moved(reading: Reading, by: int) -> Reading:
    return Reading(reading.word.moved(by), is_asked=reading.is_asked) if reading.word else reading


def _moved_field(answered: FieldAnswer | None, by: int) -> FieldAnswer | None:
    if answered is None or answered.word is None:
        return answered
    return FieldAnswer(answered.word.moved(by), answered.source, answered.text, answered.reason)
