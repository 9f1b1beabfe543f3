"""Langfuse: observations, as its export to a blob storage, its batch export of a table and its API write them.

Source: Langfuse's field reference of the blob storage export (``observations_v2/``, ``observations/``) and of its API
(``Trace`` with its observations and scores).
Scores lie in files of their own, which ``predictions.join`` puts beside them; some exports write them into the
observation, beside the observations, or beside the observations of a trace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from engine.errors import InputError
from engine.inputs.outcomes.correctness import verdict_of
from engine.inputs.readers.evaluations.langfuse_scores import (
    OBSERVATIONS,
    TRACE_SCORES,
    TRACES,
    UNASSIGNED,
    FileScores,
    first_of,
    is_score,
)
from engine.inputs.readers.evaluations.log_records import (
    FIRST_OF_SCORES,
    LogRow,
    chat_messages,
    inner,
    items_of,
    number_of,
    raw_records,
    written_list,
)
from engine.inputs.readers.json_files.json_lines import JsonLinesReader
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, OneOf, Record
from engine.inputs.readers.text_source import TextSource
from engine.inputs.rows.paths import quoted_step

_MODELS = ("provided_model_name", "model", "providedModelName", "internalModelId")

_ANSWERS = ("completion", "text", "output", "answer", "response", "generated_text")
"""Names that an output which is an object gives the answer."""


_WORDS = ("value", "string_value", "stringValue")
_PROMPTS = ("prompt", "input", "text")
"""Names that an input which is an object gives the prompt."""
INPUT_AS_JSON, PART_OF_INPUT, PART_OF_OUTPUT = "input_as_json", "part_of_input", "part_of_output"
_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
_GENERATION = re.compile(rb'"type"\s*:\s*"GENERATION"', re.IGNORECASE)
_VALUE = re.compile(rb'"value"\s*:')
"""What a file with scores in it holds."""


class LangfuseReader(Reader):
    """The observations of traces."""

    suffixes = (".jsonl", ".json")

    def recognises(self, head: FileHead) -> bool:
        """Whether its rows are observations of a trace, with input and output, or traces with theirs."""
        found = head.first_object()
        inside = found.get("observations")
        if isinstance(inside, list):
            first = next(iter(inside), None)
            return isinstance(first, Mapping) and {"id", "type", "output"} <= set(first)
        if is_score(found) and "output" not in found:  # scores may stand before the observations
            return _GENERATION.search(head.beginning(_GENERATION)) is not None
        is_trace = {"id", "observations", "scores"} <= set(found) and inside is None
        return is_trace or ({"id", "type", "input", "output"} <= set(found) and any(name in found for name in TRACES))

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield a record per observation; those that are no generation have a problem, as have scores of none."""
        if not _holds_scores(file, limits):
            for record in _rows(file, limits, on_bytes):
                yield record if record.problem else _record(record, None)
            return
        with FileScores() as scores:
            for record in _rows(file, limits, None):
                scores.add(record.values)
            for record in _rows(file, limits, on_bytes):
                if record.problem or not is_score(record.values):
                    yield record if record.problem else _record(record, scores)
                elif not scores.has_partner(record.values):
                    yield replace(record, problem=_without_partner(record.values), reason="no_partner")


def _holds_scores(file: Path, limits: Limits) -> bool:
    """Whether a file may hold scores, so that it is worth to be read twice."""
    before = b""
    with TextSource(file, limits.chunk_bytes) as source:
        while chunk := source.read():
            if _VALUE.search(before + chunk):
                return True
            before = chunk[-20:]
    return False


