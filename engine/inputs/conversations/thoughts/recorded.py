"""The thoughts of a recorded answer, given what its prompt opened; without an answer behind them there is no sample."""

from __future__ import annotations

import re

from engine.inputs.conversations.conversation import Conversation
from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.conversations.thoughts.marked import (
    Thoughts,
    has_open_mark,
    opens_thought,
    thoughts_of,
    without_open_mark,
)
from engine.samples import RowRejected

_EMPTY = re.compile(r"<([\w:]+)>\s*</\1>\s*\Z")
"""What a prompt ends with that asks for no thought."""


def thoughts_in(conversation: Conversation, response: str, markup: ChatMarkup) -> tuple[str, Thoughts, tuple[str, ...]]:
    """Return what the model wrote, where it thinks and answers in it, and flags.

    Parameters
    ----------
    conversation
        What the record holds.
    response
        The recorded or generated answer.
    markup
        What is known of the chat template, whose prompt may open a thought.

    Raises
    ------
    RowRejected
        When a thought is never closed, or nothing stands behind it.
    """
    prompt = conversation.prompt if conversation.prompt is not None else markup.generation_prompt
    is_open = opens_thought(prompt) and conversation.reasoning is None
    flags: tuple[str, ...] = ()
    was_marked = is_open and has_open_mark(response)
    if was_marked and conversation.answer_ids is None:
        response, flags = without_open_mark(response), ("thought_opened_by_prompt",)  # recorded with the mark again
    closed = _EMPTY.search(prompt)
    again = closed and re.match(rf"\s*<{closed[1]}>\s*</{closed[1]}>\s*", response)
    if again and conversation.answer_ids is None and conversation.reasoning is None:
        response, flags = response[again.end() :], ("thought_opened_by_prompt",)
    thoughts = thoughts_of(response, is_open=is_open)
    shown = response.strip()
    if thoughts.problem == "unclosed_thought":
        detail = f"The answer is a thought that is never closed ({shown[:60]!r}…): it was cut off."
        if is_open and not was_marked:
            detail = (
                f"The prompt opens a thought ({prompt.strip()[-20:]!r}), and the answer never closes it "
                f"({shown[:60]!r}…): it was cut off, or its thought was not recorded. Name the thought's field in "
                f"predictions.fields.reasoning, or render prompts without one, such as by prompt.template_kwargs: "
                f"{{enable_thinking: false}}."
            )
        raise RowRejected("label", "unclosed_thought", detail)
    if thoughts.problem:
        raise RowRejected("label", thoughts.problem, f"Nothing stands behind the thought: {shown[-60:]!r}.")
    return response, thoughts, flags
