"""The token ids of a record beside its text: which of them are its prompt's and its answer's, and what both say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.config import FieldsSection
from engine.inputs.conversations.conversation import Conversation
from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.conversations.token_ids.compared import (
    decoded,
    more_than_record,
    refuse_other_answer,
    refuse_other_prompt,
    token_ids,
)
from engine.inputs.conversations.token_ids.joined import RecordedIds, told_apart

_IDS = re.compile(
    r"(?:^|_)(?:token_?ids|(?:input|output|prompt|response|completion|generated|answer)_(?:token_)?ids)$", re.IGNORECASE
)
"""Names that people give token ids."""


def recorded_ids(
    markup: ChatMarkup, fields: FieldsSection, values: Mapping[str, object], contents: Sequence[str], response: str
) -> RecordedIds:
    """Return the token ids of a record's prompt and answer, without padding and each once.

    Parameters
    ----------
    markup
        What is known of the tokenizer and its chat template.
    fields
        The names of the record's fields.
    values
        The record.
    contents, response
        The texts of the recorded prompt, and the recorded answer.
    """
    names = (fields.prompt_token_ids, fields.token_ids)
    prompt_ids, answer_ids = (token_ids(values.get(name), name) if name else None for name in names)
    if prompt_ids is None and answer_ids is None:
        return RecordedIds(None, None)
    name = str((names[1] if prompt_ids is None else names[0]) or "")
    return told_apart(markup, RecordedIds(prompt_ids, answer_ids), contents, response, name)


def with_ids(
    markup: ChatMarkup, fields: FieldsSection, read: Conversation, values: Mapping[str, object]
) -> Conversation:
    """Return a conversation with its recorded token ids, whose text takes the place of the recorded one.

    Raises
    ------
    RowRejected
        When they are no token ids, or those of another text.
    """
    if markup.decode is None:
        return read
    names = (fields.prompt_token_ids, fields.token_ids)
    contents = [message.content for message in read.messages if message.role in ("user", "system")]
    contents = [contents[-1]] if contents and read.source == "rendered" else contents
    recorded = recorded_ids(markup, fields, values, contents, read.response)
    prompt_ids, answer_ids = recorded.prompt, recorded.answer
    read = replace(read, flags=(*read.flags, *(flag for flag in recorded.flags if flag not in read.flags)))
    if prompt_ids is not None:
        read = _with_prompt_ids(markup, read, prompt_ids, contents, str(names[0] or names[1]))
    if answer_ids is not None:
        text = decoded(markup, answer_ids, str(names[1] or names[0]))
        if read.response.strip():
            refuse_other_answer(markup, text, read.response, str(names[1] or names[0]))
        read = replace(read, answer_ids=answer_ids, response=text, reasoning=None)
    if prompt_ids is not None and answer_ids is not None:
        return replace(read, source="token_ids")
    flags = ("partial_token_ids",) if prompt_ids is not None or answer_ids is not None else ()
    if _has_others(values, names):
        flags += ("token_ids_unnamed",)
    return replace(read, flags=(*read.flags, *flags)) if flags else read


def _has_others(values: Mapping[str, object], names: Sequence[str | None]) -> bool:
    """Whether a record has token ids in a field whose name is not the one that is asked for."""
    lists = (value for name, value in values.items() if name not in names and _IDS.search(name))
    return any(
        isinstance(value, list) and len(value) > 1 and all(type(number) is int for number in value) for value in lists
    )


def _with_prompt_ids(
    markup: ChatMarkup, read: Conversation, ids: tuple[int, ...], contents: Sequence[str], name: str
) -> Conversation:
    """Return a conversation with the ids of its prompt, and flags for what they lack or hold beside its text."""
    text = decoded(markup, ids, name)
    whole = read.prompt if read.prompt is not None else read.recorded_prompt
    if whole is None and markup.template is None:
        whole = "".join(message.content for message in read.messages)
    refuse_other_prompt(markup, text, contents, name, whole)
    flags = tuple(flag for flag in read.flags if flag != "no_generation_prompt")  # what the ids end with counts
    if markup.template is not None and not markup.awaits_answer(text):
        flags += ("no_generation_prompt",)
    if whole is None:
        flags += more_than_record(markup, text, read.messages, read.template_fields)
    return replace(read, prompt_ids=ids, prompt=text, recorded_prompt=None, flags=flags)
