"""Encoded samples as the plan's driver holds them: what is counted of each, and its content for the unit's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from engine.encoded_samples import SEGMENTS, EncodedSample, IntArray

_THINKING = SEGMENTS.index("thinking")


@dataclass(frozen=True, slots=True)
class PlannedSample:
    """An encoded sample that goes into a unit.

    Attributes
    ----------
    sample_id, num_tokens
        Its id, and the tokens of prompt and answer.
    largest_id
        The largest of its token ids.
    label_source, predicted_label, actual_label, is_correct
        As its metadata hold them.
    is_free
        Whether its answer is no label of a list.
    sequence_source
        How its sequence comes about.
    has_thought
        Whether a part of it is a thought.
    flags
        What is to be said of it.
    num_spans, span_kinds
        Line items and periods of its statement, and which kinds there are.
    empty_key_groups
        Key groups of which it has no token.
    num_answer_pairs
        Pairs of an answer's row, thoughts left out, and a key that it may see; 0 without an answer.
    num_written_pairs
        The same of every row that predicts what the model wrote, thoughts included.
    num_sentences
        Of the ``prompt`` and of the ``thinking``.
    input_ids
        Token ids, ``[T]``.
    content
        The sample itself, or its bytes where another process encoded it: the driver only passes them on.
    """

    sample_id: str
    num_tokens: int
    largest_id: int
    label_source: object
    predicted_label: object
    actual_label: object
    is_correct: object
    is_free: bool
    sequence_source: str
    has_thought: bool
    flags: tuple[str, ...]
    num_spans: int
    span_kinds: frozenset[str]
    empty_key_groups: tuple[str, ...]
    num_answer_pairs: int
    num_written_pairs: int
    num_sentences: Mapping[str, int]
    input_ids: IntArray = field(compare=False)
    content: EncodedSample | bytes

    @classmethod
    def of(cls, sample: EncodedSample, content: bytes | None = None) -> PlannedSample:
        """Return what a plan counts of a sample, with the sample itself where no bytes stand for it."""
        flags = sample.metadata.get("flags")
        return cls(
            sample_id=sample.sample_id,
            num_tokens=sample.num_tokens,
            largest_id=int(sample.input_ids.max()),
            label_source=sample.metadata["label_source"],
            predicted_label=sample.metadata["predicted_label"],
            actual_label=sample.metadata["actual_label"],
            is_correct=sample.metadata["is_correct"],
            is_free=not sample.label_tokens,
            sequence_source=sample.sequence_source,
            has_thought=bool((sample.segments == _THINKING).any()),
            flags=tuple(map(str, flags)) if isinstance(flags, list) else (),
            num_spans=len(sample.spans),
            span_kinds=frozenset(span.kind for span in sample.spans),
            empty_key_groups=tuple(name for name, positions in sample.key_groups.items() if not len(positions)),
            num_answer_pairs=int((sample.answer_rows + 1).sum()),
            num_written_pairs=_written_pairs(max(sample.num_prompt_tokens, 1), sample.num_tokens),
            num_sentences={part: _num_sentences(sample, part) for part in ("prompt", "thinking")},
            input_ids=sample.input_ids,
            content=sample if content is None else content,
        )


def _written_pairs(num_prompt_tokens: int, num_tokens: int) -> int:
    """Return the pairs of the rows from the prompt's last to the last but one, each with the keys up to it."""
    return (num_tokens * (num_tokens - 1) - num_prompt_tokens * (num_prompt_tokens - 1)) // 2


def _num_sentences(sample: EncodedSample, part: str) -> int:
    numbers = sample.sentences_of(part)
    return len(np.unique(numbers[numbers >= 0]))
