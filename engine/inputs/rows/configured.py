"""The rows of a run, in order: read, joined, told apart, with the fields that a config names by a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

from engine.config import Config, FieldsSection, PredictionsSection
from engine.inputs.answers.recorded import plain_text
from engine.inputs.readers.evaluations.langfuse import INPUT_AS_JSON, PART_OF_INPUT, PART_OF_OUTPUT
from engine.inputs.readers.evaluations.langfuse_scores import TRACE_SCORES, UNASSIGNED
from engine.inputs.readers.evaluations.log_records import FIRST_OF_SCORES, FIRST_SCORE_LACKS, THOUGHT
from engine.inputs.readers.reader import OnBytes
from engine.inputs.readers.record import OneOf, Record, Told
from engine.inputs.records import read_records
from engine.inputs.rows.joins import Join
from engine.inputs.rows.paths import MISSING, is_path, value_at
from engine.inputs.selection import refuse_filtered
from engine.samples import RowRejected

_DEFAULTS = FieldsSection().model_dump()


def config_records(config: Config, on_bytes: OnBytes | None = None) -> Iterator[Record]:
    """Yield the rows of all files as a config means them, numbered through.

    Raises
    ------
    ConfigError
        When a format or a field of a join does not exist.
    InputError
        When a file is missing or broken as a whole.
    """
    settings = config.predictions
    with ExitStack() as open_joins:
        joins = [
            open_joins.enter_context(Join(join, f"predictions.join[{number}]"))
            for number, join in enumerate(settings.join)
        ]
        for join in joins:
            if join.names_traces:
                join.count_answers(_kept(settings))
        told = _Told(settings)
        number = 0
        for record in read_records(settings.path, settings.format, on_bytes):
            for join in joins:
                record = join.joined(record)
            for one in answers_apart(told.of(with_paths(record, settings)), settings):
                number += 1
                yield replace(one, number=number)


def _kept(settings: PredictionsSection) -> Iterator[Record]:
    """Yield the rows that ``predictions.filter`` keeps, as far as it names fields of their own."""
    for record in read_records(settings.path, settings.format):
        values = with_paths(record, settings).values
        if _is_kept(values, {name: wanted for name, wanted in settings.filter.items() if name in values}):
            yield record


def _is_kept(values: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    try:
        refuse_filtered(values, wanted)
    except RowRejected:
        return False
    return True


def with_paths(record: Record, settings: PredictionsSection) -> Record:
    """Return a record in which the fields that the config names by a path stand under the path."""
    names = [name for name in settings.fields.model_dump().values() if name]
    names += [*record.fields.values(), *settings.filter, *settings.keep]
    more: dict[str, object] = {}
    for name in names:
        if is_path(name) and name not in record.values:
            value = value_at(record.values, name)
            if value is not MISSING:
                more[name] = value
    return replace(record, values={**record.values, **more}) if more else record


def answers_apart(record: Record, settings: PredictionsSection) -> Iterator[Record]:
    """Yield a record of several answers as one of each, with ids of their own and one cluster."""
    name = settings.fields.response
    answers = record.values.get(name)
    is_several = isinstance(answers, list) and len(answers) > 1 and all(isinstance(item, str) for item in answers)
    if record.problem or not is_several or not isinstance(answers, list):
        yield record
        return
    id_name, sample_id = _id_of(record, settings)
    correct = _field(record, settings, "correct")
    verdicts = record.values.get(correct) if correct else None
    cluster = _field(record, settings, "cluster") or ""
    thoughts = record.values.get(THOUGHT)
    for number, answer in enumerate(answers, start=1):
        values = {**record.values, name: answer, id_name: f"{sample_id}-{number}"}
        if values.get(cluster) is None:
            values[cluster] = sample_id
        if correct and isinstance(verdicts, list) and len(verdicts) == len(answers):
            values[correct] = verdicts[number - 1]
        if isinstance(thoughts, list) and len(thoughts) == len(answers):
            values[THOUGHT] = thoughts[number - 1]
        yield replace(record, values=values, answer_number=number)


def _id_of(record: Record, settings: PredictionsSection) -> tuple[str, object]:
    names = [settings.fields.id] if settings.fields.id else ["sample_id", "id"]
    found = next((name for name in names if record.values.get(name) is not None), names[0])
    value = record.values.get(found)
    if value is None and not settings.fields.id:  # as rows without an id are called: by company and year
        parts = [plain_text(record.values.get(_field(record, settings, key) or "")) for key in ("cluster", "year")]
        value = None if None in parts else "-".join(map(str, parts))
    return found, f"row-{record.number}" if value is None else value


def _field(record: Record, settings: PredictionsSection, key: str) -> str | None:
    """Return the name of one field of a record: the config's, or in place of a default what the format tells."""
    name = getattr(settings.fields, key, None)
    return record.fields.get(key, name) if name == _DEFAULTS.get(key) else name


