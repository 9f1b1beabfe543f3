"""A predictions file in any supported shape → samples, and a reject with its reason for every row that cannot be used.

A row is never dropped silently: it becomes a ``Sample`` or a ``Reject``. Labels are normalised, the raw value is kept,
and ``label_source`` says where the label was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.config import Config, FieldsSection
from engine.errors import ConfigError, InputError
from engine.labels import LabelReader, LabelWord
from engine.records import Record, read_records
from engine.samples import Message, Reject, RowRejected, Sample
from engine.transcripts import messages_and_answer, split_transcript

_MISSING = (None, "")


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a predictions file holds: one sample or one reject for each of its rows."""

    samples: list[Sample]
    rejects: list[Reject]
    num_rows: int


def read_predictions(config: Config) -> Predictions:
    """Read the configured predictions file.

    Returns
    -------
    Predictions
        Samples in file order, after ``filter`` and ``max_samples``; rows left out by those two are rejects as well
        (reasons ``filtered`` and ``not_selected``).

    Raises
    ------
    InputError
        When the file is missing, broken or empty, ids repeat, or no row can be used.
    """
    reader = _RowReader(config)
    samples: list[Sample] = []
    rejects: list[Reject] = []
    ids: Counter[str] = Counter()
    num_rows = 0
    seen: set[str] = set()
    for record in read_records(config.predictions.path, config.predictions.format):
        num_rows += 1
        seen.update(map(str, record.values))
        sample_id = reader.sample_id(record)
        ids[sample_id] += 1
        try:
            samples.append(reader.sample(sample_id, record))
        except RowRejected as rejected:
            rejects.append(Reject(sample_id, rejected.stage, rejected.reason, str(rejected)))
    _refuse_unknown_fields(config, seen)
    _refuse_unusable(config, num_rows, ids, samples, rejects)
    samples, left_out = _select(samples, config)
    return Predictions(samples, rejects + left_out, num_rows)


def _refuse_unknown_fields(config: Config, seen: set[str]) -> None:
    """Refuse a field that the config renames to something no record has; defaults may be absent."""
    for key, default in FieldsSection().model_dump().items():
        name = getattr(config.predictions.fields, key)
        if name and name != default and seen and name not in seen:
            raise ConfigError(
                f"predictions.fields.{key}: no record of {config.predictions.path} has a field {name!r}; the records "
                f"have {', '.join(sorted(seen)[:20])}."
            )


def _refuse_unusable(
    config: Config, num_rows: int, ids: Counter[str], samples: list[Sample], rejects: list[Reject]
) -> None:
    path = config.predictions.path
    if num_rows == 0:
        raise InputError(f"{path}: holds no prediction (an empty list). Nothing was planned.")
    repeated = [sample_id for sample_id, count in ids.items() if count > 1]
    if repeated:
        shown = ", ".join(repr(sample_id) for sample_id in repeated[:5])
        raise InputError(
            f"{path}: {len(repeated)} sample id(s) stand for several rows, such as {shown}. Ids are made "
            f"of {_id_rule(config)}; name a field with unique values in predictions.fields.id, or remove repeated rows."
        )
    if not samples:
        reasons = Counter(reject.reason for reject in rejects)
        shown = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise InputError(
            f"{path}: none of {num_rows} row(s) has a decision that can be analysed ({shown}). First: "
            f"{rejects[0].sample_id}: {rejects[0].detail} Check predictions.fields, prompt.source and decision.labels."
        )


def _id_rule(config: Config) -> str:
    fields = config.predictions.fields
    return f"the field {fields.id!r}" if fields.id else f"sample_id or id, or else {fields.cluster} and {fields.year}"


