"""The predicted label of a row, from what its record and its answer say, and the word that holds the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.config import DecisionSection
from engine.inputs.answers.asserted.questions import is_asked
from engine.inputs.answers.fields import FieldAnswer
from engine.inputs.answers.recorded import RecordedValue
from engine.inputs.answers.stated import AnswerReader, StatedAnswer
from engine.inputs.answers.words import LabelWord
from engine.samples import RowRejected

_MOST_SHOWN, _MOST_WORDS = 60, 6
"""Characters of an answer, and labels or words of one, that a reject's detail shows."""


@dataclass(frozen=True, slots=True)
class DecidedLabel:
    """The predicted label: as the record has it, as it is configured, where it was read, its word, flags, language."""

    recorded: str | None
    label: str
    source: str
    word: LabelWord
    flags: tuple[str, ...]
    language: str


class LabelDecider:
    """Decides on labels by the rules of a config.

    Parameters
    ----------
    settings
        The config's section.
    """

    def __init__(self, settings: DecisionSection):
        self.settings = settings
        self.answers = AnswerReader(settings)

    def decided(self, recorded: RecordedValue, response: str, start: int = 0, end: int | None = None) -> DecidedLabel:
        """Return the predicted label, and the word of the answer that stands for it.

        Parameters
        ----------
        recorded
            What the record says of the predicted label.
        response
            The whole answer.
        start, end
            The characters of the answer in which labels are looked for.

        Raises
        ------
        RowRejected
            When neither the record nor the answer names one label, or the answer has no word for it.
        """
        stated = self.answers.stated(response, start, end)
        label, source, flags = self._label(recorded, response[start:end], stated)
        word = self._decision_word(label, recorded, stated)
        if word.label != label:
            flags = (*flags, "contradiction")
        return DecidedLabel(recorded.text, label, source, word, flags, stated.heard.name)

    def _label(self, recorded: RecordedValue, answer: str, stated: StatedAnswer) -> tuple[str, str, tuple[str, ...]]:
        """Return label, source and flags by the first rule that gives a label: the record, then the answer."""
        if recorded.label:
            return recorded.label, "field", ()
        raw = self.answers.values(recorded.text).read(recorded.text) if recorded.text else None
        if raw and raw.word:
            return raw.word.label, "field", ("hedged_label",)
        if stated.field:
            if stated.field.word:
                is_exact = self.answers.labels.exact(stated.field.text)
                return stated.field.word.label, stated.field.source, () if is_exact else ("hedged_label",)
            raise RowRejected(
                "label", stated.field.reason, f"The answer's {self.settings.field!r} is {_shown(stated.field)}."
            )
        if stated.text.word:
            flags = ("asked_label",) if stated.text.is_asked else () if stated.is_unanimous else ("prose_disagrees",)
            return stated.text.word.label, "response_text", flags
        if raw and raw.reason == "template_echo":
            raise RowRejected(
                "label", "template_echo", f"The recorded label is the template itself: {recorded.text!r}."
            )
        reason = raw.reason if raw and raw.reason != "no_label" else stated.text.reason
        raise RowRejected("label", reason, self._why_none(reason, recorded, answer, stated))

    def _why_none(self, reason: str, recorded: RecordedValue, answer: str, stated: StatedAnswer) -> str:
        """Return the detail of a reject without a label."""
        if stated.text.value and reason == "no_label":
            hint = self._hint(stated.text.value) or " Where it stands for a label, add it to decision.labels."
            return (
                f"The answer states {stated.text.value!r}, which is none of the labels; what it says around it does "
                f"not decide.{hint}"
            )
        names = ", ".join(map(repr, stated.text.labels))
        if stated.text.value and reason == "ambiguous_label" and names:
            return (
                f"The answer states {stated.text.value[:120]!r}, which names {names}, but as one of several, aside, or "
                f"beside another verdict; what it says around it does not decide."
            )
        asked = names or ", ".join(repr(label) for label in dict.fromkeys(m.word.label for m in stated.mentions.items))
        if asked and is_asked(answer) and not {"yes", "no"} & set(self.answers.labels.spelled):
            return (
                f"The answer says yes or no to a question of its own that names {asked}: the word that decides is no "
                f"label. Where answers are yes and no, make these the labels (decision.labels)."
            )
        where = f"the record ({recorded.text!r})"
        if reason == "ambiguous_label" and names and stated.text.is_share:
            return f"Neither {where} nor the answer states one label: of {names} the answer only gives a probability."
        if reason == "ambiguous_label" and names:
            how = "states" if stated.text.is_conflict else "names"
            return f"Neither {where} nor the answer decides for one label: the answer {how} {names}, and none as final."
        if reason == "denied_label" and asked:
            return f"Neither {where} nor the answer says one of the labels without denying it ({asked})."
        if reason != "no_label":
            return f"Neither {where} nor the answer decides for one of the labels."
        return (
            f"Neither {where} nor the answer ({_beginning(answer)}) names one of the labels: "
            f"{_spelled(self.settings.labels)}.{self._hint(answer)}"
        )

    def _hint(self, answer: str) -> str:
        """Return what to do about a label inside a word; nothing where there is none."""
        part = self.answers.labels.part_of_word(answer)
        if not part:
            return ""
        return f" It has one inside the word {part!r}: add the word to decision.labels, or set decision.match: inside."

    def _decision_word(self, label: str, recorded: RecordedValue, stated: StatedAnswer) -> LabelWord:
        """Return the label word whose first distinguishing token is the decision.

        The word in the value of the field, where the answer has one; otherwise the word of a cue or of a bare label,
        the word of the conclusion where it is the recorded label, or the last word of the recorded label in the answer.
        """
        locate, name = self.settings.locate, self.settings.field
        if stated.field and locate in ("auto", "field"):
            if stated.field.word:
                return stated.field.word
            reason = "template_echo" if stated.field.reason == "template_echo" else "no_decision"
            raise RowRejected(
                "label", reason, f"The answer's {name!r} is {_shown(stated.field)}, which names no label."
            )
        if locate == "field":
            raise RowRejected("label", "no_decision", f"The answer has no {name!r}.")
        if stated.text.value and not stated.field:
            raise RowRejected("label", "no_decision", self._why_none(stated.text.reason, recorded, "", stated))
        word = None if stated.field else stated.text.word
        if word and (stated.is_marked or word.label == label):
            return word
        words = [word for word in stated.words if word.label == label]
        if not words:
            raise RowRejected("label", "no_decision", f"The answer never says {label!r}.")
        words = [word for word in words if not stated.is_aside(word)]
        if not words:
            raise RowRejected(
                "label", "no_decision", f"The answer says {label!r} only aside, of something else than its verdict."
            )
        return words[-1]


def _beginning(answer: str) -> str:
    text = " ".join(answer[:400].split())
    return repr(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…")


def _spelled(labels: Mapping[str, Sequence[str]]) -> str:
    """Return labels with the words that stand for them, as far as a sentence holds them."""
    parts = [
        label if list(words) == [label] else f"{label} ({', '.join(words[:_MOST_WORDS])})"
        for label, words in list(labels.items())[:_MOST_WORDS]
    ]
    return ", ".join([*parts, *([f"and {len(labels) - len(parts)} more"] if len(labels) > len(parts) else [])])


def _shown(answered: FieldAnswer) -> str:
    return repr(answered.text[:120])
