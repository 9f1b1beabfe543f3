"""Texts and recorded ids as tokens: beginnings are added only where they lack, ends never, and offsets are exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.encoding.tokenized_text import Tokens, tokenize

_LONGEST_LETTER = 8
"""Tokens that one letter may be spread over before a sign that cannot be decoded is taken as it is."""


def prompt_tokens(tokenizer: Any, text: str, *, adds_beginning: bool) -> Tokens:
    """Return the tokens of a prompt.

    Parameters
    ----------
    tokenizer
        A fast tokenizer.
    text
        The prompt.
    adds_beginning
        Whether the tokenizer's own beginning belongs in front, where the text does not hold it already; a chat template
        writes it itself. What a tokenizer adds at the end is never added: the answer follows there.
    """
    tokens = tokenize(tokenizer, text)
    if not adds_beginning:
        return tokens
    beginning = _beginning(tokenizer)
    if not beginning or list(tokens.ids[: len(beginning)]) == beginning:
        return tokens
    zeros = [0] * len(beginning)
    return Tokens([*beginning, *tokens.ids], [*zeros, *tokens.char_starts], [*zeros, *tokens.char_ends])


def prompt_ids(tokenizer: Any, text: str, *, adds_beginning: bool) -> list[int]:
    """Return the ids of a prompt, as ``prompt_tokens`` does."""
    return list(prompt_tokens(tokenizer, text, adds_beginning=adds_beginning).ids)


def _beginning(tokenizer: Any) -> list[int]:
    """Return the tokens that a tokenizer puts in front of every text."""
    bare = list(tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"])
    whole = list(tokenizer("a", add_special_tokens=True, verbose=False)["input_ids"])
    place = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return whole[:place]


def recorded_tokens(tokenizer: Any, ids: Sequence[int]) -> tuple[str, Tokens]:
    """Return the text of recorded ids, and where the characters of each token stand in it.

    The ids may be cut otherwise than the tokenizer would cut the text, and a letter may be spread over several tokens:
    each of them has the whole letter.
    """
    starts: list[int] = []
    ends: list[int] = []
    text = ""
    first = read = firm = 0  # the window that is decoded, how far it was read, and whole letters behind that
    for index in range(len(ids)):
        before = _decoded(tokenizer, ids[first:read])
        now = _decoded(tokenizer, ids[first : index + 1])
        starts.append(len(text) + firm)
        is_cut = now.endswith("\ufffd") and index + 1 - read < _LONGEST_LETTER and index + 1 < len(ids)
        if is_cut:
            firm = max(len(now.rstrip("\ufffd")) - len(before), firm)
            ends.append(len(text) + firm + 1)
            continue
        text += now[len(before) :]
        ends.append(len(text))
        first, read, firm = read, index + 1, 0
    whole = _decoded(tokenizer, ids)
    if whole == text:
        return text, Tokens(list(ids), starts, ends)
    return whole, _aligned(ids, starts, ends, text, whole)


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _aligned(ids: Sequence[int], starts: list[int], ends: list[int], text: str, whole: str) -> Tokens:
    """Return tokens with offsets in the whole's text, where windows were decoded with other blanks than the whole."""
    places: list[int] = []
    cursor = 0
    for sign in text:
        found = whole.find(sign, cursor, cursor + _LONGEST_LETTER)
        places.append(cursor if found < 0 else found)
        cursor = cursor if found < 0 else found + 1
    places.append(len(whole))
    return Tokens(
        list(ids),
        [places[start] for start in starts],
        [places[end - 1] + 1 if end > start else places[start] for start, end in zip(starts, ends, strict=True)],
    )