def _rows(file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
    """Yield the observations and scores of a file, those inside traces too."""
    head = FileHead(file, limits)
    is_one = head.first_byte() == b"{" and not JsonLinesReader().recognises(head)
    for record in _whole(file, limits, on_bytes) if is_one else raw_records(file, limits, on_bytes):
        if record.problem or not isinstance(record.values.get("observations"), list):
            yield record
        else:
            yield from _of_trace(record)


def _whole(file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
    """Yield the one object that a file is."""
    content = bytearray()
    with TextSource(file, limits.chunk_bytes, on_bytes) as source:
        while chunk := source.read():
            content += chunk
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is not valid JSON: {error}. Copy the log again, or write it anew.") from None
    yield Record(tree)


def _of_trace(record: Record) -> Iterator[Record]:
    """Yield the observations and scores of a trace, each with the trace's id."""
    trace = record.values.get("id")
    given = [*items_of(record.values["observations"]), *items_of(record.values.get("scores"))]
    if not given:
        problem = f"The trace {trace!r} holds no observation: only generations hold an answer."
        yield replace(record, problem=problem, reason="no_generation")
    for item in given:
        if not isinstance(item, Mapping):
            problem = f"The trace {trace!r} holds {item!r:.100} among its observations and scores, not an object."
            yield replace(record, values={}, problem=problem)
            continue
        is_named = first_of(item, TRACES) is not None
        yield replace(record, values=dict(item) if is_named else {**item, "traceId": trace})


def _without_partner(score: Mapping[str, object]) -> str:
    observation = first_of(score, OBSERVATIONS)
    of_what = f"the observation {observation!r}" if observation else f"the trace {first_of(score, TRACES)!r}"
    return f"The score {score['name']!r} is of {of_what}, of which the file holds no generation with an answer."


def _record(record: Record, scores: FileScores | None) -> Record:
    raw = record.values
    row = LogRow(raw, str(raw.get("id")), "messages")
    row.fields["cluster"] = next((name for name in TRACES if name in raw), TRACES[0])
    kind = raw.get("type")
    if str(kind).upper() != "GENERATION":
        return row.record(
            record, f"The observation is of type {kind!r}: only generations hold an answer.", "no_generation"
        )
    model = next((raw[name] for name in _MODELS if isinstance(raw.get(name), str) and raw[name]), None)
    if isinstance(model, str):
        row.given["model"] = model
        row.one_of.append(OneOf("model", model, "run"))
    if str(raw.get("level")).upper() == "ERROR":
        said = raw.get("status_message") or raw.get("statusMessage") or "no message"
        return row.record(record, f"The generation ended with an error: {str(said)[:200]!r}.", "sample_error")
    given = raw.get("input")
    messages = chat_messages(_with_roles(written_list(given)))
    if messages is not None:
        row.given["messages"] = messages
        tools = inner(written_list(given), "tools")
        if isinstance(tools, list):
            row.given["tools"] = tools
    else:
        problem = _add_prompt(row, given)
        if problem:
            return row.record(record, problem, "not_text")
    said = _with_roles(written_list(raw.get("output")))
    row.given["response"] = _answer(said, raw.get("output"))
    if isinstance(said, Mapping) and isinstance(row.given["response"], str):
        is_part = row.given["response"] != raw.get("output")
        row.flags += [PART_OF_OUTPUT] if is_part and (len(said) > 1 or isinstance(raw.get("output"), str)) else []
    _add_scores(row, scores)
    if isinstance(said, list) and len(said) > 1 and chat_messages(said) is not None:
        problem = f"The output holds {len(said)} messages: which of them the model wrote to this input is not known."
        return row.record(record, problem, "several_answers")
    return row.record(record)


def _add_prompt(row: LogRow, given: object) -> str:
    """Let an input that is no list of messages be the prompt; return why it cannot be."""
    row.source, opened = "fields", written_list(given)
    if not isinstance(opened, Mapping):
        row.given["prompt"] = given
        return ""
    name = next((name for name in _PROMPTS if isinstance(opened.get(name), str) and opened[name]), None)
    if name is None and isinstance(given, str):
        row.given["prompt"] = given
        row.flags.append(INPUT_AS_JSON)
        return ""
    if name is None:
        return (
            f"The input is an object ({', '.join(map(str, opened))}), with none of messages, {', '.join(_PROMPTS)}: "
            "what the model was given is not known. Join the prompts from another file (predictions.join)."
        )
    row.given["prompt"] = opened[name]
    if any(isinstance(part, str | list | Mapping) and part for key, part in opened.items() if key != name):
        row.flags.append(PART_OF_INPUT)
    return ""


def _add_scores(row: LogRow, scores: FileScores | None) -> None:
    """Let the first score say whether it is right: of those in the observation, then of the file's."""
    found = written_list(row.raw.get("scores"))
    listed = list(found) if isinstance(found, list) else []
    if scores is not None:
        listed += scores.of_observation(row.raw)
        of_trace, is_only = scores.of_trace(row.raw)
        listed += of_trace if is_only else []
        if of_trace and not is_only:
            row.given[TRACE_SCORES] = _by_name(of_trace)
            row.flags.append(UNASSIGNED)
    named = {**_by_name(listed), **found} if isinstance(found, Mapping) else _by_name(listed)
    if not named:
        return
    row.given["scores"] = named
    steps = {name: _verdict_step(score) for name, score in named.items()}
    paths = [f"scores{quoted_step(name)}{step}" for name, step in steps.items() if step is not None]
    if paths:
        row.fields["correct"] = paths[0]
        is_repeated = len(_telling(listed)) > len(_telling(_by_name(listed).values()))
        row.flags += [FIRST_OF_SCORES] if len(paths) > 1 or is_repeated else []


def _by_name(scores: Iterable[object]) -> dict[str, object]:
    """Return scores by their names, of several with one name the first."""
    found: dict[str, object] = {}
    for one in scores:
        if isinstance(one, Mapping) and isinstance(one.get("name"), str):
            found.setdefault(one["name"], one)
    return found


def _telling(scores: Iterable[object]) -> list[object]:
    return [score for score in scores if _verdict_step(score) is not None]


def _verdict_step(score: object) -> str | None:
    """Return the step from a score to its number, or to a word for right or wrong; None where it has neither."""
    if not isinstance(score, Mapping):
        return None if number_of(score) is None else ""
    if number_of(score.get("value")) is not None:
        return ".value"
    words = (name for name in _WORDS if isinstance(score.get(name), str))
    return next((f".{name}" for name in words if verdict_of(score[name], None).is_correct is not None), None)


def _with_roles(value: object) -> object:
    """Return messages with the roles that LangChain's kinds of them stand for."""
    if isinstance(value, list):
        return [_with_roles(item) for item in value]
    if not isinstance(value, Mapping) or "role" in value or "content" not in value:
        return value
    role = _ROLES.get(str(value.get("type")))
    return value if role is None else {"role": role, **{key: part for key, part in value.items() if key != "type"}}


def _answer(value: object, output: object) -> object:
    """Return what the model wrote: a text, or a message or completion as servers send them.

    Parameters
    ----------
    value, output
        The output, read where it was written as JSON, and as it stands.
    """
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        value = value[0]
    if not isinstance(value, Mapping):
        return output
    if value.get("role") == "assistant" or "choices" in value:
        return value
    if isinstance(value.get("content"), str) and set(value) <= {
        "content",
        "reasoning_content",
        "tool_calls",
        "refusal",
    }:
        return {"role": "assistant", **value}
    texts = [value[name] for name in _ANSWERS if isinstance(value.get(name), str)]
    return texts[0] if len(texts) == 1 else output
