"""Answers as servers return them: the one choice of a completion beside the messages or the prompt of a record."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.inputs.conversations.messages import message_of, parsed
from engine.samples import Message, RowRejected

_INSIDE = ("body", "response", "completion")
"""Names under which batches and logs keep a server's response."""
_DEEPEST = 3
_NAMES = re.compile(r"[\"'](?:choices|candidates|output|content)[\"']\s*:")
"""What an object holds that a field has as text: other objects are answers themselves."""
_CUT = ("length", "max_tokens", "max_output_tokens", "MAX_TOKENS")


@dataclass(frozen=True, slots=True)
class Completion:
    """What a server returned.

    Attributes
    ----------
    message
        The assistant's message; of a completion of plain text, its text as the content.
    is_cut
        Whether the server's limit ended it.
    ids
        Its token ids and those of the prompt, by the names that vLLM gives them, where they are recorded.
    """

    message: Mapping[str, object]
    is_cut: bool
    ids: Mapping[str, object]


def completion_in(values: Mapping[str, object], name: str) -> Completion | None:
    """Return the completion of a record; None where it holds none.

    Parameters
    ----------
    values
        The record.
    name
        The field of the answer, which may hold the server's whole response, also as JSON text.

    Raises
    ------
    RowRejected
        When it holds several choices.
    """
    for place in _places(values, name):
        found = [made for item in _listed(place, "choices") if (made := _completion(item, place)) is not None]
        found += [made for item in _listed(place, "candidates") if (made := _candidate(item)) is not None]
        found += _output(_listed(place, "output"), place)
        if len(found) > 1:
            raise RowRejected(
                "read",
                "several_answers",
                f"The record holds {len(found)} choices; a row is one prediction. Write a row for each answer, with an "
                f"id of its own.",
            )
        if found:
            return found[0]
        if place.get("role") == "assistant" and "content" in place:
            return Completion(place, place.get("stop_reason") in _CUT, {})
    return None


def is_cut(values: Mapping[str, object]) -> bool:
    """Whether a record says that a limit ended its answer."""
    return values.get("finish_reason") in _CUT or values.get("stop_reason") in _CUT


def answer_of(completion: Completion | None, name: str) -> Message | None:
    """Return the answer of a completion; None where there is none.

    Parameters
    ----------
    completion
        Of a record.
    name
        The field of the answer, for messages to people.

    Raises
    ------
    RowRejected
        When it holds no text, such as a refusal, or something that cannot be replayed.
    """
    return None if completion is None else message_of(completion.message, name)


def _places(values: Mapping[str, object], name: str) -> Iterator[Mapping[str, object]]:
    """Yield the record and the objects inside it that may be a response."""
    yield values
    value = values.get(name)
    for _ in range(_DEEPEST):
        if isinstance(value, str) and value.lstrip()[:1] == "{" and _NAMES.search(value):
            try:
                value = parsed(value, name)
            except RowRejected:
                return
        if not isinstance(value, Mapping):
            return
        yield value
        value = next((value[key] for key in _INSIDE if isinstance(value.get(key), Mapping)), None)


def _listed(place: Mapping[str, object], name: str) -> list[object]:
    value = place.get(name)
    return list(value) if isinstance(value, list | tuple) else []


def _candidate(item: object) -> Completion | None:
    """Return one candidate of Gemini's; None where it is none."""
    content = item.get("content") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(content, Mapping) or "parts" not in content:
        return None
    return Completion({"role": "assistant", "content": content["parts"]}, item.get("finishReason") in _CUT, {})


def _output(items: Sequence[object], around: Mapping[str, object]) -> list[Completion]:
    """Return the answer of OpenAI's responses, whose thought and text are items of one list; empty where it is none."""
    kinds = [(item.get("type"), item) for item in items if isinstance(item, Mapping)]
    contents = [item.get("content") for kind, item in kinds if kind == "message"]
    if not contents:
        return []
    parts = [part for content in contents for part in (content if isinstance(content, list) else [content])]
    thoughts = [item.get("summary") or item.get("content") for kind, item in kinds if kind == "reasoning"]
    lists = [part for thought in thoughts if isinstance(thought, list) for part in thought]
    message = {"role": "assistant", "content": parts, **({"reasoning": lists} if lists else {})}
    return [Completion(message, around.get("status") == "incomplete", {})]


def _completion(item: object, around: Mapping[str, object]) -> Completion | None:
    """Return one choice: a message, or a text beside the reason for which it ended; options to choose from are none."""
    if not isinstance(item, Mapping):
        return None
    message = item.get("message")
    if not isinstance(message, Mapping):
        if not isinstance(item.get("text"), str) or "finish_reason" not in item:
            return None
        message = {"content": item["text"]}
    if item.get("finish_reason") == "content_filter" and not message.get("content") and not message.get("refusal"):
        message = {**message, "refusal": "finish_reason content_filter"}
    ids: dict[str, object] = {}
    for key in ("token_ids", "prompt_token_ids"):
        value = item.get(key, around.get(key))
        if isinstance(value, Sequence) and not isinstance(value, str):
            ids[key] = value
    return Completion({**message, "role": "assistant"}, item.get("finish_reason") in _CUT, ids)