def _replaced_flags(settings: PredictionsSection) -> frozenset[str]:
    """Return flags of a log's input or output that do not hold where the config names another field or joins one."""
    joined = {name for join in settings.join for name in join.fields or ()}
    own = {key for key in ("prompt", "messages", "response") if getattr(settings.fields, key) != _DEFAULTS[key]}
    replaced = joined | own
    of_input = (INPUT_AS_JSON, PART_OF_INPUT) if replaced & {"prompt", "messages"} else ()
    return frozenset((*of_input, *((PART_OF_OUTPUT,) if "response" in replaced else ())))


class _Told:
    """What the formats of logs tell of rows, as far as the config does not say otherwise."""

    def __init__(self, settings: PredictionsSection):
        self.settings = settings
        self._replaced = _replaced_flags(settings)
        self._first: dict[tuple[str, str], str] = {}
        self._scores: dict[str, str] = {}
        """Where the score is that counts, by file."""

    def of(self, record: Record) -> Record:
        """Return a record of a log under the id that it has in this run, with a problem where another row is used."""
        told = record.told
        if told is None:
            return record
        values = record.values
        if not self.settings.fields.id and told.task and record.has_companions:
            values = {**values, "sample_id": f"{told.task}-{values.get('sample_id', told.sample_id)}"}
        flags = tuple(flag for flag in told.flags if flag not in self._replaced)
        correct = self.settings.fields.correct
        if correct is not None:
            answered = (FIRST_OF_SCORES, UNASSIGNED) if correct.startswith(TRACE_SCORES) else (FIRST_OF_SCORES,)
            flags = tuple(flag for flag in flags if flag not in answered)
        record = replace(record, values=values, told=replace(told, flags=flags))
        if record.problem or not _is_kept(values, self.settings.filter):
            return record
        record = self._with_one_score(record, replace(told, flags=flags))
        for one in told.one_of:
            other = self._other_value(one, record)
            if other is not None:
                return replace(record, problem=_left_out(one, other), reason="filtered")
        return record

    def _with_one_score(self, record: Record, told: Told) -> Record:
        """Return a record with the score of its file's first row: another one, even alone, says something else."""
        path = record.fields.get("correct")
        first = self._scores.setdefault(record.source, path) if path is not None else None
        if self.settings.fields.correct is not None or first is None or first == path:
            return record
        value = value_at(record.values, first)
        is_lacking = value is MISSING or value is None
        return replace(
            record,
            values={**record.values, first: None if is_lacking else value},
            fields={**record.fields, "correct": first},
            told=replace(told, flags=(*told.flags, FIRST_SCORE_LACKS)) if is_lacking else told,
        )

    def _other_value(self, one: OneOf, record: Record) -> str | None:
        """Return the value of which rows are used, where it is not this row's."""
        scopes = {"run": "", "file": record.source, "sample": f"{record.source}\0{record.values.get('sample_id')}"}
        first = self._first.setdefault((one.name, scopes[one.scope]), one.value)
        return None if first == one.value else first


def _left_out(one: OneOf, other: str) -> str:
    where = {"run": "the first that the files hold", "file": "the first of its file", "sample": "the sample's first"}
    return (
        f"{one.name} is {one.value!r}; rows of {other!r}, {where[one.scope]}, are used. To use these instead, set "
        f"predictions.filter: {{{one.name}: {one.value!r}}}."
    )
