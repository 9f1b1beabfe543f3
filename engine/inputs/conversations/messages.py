"""Lists of chat messages → messages as chat templates take them: text, parts, reasoning, tool calls and results."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from engine.inputs.conversations.message_parts import (
    is_in_steps,
    of_parts,
    of_text,
    reasoning_in,
    refuse_media,
    refuse_refusal,
)
from engine.inputs.conversations.turn_marks import ROLES
from engine.samples import Message, RowRejected

_PASSED_ON = ("tool_calls", "tool_call_id", "name")
"""What else a message holds that a chat template may print."""
_CONTENTS = ("content", "value", "parts", "text")
"""Names of what a message says: OpenAI's, ShareGPT's, Gemini's."""


def _message_list(value: object, name: str) -> tuple[tuple[Message, ...], Mapping[str, object], tuple[str, ...]]:
    """Return the messages of a field, the object around them where it is one, and flags."""
    if isinstance(value, str):
        value = parsed(value, name)
    around: Mapping[str, object] = {}
    if isinstance(value, Mapping) and "messages" in value:
        around, value = value, value["messages"]
    items = list(value) if isinstance(value, list | tuple) else []
    is_joined = any(_is_in_parts(item) or (isinstance(item, Mapping) and is_in_steps(item)) for item in items)
    flags = ("parts_joined",) if is_joined else ()
    return tuple(turn for item in items for turn in _turns(item, name)), around, flags


def _is_in_parts(item: object) -> bool:
    """Whether a message that was given to the model comes in several texts: servers differ in what they put between."""
    if not isinstance(item, Mapping) or item.get("role", item.get("from")) in ("assistant", "model", "gpt"):
        return False
    content = next((item[key] for key in _CONTENTS if key in item), None)
    return isinstance(content, list) and sum(bool(of_text(part)) for part in content) > 1


def messages_and_answer(
    value: object, name: str
) -> tuple[tuple[Message, ...], Message | None, Mapping[str, object], tuple[str, ...]]:
    """Return the conversation before the answer, the answer (None before one), the object around both, and flags.

    Several messages of the assistant's at the end are one answer: its beginning was given, or it was recorded in parts.

    Parameters
    ----------
    value
        A list of messages, an object with such a list in ``messages``, or either as JSON text or as Python writes it.
    name
        The field's name, for messages to people.

    Raises
    ------
    RowRejected
        When it is no list of messages that ends with the assistant's, the user's or a tool's, or one of them holds
        something that cannot be replayed.
    """
    turns, around, flags = _message_list(value, name)
    if turns and turns[-1].role in ("user", "tool"):
        return turns, None, around, flags
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise RowRejected(
            "read", "no_roles", f"{name!r} must be a list of messages (role, content) that ends with the assistant's."
        )
    first = len(turns) - 1
    while first > 1 and turns[first - 1].role == "assistant" and "tool_calls" not in turns[first - 1].fields:
        first -= 1
    flags += ("answers_joined",) if sum(bool(turn.content.strip()) for turn in turns[first:]) > 1 else ()
    return turns[:first], _joined(turns[first:]), around, flags


def _joined(parts: tuple[Message, ...]) -> Message:
    """Return parts of one answer as one message; a part that begins with all before it is the whole."""
    whole = parts[0]
    for part in parts[1:]:
        is_whole = bool(whole.content.strip()) and part.content.startswith(whole.content.rstrip())
        content = part.content if is_whole else whole.content + part.content
        whole = Message("assistant", content, {**whole.fields, **part.fields})
    return whole


def parsed(text: str, name: str) -> object:
    """Return a list that a CSV holds as text: JSON, or Python's own notation, as pandas writes it.

    Raises
    ------
    RowRejected
        When it is neither.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise RowRejected("read", "no_roles", f"{name!r} is not valid JSON: {error}.") from None


def is_message_list(text: str) -> bool:
    """Whether a text is what JSON or Python writes for a list of chat messages, or for an object around one."""
    if not re.match(r"\s*(?:\[\s*)?\{", text) or not re.search(r"[\"'](?:role|from)[\"']\s*:", text):
        return False
    try:
        value = parsed(text, "")
    except RowRejected:
        return False
    value = value.get("messages") if isinstance(value, Mapping) else value
    return isinstance(value, list) and all(isinstance(item, Mapping) and {"role", "from"} & set(item) for item in value)


def message_of(item: Mapping[str, object], name: str) -> Message:
    """Return one message, as ``messages_and_answer`` reads those of a list."""
    return _turns(item, name)[-1]


def _turns(item: object, name: str) -> list[Message]:
    """Return the message of an item, whose names may be ``from`` and ``value``; several where it holds tool results."""
    fields: Mapping[str, Any] = item if isinstance(item, Mapping) else {}
    role = fields.get("role") or fields.get("from")
    if not isinstance(role, str):
        raise RowRejected("read", "no_roles", f"A message of {name!r} has no role.")
    known = role.strip().lower()
    known = {"function": "tool", "observation": "tool"}.get(known, ROLES.get(known, known))
    extra = {key: fields[key] for key in _PASSED_ON if fields.get(key) not in (None, "", [])}
    if isinstance(fields.get("function_call"), Mapping):
        extra["tool_calls"] = [{"type": "function", "function": fields["function_call"]}]
    refuse_media(fields, f"The {role} message of {name!r}")
    thought = reasoning_in(fields)
    content = next((fields[key] for key in _CONTENTS if key in fields), None)
    if known == "assistant" and isinstance(content, str) and fields.get("channel", "final") not in ("final", None):
        thought, content = content, ""  # gpt-oss keeps thoughts in messages of their own
    results: list[Message] = []
    if isinstance(content, list):
        content, part_thought, calls, results = of_parts(content, role, name)
        thought = thought or part_thought
        if calls:
            extra["tool_calls"] = [*extra.get("tool_calls", []), *calls]
    if "tool_calls" in extra:
        extra["tool_calls"] = [_tool_call(call) for call in _listed(extra["tool_calls"])]
        content = "" if content is None else content
    if thought is not None:
        extra |= {"reasoning_content": thought, "thinking": thought}
        content = "" if content is None else content
    if not content:
        refuse_refusal(fields, f"The {role} message of {name!r}")
    if not isinstance(content, str):
        raise RowRejected("read", "not_text", f"The {role} message of {name!r} holds no text.")
    message = Message(known, content, extra)
    return [*results, message] if content or extra or not results else results


def _listed(calls: object) -> list[object]:
    if isinstance(calls, str):
        calls = parsed(calls, "tool_calls")
    return list(calls) if isinstance(calls, list | tuple) else [calls]


def _tool_call(call: object) -> object:
    """Return a tool call with its arguments as an object: servers send them as JSON text, templates print objects."""
    if not isinstance(call, Mapping):
        return call
    made = dict(call)
    inner = made.get("function")
    if isinstance(inner, Mapping):
        made["function"] = _tool_call(inner)
    elif isinstance(made.get("arguments"), str):
        with contextlib.suppress(ValueError):  # no JSON: printed as it stands
            made["arguments"] = json.loads(made["arguments"])
    return made
