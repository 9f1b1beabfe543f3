"""A prediction as the model saw it: tokens, segments, groups, the decision row."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

SEGMENTS = ("template", "system", "statement", "instruction", "history", "response", "thinking")
"""Chat segments, in the order of their codes; ``template`` is what the chat template adds between the others, and
``thinking`` the part of what the model wrote that is a thought."""

IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class StatementSpan:
    """A line item or a period of a statement in the prompt.

    Attributes
    ----------
    kind
        ``line_item`` (its label and values) or ``period`` (its header and values).
    name
        As the statement says it.
    positions
        Sorted token positions.
    """

    kind: str
    name: str
    positions: IntArray


@dataclass(frozen=True, slots=True)
class LabelToken:
    """The token at which the answer with another label in place of the said one parts from the recorded answer.

    Attributes
    ----------
    label
        The label; the said one is here too, with its own distinguishing token.
    row
        The row that predicts it.
    token_id
        The label's token there; the said label's stands at ``row + 1``.
    """

    label: str
    row: int
    token_id: int


@dataclass(frozen=True, slots=True)
class ContrastRule:
    """What the margin of a sample compares.

    Attributes
    ----------
    name
        ``pair``, or a name of ``engine.config.CONTRASTS``.
    first, second
        The two labels of a pair; the said label, and the actual one, of a rule.
    """

    name: str = "pair"
    first: str = ""
    second: str = ""


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """A prediction as the model saw it.

    Attributes
    ----------
    text
        Rendered prompt followed by the answer; every character offset of a run counts in it.
    input_ids
        Token ids, shape ``[T]``.
    char_starts, char_ends
        Character span of each token in ``text``, shape ``[T]``.
    segments
        Code of each token's segment (index into ``SEGMENTS``), shape ``[T]``.
    decision_position
        The row that predicts the distinguishing token, so the token itself stands at ``decision_position + 1``.
    contrast_token_ids
        Distinguishing tokens of a fixed pair of labels in this very context; the said label's twice where a rule
        chooses the pair, which the logits then tell.
    label_tokens
        Where each label parts from the said one, in config order; labels that do not are not among them.
    contrast
        What the margin compares.
    companion
        The prompt with the right continuation, where choices were scored and another one is said; its rows are the
        query group ``answer_target``.
    sentences
        Number of each token's sentence, in the prompt's messages and in the thought, shape ``[T]``; -1 elsewhere.
    key_groups, query_groups
        Sorted token positions of each group, by name in config order.
    spans
        Line items and periods of the statement, in the order of the text.
    sequence_source
        How the sequence came about (``engine.schema.SEQUENCE_SOURCES``).
    unknown_groups
        Key groups of which it is not known which tokens they hold: those of evidence where the record names none. Their
        statistics are null, not 0.
    """

    sample_id: str
    metadata: dict[str, object]
    text: str
    input_ids: IntArray
    char_starts: IntArray
    char_ends: IntArray
    segments: IntArray
    num_prompt_tokens: int
    decision_position: int
    contrast_token_ids: tuple[int, int]
    key_groups: dict[str, IntArray] = field(default_factory=dict)
    query_groups: dict[str, IntArray] = field(default_factory=dict)
    spans: tuple[StatementSpan, ...] = ()
    sequence_source: str = "template"
    label_tokens: tuple[LabelToken, ...] = ()
    contrast: ContrastRule = ContrastRule()
    sentences: IntArray | None = None
    companion: EncodedSample | None = None
    unknown_groups: tuple[str, ...] = ()

    @property
    def logit_rows(self) -> tuple[int, ...]:
        """Rows whose logits are wanted, the decision row first."""
        return tuple(dict.fromkeys((self.decision_position, *(token.row for token in self.label_tokens))))

    @property
    def num_tokens(self) -> int:
        """Number of tokens of prompt and answer."""
        return len(self.input_ids)

    @property
    def decision_token_id(self) -> int:
        """Id of the recorded distinguishing token."""
        return int(self.input_ids[self.decision_position + 1])

    @property
    def answer_rows(self) -> npt.NDArray[np.int64]:
        """Positions of the answer without its thought, sorted: the query group ``answer``."""
        is_answer = self.segments != SEGMENTS.index("thinking")
        is_answer[: self.num_prompt_tokens] = False
        return np.flatnonzero(is_answer)

    def sentences_of(self, part: str | None) -> IntArray:
        """Return the number of each token's sentence in the ``prompt`` or the ``thinking``, ``[T]``; -1 elsewhere."""
        if self.sentences is None or part is None:
            return np.full(self.num_tokens, -1, dtype=np.int32)
        is_prompt = np.arange(self.num_tokens) < self.num_prompt_tokens
        is_thought = (self.segments == SEGMENTS.index("thinking")) & ~is_prompt
        return np.where(is_prompt if part == "prompt" else is_thought, self.sentences, -1).astype(np.int32)

    def token_text(self, position: int) -> str:
        """Return the characters of the token at a position."""
        return self.text[self.char_starts[position] : self.char_ends[position]]

    def token_texts(self) -> list[str]:
        """Return the characters of every token."""
        return [self.text[a:b] for a, b in zip(self.char_starts.tolist(), self.char_ends.tolist(), strict=True)]
