"""Where the tokens of the labels part from each other: the decision, and the tokens that are contrasted there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.config import CONTRASTS, DecisionSection
from engine.encoded_samples import ContrastRule
from engine.encoding.tokenized_text import Tokenizer, Tokens, tokenize
from engine.inputs.answers.cued.truths import with_truths
from engine.inputs.answers.inflections import inflected
from engine.samples import RowRejected, Sample


class PartingToken(NamedTuple):
    """A label's first token that the recorded answer does not have, by its position in the answer."""

    label: str
    position: int
    token_id: int


class DecisionTokens(NamedTuple):
    """The position in the answer that the decision row predicts, and the labels' tokens.

    Attributes
    ----------
    position
        Of the distinguishing token.
    contrast
        Tokens of a fixed pair there; the recorded one twice where a rule chooses the pair.
    rule
        What the margin compares.
    labels
        Where each label parts from the said one, in config order.
    flags
        What is to be said of them.
    """

    position: int
    contrast: tuple[int, int]
    rule: ContrastRule
    labels: tuple[PartingToken, ...]
    flags: tuple[str, ...]


def decision_tokens(tokenizer: Tokenizer, decision: DecisionSection, sample: Sample, answer: Tokens) -> DecisionTokens:
    """Find where the labels' tokens first differ.

    Each label's word is put in the recorded word's place, in the same case, and the answer is tokenised again:
    the first position at which the recorded answer and such a variant differ holds the distinguishing tokens.
    Where the recorded label is a third one that parts from both of a fixed pair before they part from each other, both
    tokens are the same and the logit difference has no meaning: it is null in the tables.

    Recorded ids may cut the answer otherwise than the tokenizer does: the variants have them too, up to the word.

    Raises
    ------
    RowRejected
        When the labels' tokens are the same throughout.
    """
    if sample.is_free:
        position = next((p for p, end in enumerate(answer.char_ends) if end > sample.label_start), len(answer.ids) - 1)
        rule = ContrastRule("said_vs_runner_up", sample.answer_label)
        return DecisionTokens(position, (answer.ids[position], answer.ids[position]), rule, (), ())
    variants = _variants(tokenizer, with_truths(sample.labels or inflected(decision.labels)), sample, answer)
    said, parting = sample.answer_label, _parting_tokens(variants, answer.ids)
    rule = contrast_rule(decision, sample)
    if rule.name == "pair":
        position, contrast = _pair(variants, rule, said, answer.ids)
    else:
        if not parting:
            raise _indistinct(variants, sample)
        # Scored choices are decided between where the prompt ends, wherever two of them part.
        position = 0 if sample.is_ranked else min(token.position for token in parting)
        contrast = (answer.ids[position], answer.ids[position])
    own = PartingToken(said, position, answer.ids[position])
    order = {label: place for place, label in enumerate(variants)}
    labels = tuple(sorted((own, *parting), key=lambda token: order[token.label]))
    is_null = rule.name == "pair" and contrast[0] == contrast[1]
    flags = (*_flags(labels, own, len(variants)), *(("pair_parts_later",) if is_null else ()))
    return DecisionTokens(position, contrast, rule, labels, flags)


def contrast_rule(decision: DecisionSection, sample: Sample) -> ContrastRule:
    """Return what a sample's margin compares: the config's pair, where the row has those labels, or a rule."""
    labels, pair = sample.labels or decision.labels, decision.pair
    if pair is not None and set(pair) <= set(labels):
        return ContrastRule("pair", *pair)
    name = CONTRASTS[0] if pair is not None else str(decision.contrast)
    return ContrastRule(name, sample.answer_label, sample.actual_label or "")


def _variants(
    tokenizer: Tokenizer, labels: Mapping[str, Sequence[str]], sample: Sample, answer: Tokens
) -> dict[str, Sequence[int]]:
    """Return the answer's ids with each label in the recorded one's place."""
    recorded = sample.response[sample.label_start : sample.label_end]
    is_own_cut = sample.answer_ids is None or list(answer.ids) == list(tokenize(tokenizer, sample.response).ids)
    # What a choice says is written as the row has it, whatever the case of the others.
    is_as_written = sample.labels is not None and recorded in labels[sample.answer_label]
    variants: dict[str, Sequence[int]] = {}
    for label, spellings in labels.items():
        if label == sample.answer_label:
            variants[label] = answer.ids
            continue
        spelling = spellings[sample.label_spelling] if sample.label_spelling < len(spellings) else spellings[0]
        word = spelling if is_as_written else _same_case(spelling, recorded)
        text = sample.response[: sample.label_start] + word + sample.response[sample.label_end :]
        other = tokenize(tokenizer, text)
        variants[label] = other.ids if is_own_cut else _spliced(tokenizer, answer, other, text, sample.label_start)
    return variants


def _parting_tokens(variants: Mapping[str, Sequence[int]], answer_ids: Sequence[int]) -> list[PartingToken]:
    """Return where each variant parts from the answer, those that have a token there."""
    found: list[PartingToken] = []
    for label, variant in variants.items():
        position = _first_difference(answer_ids, variant)
        if position < min(len(answer_ids), len(variant)):
            found.append(PartingToken(label, position, variant[position]))
    return found


def _pair(
    variants: Mapping[str, Sequence[int]], rule: ContrastRule, said: str, answer_ids: Sequence[int]
) -> tuple[int, tuple[int, int]]:
    """Return where a fixed pair parts, and from the answer where it says a third label, and the tokens there.

    Raises
    ------
    RowRejected
        When it does not.
    """
    first, second = variants[rule.first], variants[rule.second]
    others = [variants[label] for label in (rule.first, rule.second) if label != said]
    position = min(_first_difference(first, second), *(_first_difference(answer_ids, other) for other in others))
    if position >= min(len(first), len(second), len(answer_ids)):
        raise RowRejected(
            "encode",
            "indistinct_labels",
            f"The tokens of {rule.first} and {rule.second} cannot be told apart in place of the recorded label.",
        )
    return position, (first[position], second[position])


def _indistinct(variants: Mapping[str, object], sample: Sample) -> RowRejected:
    recorded = sample.response[sample.label_start : sample.label_end]
    return RowRejected(
        "encode",
        "indistinct_labels",
        f"The tokens of {', '.join(variants)} cannot be told apart in place of {recorded!r}.",
    )


def _flags(labels: Sequence[PartingToken], own: PartingToken, num_labels: int) -> tuple[str, ...]:
    """Return flags for labels that share tokens: with the said one, with each other, or throughout."""
    others = [token for token in labels if token.label != own.label]
    shares = any(token.position > own.position for token in others)
    shares = shares or len({(token.position, token.token_id) for token in others}) < len(others)
    is_short = len(labels) < num_labels
    return (*(("labels_share_token",) if shares else ()), *(("label_not_parted",) if is_short else ()))


def _spliced(tokenizer: Tokenizer, answer: Tokens, other: Tokens, text: str, label_start: int) -> list[int]:
    """Return recorded ids up to the label's word, and behind them what the tokenizer makes of a text with another."""
    place = next((index for index, end in enumerate(answer.char_ends) if end > label_start), len(answer.ids))
    begin = answer.char_starts[place] if place < len(answer.ids) else label_start
    rest = next((index for index, start in enumerate(other.char_starts) if start >= begin), len(other.ids))
    is_edge = rest < len(other.ids) and other.char_starts[rest] == begin
    tail = other.ids[rest:] if is_edge else tokenize(tokenizer, text[begin:]).ids
    return [*answer.ids[:place], *tail]


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
