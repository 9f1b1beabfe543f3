"""Prompts that were recorded as they were rendered, and answers that were recorded with them in front."""

from __future__ import annotations

from dataclasses import replace

from engine.inputs.conversations.conversation import Conversation
from engine.inputs.conversations.escapes import read_back
from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.conversations.plain_layouts import has_plain_layout
from engine.inputs.conversations.turn_marks import marked_text
from engine.samples import Message, RowRejected

_ECHO = 20
"""Characters of a prompt that an answer must repeat for the prompt to be recorded in it."""


def verbatim(markup: ChatMarkup, read: Conversation) -> Conversation:
    """Return a conversation whose only user's text is a rendered prompt with that prompt, word for word.

    Raises
    ------
    RowRejected
        When the text is the later part of a rendered prompt.
    """
    others = [message for message in read.messages if message.role != "user"]
    users = [message for message in read.messages if message.role == "user"]
    if len(users) != 1 or any(message.role != "system" for message in others):
        return flagged(markup, read)
    text = users[0].content
    if _is_rendered_and_escaped(markup, text):
        raise RowRejected(
            "read",
            "partly_rendered",
            f"The prompt is a rendered one that was written for HTML or as a string of JSON and not read "
            f"back ({text.strip()[:40]!r}): its marks and line ends would be plain text to the tokenizer. Write it as "
            f"it was (html.unescape, json.loads).",
        )
    if markup.begins_with_own_token(text):
        text, blank_flags = _with_last_blanks(markup, text, read.response)
        marked = markup.turns(text)
        has_turns = marked is not None and markup.owns(marked.mark)
        flags = read.flags + blank_flags
        if others and others[0].content.strip() not in text:
            flags += ("system_left_out",)
        if markup.template is not None and not markup.ends_with_generation_prompt(text):
            flags += ("no_generation_prompt",)
        if markup.template is not None and markup.lacks_turn_ends(text):
            flags += ("turn_ends_lack",)
        messages = _messages_of(text, markup) if has_turns else (Message("user", text),)
        return replace(read, messages=messages, prompt=text, source="rendered", flags=flags)
    if not others and markup.is_rendered_in_words(text):
        text, blank_flags = _with_last_blanks(markup, text, read.response)
        return replace(read, prompt=text, source="rendered", flags=read.flags + blank_flags)
    if markup.template is None:
        single = len(read.messages) == 1
        return replace(read, source="rendered") if single else read
    generation_prompt = markup.generation_prompt.strip()
    if markup.own_marks_inside(generation_prompt) and text.rstrip().endswith(generation_prompt):
        raise RowRejected(
            "read",
            "partly_rendered",
            f"The prompt ends with the chat template's {generation_prompt[-40:]!r} and does not begin with it: a "
            f"rendered prompt that lost its beginning cannot be replayed. Give the whole rendered prompt, or the "
            f"user's text alone.",
        )
    return flagged(markup, read)


def _is_rendered_and_escaped(markup: ChatMarkup, text: str) -> bool:
    """Whether a text begins, or ends, as a rendered prompt only once it is read back."""
    asked = markup.generation_prompt.strip()
    for plain in read_back(text):
        if not markup.begins_with_own_token(plain):
            continue
        is_ended = bool(asked) and plain.rstrip().endswith(asked) and not text.rstrip().endswith(asked)
        if is_ended or not markup.begins_with_own_token(text):
            return True
    return False


def rendered(markup: ChatMarkup, read: Conversation) -> Conversation:
    """Return a conversation whose only user's text is the prompt as the model was given it, whatever it looks like."""
    text = read.messages[-1].content
    if markup.begins_with_own_token(text):
        return verbatim(markup, read)
    return replace(read, prompt=text, source="rendered")


def _with_last_blanks(markup: ChatMarkup, text: str, response: str) -> tuple[str, tuple[str, ...]]:
    """Return a rendered prompt with the blanks that the template ends with, where neither it nor the answer has them.

    A model that was given the prompt without them would have written them itself.
    """
    asked = markup.generation_prompt
    blanks = asked[len(asked.rstrip()) :]
    is_cut = bool(blanks) and bool(asked.strip()) and text.endswith(asked.rstrip()) and response[:1].strip() != ""
    return (text + blanks, ("prompt_end_restored",)) if is_cut else (text, ())


def _messages_of(text: str, markup: ChatMarkup) -> tuple[Message, ...]:
    """Return the messages of a rendered prompt, in which statements and segments are looked for."""
    marked = markup.turns(text)
    assert marked is not None
    turns = [Message(turn.role, text[turn.start : turn.end]) for turn in marked.turns]
    return tuple(turn for turn in turns if turn.content.strip()) or (Message("user", text),)


def without_echo(markup: ChatMarkup, read: Conversation) -> Conversation:
    """Return a conversation whose answer does not begin with the prompt, or with the mark of the answer's turn."""
    response, users = read.response, [m.content for m in read.messages if m.role == "user"]
    marked = markup.turns(response) if response.strip() else None
    if marked is not None and markup.owns(marked.mark) and not marked.is_followed:
        start, end = marked.answer_span(response)
        is_channel = marked.mark.startswith("<|start|>") and len(marked.turns) == marked.answered
        if start < end and not is_channel and "no_generation_prompt" in read.flags and marked.answered == 0:
            flags = tuple(flag for flag in read.flags if flag != "no_generation_prompt")
            return replace(read, prompt=f"{read.prompt}{response[:start]}", response=response[start:end], flags=flags)
        if start < end and not is_channel:
            return replace(read, response=response[start:end], flags=(*read.flags, "prompt_in_answer"))
    for text in (read.prompt, users[-1] if users else None):
        if text and len(text.strip()) >= _ECHO and response.strip().startswith(text.strip()):
            rest = response.strip()[len(text.strip()) :]
            return replace(read, response=rest, flags=(*read.flags, "prompt_in_answer"))
    return read


def flagged(markup: ChatMarkup, read: Conversation) -> Conversation:
    """Return a conversation with a flag where a message holds marks of a chat template, or a layout of its own."""
    said = [message.content for message in read.messages if message.role != "assistant"]
    if any(markup.own_marks_inside(text) for text in said):
        return replace(read, flags=(*read.flags, "chat_markup_inside"))
    if read.prompt is None and markup.template is not None and markup.is_stripped(read.messages[-1].content):
        return replace(read, flags=(*read.flags, "tokens_stripped"))
    if read.prompt is None and any(marked_text(text) is not None for text in said):
        return replace(read, flags=(*read.flags, "foreign_chat_markup"))
    if read.prompt is None and markup.template is not None and has_plain_layout(read.messages[-1].content):
        return replace(read, flags=(*read.flags, "plain_layout_inside"))
    return read
