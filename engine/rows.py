"""One record → one sample: conversation, label, decision word, and the reason when it cannot be used.

Labels are normalised, the raw value is kept, and ``label_source`` says where the label was read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from engine.answer_fields import FieldAnswer, field_answer, stated_value
from engine.config import Config
from engine.labels import Conclusion, LabelReader, LabelWord
from engine.records import Record
from engine.samples import Answer, Message, RowRejected, Sample
from engine.selection import as_number, refuse_filtered
from engine.transcripts import TranscriptReader, has_role_line, messages_and_answer

_MISSING = (None, "")
_WHOLE = re.compile(r"[+-]?\d+\.0+")
_MAX_STATED = 200
"""Characters of a certainty or magnitude that is read from the answer."""


class RowReader:
    """Turns one record into a sample, by the rules of a config.

    Parameters
    ----------
    config
        The run's config.
    transcripts
        Splits transcripts; by default only by the roles that they name.
    answers
        Generated answers by sample id, for rows that have none.
    """

    def __init__(
        self, config: Config, transcripts: TranscriptReader | None = None, answers: Mapping[str, Answer] | None = None
    ):
        self.config = config
        self.fields = config.predictions.fields
        self.transcripts = transcripts or TranscriptReader()
        self.answers = answers or {}
        self.labels = LabelReader(config.decision.labels, config.decision.negations)

    def sample_id(self, record: Record) -> str:
        """Return the configured id, or cluster and year, or the row's number."""
        values = record.values
        if self.fields.id:
            value = _key(values.get(self.fields.id))
            return value if value is not None else f"row-{record.number}"
        for name in ("sample_id", "id"):
            value = _key(values.get(name))
            if value is not None:
                return value
        cluster, year = _key(values.get(self.fields.cluster)), _key(values.get(self.fields.year))
        return f"{cluster}-{year}" if cluster is not None and year is not None else f"row-{record.number}"

    def sample(self, sample_id: str, record: Record) -> Sample:
        """Return the record as a sample.

        Raises
        ------
        RowRejected
            When it cannot be used; the reason says why.
        """
        messages, response, prompt = self.conversation(record)
        flags: tuple[str, ...] = ()
        if not response.strip():
            response, flags = self._generated(sample_id)
        elif prompt is not None and has_role_line(messages, response):
            flags = ("role_lines_inside",)
        values = record.values
        raw = _text(values.get(self.fields.predicted))
        field = self.config.decision.field
        said = field_answer(response, field, self.labels) if field else None
        concluded = None if said else self.labels.conclusion(response)
        label, source, remarks = self._label(raw, response, said, concluded)
        word = self._decision_word(response, label, said, concluded)
        flags += remarks if word.label == label else (*remarks, "contradiction")
        actual_text = _text(values.get(self.fields.actual))
        actual = self.labels.exact(actual_text) if actual_text else None
        if actual_text and actual is None:
            flags = (*flags, "unknown_actual_label")
        decision = self.config.decision
        return Sample(
            sample_id=sample_id,
            cluster=_key(values.get(self.fields.cluster)),
            year=_integer(values.get(self.fields.year)),
            actual_label=actual,
            predicted_label=label,
            raw_predicted_label=raw,
            label_source=source,
            certainty=_stated(values.get(self.fields.certainty), response, decision.certainty_field),
            magnitude=_stated(values.get(self.fields.magnitude), response, decision.magnitude_field),
            messages=messages,
            response=response,
            label_start=word.start,
            label_end=word.end,
            label_spelling=word.spelling,
            answer_label=word.label,
            flags=flags,
            kept=self._kept(values),
            recorded_prompt=prompt,
        )

    def conversation(self, record: Record) -> tuple[tuple[Message, ...], str, str | None]:
        """Return a record's messages, its answer (empty when it has none) and what a transcript holds before it.

        Raises
        ------
        RowRejected
            When the record could not be read, is filtered out, or holds no prompt.
        """
        if record.problem:
            raise RowRejected("read", record.reason, record.problem)
        values = record.values
        refuse_filtered(values, self.config.predictions.filter)
        source = self.config.prompt.source
        recorded = None
        if source == "transcript":
            transcript = self._required_text(values, self.fields.transcript)
            if "\r\n" in transcript and "\n" not in transcript.replace("\r\n", ""):
                transcript = transcript.replace("\r\n", "\n")  # a file's line ends, not the model's
            messages, response = self.transcripts.split(transcript)
            recorded = transcript[: transcript.rfind(response)] if response else None
        elif source == "messages":
            messages, response = messages_and_answer(values.get(self.fields.messages), self.fields.messages)
        else:
            prompt = self._required_text(values, self.fields.prompt)
            response = _plain(values.get(self.fields.response), self.fields.response) or ""
            system = _plain(values.get(self.fields.system), self.fields.system)
            messages = ((Message("system", system),) if system else ()) + (Message("user", prompt),)
        system = self.config.prompt.system
        if system is not None:
            messages, recorded = (Message("system", system), *(m for m in messages if m.role != "system")), None
        return messages, response, recorded

    def _generated(self, sample_id: str) -> tuple[str, tuple[str, ...]]:
        """Return the answer that was generated for a row without one, and its flags.

        Raises
        ------
        RowRejected
            When there is none.
        """
        if not self.config.generation.enabled:
            raise RowRejected("read", "no_response", "The record holds no answer; generation.enabled would make one.")
        answer = self.answers.get(sample_id)
        if answer is None:
            raise RowRejected("read", "awaits_generation", "The record holds no answer; collect generates one.")
        if not answer.text.strip():
            raise RowRejected("read", "no_response", "The model generated an empty answer.")
        return answer.text, ("generated_answer", "cut_answer") if answer.is_cut else ("generated_answer",)

    def _kept(self, values: Mapping[str, Any]) -> dict[str, str | float | None]:
        """Return the fields of ``predictions.keep``."""
        return {
            name: as_number(values.get(name)) if kind == "number" else _text(values.get(name))
            for name, kind in self.config.predictions.keep.items()
        }

    def _required_text(self, values: Mapping[str, Any], name: str) -> str:
        text = _plain(values.get(name), name)
        if text is None or not text.strip():
            known = ", ".join(sorted(str(key) for key in values)[:20])
            hint = ""
            if self.config.prompt.source == "transcript" and self.fields.response in values:
                hint = " For question and answer in fields of their own set prompt.source=fields."
            elif self.config.prompt.source == "transcript" and self.fields.messages in values:
                hint = " For chat messages set prompt.source=messages."
            raise RowRejected(
                "read", "missing_field", f"The row has no text in {name!r}; its fields are {known}.{hint}"
            )
        return text

    def _label(
        self, raw: str | None, response: str, said: FieldAnswer | None, concluded: Conclusion | None
    ) -> tuple[str, str, tuple[str, ...]]:
        """Return label, source and flags by the first rule that gives a label: record, JSON, repaired JSON, prose."""
        if raw:
            label = self.labels.exact(raw)
            if label:
                return label, "field", ()
            hedge = self.labels.single(raw)
            if hedge:
                return hedge.label, "field", ("hedged_label",)
        if said:
            if said.word:
                is_exact = self.labels.exact(said.text)
                return said.word.label, said.source, () if is_exact else ("hedged_label",)
            raise RowRejected(
                "label", said.reason, f"The answer's {self.config.decision.field!r} is {said.text[:120]!r}."
            )
        if concluded:
            flags = () if concluded.is_unanimous else ("prose_disagrees",)
            return concluded.word.label, "response_text", flags
        if raw and self.labels.is_template(raw):
            raise RowRejected("label", "template_echo", f"The recorded label is the template itself: {raw!r}.")
        reason = self.labels.why_none(raw) if raw else "no_label"
        if reason == "no_label" and self.labels.is_denied(response):
            reason = "denied_label"
        raise RowRejected("label", reason, f"Neither the record ({raw!r}) nor the answer names one of the labels.")

    def _decision_word(
        self, response: str, label: str, said: FieldAnswer | None, concluded: Conclusion | None
    ) -> LabelWord:
        """Return the label word whose first distinguishing token is the decision.

        The word in the value of the field, where the answer has one; otherwise the word of the conclusion, or the last
        word of the recorded label in the answer.
        """
        locate, field = self.config.decision.locate, self.config.decision.field
        if said and locate in ("auto", "field"):
            if said.word:
                return said.word
            reason = "template_echo" if said.reason == "template_echo" else "no_decision"
            raise RowRejected("label", reason, f"The answer's {field!r} is {said.text[:120]!r}, which names no label.")
        if locate == "field":
            raise RowRejected("label", "no_decision", f"The answer has no {field!r}.")
        if concluded and concluded.word.label == label:
            return concluded.word
        words = [word for word in self.labels.words(response) if word.label == label]
        if not words:
            raise RowRejected("label", "no_decision", f"The answer never says {label!r}.")
        return words[-1]


