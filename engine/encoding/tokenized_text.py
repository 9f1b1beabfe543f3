"""A text as tokens: what key groups, query groups and the encoded sample are made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from engine.encoded_samples import SEGMENTS, IntArray, StatementSpan
from engine.encoding.sentences import sentence_numbers
from engine.encoding.structure import CharSpans, Structure, positions_in_spans, segment_codes, statement_spans
from engine.schema import EVIDENCE

NUM_BEGINNING_TOKENS = 10
"""Length of the built-in key group ``beginning``."""


class Tokens(NamedTuple):
    """Token ids of a text, and where each token's characters begin and end in it."""

    ids: Sequence[int]
    char_starts: Sequence[int]
    char_ends: Sequence[int]

    def followed_by(self, other: Tokens, num_chars: int) -> Tokens:
        """Return these tokens and those of a text that follows the ``num_chars`` characters of this one."""
        return Tokens(
            [*self.ids, *other.ids],
            [*self.char_starts, *(start + num_chars for start in other.char_starts)],
            [*self.char_ends, *(end + num_chars for end in other.char_ends)],
        )


class Tokenizer(Protocol):
    """What is asked of a fast tokenizer to find tokens and their characters."""

    def __call__(
        self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool = False, verbose: bool = True
    ) -> dict[str, list]:
        """Return ids, and with ``return_offsets_mapping`` each token's first character and the one behind its last."""
        ...


def tokenize(tokenizer: Tokenizer, text: str, *, add_special_tokens: bool = False) -> Tokens:
    """Return the tokens of a text with their character offsets."""
    coded = tokenizer(text, add_special_tokens=add_special_tokens, return_offsets_mapping=True, verbose=False)
    offsets: list[tuple[int, int]] = coded["offset_mapping"]
    return Tokens(list(coded["input_ids"]), [start for start, _ in offsets], [end for _, end in offsets])


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A prompt and its answer as tokens, before any group is looked for.

    Attributes
    ----------
    text
        Rendered prompt followed by the answer; every character offset counts in it.
    input_ids
        Token ids, shape ``[T]``.
    char_starts, char_ends
        Character span of each token, shape ``[T]``; they never decrease.
    segments
        Code of each token's segment (index into ``SEGMENTS``), shape ``[T]``.
    num_prompt_tokens
        Tokens before the answer; all of them in a text without one.
    decision_position
        The row that predicts the distinguishing token; the last row of a text without an answer.
    char_spans
        Character spans of the statement's parts, by kind and by kind and name, as key groups ask for them.
    spans
        Line items and periods of the statement, in the order of the text.
    sentences
        Number of each token's sentence, in the prompt's messages and in the thought, shape ``[T]``; -1 elsewhere.
    label
        Characters of the label's word, or of the free answer.
    is_target
        Whether what follows the prompt is the right one of several scored choices.
    has_evidence
        Whether the record says which passages are gold.
    """

    text: str
    input_ids: IntArray
    char_starts: IntArray
    char_ends: IntArray
    segments: IntArray
    num_prompt_tokens: int
    decision_position: int
    char_spans: CharSpans
    spans: tuple[StatementSpan, ...]
    sentences: IntArray
    label: tuple[int, int] = (0, 0)
    is_target: bool = False
    has_evidence: bool = False

    @classmethod
    def of(
        cls,
        text: str,
        tokens: Tokens,
        structure: Structure,
        *,
        num_prompt_tokens: int,
        decision_position: int,
        thoughts: Sequence[tuple[int, int]] = (),
        label: tuple[int, int] = (0, 0),
        is_target: bool = False,
    ) -> TokenizedText:
        """Return a text with the parts that were found in it; ``thoughts`` are the characters of what is thought."""
        # A statement lies inside of its message: sentences are the message's.
        asked = [span for segment, span in structure.segments if segment != "statement"]
        starts, ends = np.array(tokens.char_starts, dtype=np.int32), np.array(tokens.char_ends, dtype=np.int32)
        return cls(
            text=text,
            input_ids=np.array(tokens.ids, dtype=np.int32),
            char_starts=starts,
            char_ends=ends,
            segments=segment_codes(structure, starts, ends, num_prompt_tokens, thoughts),
            num_prompt_tokens=num_prompt_tokens,
            decision_position=decision_position,
            char_spans=structure.groups,
            spans=statement_spans(structure, starts, ends),
            sentences=sentence_numbers(text, (asked, thoughts), starts, ends),
            label=label,
            is_target=is_target,
            has_evidence=bool(structure.groups.get(EVIDENCE)),
        )

    @property
    def num_tokens(self) -> int:
        """Number of tokens of prompt and answer."""
        return len(self.input_ids)

    def positions_of(self, spans: Iterable[tuple[int, int]]) -> IntArray:
        """Return the sorted positions of tokens that share a character with any of the character spans."""
        return positions_in_spans(spans, self.char_starts, self.char_ends)

    def segment_positions(self, segment: str) -> IntArray:
        """Return the sorted positions of a chat segment, or of a part that is defined by position."""
        segment, _, number = (part.strip() for part in segment.partition(":"))
        if number:
            return self._sentence_positions(self.segment_positions(segment), int(number))
        if segment == "prompt":
            return np.arange(self.num_prompt_tokens, dtype=np.int32)
        if segment == "response":
            return np.arange(self.num_prompt_tokens, self.num_tokens, dtype=np.int32)
        if segment == "answer":
            return np.setdiff1d(self.segment_positions("response"), self.segment_positions("thinking"))
        if segment == "reasoning":
            answer = self.segment_positions("answer")
            return answer[answer <= self.decision_position]
        if segment == "beginning":
            return np.arange(min(NUM_BEGINNING_TOKENS, self.num_tokens), dtype=np.int32)
        if segment == "first_token":
            return np.zeros(1, dtype=np.int32)
        return np.flatnonzero(self.segments == SEGMENTS.index(segment)).astype(np.int32)

    def target_rows(self) -> IntArray:
        """Return the rows of the right choice, where it is what follows the prompt."""
        return self.segment_positions("response")[: None if self.is_target else 0]

    def label_rows(self) -> IntArray:
        """Return the rows that predict the tokens of the label's word, or of the free answer."""
        rows = self.positions_of([self.label]) - 1
        return rows[rows >= self.num_prompt_tokens - 1].astype(np.int32)

    def _sentence_positions(self, positions: IntArray, number: int) -> IntArray:
        """Return those of a segment's positions that lie in its sentence of that number; -1 is the last one."""
        found = self.sentences[positions]
        known = np.unique(found[found >= 0])
        if not -len(known) <= number < len(known):
            return positions[:0]
        return positions[found == known[number]]
