"""Recorded token ids: read from a record, and compared with the text that they should stand for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.conversations.messages import parsed
from engine.inputs.conversations.thoughts.marked import thoughts_of
from engine.samples import Message, RowRejected

_LIST = r"\s*\d+(?:[\s,;]+\d+)*[\s,;]*"
_NUMBERS = re.compile(rf"{_LIST}|\s*\[{_LIST}\]\s*", re.ASCII)
"""Ids between blanks or commas."""
_STOP = 12
"""Characters that a server may have cut off the end of a text at a stop string, and not off the ids."""


def token_ids(value: object, name: str) -> tuple[int, ...] | None:
    """Return a record's list of token ids; None where it has none.

    Raises
    ------
    RowRejected
        When it is something else than one list of whole numbers from 0 on.
    """
    if value is None or value == "" or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, str):
        value = _of_text(value, name)
    items = list(value) if isinstance(value, list | tuple) else None
    if items is not None and len(items) == 1 and isinstance(items[0], list | tuple):
        items = list(items[0])  # one answer of a list of answers
    if items is None or not all(_is_id(item) for item in items):
        raise RowRejected(
            "read", "unreadable_token_ids", f"{name!r} must be a list of token ids (whole numbers), not {value!r:.80}."
        )
    return tuple(int(item) for item in items) or None


def _of_text(text: str, name: str) -> object:
    """Return ids that a text holds: a list in JSON or in Python's notation, as numpy prints it, or numbers alone."""
    if _NUMBERS.fullmatch(text):
        return [int(number) for number in re.findall(r"\d+", text)]
    try:
        return parsed(text, name)
    except RowRejected:
        return text


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"[0-9]{1,10}", value) is not None and int(value) < 2**31
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and 0 <= int(str(value).partition(".")[0]) < 2**31


def decoded(markup: ChatMarkup, ids: Sequence[int], name: str) -> str:
    """Return the text of token ids, special tokens included.

    Raises
    ------
    RowRejected
        When the tokenizer has no such token.
    """
    assert markup.decode is not None
    try:
        return markup.decode(ids)
    except (TypeError, ValueError, OverflowError, IndexError, KeyError):
        raise RowRejected(
            "read", "token_ids_mismatch", f"{name!r} holds an id that this tokenizer has no token for."
        ) from None


def refuse_other_prompt(
    markup: ChatMarkup, text: str, contents: Sequence[str], name: str, whole: str | None = None
) -> None:
    """Turn a row away whose prompt's ids are of another text than its prompt.

    Parameters
    ----------
    markup
        What is known of the tokenizer and its chat template.
    text
        What the ids say.
    contents
        The recorded messages, each of which the ids must hold.
    name
        The field of the ids, for messages to people.
    whole
        What the record, or a config without a chat template, says is all of the prompt; None where a template puts
        text around the messages. Behind it the ids may hold what the template writes before an answer.

    Raises
    ------
    RowRejected
        Naming a message that the decoded prompt lacks, or what it holds beside the whole.
    """
    said = bare(markup, text)
    for content in contents:
        if bare(markup, content) not in said:
            raise RowRejected(
                "read",
                "token_ids_mismatch",
                f"The text of {name!r} ({_shown(text)}) does not hold the recorded prompt ({_shown(content)}): the ids "
                f"are of another row, or of another tokenizer. predictions.fields.prompt_token_ids: null leaves them "
                f"out.",
            )
    if whole is not None and said not in {bare(markup, whole + end) for end in ("", markup.generation_prompt)}:
        raise RowRejected(
            "read",
            "token_ids_mismatch",
            f"The text of {name!r} ({_shown(text)}) is more than the recorded prompt ({_shown(whole)}), which is "
            f"recorded as the whole of it: one of them is not what the model saw. "
            f"predictions.fields.prompt_token_ids: null leaves the ids out; where they are right, leave the prompt "
            f"out, or set prompt.chat_template to the template that makes it of the record's messages.",
        )


def more_than_record(
    markup: ChatMarkup, text: str, messages: Sequence[Message], fields: Mapping[str, object]
) -> tuple[str, ...]:
    """Return a flag where a prompt's ids say more than the messages and what the chat template puts around them.

    Another one where the template refuses the messages, so that it cannot be told.
    """
    if markup.is_rendering is None or bare(markup, text) == bare(markup, "".join(turn.content for turn in messages)):
        return ()
    is_rendering = markup.is_rendering(text, messages, fields)
    if is_rendering is None:
        return ("token_ids_not_compared",)
    return () if is_rendering else ("more_in_token_ids",)


def refuse_other_answer(markup: ChatMarkup, text: str, recorded: str, name: str) -> None:
    """Turn a row away whose answer's ids are of another text than its answer.

    Special tokens, blanks, composed letters, a letter that was cut in half, the thought in front of the answer and a
    stop string behind it may differ.

    Raises
    ------
    RowRejected
        With both texts.
    """
    wanted = bare(markup, recorded).rstrip("\ufffd")
    behind = thoughts_of(text)
    forms = [bare(markup, form) for form in (text, text[behind.start : behind.end], text[behind.start :])]
    closing = thoughts_of(text, is_open=True)
    forms.append(bare(markup, text[closing.start : closing.end]))
    for form in (form.rstrip("\ufffd") for form in forms):
        if form.startswith(wanted) and len(form) - len(wanted) <= _STOP and (wanted or not form):
            return
    raise RowRejected(
        "read",
        "token_ids_mismatch",
        f"The text of {name!r} ({_shown(text)}) is not the recorded answer ({_shown(recorded)}): the ids are of "
        f"another row, or of another tokenizer. predictions.fields.token_ids: null leaves them out.",
    )


def bare(markup: ChatMarkup, text: str) -> str:
    """Return a text without what decoding may lose."""
    return "".join(unicodedata.normalize("NFKC", markup.special.sub(" ", text)).split())


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
