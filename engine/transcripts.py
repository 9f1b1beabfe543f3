"""Conversations as users record them: transcripts with special tokens kept or stripped, and lists of messages."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.samples import Message, RowRejected

_ROLE_LINE = re.compile(r"^(system|user|assistant|model)[ \t]*\r?$", re.MULTILINE)
_ROLES = {"model": "assistant", "gpt": "assistant", "bot": "assistant", "ai": "assistant", "human": "user"}
"""Other names of the roles."""
_KEPT_TOKENS = (
    re.compile(r"<\|im_start\|>\s*(\w+)\r?\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL),
    re.compile(r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>\s*(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL),
    re.compile(r"<start_of_turn>\s*(\w+)\r?\n(.*?)(?:<end_of_turn>|\Z)", re.DOTALL),
)
"""Chat markup of Qwen (ChatML), Llama 3 and Gemma, for transcripts whose special tokens were kept."""


_ENDS = re.compile(r"(?:<\|endoftext\|>|<\|end_of_text\|>|<\|eot_id\|>|<eos>|</s>)\s*\Z")
"""Tokens that end a text, kept at the end of an answer."""


@dataclass(frozen=True, slots=True)
class TranscriptReader:
    """Splits transcripts into messages and answer.

    Attributes
    ----------
    layouts
        Patterns of the tokenizer's own chat template, with special tokens and without, whose groups ``system``,
        ``user`` and ``response`` hold the parts (``tokenizer.transcript_layouts``); roles on lines of their own are
        looked for where none of them fits.
    """

    layouts: tuple[re.Pattern[str], ...] = ()

    def split(self, transcript: str) -> tuple[tuple[Message, ...], str]:
        """Return the conversation up to the answer, and the answer, empty when only the prompt was recorded.

        Raises
        ------
        RowRejected
            When no user part can be found.
        """
        turns = _kept_turns(transcript)
        if turns:
            return turns
        for layout in self.layouts:
            match = layout.match(transcript)
            if match:
                parts = match.groupdict()
                messages = [Message(role, parts[role]) for role in ("system", "user") if parts.get(role)]
                return tuple(messages), parts["response"]
        try:
            return split_transcript(transcript)
        except RowRejected:
            prompt = unanswered(transcript)
            if prompt is None:
                raise
            return prompt, ""


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
    turns = _kept_turns(transcript)
    if turns:
        return turns
    lines = list(_ROLE_LINE.finditer(transcript))
    user = next((line for line in lines if line.group(1) == "user"), None)
    after = user.end() if user else 0
    answers = [line for line in lines if line.group(1) in ("assistant", "model") and line.start() >= after]
    assistant = next((line for line in answers if line.group(1) == "assistant"), next(iter(answers), None))
    if user is None or assistant is None:
        raise RowRejected("read", "no_roles", "The transcript has no line `user` followed by a line `assistant`.")
    messages = [*_system_part(transcript[: user.start()])]
    messages.append(Message("user", _without_newline_ends(transcript[user.end() : assistant.start()])))
    return tuple(messages), transcript[assistant.end() :].removeprefix("\n")


def _kept_turns(transcript: str) -> tuple[tuple[Message, ...], str] | None:
    """Return the conversation and the answer of a transcript whose special tokens are among the known ones."""
    for markup in _KEPT_TOKENS:
        turns = [
            Message(_ROLES.get(m.group(1), m.group(1)), _ENDS.sub("", m.group(2))) for m in markup.finditer(transcript)
        ]
        if not turns:
            continue
        if any(turn.role == "user" for turn in turns):
            return (tuple(turns[:-1]), turns[-1].content) if turns[-1].role == "assistant" else (tuple(turns), "")
        raise RowRejected("read", "no_roles", "The transcript has special tokens but no user and assistant part.")
    return None


def has_role_line(messages: Sequence[Message], answer: str) -> bool:
    """Whether the user's text or the answer holds a line that could begin another part of the conversation."""
    texts = [message.content for message in messages if message.role == "user"]
    return any(_ROLE_LINE.search(text) for text in [*texts, answer])


def unanswered(transcript: str) -> tuple[Message, ...] | None:
    """Return the messages of a transcript that ends with the user's part; None when it has no line ``user``."""
    user = next((line for line in _ROLE_LINE.finditer(transcript) if line.group(1) == "user"), None)
    if user is None:
        return None
    return (*_system_part(transcript[: user.start()]), Message("user", _without_newline_ends(transcript[user.end() :])))


def _system_part(head: str) -> tuple[Message, ...]:
    """Return the system message in front of the user's, if there is one, with its role line or without."""
    system = _ROLE_LINE.match(head.lstrip())
    if system and system.group(1) == "system":
        return (Message("system", _without_newline_ends(head.lstrip()[system.end() :])),)
    return (Message("system", _without_newline_ends(head)),) if head.strip() else ()


def _without_newline_ends(part: str) -> str:
    r"""Remove the one line end on either side that the chat template puts around a message."""
    part = part.removeprefix("\n")
    return part.removesuffix("\n").removesuffix("\r")


def messages_and_answer(value: Any, name: str) -> tuple[tuple[Message, ...], str]:
    """Return the conversation and the answer of a list of chat messages, or of such a list as JSON text.

    The answer is empty when the list ends with the user's message.

    Raises
    ------
    RowRejected
        When it is no list of messages that ends with the assistant's or the user's.
    """
    if isinstance(value, str):
        value = _parsed(value, name)
    if isinstance(value, Mapping) and "messages" in value:
        value = value["messages"]
    turns = [_turn(item, name) for item in value] if isinstance(value, list | tuple) else []
    if turns and turns[-1].role == "user":
        return tuple(turns), ""
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise RowRejected(
            "read", "no_roles", f"{name!r} must be a list of messages (role, content) that ends with the assistant's."
        )
    return tuple(turns[:-1]), turns[-1].content


def _parsed(text: str, name: str) -> Any:
    """Return a list that a CSV holds as text: JSON, or Python's own notation, as pandas writes it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise RowRejected("read", "no_roles", f"{name!r} is not valid JSON: {error}.") from None


def _turn(item: Any, name: str) -> Message:
    """Return one message; its text may come in parts, and its names may be ``from`` and ``value``."""
    role = item.get("role") or item.get("from") if isinstance(item, Mapping) else None
    if not isinstance(role, str):
        raise RowRejected("read", "no_roles", f"A message of {name!r} has no role.")
    content = item.get("content", item.get("value"))
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise RowRejected("read", "not_text", f"The {role} message of {name!r} holds no text.")
    known = role.strip().lower()
    return Message(_ROLES.get(known, known), content)
