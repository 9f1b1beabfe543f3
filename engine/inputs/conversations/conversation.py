"""What a record holds of a conversation: what the model was given and what it wrote."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.samples import Message


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a record holds of a conversation.

    Attributes
    ----------
    messages
        The conversation before the answer.
    response
        What the model wrote, empty where the record has no answer.
    recorded_prompt
        What a transcript holds before the answer.
    prompt
        The rendered prompt, word for word; None where the chat template makes it of the messages.
    source
        How the sequence comes about (``engine.schema.SEQUENCE_SOURCES``).
    reasoning
        A thought in a field of its own, which ``response`` does not hold.
    prompt_ids, answer_ids
        Recorded token ids.
    template_fields
        What the record hands to the chat template beside its messages.
    dates
        Dates as the template printed them, by format.
    flags
        Remarks.
    """

    messages: tuple[Message, ...]
    response: str
    recorded_prompt: str | None = None
    prompt: str | None = None
    source: str = "template"
    reasoning: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    answer_ids: tuple[int, ...] | None = None
    template_fields: dict[str, object] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
