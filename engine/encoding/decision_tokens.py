"""Where the tokens of the two labels part from each other: the decision, and the tokens that are contrasted there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.config import DecisionSection
from engine.encoding.tokenized_text import Tokenizer, Tokens, tokenize
from engine.samples import RowRejected, Sample


class DecisionTokens(NamedTuple):
    """The position in the answer that the decision row predicts, and the labels' tokens there."""

    position: int
    contrast: tuple[int, int]


def decision_tokens(tokenizer: Tokenizer, decision: DecisionSection, sample: Sample, answer: Tokens) -> DecisionTokens:
    """Find where the labels' tokens first differ.

    Each label's word is put in the recorded word's place, in the same case, and the answer is tokenised again:
    the first position at which the recorded answer and these variants differ holds the distinguishing tokens.
    Where the recorded label is a third one that parts from both before they part from each other, both tokens are
    the same and the logit difference has no meaning: it is null in the tables.

    Recorded ids may cut the answer otherwise than the tokenizer does: the variants have them too, up to the word.

    Raises
    ------
    RowRejected
        When the labels' tokens are the same throughout.
    """
    recorded, answer_ids = sample.response[sample.label_start : sample.label_end], answer.ids
    is_own_cut = sample.answer_ids is None or list(answer_ids) == list(tokenize(tokenizer, sample.response).ids)
    variants: list[Sequence[int]] = []
    others: list[Sequence[int]] = []
    for label in decision.contrast:
        if label == sample.answer_label:
            variants.append(answer_ids)
            continue
        word = _same_case(_spelling(decision, label, sample.label_spelling), recorded)
        text = sample.response[: sample.label_start] + word + sample.response[sample.label_end :]
        other = tokenize(tokenizer, text)
        variants.append(other.ids if is_own_cut else _spliced(tokenizer, answer, other, text, sample.label_start))
        others.append(variants[-1])
    first, second = variants
    position = min(_first_difference(first, second), *(_first_difference(answer_ids, other) for other in others))
    if position >= min(len(first), len(second), len(answer_ids)):
        raise RowRejected(
            "encode",
            "indistinct_labels",
            f"The tokens of {' and '.join(decision.contrast)} cannot be told apart in place of {recorded!r}.",
        )
    return DecisionTokens(position, (first[position], second[position]))


def _spliced(tokenizer: Tokenizer, answer: Tokens, other: Tokens, text: str, label_start: int) -> list[int]:
    """Return recorded ids up to the label's word, and behind them what the tokenizer makes of a text with another."""
    place = next((index for index, end in enumerate(answer.char_ends) if end > label_start), len(answer.ids))
    begin = answer.char_starts[place] if place < len(answer.ids) else label_start
    rest = next((index for index, start in enumerate(other.char_starts) if start >= begin), len(other.ids))
    is_edge = rest < len(other.ids) and other.char_starts[rest] == begin
    tail = other.ids[rest:] if is_edge else tokenize(tokenizer, text[begin:]).ids
    return [*answer.ids[:place], *tail]


def _spelling(decision: DecisionSection, label: str, index: int) -> str:
    """Return the spelling that corresponds to the recorded one, or the first when there is none."""
    spellings = decision.labels[label]
    return spellings[index] if index < len(spellings) else spellings[0]


def _first_difference(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the first index at which two lists differ; the shorter length when they do not."""
    for index, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return index
    return min(len(first), len(second))


def _same_case(word: str, like: str) -> str:
    """Return the word in the case style (upper, lower, title, capitalised) of another."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    if like.islower():
        return word.lower()
    if like.istitle() and " " in like:
        return word.title()
    if like[:1].isupper():
        return word[:1].upper() + word[1:]
    return word
