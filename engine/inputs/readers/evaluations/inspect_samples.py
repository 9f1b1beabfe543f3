"""One sample of an Inspect log as a record: what was said, what was expected, how it was scored.

Source: ``src/inspect_ai/log/_log.py`` (``EvalSample``), ``_condense.py`` (attachments), ``model/_chat_message.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.inputs.readers.evaluations.log_records import (
    FIRST_OF_SCORES,
    UNFINISHED_LOG,
    LogRow,
    chat_messages,
    inner,
    items_of,
    texts_of,
)
from engine.inputs.readers.record import OneOf, Record
from engine.inputs.rows.paths import quoted_step

_ATTACHED = "attachment://"
_REFERENCE = re.compile(r"attachment://[\w.-]{1,80}")
_WITH_ATTACHMENTS = ("input", "messages", "output")
_DROPPED = ("events", "events_data", "timelines", "attachments", "store")
"""What a sample holds for the viewer of the log: most of its bytes, and nothing of them is replayed."""


@dataclass(frozen=True, slots=True)
class LogHeader:
    """What the log says of all its samples.

    Attributes
    ----------
    task, model, status
        As the header names them.
    num_epochs
        How often each sample was run.
    """

    task: str
    model: str
    status: str
    num_epochs: int

    @classmethod
    def of(cls, header: Mapping[str, object]) -> LogHeader:
        """Return the header of a log from its JSON."""
        epochs = inner(header, "eval", "config", "epochs")
        return cls(
            task=str(inner(header, "eval", "task_display_name") or inner(header, "eval", "task") or ""),
            model=str(inner(header, "eval", "model") or ""),
            status=str(header.get("status") or "started"),
            num_epochs=epochs if isinstance(epochs, int) else 1,
        )


def sample_record(of: Record, header: LogHeader) -> Record:
    """Return the record of a sample."""
    if of.problem:
        return of
    sample = attached(of.values, inner(of.values, "attachments"))
    sample_id, epoch = str(sample.get("id")), sample.get("epoch")
    is_repeated = header.num_epochs > 1 or (isinstance(epoch, int) and epoch > 1)
    row = LogRow(
        {key: value for key, value in sample.items() if key not in _DROPPED},
        f"{sample_id}_epoch_{epoch}" if is_repeated else sample_id,
        "messages",
        task=header.task.rpartition("/")[2],
    )
    row.fields |= {"cluster": "id"} if is_repeated else {}
    if header.model:
        row.given["model"] = header.model
        row.one_of.append(OneOf("model", header.model, "run"))
    if header.status != "success":
        row.flags.append(UNFINISHED_LOG)
    _add_conversation(row)
    _add_target(row)
    _add_score(row)
    lost = _unresolved([sample.get(key) for key in _WITH_ATTACHMENTS])
    if lost is not None:
        problem = f"The sample refers to {lost[:60]!r}, which is not in the log: it was written in part, or cut."
        return row.record(of, problem, "unreadable_row")
    error = sample.get("error")
    if error:
        said = " ".join(str(inner(error, "message") or error).split())
        return row.record(of, f"The sample ended with an error: {said[:200]!r}.", "sample_error")
    return row.record(of)


def attached(sample: Mapping[str, object], attachments: object) -> Mapping[str, object]:
    """Return a sample with the attachments in its input, messages and output where they are referred to."""
    if not isinstance(attachments, Mapping) or not attachments:
        return sample
    parts = {key: _resolved(sample[key], attachments) for key in _WITH_ATTACHMENTS if key in sample}
    return {**sample, **parts}


def _unresolved(value: object) -> str | None:
    """Return a reference to an attachment that the log does not hold; None where there is none."""
    if isinstance(value, str):
        return value if _REFERENCE.fullmatch(value) else None
    inside = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else []
    return next((found for item in inside if (found := _unresolved(item)) is not None), None)


def _resolved(value: object, attachments: Mapping[str, object]) -> object:
    if isinstance(value, str):
        return attachments.get(value.removeprefix(_ATTACHED), value) if value.startswith(_ATTACHED) else value
    if isinstance(value, Mapping):
        return {key: _resolved(item, attachments) for key, item in value.items()}
    return [_resolved(item, attachments) for item in value] if isinstance(value, list) else value


def _add_conversation(row: LogRow) -> None:
    """Let the conversation of the sample, up to its last answer, be the record's."""
    sample = row.raw
    messages = [_message(item) for item in items_of(sample.get("messages"))]
    if not messages:
        given = sample.get("input")
        asked = chat_messages(given) or ([{"role": "user", "content": given}] if isinstance(given, str) else [])
        messages = [_message(item) for item in asked]
    choice = next(iter(items_of(inner(sample, "output", "choices"))), None)
    last = messages[-1] if messages else None
    if not isinstance(last, Mapping) or last.get("role") != "assistant":
        answer = inner(choice, "message")
        completion = inner(sample, "output", "completion")
        if isinstance(answer, Mapping) and answer.get("content"):
            messages.append(_message(answer))
        elif isinstance(completion, str) and completion:
            messages.append({"role": "assistant", "content": completion})
    row.given["messages"] = messages
    stop = inner(choice, "stop_reason")
    if stop is not None:
        row.given["stop_reason"] = stop
    if sample.get("limit"):
        row.given["finish_reason"] = "length"


