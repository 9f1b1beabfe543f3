"""What is passed along before tokens: messages, prompts, answers, ``Sample`` and why a row is none."""

from __future__ import annotations

from dataclasses import dataclass, field

FLAG_NAMES = ": "
"""Between a flag and what it is of, in flags that name it (``unordered_periods: LFY``)."""


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
