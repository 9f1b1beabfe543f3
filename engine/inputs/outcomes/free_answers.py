"""Answers that are no label of a list: what they say, where, and whether it is what is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.config import SpanSection
from engine.inputs.answers.decided import DecidedLabel
from engine.inputs.answers.heard import language_of
from engine.inputs.answers.recorded import RecordedValue, plain_text
from engine.inputs.answers.words import LabelWord
from engine.inputs.outcomes.spans import answer_span, same_answer


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


def free_actual(value: object, said: str) -> RecordedValue:
    """Return what is true, written as it was said where the two are the same answer."""
    text = plain_text(value[0] if isinstance(value, list) and len(value) == 1 else value)
    return RecordedValue(text, said if text is not None and same_answer(text, said) else text)