class _RowReader:
    """Turns one record into a sample, by the rules of a config."""

    def __init__(self, config: Config):
        self.config = config
        self.fields = config.predictions.fields
        self.labels = LabelReader(config.decision.labels, config.decision.field)

    def sample_id(self, record: Record) -> str:
        """Return the configured id, or cluster and year, or the row's number."""
        values = record.values
        if self.fields.id:
            value = _text(values.get(self.fields.id))
            return value if value is not None else f"row-{record.number}"
        for name in ("sample_id", "id"):
            value = _text(values.get(name))
            if value is not None:
                return value
        cluster, year = _text(values.get(self.fields.cluster)), _text(values.get(self.fields.year))
        return f"{cluster}-{year}" if cluster is not None and year is not None else f"row-{record.number}"

    def sample(self, sample_id: str, record: Record) -> Sample:
        if record.problem:
            raise RowRejected("read", "unreadable_row", record.problem)
        values = record.values
        self._refuse_filtered(values)
        messages, response = self._conversation(values)
        raw = _text(values.get(self.fields.predicted))
        label, source, flags = self._label(raw, response)
        word = self._decision_word(response, label)
        if word.label != label:
            flags = (*flags, "contradiction")
        actual_text = _text(values.get(self.fields.actual))
        actual = self.labels.exact(actual_text) if actual_text else None
        if actual_text and actual is None:
            flags = (*flags, "unknown_actual_label")
        return Sample(
            sample_id=sample_id,
            cluster=_text(values.get(self.fields.cluster)),
            year=_integer(values.get(self.fields.year)),
            actual_label=actual,
            predicted_label=label,
            raw_predicted_label=raw,
            label_source=source,
            certainty=_text(values.get(self.fields.certainty)),
            magnitude=_text(values.get(self.fields.magnitude)),
            messages=messages,
            response=response,
            label_start=word.start,
            label_end=word.end,
            label_spelling=word.spelling,
            answer_label=word.label,
            flags=flags,
        )

    def _refuse_filtered(self, values: Mapping[str, Any]) -> None:
        for name, allowed in self.config.predictions.filter.items():
            if name not in values:
                raise RowRejected("read", "filtered", f"The row has no field {name!r}, which predictions.filter names.")
            accepted = allowed if isinstance(allowed, list) else [allowed]
            if values[name] not in accepted and str(values[name]) not in {str(item) for item in accepted}:
                raise RowRejected(
                    "read", "filtered", f"{name} is {values[name]!r}, predictions.filter keeps {allowed!r}."
                )

    def _conversation(self, values: Mapping[str, Any]) -> tuple[tuple[Message, ...], str]:
        source = self.config.prompt.source
        if source == "transcript":
            transcript = self._required_text(values, self.fields.transcript)
            if "\r\n" in transcript and "\n" not in transcript.replace("\r\n", ""):
                transcript = transcript.replace("\r\n", "\n")  # a file's line ends, not the model's
            messages, response = split_transcript(transcript)
        elif source == "messages":
            messages, response = messages_and_answer(values.get(self.fields.messages), self.fields.messages)
        else:
            prompt = self._required_text(values, self.fields.prompt)
            response = _text(values.get(self.fields.response)) or ""
            system = _text(values.get(self.fields.system))
            messages = ((Message("system", system),) if system else ()) + (Message("user", prompt),)
        if not response.strip():
            raise RowRejected("read", "no_response", "The record holds no answer.")
        system = self.config.prompt.system
        if system is not None:
            messages = (Message("system", system), *(m for m in messages if m.role != "system"))
        return messages, response

    def _required_text(self, values: Mapping[str, Any], name: str) -> str:
        text = _text(values.get(name))
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

    def _label(self, raw: str | None, response: str) -> tuple[str, str, tuple[str, ...]]:
        """Return label, source and flags by the first rule that gives a label: record, JSON, repaired JSON, prose."""
        if raw:
            label = self.labels.exact(raw)
            if label:
                return label, "field", ()
            hedge = self.labels.single(raw)
            if hedge:
                return hedge.label, "field", ("hedged_label",)
        found = self.labels.from_json(response)
        if found is None:
            span = self.labels.field_span(response)
            found = (response[span[0] : span[1]], "repaired_json") if span else None
        if found:
            value, source = found
            word = self.labels.single(value)
            if word:
                return word.label, source, () if self.labels.exact(value) else ("hedged_label",)
            reason = "template_echo" if self.labels.is_template(value) else "no_label"
            raise RowRejected("label", reason, f"The answer's {self.labels.field!r} is {value[:120]!r}.")
        concluded = self.labels.conclusion(response)
        if concluded:
            return concluded.label, "response_text", ()
        if raw and self.labels.is_template(raw):
            raise RowRejected("label", "template_echo", f"The recorded label is the template itself: {raw!r}.")
        raise RowRejected("label", "no_label", f"Neither the record ({raw!r}) nor the answer names one of the labels.")

    def _decision_word(self, response: str, label: str) -> LabelWord:
        """Return the label word whose first distinguishing token is the decision.

        The word in the value of the field, where the answer has one (its last occurrence); otherwise the word of the
        conclusion, or the last word of the recorded label in the answer.
        """
        locate, field = self.config.decision.locate, self.labels.field
        span = self.labels.field_span(response) if locate in ("auto", "field") else None
        if span:
            words = self.labels.words(response, *span)
            if len({word.label for word in words}) == 1:
                return words[-1]
            raise RowRejected("label", "no_decision", f"The answer's {field!r} does not name one label.")
        if locate == "field":
            raise RowRejected("label", "no_decision", f"The answer has no {field!r}.")
        concluded = self.labels.conclusion(response)
        if concluded and concluded.label == label:
            return concluded
        words = [word for word in self.labels.words(response) if word.label == label]
        if not words:
            raise RowRejected("label", "no_decision", f"The answer never says {label!r}.")
        return words[-1]


def _text(value: Any) -> str | None:
    """Return a field as text; None for null, NaN and the empty string."""
    if value in _MISSING or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # integers beside missing values arrive as floats
    return value if isinstance(value, str) else str(value)


def _integer(value: Any) -> int | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if np.isfinite(number) and abs(number) < 2**31 else None


def _select(samples: list[Sample], config: Config) -> tuple[list[Sample], list[Reject]]:
    """Keep ``max_samples`` of the samples: seeded, evenly over the strata of ``balance``, in file order."""
    settings = config.predictions
    if settings.max_samples is None or len(samples) <= settings.max_samples:
        return samples, []
    random = np.random.default_rng(config.run.seed)
    strata: dict[tuple[str, ...], list[int]] = {}
    for index in random.permutation(len(samples)):
        key = tuple(str(getattr(samples[index], name)) for name in settings.balance)
        strata.setdefault(key, []).append(int(index))
    queues = [strata[key] for key in sorted(strata)]
    chosen: set[int] = set()
    while len(chosen) < settings.max_samples:
        for queue in queues:
            if queue and len(chosen) < settings.max_samples:
                chosen.add(queue.pop(0))
    kept = [sample for index, sample in enumerate(samples) if index in chosen]
    detail = f"Not among the {settings.max_samples} samples drawn with seed {config.run.seed}."
    left = [Reject(s.sample_id, "read", "not_selected", detail) for i, s in enumerate(samples) if i not in chosen]
    return kept, left
