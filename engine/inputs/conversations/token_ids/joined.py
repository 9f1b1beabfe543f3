"""Recorded token ids that hold more than their field says: padding, the answer behind its prompt, a prompt in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.conversations.token_ids.compared import bare, decoded
from engine.samples import RowRejected

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RecordedIds:
    """The token ids of a prompt and of its answer, each None where the record has none, and flags."""

    prompt: Ids | None
    answer: Ids | None
    flags: tuple[str, ...] = ()


def told_apart(
    markup: ChatMarkup, recorded: RecordedIds, contents: Sequence[str], response: str, name: str
) -> RecordedIds:
    """Return recorded ids without padding, prompt and answer once each.

    Parameters
    ----------
    markup
        What is known of the tokenizer and its chat template.
    recorded
        The ids as the record holds them.
    contents
        The texts of the recorded prompt.
    response
        The recorded answer, empty where there is none.
    name
        The field of the answer's ids, for messages to people.

    Raises
    ------
    RowRejected
        When a prompt and its answer share a token, so that they cannot be told apart.
    """
    prompt, answer = _without_padding(markup, recorded.prompt), _without_padding(markup, recorded.answer)
    flags = ("padding_left_out",) if (prompt, answer) != (recorded.prompt, recorded.answer) else ()
    told = RecordedIds(None if prompt == answer else prompt, answer, flags)  # both may hold the whole
    return _answer_alone(markup, _prompt_alone(markup, told, contents, response, name), contents, response, name)


def _without_padding(markup: ChatMarkup, ids: Ids | None) -> Ids | None:
    """Return ids without the tokens that fill a batch on either side; one that begins or ends the text stays."""
    if not ids:
        return ids
    first, last = 0, len(ids)
    if ids[0] in markup.padding or ids[0] in markup.ends:
        while first < last and ids[first] == ids[0]:
            first += 1
        is_beginning = ids[0] == markup.adds_first or (first == 1 and ids[0] in markup.begins)
        first -= is_beginning
    if ids[-1] in markup.padding or ids[-1] in markup.ends:
        while last > first and ids[last - 1] == ids[-1]:
            last -= 1
        last += last < len(ids) and ids[-1] in markup.ends
    return ids[first:last] or None


def _prompt_alone(
    markup: ChatMarkup, told: RecordedIds, contents: Sequence[str], response: str, name: str
) -> RecordedIds:
    """Return ids whose prompt does not end with the answer."""
    if told.prompt is None or not (told.answer or response.strip()):
        return told
    number = _tokens_before_answer(markup, told.prompt, contents, name)
    if number is None or number == len(told.prompt):
        return told
    said = bare(markup, decoded(markup, told.prompt[number:], name))
    wanted = bare(markup, decoded(markup, told.answer, name)) if told.answer else bare(markup, response)
    if not wanted or said != wanted:
        return told  # the beginning of an answer, or another one's end
    answer = told.answer or told.prompt[number:]
    return RecordedIds(told.prompt[:number], answer, (*told.flags, "answer_in_prompt"))


def _answer_alone(
    markup: ChatMarkup, told: RecordedIds, contents: Sequence[str], response: str, name: str
) -> RecordedIds:
    """Return ids whose answer does not begin with the prompt."""
    if told.answer is None:
        return told
    flags = (*told.flags, "prompt_in_answer")
    if told.prompt is not None:
        size = len(told.prompt)
        if size < len(told.answer) and told.answer[:size] == told.prompt:
            return replace(told, answer=told.answer[size:], flags=flags)
        return told
    wanted = bare(markup, response)
    if wanted and bare(markup, decoded(markup, told.answer, name)) == wanted:
        return told
    number = _tokens_before_answer(markup, told.answer, contents, name)
    if not number or number == len(told.answer):
        return told
    return RecordedIds(told.answer[:number], told.answer[number:], flags)


def _tokens_before_answer(markup: ChatMarkup, ids: Ids, contents: Sequence[str], name: str) -> int | None:
    """Return how many tokens of a whole conversation lie before its last answer; None where it has none.

    Raises
    ------
    RowRejected
        When the answer begins inside a token.
    """
    text = decoded(markup, ids, name)
    marked = markup.turns(text) if markup.template is not None else None
    if marked is not None and markup.owns(marked.mark):
        if marked.answered in (0, len(marked.turns)):
            return None
        cut = marked.answer_span(text)[0]
        asked = markup.generation_prompt
        at = text.rfind(asked) if asked else -1
        cut = at + len(asked) if at + len(asked) >= cut else cut  # the template opens a thought behind the mark
        before = text[:cut]
    elif contents and (wanted := bare(markup, contents[-1])) and bare(markup, text).startswith(wanted):
        before = contents[-1]
    else:
        return None
    size = len(bare(markup, before))
    first, last = 0, len(ids)
    while first < last:
        middle = (first + last) // 2
        if len(bare(markup, decoded(markup, ids[:middle], name))) < size:
            first = middle + 1
        else:
            last = middle
    return _whole_tokens(markup, ids, first, before, is_marked=marked is not None)


def _whole_tokens(markup: ChatMarkup, ids: Ids, number: int, before: str, *, is_marked: bool) -> int:
    """Return the number of tokens that hold a text and the special tokens and blanks behind it.

    Raises
    ------
    RowRejected
        When the text ends inside a token.
    """
    assert markup.decode is not None
    while is_marked and number < len(ids) and len(markup.decode(ids[:number])) < len(before):
        number += 1
    if bare(markup, markup.decode(ids[:number])) != bare(markup, before):
        raise RowRejected(
            "read",
            "token_ids_mismatch",
            "The recorded token ids hold prompt and answer in one, and a token lies across the place where the answer "
            "begins. Record them apart, or leave them out: predictions.fields.prompt_token_ids: null and "
            "predictions.fields.token_ids: null.",
        )
    return number
