"""The labels of a row: the config's, or its own choices, and what reads them in its fields and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.config import DecisionSection, FieldsSection
from engine.inputs.answers.decided import LabelDecider
from engine.inputs.answers.recorded import RecordedLabels, RecordedValue
from engine.inputs.outcomes.choices import Choices, choices_of
from engine.samples import RowRejected


@dataclass(frozen=True, slots=True)
class RowLabels:
    """What reads the labels of one row.

    Attributes
    ----------
    decider
        Reads answers.
    recorded
        Reads fields.
    choices
        What the row offers; None where its labels are the config's.
    """

    decider: LabelDecider
    recorded: RecordedLabels
    choices: Choices | None

    @property
    def own(self) -> dict[str, list[str]] | None:
        """The row's own labels with their spellings; None where they are the config's."""
        return None if self.choices is None else self.choices.labels()

    def value(self, values: Mapping[str, object], name: str) -> RecordedValue:
        """Return what a field says.

        Raises
        ------
        RowRejected
            When it holds several labels.
        """
        if self.choices is not None:
            return self.choices.value(values.get(name), name)
        return self.recorded.read(values.get(name), name)

    def actual(self, values: Mapping[str, object], fields: FieldsSection) -> RecordedValue:
        """Return the true label: that of the target, where one is named, else of the actual label's field.

        Raises
        ------
        RowRejected
            When it holds several labels.
        """
        found = self.value(values, fields.target or fields.actual)
        if fields.target is None or found.text is None or found.label is not None:
            return found
        names = tuple(self.decider.settings.labels)
        return Choices(names, names).named(values.get(fields.target))


def label_fields(fields: FieldsSection) -> tuple[str, str]:
    """Return the names of the fields of the true and of the predicted label."""
    return fields.target or fields.actual, fields.predicted


class LabelsOfRows:
    """Gives each row what reads its labels.

    Parameters
    ----------
    decision
        The config's section.
    """

    def __init__(self, decision: DecisionSection):
        self.decision = decision
        decider = LabelDecider(decision)
        self._configured = RowLabels(decider, RecordedLabels(decider.answers.labels), None)
        self._latest = self._configured

    def of(self, values: Mapping[str, object], fields: FieldsSection) -> RowLabels:
        """Return what reads a row's labels; rows after one another often offer the same choices.

        Raises
        ------
        RowRejected
            When its choices cannot be read, or it has none where they are asked for and the config names no labels.
        """
        if fields.choices is None:
            return self._configured
        names = self.decision.choice_names
        choices = choices_of(values.get(fields.choices), fields.choices, names)
        if choices is None and names:
            return self._configured
        if choices is None:
            raise RowRejected(
                "read",
                "no_choices",
                f"The row has no choices in {fields.choices!r}, and the config names no labels; name them in "
                f"decision.labels for such rows.",
            )
        if self._latest.choices != choices:
            decider = LabelDecider(self.decision.model_copy(update={"labels": choices.labels()}))
            self._latest = RowLabels(decider, RecordedLabels(decider.answers.labels), choices)
        return self._latest
