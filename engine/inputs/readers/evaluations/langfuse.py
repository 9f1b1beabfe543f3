"""Langfuse: observations, as its export to a blob storage and its batch export of a table write them.

Source: Langfuse's field reference of the blob storage export (``observations_v2/``, ``observations/``) and of its API.
Scores lie in files of their own, which ``predictions.join`` puts beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.inputs.readers.evaluations.log_records import LogRow, chat_messages, inner, raw_records, written_list
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, OneOf, Record

_TRACES = ("trace_id", "traceId")
_MODELS = ("provided_model_name", "model", "providedModelName", "internalModelId")


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
    return row.record(record)


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
    return output
