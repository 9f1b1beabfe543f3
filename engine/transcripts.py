"""Conversations as users record them: transcripts with special tokens kept or stripped, and lists of messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from engine.samples import Message, RowRejected

_ROLE_LINE = re.compile(r"^(system|user|assistant)[ \t]*\r?$", re.MULTILINE)
_KEPT_TOKENS = (
    re.compile(r"<\|im_start\|>\s*(\w+)\r?\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL),
    re.compile(r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>\s*(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL),
)
"""Chat markup of Qwen (ChatML) and of Llama 3, for transcripts whose special tokens were kept."""


def split_transcript(transcript: str) -> tuple[tuple[Message, ...], str]:
    r"""Recover roles from a chat transcript whose special tokens were kept or stripped.

    Stripped transcripts read ``system\n…\nuser\n…\nassistant\n…``. Roles are lines of their own: an optional system
    part, the first ``user`` line, then the first ``assistant`` line after it. Later lines of that kind belong to the
    answer, which may well talk about an assistant.

    Raises
    ------
    RowRejected
        When no user part or no answer can be found.
    """
    for markup in _KEPT_TOKENS:
        turns = [Message(m.group(1), m.group(2)) for m in markup.finditer(transcript)]
        if not turns:
            continue
        if turns[-1].role == "assistant" and any(turn.role == "user" for turn in turns):
            return tuple(turns[:-1]), turns[-1].content
        raise RowRejected("read", "no_roles", "The transcript has special tokens but no user and assistant part.")
    lines = list(_ROLE_LINE.finditer(transcript))
    user = next((line for line in lines if line.group(1) == "user"), None)
    after = user.end() if user else 0
    assistant = next((line for line in lines if line.group(1) == "assistant" and line.start() >= after), None)
    if user is None or assistant is None:
        raise RowRejected("read", "no_roles", "The transcript has no line `user` followed by a line `assistant`.")
    messages: list[Message] = []
    head = transcript[: user.start()]
    system = _ROLE_LINE.match(head.lstrip())
    if system and system.group(1) == "system":
        messages.append(Message("system", _without_newline_ends(head.lstrip()[system.end() :])))
    elif head.strip():
        messages.append(Message("system", _without_newline_ends(head)))
    messages.append(Message("user", _without_newline_ends(transcript[user.end() : assistant.start()])))
    return tuple(messages), transcript[assistant.end() :].removeprefix("\n")


def _without_newline_ends(part: str) -> str:
    r"""Remove the one line end on either side that the chat template puts around a message."""
    part = part.removeprefix("\n")
    return part.removesuffix("\n").removesuffix("\r")


def messages_and_answer(value: Any, name: str) -> tuple[tuple[Message, ...], str]:
    """Return the conversation and the answer of a list of chat messages, or of such a list as JSON text.

    Raises
    ------
    RowRejected
        When it is no list of messages that ends with the assistant's.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise RowRejected("read", "no_roles", f"{name!r} is not valid JSON: {error}.") from None
    turns = [
        Message(str(item["role"]), str(item["content"]))
        for item in (value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [])
        if isinstance(item, Mapping) and item.get("role") and item.get("content") is not None
    ]
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise RowRejected("read", "no_roles", f"{name!r} must be a list of messages that ends with the assistant's.")
    return tuple(turns[:-1]), turns[-1].content