def _plain(value: Any, name: str) -> str | None:
    """Return a prompt or an answer as text.

    Raises
    ------
    RowRejected
        When it is a list or an object: its printed form is not what the model saw or said.
    """
    if isinstance(value, Mapping | list | tuple):
        raise RowRejected(
            "read", "not_text", f"The field {name!r} holds {type(value).__name__}, not text. For chat messages set "
            f"prompt.source=messages."
        )  # fmt: skip
    return _text(value)


def _text(value: Any) -> str | None:
    """Return a field as text; None for null, NaN and the empty string."""
    if value in _MISSING or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # integers beside missing values arrive as floats
    return value if isinstance(value, str) else str(value)


def _key(value: Any) -> str | None:
    """Return an id or a cluster as text; whole numbers alike, whether a table wrote them as 7, 7.0 or text."""
    text = _text(value)
    return text.partition(".")[0] if text is not None and _WHOLE.fullmatch(text) else text


def _stated(recorded: Any, response: str, field: str | None) -> str | None:
    """Return what the record states, or else the answer's own field.

    Rows whose JSON could not be parsed were recorded with the word "Error", although the answer may well say.
    """
    text = _text(recorded)
    if text and text.strip().casefold() != "error":
        return text
    value = stated_value(response, field) if field else None
    return text if value is None or "/" in value else value[:_MAX_STATED]


def _integer(value: Any) -> int | None:
    number = as_number(value)
    return int(number) if number is not None and abs(number) < 2**31 else None
