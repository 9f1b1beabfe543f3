"""The two records that everything passes along: ``Sample`` (text, labels) and ``EncodedSample`` (tokens, masks)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

SEGMENTS = ("template", "system", "statement", "instruction", "history", "response", "thinking")
"""Chat segments, in the order of their codes; ``template`` is what the chat template adds between the others, and
``thinking`` the part of what the model wrote that is a thought."""

FLAG_NAMES = ": "
"""Between a flag and what it is of, in flags that name it (``unordered_periods: LFY``)."""

IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message.

    Attributes
    ----------
    fields
        What else a chat template may print of it: ``tool_calls``, ``tool_call_id``, ``name``, ``reasoning_content``.
    """

    role: str
    content: str
    fields: dict[str, object] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt that waits for an answer."""

    sample_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated answer.

    Attributes
    ----------
    num_tokens
        Generated tokens, without the one that ends the turn.
    is_cut
        Whether ``generation.max_new_tokens`` ended it.
    """

    sample_id: str
    text: str
    num_tokens: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """The gold passages of a record, before they are found in its prompt.

    Attributes
    ----------
    texts
        Texts of the prompt.
    spans
        First character and one past the last, in ``reference``.
    reference
        The text that spans count in; None where a row has not one alone.
    """

    texts: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A recorded prediction, before tokenisation.

    Attributes
    ----------
    messages
        The conversation up to the answer.
    response
        What the model wrote, up to where it invents the next turn: thought and answer.
    label_start, label_end
        Character span of the label *word* inside ``response``.
    label_spelling
        Index of the matched spelling in the label's list of spellings.
    answer_label
        The label that the word in the answer stands for; differs from ``predicted_label`` where record and answer
        contradict each other.
    kept
        Record fields that ``predictions.keep`` names.
    recorded_prompt
        What a transcript holds before the answer, to be compared with what the chat template makes of the messages.
    prompt
        The rendered prompt where the record holds it, word for word; the chat template makes it of the messages else.
    sequence_source
        How the sequence comes about (``engine.schema.SEQUENCE_SOURCES``).
    prompt_ids, answer_ids
        Recorded token ids of the prompt and of ``response``; None where there are none.
    thoughts
        Characters of each thought in ``response``.
    reasoning
        A thought that was recorded apart from the answer and is not in ``response``.
    template_fields
        What the record hands to the chat template beside its messages: ``tools``, ``documents``.
    dates
        The record's own dates, as the chat template prints them, by format.
    language
        The language that the answer was read in, by name; a script's name where there are no words of it.
    is_free
        Whether the answer is free: the characters of the label are what it says, and no label of a list.
    is_ranked
        Whether choices were scored as continuations of the prompt, of which ``response`` is the said one.
    target_response
        The right continuation, where choices were scored and it is known.
    labels
        The row's own labels with their spellings, where it has choices; None stands for the config's.
    is_correct
        Whether the answer is right: as the record says it where ``predictions.fields.correct`` is named, else whether
        the predicted label is the actual one; None when that is unknown.
    evidence
        What the record's field of evidence holds; None where the config names no such field.
    """

    sample_id: str
    cluster: str | None
    year: int | None
    actual_label: str | None
    predicted_label: str
    raw_predicted_label: str | None
    label_source: str
    certainty: str | None
    magnitude: str | None
    messages: tuple[Message, ...]
    response: str
    label_start: int
    label_end: int
    label_spelling: int
    answer_label: str
    flags: tuple[str, ...] = ()
    kept: dict[str, str | float | None] = field(default_factory=dict)
    recorded_prompt: str | None = None
    prompt: str | None = None
    sequence_source: str = "template"
    prompt_ids: tuple[int, ...] | None = None
    answer_ids: tuple[int, ...] | None = None
    thoughts: tuple[tuple[int, int], ...] = ()
    reasoning: str | None = None
    template_fields: dict[str, object] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    language: str | None = None
    is_correct: bool | None = None
    is_free: bool = False
    is_ranked: bool = False
    target_response: str | None = None
    labels: dict[str, list[str]] | None = field(default=None, hash=False)
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be used, and why."""

    sample_id: str
    stage: str
    reason: str
    detail: str

    def as_row(self) -> dict[str, str]:
        """Return the row of the ``rejects`` table."""
        return {
            "sample_id": self.sample_id,
            "stage": self.stage,
            "reason": self.reason,
            "detail": self.detail,
        }


class RowRejected(Exception):  # noqa: N818 - caught where rows become rejects, never seen by a user
    """A row that cannot be used; ``str()`` is the reject's detail."""

    def __init__(self, stage: str, reason: str, detail: str):
        super().__init__(detail)
        self.stage, self.reason = stage, reason


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
