"""Conversations as users record them in one text: transcripts with special tokens kept or stripped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.conversations.turn_marks import ROLE_LINE, MarkedText, marked_text
from engine.samples import Message, RowRejected


@dataclass(frozen=True, slots=True)
class TranscriptReader:
    """Splits transcripts into messages and answer.

    Attributes
    ----------
    layouts
        Patterns of the tokenizer's own chat template, with special tokens and without, whose groups ``system``,
        ``user`` and ``response`` hold the parts (``tokenizer.transcript_layouts``); roles on lines of their own are
        looked for where none of them fits.
    markup
        What is known of the tokenizer and its chat template.
    date_formats
        Formats of the dates that the template prints; the groups ``date0``, ``date1``, … of ``layouts`` hold them.
    """

    layouts: tuple[re.Pattern[str], ...] = ()
    markup: ChatMarkup = field(default_factory=ChatMarkup)
    date_formats: tuple[str, ...] = ()

    def split(self, transcript: str) -> tuple[tuple[Message, ...], str]:
        """Return the conversation up to the answer, and the answer, empty when only the prompt was recorded.

        Raises
        ------
        RowRejected
            When no user part can be found.
        """
        messages, response, _ = self.split_dated(transcript)
        return messages, response

    def split_dated(self, transcript: str) -> tuple[tuple[Message, ...], str, dict[str, str]]:
        """Return what ``split`` does, and the dates that the chat template printed into it, by format.

        Raises
        ------
        RowRejected
            When no user part can be found.
        """
        marked = self.markup.turns(transcript) or marked_text(transcript)
        if marked is not None:
            if is_certain(marked):
                return *turns_of(transcript, marked), {}
            return *_split_around(transcript), {}
        for layout in self.layouts:
            match = layout.match(transcript)
            if match:
                parts = match.groupdict()
                messages = [Message(role, parts[role]) for role in ("system", "user") if parts.get(role)]
                dates = {
                    name: parts[f"date{index}"]
                    for index, name in enumerate(self.date_formats)
                    if parts.get(f"date{index}") is not None
                }
                return tuple(messages), self.markup.without_end(parts["response"]), dates
        try:
            return *split_transcript(transcript), {}
        except RowRejected:
            prompt = unanswered(transcript)
            if prompt is None:
                raise
            return prompt, "", {}


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
    marked = marked_text(transcript)
    if marked is not None:
        return turns_of(transcript, marked) if is_certain(marked) else _split_around(transcript)
    return _split_at_lines(transcript)


def _split_at_lines(transcript: str) -> tuple[tuple[Message, ...], str]:
    """Recover roles from lines that are roles."""
    lines = list(ROLE_LINE.finditer(transcript))
    user = next((line for line in lines if line.group(1) == "user"), None)
    after = user.end() if user else 0
    answers = [line for line in lines if line.group(1) in ("assistant", "model") and line.start() >= after]
    assistant = next((line for line in answers if line.group(1) == "assistant"), next(iter(answers), None))
    if user is None or assistant is None:
        raise RowRejected(
            "read",
            "no_roles",
            "The transcript has no line `user` followed by a line `assistant`, nor the chat template's own marks: "
            "where the answer begins cannot be told. Record it with its special tokens (skip_special_tokens=False), "
            "or prompt and answer in fields of their own.",
        )
    messages = [*_system_part(transcript[: user.start()])]
    messages.append(Message("user", _without_newline_ends(transcript[user.end() : assistant.start()])))
    return tuple(messages), transcript[assistant.end() :].removeprefix("\n")


def is_certain(marked: MarkedText) -> bool:
    """Whether nothing stands outside the turns of a transcript, so that its marks are those of the conversation."""
    return not marked.is_interrupted and not marked.is_followed


def _split_around(transcript: str) -> tuple[tuple[Message, ...], str]:
    """Recover roles from the lines of a transcript whose marks are a part of somebody's text.

    Raises
    ------
    RowRejected
        When it has no such lines: nobody knows which of its turns are forged.
    """
    try:
        return _split_at_lines(transcript)
    except RowRejected:
        raise RowRejected(
            "read",
            "text_outside_turns",
            f"The transcript begins with the mark of a turn ({transcript.strip()[:30]!r}), but text stands outside its "
            f"turns: the marks may be a part of somebody's text, and which turns are the conversation's is not known. "
            f"Record messages (prompt.source=messages), or prompt and answer in fields of their own.",
        ) from None


def turns_of(transcript: str, marked: MarkedText) -> tuple[tuple[Message, ...], str]:
    """Return the conversation and the answer of a transcript whose turns are known; without an answer, an empty one.

    Raises
    ------
    RowRejected
        When no turn is the user's.
    """
    turns = [Message(turn.role, transcript[turn.start : turn.end]) for turn in marked.turns]
    if not any(turn.role == "user" for turn in turns):
        raise RowRejected("read", "no_roles", "The transcript has special tokens but no user and assistant part.")
    start, end = marked.answer_span(transcript)
    return tuple(turns[: marked.answered]), transcript[start:end]


def has_role_line(messages: Sequence[Message], answer: str) -> bool:
    """Whether the user's text or the answer holds a line that could begin another part of the conversation."""
    texts = [message.content for message in messages if message.role == "user"]
    return any(ROLE_LINE.search(text) for text in [*texts, answer])


def unanswered(transcript: str) -> tuple[Message, ...] | None:
    """Return the messages of a transcript that ends with the user's part; None when it has no line ``user``."""
    user = next((line for line in ROLE_LINE.finditer(transcript) if line.group(1) == "user"), None)
    if user is None:
        return None
    return (*_system_part(transcript[: user.start()]), Message("user", _without_newline_ends(transcript[user.end() :])))


def _system_part(head: str) -> tuple[Message, ...]:
    """Return the system message in front of the user's, if there is one, with its role line or without."""
    system = ROLE_LINE.match(head.lstrip())
    if system and system.group(1) == "system":
        return (Message("system", _without_newline_ends(head.lstrip()[system.end() :])),)
    return (Message("system", _without_newline_ends(head)),) if head.strip() else ()


def _without_newline_ends(part: str) -> str:
    r"""Remove the one line end on either side that the chat template puts around a message."""
    part = part.removeprefix("\n")
    return part.removesuffix("\n").removesuffix("\r")
