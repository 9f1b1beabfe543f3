"""Labels in a value: of an answer's field, or of a record's own."""

from __future__ import annotations

from dataclasses import dataclass

from engine.inputs.answers.cued.whole_values import WholeValues
from engine.inputs.answers.denied.denials import Denials
from engine.inputs.answers.mentions import Mentions, Reading, head_label, main_label
from engine.inputs.answers.unstated.several import several_answers
from engine.inputs.answers.words import LabelWords


@dataclass(frozen=True, slots=True)
class ValueReader:
    """Reads the one label that a value names, by the denials of some languages."""

    labels: LabelWords
    whole: WholeValues
    denials: Denials
    codes: tuple[str, ...]
    asked: tuple[str, ...] = ()

    def read(self, text: str) -> Reading:
        """Return the last word of the one label that a value names, or the reason why it names none.

        Where several stand in it, the one that it begins with counts when its clause ends behind it ("Increase, as
        costs decrease").
        """
        whole = self.whole.read(text, 0, len(text))
        if whole:
            return whole
        mentions = Mentions.of(text, self.labels, self.denials, self.codes, is_prose=False, asked=self.asked)
        mentions = mentions.without_conditions()
        several = several_answers(mentions, self.labels, 0, len(text))
        if several:
            return several
        head = head_label(mentions, 0, len(text))
        if head:
            return Reading(head)
        reading = main_label(mentions, 0, len(text))
        return Reading(None, "no_label") if reading.is_aside or reading.is_beside else reading

    def several(self, text: str) -> bool:
        """Whether a text lists several labels."""
        mentions = Mentions.of(text, self.labels, self.denials, self.codes, is_prose=False, asked=self.asked)
        return several_answers(mentions, self.labels, 0, len(text)) is not None
