"""What a chat message consists of: parts of its content, a thought in a field of its own, a refusal in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.samples import Message, RowRejected

REASONING_FIELDS = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "reasoning_details",
    "thinking_blocks",
    "reasoning_text",
    "thinking_content",
    "thinking_text",
    "thoughts",
    "thought",
    "thought_process",
    "chain_of_thought",
    "cot",
    "reasoning_trace",
    "reasoning_steps",
)
"""Names under which servers and frameworks keep a thought apart from the answer."""
_TEXT_PARTS = ("text", "input_text", "output_text")
_THOUGHT_PARTS = ("reasoning", "thinking")
_THOUGHT_TEXTS = ("text", "summary", "thinking", "content")
_MEDIA = ("image", "images", "audio", "audios", "video", "videos", "files", "attachments")
"""Fields of what is no text."""
_PLACES = ("<image>", "<video>", "<audio>")
"""Where texts say that something of that kind stands."""


def refuse_refusal(fields: Mapping[str, object], whose: str = "The record") -> None:
    """Turn a row away in which a server says that the model refused to answer, or that the answer was withheld.

    Raises
    ------
    RowRejected
        With what is said.
    """
    said = fields.get("refusal")
    if isinstance(said, str) and said.strip():
        raise RowRejected(
            "read",
            "refusal",
            f"{whose} holds a refusal ({' '.join(said.split())[:80]!r}) in place of text: there is nothing to replay, "
            f"and no decision to measure.",
        )


def has_media(fields: Mapping[str, object]) -> bool:
    """Whether a record holds something that is no text beside what the model was given."""
    return any(fields.get(name) for name in _MEDIA)


def refuse_media(fields: Mapping[str, object], whose: str, texts: Sequence[str] | None = None) -> None:
    """Turn a row away whose model saw or heard something that is no text.

    Parameters
    ----------
    fields
        A message, or a record.
    whose
        Which of them, for messages to people.
    texts
        Of a record, whose fields count only where a text says that something stands there.

    Raises
    ------
    RowRejected
        Naming the field.
    """
    if texts is not None and not any(place in text for place in _PLACES for text in texts):
        return
    for name in _MEDIA:
        if fields.get(name):
            raise RowRejected(
                "read",
                "not_replayed",
                f"{whose} has something in {name!r} that is no text, which is not replayed: the model saw more than "
                f"would be measured.",
            )


def reasoning_in(fields: Mapping[str, object]) -> str | None:
    """Return the thought that a message or a record keeps in a field of its own; None where there is none."""
    for field in REASONING_FIELDS:
        value = fields.get(field)
        if isinstance(value, Mapping):
            value = _thought_of(value)
        if isinstance(value, list):
            value = "".join(_thought_of(part) for part in value)
        if isinstance(value, str) and value.strip():
            return value
    return None


def is_in_steps(fields: Mapping[str, object]) -> bool:
    """Whether a thought in a field of its own is a list of several texts, of which nobody knows what stood between."""
    found = (value for field in REASONING_FIELDS if (value := fields.get(field)))
    return any(isinstance(value, list) and sum(isinstance(part, str) for part in value) > 1 for value in found)


def _thought_of(part: object) -> str:
    """Return the text of one part of a thought (``reasoning.text``, ``reasoning.summary``, ``thinking``)."""
    if not isinstance(part, Mapping):
        return str(part)
    return next((text for name in _THOUGHT_TEXTS if isinstance(text := part.get(name), str)), "")


def of_parts(parts: list[Any], role: str, name: str) -> tuple[str, str | None, list[dict[str, object]], list[Message]]:
    """Return the text, the thought, the tool calls and the tool results of content that comes in parts.

    Raises
    ------
    RowRejected
        Naming a part that is no text and no tool's, such as an image.
    """
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, object]] = []
    results: list[Message] = []
    for part in parts:
        kind = _kind_of(part)
        if isinstance(part, str):
            texts.append(part)
        elif kind in _TEXT_PARTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in _THOUGHT_PARTS and isinstance(part.get(kind, part.get("text")), str):
            thoughts.append(part.get(kind, part.get("text")))
        elif kind == "refusal" and isinstance(part.get(kind), str):
            refuse_refusal(part, f"The {role} message of {name!r}")
        elif kind == "tool_use":
            call = {"name": part.get("name"), "arguments": part.get("input") or {}}
            calls.append({"id": part.get("id"), "type": "function", "function": call})
        elif kind == "tool_result":
            found = part.get("content")
            text, *_ = of_parts(found, role, name) if isinstance(found, list) else (str(found or ""),)
            results.append(Message("tool", text, {"tool_call_id": part.get("tool_use_id")}))
        else:
            raise RowRejected(
                "read",
                "not_replayed",
                f"The {role} message of {name!r} holds a part of type {str(kind) or type(part).__name__!r}, which is "
                f"not replayed: only text, reasoning, tool calls and tool results are.",
            )
    return "".join(texts), "".join(thoughts) or None, calls, results


def of_text(part: object) -> str:
    """Return the text of a part of a content; empty where it is none."""
    if isinstance(part, Mapping):
        part = part.get("text") if _kind_of(part) in _TEXT_PARTS else None
    return part if isinstance(part, str) else ""


def _kind_of(part: object) -> str:
    """Return a part's type; without one, what it holds (Gemini)."""
    if not isinstance(part, Mapping):
        return ""
    if "type" in part:
        return str(part["type"])
    if "text" in part:
        return "thinking" if part.get("thought") is True else "text"
    return next((str(key) for key in part), "")
