"""Answers that are no label of a list: what they say, where, and whether it is what is true."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.config import SpanSection
from engine.inputs.answers.decided import DecidedLabel
from engine.inputs.answers.heard import language_of
from engine.inputs.answers.recorded import RecordedValue, one_or_more_texts
from engine.inputs.answers.words import LabelWord, folded
from engine.inputs.outcomes.spans import answer_span, concluded_answer, same_answer
from engine.samples import RowRejected

SEVERAL_ACCEPTED = "several_accepted"
"""Flag of a row with several answers that are right alike."""
_ACCEPTED = ("text", "value", "answer", "answers", "aliases")
"""What objects call answers that are right."""
_LIST_OF_TEXTS = re.compile(r"\s*\[\s*['\"]")
"""How a list of texts begins that was written as text; (1, 2) and [0, 1] are answers of their own."""


@dataclass(frozen=True, slots=True)
class FreeAnswers:
    """Reads the free answer of one row, in the place of what reads labels.

    Attributes
    ----------
    span
        How it is found.
    values
        The record, whose field may say where it stands.
    """

    span: SpanSection
    values: Mapping[str, object]

    def decided(self, recorded: RecordedValue, response: str, start: int = 0, end: int | None = None) -> DecidedLabel:
        """Return what an answer says between two of its characters.

        Raises
        ------
        RowRejected
            When nothing is found there.
        """
        end = len(response) if end is None else end
        offsets = self.values.get(str(self.span.value)) if self.span.kind == "offsets" else None
        first, last = answer_span(response, start, end, self.span, offsets)
        said = response[first:last]
        word = LabelWord(said, 0, first, last)
        return DecidedLabel(recorded.text, said, "span", word, (), language_of(response[start:end]).name)


def free_actual(value: object, name: str, said: str) -> tuple[RecordedValue, tuple[str, ...]]:
    """Return what is true, written as it was said where the two are the same answer, and flags.

    Parameters
    ----------
    value
        The field: an answer, one behind its explanation (``#### 18``, a box), a list of answers that are right alike,
        or an object that holds them (``{"text": [...]}``, ``{"value": ..., "aliases": [...]}``).
    name
        The field's name, for messages.
    said
        What the model said.

    Raises
    ------
    RowRejected
        When it holds something else.
    """
    accepted = _accepted(value, name)
    if not accepted:
        return RecordedValue(None, None), ()
    concluded = list(map(concluded_answer, accepted))
    is_right = any(same_answer(one, said) for one in (*accepted, *concluded))
    flags = (SEVERAL_ACCEPTED,) if len(set(map(folded, concluded))) > 1 else ()
    return RecordedValue(accepted[0], said if is_right else concluded[0]), flags


def _accepted(value: object, name: str) -> list[str]:
    """Return the answers that are right alike."""
    given = value
    if isinstance(value, Mapping):
        given = [item for key in _ACCEPTED if key in value for item in one_or_more_texts(value[key])]
        if value and not given:
            raise _unread(value, name)
    if isinstance(given, str):
        return one_or_more_texts(given) if _LIST_OF_TEXTS.match(given) else one_or_more_texts([given], True)
    if isinstance(given, list | tuple) and len(given) > 1 and not all(isinstance(item, str) for item in given):
        raise _unread(given, name)  # may well be one answer of several parts
    if isinstance(given, list | tuple):
        return [text for item in given for text in _accepted(item, name)]
    return one_or_more_texts(given)


def _unread(value: object, name: str) -> RowRejected:
    return RowRejected(
        "read",
        "several_values",
        f"The field {name!r} holds {str(value)[:60]!r}; a free answer is a text or a number, a list of texts that are "
        f"right alike, or an object that holds them under {', '.join(_ACCEPTED)}.",
    )
