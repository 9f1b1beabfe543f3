"""Results of batches: OpenAI's and those in its form (vLLM ``run-batch``, Azure, Mistral, Groq), and Anthropic's.

A line holds the request's ``custom_id`` and the response; the requests, with what the model was given, lie in the file
that was sent, which ``predictions.join`` puts beside them.

Source: OpenAI's reference of the batch API, ``vllm/entrypoints/openai/run_batch.py`` (``BatchRequestOutput``),
Anthropic's reference of message batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.inputs.conversations.message_parts import reasoning_in
from engine.inputs.readers.evaluations.log_records import LogRow, chat_messages, inner, items_of, raw_records
from engine.inputs.readers.reader import FileHead, OnBytes, Reader
from engine.inputs.readers.record import Limits, OneOf, Record

_OK = range(200, 300)


class BatchReader(Reader):
    """The results of a batch of requests."""

    suffixes = (".jsonl", ".json")

    def recognises(self, head: FileHead) -> bool:
        """Whether its lines hold an id of a request and what came back."""
        found = head.first_object()
        return "custom_id" in found and ("response" in found or isinstance(found.get("result"), Mapping))

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield a record per request."""
        for record in raw_records(file, limits, on_bytes):
            yield record if record.problem else _record(record)


def _record(record: Record) -> Record:
    raw = record.values
    row = LogRow(raw, str(raw.get("custom_id")), "messages")
    body = inner(raw, "response", "body")
    if isinstance(raw.get("result"), Mapping):
        body, problem = inner(raw, "result", "message"), _failed_message(raw["result"])
    else:
        problem = _failed_response(raw)
    if problem or not isinstance(body, Mapping):
        return row.record(record, problem or "The response holds no body.", "failed_request")
    if body.get("choices") == []:
        return row.record(record, "The response holds no choice: the server returned no answer.", "no_response")
    model = body.get("model")
    if isinstance(model, str) and model:
        row.given["model"] = model
        row.one_of.append(OneOf("model", model, "run"))
    request = raw.get("body")  # some servers repeat the request
    messages = chat_messages(inner(request, "messages"))
    if messages is not None:
        row.given["messages"] = messages
    row.given["response"] = body
    texts = [inner(choice, "text") for choice in items_of(body.get("choices"))]
    if texts and all(isinstance(text, str) for text in texts):
        row.source = "rendered"  # the endpoint of plain completions, which knows no chat template
        if isinstance(inner(request, "prompt"), str):
            row.given["prompt"] = inner(request, "prompt")
    choices = items_of(body.get("choices"))
    if len(choices) > 1:
        row.given["response"] = [_text(choice) for choice in choices]
        row.add_thoughts([reasoning_in(_message(choice)) for choice in choices])
        row.fields["cluster"] = "custom_id"
    return row.record(record)


def _text(choice: object) -> str:
    """Return the text of one of several choices; an empty one of a choice that wrote none, such as a tool call."""
    content = inner(choice, "text") or _message(choice).get("content")
    parts = [content] if isinstance(content, str) else [inner(part, "text") for part in items_of(content)]
    return "".join(part for part in parts if isinstance(part, str))


def _message(choice: object) -> Mapping[str, object]:
    """Return the message of a choice; an empty one of a plain completion."""
    message = inner(choice, "message")
    return message if isinstance(message, Mapping) else {}


def _failed_response(raw: Mapping[str, object]) -> str:
    """Return why a request has no answer; empty where it has one."""
    if raw.get("error"):
        said = inner(raw, "error", "message") or inner(raw, "error", "code") or raw["error"]
        return f"The request failed: {str(said)[:200]!r}."
    response = raw.get("response")
    if not isinstance(response, Mapping):
        return "The request has no response: the batch expired or was stopped before it."
    status = response.get("status_code")
    if isinstance(status, int) and status not in _OK:
        said = inner(response, "body", "error", "message") or inner(response, "body", "message") or ""
        return f"The request failed with status {status}: {str(said)[:200]!r}."
    return ""


def _failed_message(result: object) -> str:
    kind = inner(result, "type")
    if kind in (None, "succeeded"):
        return ""
    said = inner(result, "error", "error", "message") or inner(result, "error", "message") or ""
    return f"The request {kind}{f': {str(said)[:200]!r}' if said else ''}."
