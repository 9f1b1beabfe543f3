"""Whether a text is what a chat template makes of messages, on whatever day."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from engine.encoding.sequences.chat_template import ChatTemplate
from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.conversations.token_ids.compared import bare
from engine.samples import Message, RowRejected

_MARK = re.compile("\ue000([^\ue001]*)\ue001")
_NUMBERS = {"Y": r"\d{4}", "j": r"\d{1,3}", **dict.fromkeys("dmyHIMSueUVWG", r"\d{1,4}")}
_WORDS = dict.fromkeys("aAbBhpZ", r"[^\W\d_]{1,20}\.?")


def is_rendering(
    template: ChatTemplate, markup: ChatMarkup, text: str, messages: Sequence[Message], fields: Mapping[str, object]
) -> bool | None:
    """Whether a text is a template's rendering of messages, but for blanks and special tokens; None: it refuses them.

    Dates that the template prints may be any, and the beginning of the answer's turn may lack.

    Parameters
    ----------
    template
        The run's chat template.
    markup
        What is known of it and of the tokenizer.
    text
        A prompt, as its token ids say it.
    messages, fields
        What the record holds: the conversation; tools and documents.
    """
    try:
        whole = template.render(messages, fields, {day: f"\ue000{day}\ue001" for day in template.formats}).text
    except RowRejected:
        return None
    pieces = _MARK.split(bare(markup, whole))
    pattern = "".join(_dates(piece) if nth % 2 else re.escape(piece) for nth, piece in enumerate(pieces))
    asked = re.escape(bare(markup, markup.generation_prompt))
    return re.fullmatch(f"{pattern.removesuffix(asked)}(?:{asked})?", bare(markup, text)) is not None


def _dates(form: str) -> str:
    """Return a pattern of the dates that a format of ``strftime`` prints."""
    parts = re.split(r"%-?([A-Za-z%])", form)
    kinds = {**_NUMBERS, **_WORDS, "%": "%"}
    return "".join(kinds.get(part, ".{1,30}?") if nth % 2 else re.escape(part) for nth, part in enumerate(parts))