def _message(item: object) -> object:
    """Return a message as servers write it: tool calls around a function, thoughts that can be read."""
    if not isinstance(item, Mapping):
        return item
    message = dict(item)
    if isinstance(message.get("tool_calls"), list):
        message["tool_calls"] = [_call(call) for call in message["tool_calls"]]
    if isinstance(message.get("content"), list):
        message["content"] = [_part(part) for part in message["content"]]
    if message.get("role") == "tool" and isinstance(message.get("function"), str):
        message["name"] = message.pop("function")
    return message


def _call(call: object) -> object:
    if not isinstance(call, Mapping) or not isinstance(call.get("function"), str):
        return call
    function = {"name": call["function"], "arguments": call.get("arguments") or {}}
    return {"id": call.get("id"), "type": "function", "function": function}


def _part(part: object) -> object:
    is_hidden = isinstance(part, Mapping) and part.get("type") == "reasoning" and part.get("redacted")
    return {"type": "redacted reasoning"} if is_hidden else part


def _add_target(row: LogRow) -> None:
    target = texts_of(row.raw.get("target"))
    if len(target) == 1:
        row.fields["actual"] = "target"
    choices = texts_of(row.raw.get("choices"))
    if choices and len(target) == 1:
        row.fields |= {"choices": "choices", "target": "target"}


def _add_score(row: LogRow) -> None:
    """Let the first score of the sample say whether it is right, and what its answer was."""
    name, scores = "scores", row.raw.get("scores")
    if not isinstance(scores, Mapping):
        old = row.raw.get("score")
        name, scores = "", {"score": old} if isinstance(old, Mapping) else {}
    paths: list[str] = []
    for scorer, score in scores.items():
        value, path = inner(score, "value"), f"{name}{quoted_step(str(scorer))}".removeprefix(".")
        steps = _value_steps(value)
        paths += [f"{path}.value{step}" for step in steps]
        if paths and "predicted" not in row.fields and isinstance(inner(score, "answer"), str):
            row.fields["predicted"] = f"{path}.answer"
    if paths:
        row.fields["correct"] = paths[0]
        row.flags += [FIRST_OF_SCORES] if len(paths) > 1 else []


def _value_steps(value: object) -> Sequence[str]:
    """Return the steps to the values of a score: itself, or each in an object or a list."""
    if isinstance(value, Mapping):
        return [quoted_step(str(key)) for key in value]
    if isinstance(value, list):
        return [f"[{place}]" for place in range(len(value))]
    return [] if value is None else [""]
