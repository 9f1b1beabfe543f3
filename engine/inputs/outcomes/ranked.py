"""Multiple choice by rank: each choice was scored as a continuation of the prompt, and the likeliest one is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.config import FieldsSection
from engine.inputs.answers.decided import DecidedLabel
from engine.inputs.answers.heard import language_of
from engine.inputs.answers.recorded import RecordedValue
from engine.inputs.answers.words import LabelWord
from engine.inputs.outcomes.choices import Choices
from engine.inputs.selection import as_number
from engine.samples import RowRejected


@dataclass(frozen=True, slots=True)
class RankedAnswers:
    """The continuations of one row and which of them is said, in the place of what reads labels.

    Attributes
    ----------
    continuations
        By label, as they follow the prompt.
    said
        The label whose continuation has the highest score.
    """

    continuations: Mapping[str, str]
    said: str

    @property
    def response(self) -> str:
        """The said continuation."""
        return self.continuations[self.said]

    def decided(self, recorded: RecordedValue, response: str, start: int = 0, end: int | None = None) -> DecidedLabel:
        """Return the said label, whose word is the whole continuation."""
        word = LabelWord(self.said, 0, 0, len(self.response))
        language = language_of(response[start:end]).name
        return DecidedLabel(recorded.text, self.said, "scores", word, (), language)

    def labels(self) -> dict[str, list[str]]:
        """Return the labels with their continuations for spellings."""
        return {label: [text] for label, text in self.continuations.items()}


def ranked_answers(
    values: Mapping[str, object], fields: FieldsSection, choices: Choices | None
) -> RankedAnswers | None:
    """Return the continuations of a row that scores its choices; None where it has no scores, or none are named.

    Raises
    ------
    RowRejected
        When scores, continuations and choices do not belong together.
    """
    if fields.choice_scores is None or values.get(fields.choice_scores) is None:
        return None
    scores = values[fields.choice_scores]
    texts = values.get(fields.continuations) if fields.continuations else None
    if choices is None:
        raise _mismatch(fields.choice_scores, "the row has no choices; name their field in predictions.fields.choices")
    found = [_score(item) for item in scores] if isinstance(scores, list | tuple) else []
    known = [score for score in found if score is not None]
    if len(known) != len(choices.names):
        raise _mismatch(fields.choice_scores, f"it has to hold a number for each of {len(choices.names)} choices")
    written = [f" {text}" for text in choices.texts] if texts is None else texts
    if not isinstance(written, list | tuple) or len(written) != len(known) or not all(map(str, written)):
        raise _mismatch(str(fields.continuations), f"it has to hold a text for each of {len(known)} choices")
    said = choices.names[max(range(len(known)), key=known.__getitem__)]
    return RankedAnswers(dict(zip(choices.names, map(str, written), strict=True)), said)


def _score(item: object) -> float | None:
    """Return a score; of lists such as ``[-1.5, false]`` their first entry."""
    return as_number(item[0] if isinstance(item, list | tuple) and item else item)


def _mismatch(name: str, problem: str) -> RowRejected:
    return RowRejected("read", "unreadable_choices", f"The field {name!r} cannot be read: {problem}.")
