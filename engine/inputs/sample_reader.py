"""One record → one sample: conversation, label, decision word, and the reason when it cannot be used.

Labels are normalised, the raw value is kept, and ``label_source`` says where the label was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from engine.config import Config, FieldsSection
from engine.inputs.answers.fields import answered_value
from engine.inputs.answers.recorded import RecordedValue, key_text, plain_text
from engine.inputs.conversations.conversation import Conversation
from engine.inputs.conversations.conversation_reader import ConversationReader
from engine.inputs.outcomes.correctness import correctness
from engine.inputs.outcomes.evidence import evidence_of, reference_of
from engine.inputs.outcomes.free_answers import FreeAnswers, free_actual
from engine.inputs.outcomes.ranked import ranked_answers
from engine.inputs.outcomes.row_labels import LabelsOfRows, label_fields
from engine.inputs.readers.record import Record
from engine.inputs.rows.years import year_of
from engine.inputs.selection import as_number, refuse_filtered
from engine.inputs.transcripts import TranscriptReader
from engine.inputs.turn_reader import TurnReader
from engine.samples import Answer, Evidence, RowRejected, Sample

_DEFAULTS = FieldsSection().model_dump()
_MAX_REMARK = 200
"""Characters of a certainty or magnitude that is read from the answer."""


class SampleReader:
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
        self.conversations = ConversationReader(config, self.transcripts)
        self.turns = TurnReader(self.transcripts)
        self.answers = answers or {}
        self.labels = LabelsOfRows(config.decision)
        self.span = config.decision.span_section

    def fields_of(self, record: Record) -> FieldsSection:
        """Return the names of a record's fields: the config's, and in place of defaults those that its format tells."""
        told = {
            key: name
            for key, name in record.fields.items()
            if key in _DEFAULTS and getattr(self.fields, key) == _DEFAULTS[key]
        }
        return self.fields.model_copy(update=told) if told else self.fields

    def sample_id(self, record: Record) -> str:
        """Return the configured id, or cluster and year, or the row's number."""
        values, fields = record.values, self.fields_of(record)
        if fields.id:
            value = key_text(values.get(fields.id))
            return value if value is not None else f"row-{record.number}"
        for name in ("sample_id", "id"):
            value = key_text(values.get(name))
            if value is not None:
                return value
        cluster, year = key_text(values.get(fields.cluster)), key_text(values.get(fields.year))
        return f"{cluster}-{year}" if cluster is not None and year is not None else f"row-{record.number}"

    def sample(self, sample_id: str, record: Record) -> Sample:
        """Return the record as a sample; see ``read``."""
        return self.read(sample_id, record)[0]

    def read(self, sample_id: str, record: Record) -> tuple[Sample, bytes]:
        """Return the record as a sample, and what its answer was found to say, for a second reading.

        Raises
        ------
        RowRejected
            When it cannot be used; the reason says why.
        """
        conversation = self.conversation(record)
        response, flags = conversation.response, conversation.flags
        values, decision, fields = record.values, self.config.decision, self.fields_of(record)
        labels = self.labels.of(values, fields)
        ranked = ranked_answers(values, fields, labels.choices)
        if ranked is not None:
            response = ranked.response
        elif not response.strip():
            response, flags = self._generated(sample_id, conversation)
        is_free = self.span is not None and ranked is None
        actual = None if is_free else labels.actual(values, fields)
        predicted = labels.value(values, fields.predicted)
        decider = ranked or (labels.decider if self.span is None else FreeAnswers(self.span, values))
        turn = self.turns.own_turn(decider, predicted, response, conversation, record.verdict)
        decided, response, thoughts = turn.decided, turn.response, turn.thoughts
        said = _only(response, thoughts.start, min(thoughts.end, len(response)))
        flags = (*flags, *turn.flags, *decided.flags)
        if actual is None:
            name = fields.target or fields.actual
            actual, more = free_actual(values.get(name), name, decided.label)
            flags = (*flags, *more)
        if actual.text and actual.label is None:
            flags = (*flags, "unknown_actual_label")
        if ranked is None and labels.choices is not None:
            given = [conversation.prompt or "", *(message.content for message in conversation.messages)]
            flags += () if labels.choices.are_shown(given) else ("choices_not_shown",)
        if record.repeated_keys:
            flags = (*flags, "repeated_keys")
        is_correct, more = correctness(
            values, fields.correct, decided.label, actual.label, threshold=decision.threshold
        )
        year, doubt = year_of(values.get(fields.year))
        flags = (*flags, *more, *doubt)
        sample = Sample(
            sample_id=sample_id,
            cluster=key_text(values.get(fields.cluster)),
            year=year,
            actual_label=actual.label,
            predicted_label=decided.label,
            raw_predicted_label=decided.recorded,
            label_source=decided.source,
            certainty=_remark(values.get(fields.certainty), said, decision.certainty_field),
            magnitude=_remark(values.get(fields.magnitude), said, decision.magnitude_field),
            messages=conversation.messages,
            response=response,
            label_start=decided.word.start,
            label_end=decided.word.end,
            label_spelling=decided.word.spelling,
            answer_label=decided.word.label,
            flags=flags,
            kept=self._kept(values),
            recorded_prompt=conversation.recorded_prompt,
            prompt=conversation.prompt,
            sequence_source=conversation.source,
            prompt_ids=conversation.prompt_ids,
            answer_ids=conversation.answer_ids,
            thoughts=tuple(
                (first, min(last, len(response))) for first, last in thoughts.spans if first < len(response)
            ),
            reasoning=conversation.reasoning,
            language=decided.language,
            template_fields=conversation.template_fields,
            dates=conversation.dates,
            is_correct=is_correct,
            labels=ranked.labels() if ranked else None if self.span else labels.own,
            is_free=is_free,
            is_ranked=ranked is not None,
            target_response=ranked.continuations.get(actual.label or "") if ranked else None,
            evidence=self._evidence(record, conversation),
        )
        return sample, turn.verdict

    def _evidence(self, record: Record, conversation: Conversation) -> Evidence | None:
        """Return the record's gold passages; None where the config names no field of them.

        Raises
        ------
        RowRejected
            When the field holds something else.
        """
        fields = self.fields_of(record)
        if fields.evidence is None:
            return None
        told = "" if record.told is None else record.told.source
        source = self.config.prompt.source if not told else "messages" if told == "messages" else "fields"
        asked = [message.content for message in conversation.messages if message.role == "user"]
        reference = reference_of(
            record.values,
            source,
            field=fields.transcript if source == "transcript" else fields.prompt,
            asked=asked,
            verbatim=conversation.prompt,
        )
        return evidence_of(record.values.get(fields.evidence), fields.evidence, reference)

    def recorded_values(self, record: Record) -> dict[str, RecordedValue]:
        """Return what the record's label fields hold, by field, for counting; several values as their list's text."""
        values: dict[str, RecordedValue] = {}
        told = self.fields_of(record)
        if self.span is not None:
            return values
        try:
            labels = self.labels.of(record.values, told)
        except RowRejected:
            return values
        fields = (told.target or told.actual, told.predicted)
        for name, field in zip(label_fields(self.fields), fields, strict=True):
            try:
                read = labels.actual(record.values, told) if field == fields[0] else labels.value(record.values, field)
                values[name] = read
            except RowRejected:
                values[name] = RecordedValue(str(record.values.get(field)), None)
        return values

    def conversation(self, record: Record) -> Conversation:
        """Return a record's conversation; its answer is empty when it has none.

        Raises
        ------
        RowRejected
            When the record could not be read, is filtered out, or holds no prompt.
        """
        if record.problem:
            raise RowRejected("read", record.reason, record.problem)
        refuse_filtered(record.values, self.config.predictions.filter)
        told = record.told
        read = self.conversations.read(record.values, "" if told is None else told.source)
        return read if told is None or not told.flags else replace(read, flags=(*read.flags, *told.flags))

    def _generated(self, sample_id: str, conversation: Conversation) -> tuple[str, tuple[str, ...]]:
        """Return the answer that was generated for a row without one, and its flags.

        Raises
        ------
        RowRejected
            When there is none.
        """
        if not self.config.generation.enabled:
            roles = [message.role for message in conversation.messages]
            if roles[-1:] == ["user"] and "assistant" in roles:
                said = " ".join(conversation.messages[-1].content.split())
                raise RowRejected(
                    "read",
                    "no_response",
                    f"The last message is the user's ({said[:40]!r}), and no answer to it is recorded: end the "
                    f"conversation with the answer to measure. generation.enabled would make one.",
                )
            raise RowRejected("read", "no_response", "The record holds no answer; generation.enabled would make one.")
        answer = self.answers.get(sample_id)
        if answer is None:
            raise RowRejected("read", "awaits_generation", "The record holds no answer; collect generates one.")
        if not answer.text.strip():
            raise RowRejected("read", "no_response", "The model generated an empty answer.")
        flags = ("generated_answer", "cut_answer") if answer.is_cut else ("generated_answer",)
        return answer.text, (*conversation.flags, *flags)

    def _kept(self, values: Mapping[str, object]) -> dict[str, str | float | None]:
        """Return the fields of ``predictions.keep``."""
        return {
            name: as_number(values.get(name)) if kind == "number" else plain_text(values.get(name))
            for name, kind in self.config.predictions.keep.items()
        }


def _only(text: str, start: int, end: int) -> str:
    """Return a text in which all but a stretch is blank, so that places stay what they are."""
    return " " * start + text[start:end] + " " * (len(text) - end)


def _remark(recorded: object, response: str, field: str | None) -> str | None:
    """Return a certainty or a magnitude: what the record has, or else the answer's own field.

    Rows whose JSON could not be parsed were recorded with the word "Error", although the answer may well say.
    """
    text = plain_text(recorded)
    if text and text.strip().casefold() != "error":
        return text
    value = answered_value(response, field) if field else None
    return text if value is None or "/" in value else value[:_MAX_REMARK]
