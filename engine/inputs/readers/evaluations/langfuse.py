"""Langfuse: observations, as its export to a blob storage and its batch export of a table write them.

Source: Langfuse's field reference of the blob storage export (``observations_v2/``, ``observations/``) and of its API.
Scores lie in files of their own, which ``predictions.join`` puts beside them; some exports write them into the
observation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.inputs.readers.evaluations.log_records import (
    FIRST_OF_SCORES,
    LogRow,
    chat_messages,
    inner,
    number_of,
    raw_records,
    written_list,
)
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, OneOf, Record
from engine.inputs.rows.paths import quoted_step

_TRACES = ("trace_id", "traceId")
_MODELS = ("provided_model_name", "model", "providedModelName", "internalModelId")

_ANSWERS = ("completion", "text", "output", "answer", "response", "generated_text")
"""Names that an output which is an object gives the answer."""


class LangfuseReader(Reader):
    """The observations of traces."""

    suffixes = (".jsonl", ".json")

    def recognises(self, head: FileHead) -> bool:
        """Whether its rows are observations of a trace, with input and output."""
        found = head.first_object()
        return {"id", "type", "input", "output"} <= set(found) and any(name in found for name in _TRACES)

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield a record per observation; those that are no generation have a problem."""
        for record in raw_records(file, limits, on_bytes):
            yield record if record.problem else _record(record)


def _record(record: Record) -> Record:
    raw = record.values
    row = LogRow(raw, str(raw.get("id")), "messages")
    row.fields["cluster"] = next((name for name in _TRACES if name in raw), _TRACES[0])
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
    messages = chat_messages(given)
    if messages is not None:
        row.given["messages"] = messages
        tools = inner(written_list(given), "tools")
        if isinstance(tools, list):
            row.given["tools"] = tools
    elif isinstance(given, str):
        row.source, row.given["prompt"] = "fields", given
    else:
        inside = inner(given, "prompt") or inner(given, "input") or inner(given, "text")
        row.source, row.given["prompt"] = "fields", inside if isinstance(inside, str) else given
    row.given["response"] = _answer(raw.get("output"))
    _add_score(row)
    return row.record(record)


def _add_score(row: LogRow) -> None:
    """Let the first score that stands in the observation itself say whether it is right."""
    scores = written_list(row.raw.get("scores"))
    if isinstance(scores, list):
        named = [one for one in scores if isinstance(one, Mapping) and isinstance(one.get("name"), str)]
        scores = {str(one["name"]): one for one in reversed(named)}
        scores = {str(one["name"]): scores[str(one["name"])] for one in named}
    if not isinstance(scores, Mapping):
        return
    row.given["scores"] = scores
    paths = [
        f"scores{quoted_step(str(name))}{'.value' if isinstance(score, Mapping) else ''}"
        for name, score in scores.items()
        if number_of(score.get("value") if isinstance(score, Mapping) else score) is not None
    ]
    if paths:
        row.fields["correct"] = paths[0]
        row.flags += [FIRST_OF_SCORES] if len(paths) > 1 else []


def _answer(output: object) -> object:
    """Return what the model wrote: a text, or a message or completion as servers send them."""
    value = written_list(output)
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
