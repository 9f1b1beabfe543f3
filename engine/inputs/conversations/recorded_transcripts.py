"""One transcript → its conversation: turns by their marks, by the words around them, or by roles in plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.inputs.conversations.conversation import Conversation
from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.conversations.plain_layouts import plain_transcript
from engine.inputs.conversations.rendered_prompts import flagged
from engine.inputs.conversations.turn_marks import MarkedText
from engine.inputs.transcripts import TranscriptReader, is_certain, turns_of
from engine.samples import Message, RowRejected

_SOMETHING = re.compile(r"\S")


def of_transcript(transcript: str, transcripts: TranscriptReader, *, is_generating: bool) -> Conversation:
    """Return the conversation that a transcript holds.

    Parameters
    ----------
    transcript
        Prompt and answer in one text, which is not blank.
    transcripts
        Splits it; knows the tokenizer's chat markup.
    is_generating
        Whether an answer that was not recorded will be made.

    Raises
    ------
    RowRejected
        When where the answer begins cannot be told, or none was recorded.
    """
    markup = transcripts.markup
    if "\r\n" in transcript and "\n" not in transcript.replace("\r\n", ""):
        transcript = transcript.replace("\r\n", "\n")  # a file's line ends, not the model's
    marked = markup.turns(transcript)
    # Replayed word for word, own marks may be interrupted: only where the answer begins and ends must be certain.
    is_own = marked is not None and markup.owns(marked.mark) and not marked.is_followed
    is_own = is_own or (marked is not None and markup.begins_turn_behind(transcript, marked))
    if marked is not None and (is_own or is_certain(marked)):
        messages, response = turns_of(transcript, marked)
        flags = ("chat_markup_inside",) if marked.is_interrupted else ()
        asked = markup.generation_prompt.strip()
        if is_own:
            _refuse_unread_turn(transcript, marked, markup, is_generating=is_generating)
        if asked and is_own and transcript.rstrip().endswith(asked):  # the prompt may open a thought
            return Conversation(messages, "", None, transcript, "transcript", flags=flags)
        prompt = transcript[: marked.answer_span(transcript)[0]]
        if is_own and marked.answered < len(marked.turns):
            prompt, response = _opened(markup, prompt, response)
            return Conversation(messages, response, None, prompt, "transcript", flags=flags)
        return Conversation(messages, response, prompt if response else None, flags=flags)
    try:
        messages, response, dates = transcripts.split_dated(transcript)
    except RowRejected:
        read = _plain_transcript(transcript, markup)
        if read is None:
            raise
        return read
    messages, response = _with_history(markup, messages, response)
    recorded = transcript[: transcript.rfind(response)] if response else None
    if recorded is not None and markup.begins_with_own_token(recorded):
        flags = () if marked is None else ("chat_markup_inside",)
        return Conversation(messages, response, None, recorded, "transcript", flags=flags)
    is_untold = markup.has_bare_system and all(message.role == "user" for message in messages)
    flags = ("system_untold",) if is_untold else ()
    return flagged(markup, Conversation(messages, response, recorded, dates=dates, flags=flags))


def _opened(markup: ChatMarkup, prompt: str, response: str) -> tuple[str, str]:
    """Return prompt and answer of a transcript parted where the template's own prompt ends (DeepSeek: ``<think>``)."""
    asked = markup.generation_prompt
    for place in range(1, len(asked)):
        rest = asked[place:]
        if (
            rest.strip()
            and prompt.endswith(asked[:place])
            and response.startswith(rest)
            and response[len(rest) :].strip()
        ):
            return prompt + rest, response[len(rest) :]
    return prompt, response


def _with_history(markup: ChatMarkup, messages: Sequence[Message], response: str) -> tuple[tuple[Message, ...], str]:
    """Return a conversation of which all answers but the last one are its history.

    Turns are told by what the template writes between an answer and the user's next text, where a special token is a
    part of it: without one, somebody's text may say the same.
    """
    found, start = list(messages), 0
    between, asked = markup.between, markup.generation_prompt
    while asked.strip() and markup.special.search(between):
        followed = response.find(between, start)
        user = followed + len(between)
        ended = response.find(asked, user) if followed >= 0 else -1
        if ended < 0 or not _SOMETHING.search(response, ended + len(asked)):
            break
        found += [Message("assistant", response[start:followed].strip()), Message("user", response[user:ended])]
        start = ended + len(asked)
    return tuple(found), response[start:]


def _refuse_unread_turn(transcript: str, marked: MarkedText, markup: ChatMarkup, *, is_generating: bool) -> None:
    """Turn a transcript away whose answer stands behind half a mark, or whose thought nothing follows.

    Raises
    ------
    RowRejected
        Saying which.
    """
    rest = transcript[marked.turns[-1].end :]
    said = " ".join(markup.special.sub(" ", rest).split())
    asked = markup.generation_prompt.strip()
    if said and not rest.rstrip().endswith(asked or "assistant") and marked.answered == len(marked.turns):
        raise RowRejected(
            "read",
            "unread_turn",
            f"Behind the last turn of the transcript stands {rest.strip()[:60]!r}, whose mark is not complete "
            f"(such as <|start|>assistant without <|message|>): where the answer begins in it cannot be told.",
        )
    is_asked = bool(asked) and rest.rstrip().endswith(asked)
    if is_asked and marked.answered < len(marked.turns) and not is_generating:
        raise RowRejected(
            "read",
            "thought_without_answer",
            f"The transcript ends with {asked[-30:]!r} behind a message of the assistant's: the answer itself was "
            f"not recorded. generation.enabled would make one.",
        )


def _plain_transcript(transcript: str, markup: ChatMarkup) -> Conversation | None:
    """Return the conversation of a transcript whose roles stand in plain text, to be replayed word for word."""
    parts = plain_transcript(transcript)
    if parts is None:
        return None
    system = (Message("system", parts.head.strip()),) if parts.head.strip() else ()
    prompt, response = transcript[: parts.answer_start], transcript[parts.answer_start :]
    flags = ("plain_roles",) if markup.template is not None else ()
    return Conversation(
        (*system, Message("user", parts.asked.strip())), response, None, prompt, "transcript", flags=flags
    )
