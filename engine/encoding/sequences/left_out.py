"""What a chat template leaves out of a conversation, or writes twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.samples import Message, RowRejected

_PREAMBLE = 10
"""Characters of a line of a preamble at least, such as ``Reasoning:`` or ``Today Date:``."""

UNPLACED = (
    "The tool calls of the assistant's message ({names}) are not replayed: this chat template has no place for them. "
    "Give a template that prints tool_calls in prompt.chat_template."
)
"""What is said of tool calls that do not reach the prompt."""


def tool_names(tools: object) -> list[str]:
    """Return the names of tools that a record offers."""
    found = []
    for tool in tools if isinstance(tools, list) else []:
        inner = tool.get("function", tool) if isinstance(tool, Mapping) else {}
        if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
            found.append(inner["name"])
    return found


def repeats_preamble(messages: Sequence[Message], text: str) -> bool:
    """Whether a system part holds a line, or the name that begins one, which the template writes once more."""
    said = "\n".join(message.content for message in messages)
    parts = (message.content for message in messages if message.role == "system")
    lines = (line.strip() for part in parts for line in part.splitlines())
    begins = {line.partition(":")[0] + ":" if ":" in line else line for line in lines}
    return any(text.count(begin) > said.count(begin) for begin in begins if len(begin) >= _PREAMBLE)


def refuse_unplaced_tools(messages: Sequence[Message], text: str) -> None:
    """Turn a conversation away whose tool calls or tool results the template leaves out."""
    for message in messages:
        calls = message.fields.get("tool_calls")
        names = tool_names(calls)
        if calls and (not names or any(name not in text for name in names)):
            raise RowRejected(
                "encode",
                "not_replayed",
                UNPLACED.format(names=", ".join(names) or "without a name"),
            )
        if message.role == "tool" and message.content.strip() and message.content.strip() not in text:
            raise RowRejected(
                "encode",
                "not_replayed",
                "The result of a tool is not replayed: this chat template has no place for messages of the role "
                "'tool'. Give a template that has one in prompt.chat_template.",
            )


def missing_texts(messages: Sequence[Message], text: str) -> list[str]:
    """Return the texts that a rendered prompt lacks; templates may shorten the assistant's history."""
    squeezed = None
    missing = []
    for message in messages:
        content = message.content.strip()
        if message.role == "assistant" or not content or content in text:
            continue
        squeezed = "".join(text.split()) if squeezed is None else squeezed
        if "".join(content.split()) not in squeezed:
            missing.append(content)
    return missing
