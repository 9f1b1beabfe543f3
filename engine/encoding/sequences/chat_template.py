"""A chat template as a run uses it: with its settings, its day, and a word where it leaves something out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, NamedTuple

import jinja2
from jinja2 import meta

from engine.config import Config
from engine.encoding.sequences.left_out import (
    UNPLACED,
    missing_texts,
    refuse_unplaced_tools,
    repeats_preamble,
    tool_names,
)
from engine.encoding.sequences.template_dates import UNREADABLE, date_formats, pinned, printed
from engine.encoding.tokenizer import chat_template
from engine.samples import Message, RowRejected

REFUSALS = (
    jinja2.TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    MemoryError,
)
"""What templates raise, and transformers of what they are given."""
_Turns = list[dict[str, object]]


class Rendered(NamedTuple):
    """A rendered prompt, and flags for what of the conversation it lacks."""

    text: str
    flags: tuple[str, ...]


@dataclass(frozen=True)
class ChatTemplate:
    """Renders conversations.

    Attributes
    ----------
    tokenizer
        The run's tokenizer.
    text
        The template; None where messages are joined as plain text.
    settings
        ``prompt.template_kwargs``.
    day
        The day that a template prints which asks for today's.
    """

    tokenizer: Any
    text: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    day: date | None = None

    @classmethod
    def of(cls, config: Config, tokenizer: Any) -> ChatTemplate:
        """Return the template of a run."""
        day = date.fromisoformat(config.prompt.date) if config.prompt.date else None
        return cls(tokenizer, chat_template(config, tokenizer), config.prompt.template_kwargs, day)

    @cached_property
    def formats(self) -> tuple[str, ...]:
        """Formats in which the template asks for today's date."""
        return date_formats(self.text) if self.text else ()

    @cached_property
    def prints_date(self) -> bool:
        """Whether what it renders depends on the day."""
        if not self.formats:
            return False
        days = [printed(date(2001, 2, 3), self.formats), printed(date(2019, 11, 28), self.formats)]
        turns: _Turns = [{"role": "user", "content": "x"}]
        try:
            first, second = (self.applied(turns, {}, dates) for dates in days)
        except REFUSALS:
            return True
        return first != second

    @cached_property
    def _variables(self) -> frozenset[str]:
        return template_variables(self.text) if self.text else frozenset()

    def unknown_settings(self) -> list[str]:
        """Return the settings that the template never reads."""
        if self.text is None:
            return list(self.settings)
        return [name for name in self.settings if name not in self._variables]

    def render(
        self,
        messages: Sequence[Message],
        fields: Mapping[str, object] | None = None,
        dates: Mapping[str, str] | None = None,
    ) -> Rendered:
        """Return a conversation as the model sees it, up to where its answer begins.

        Parameters
        ----------
        messages
            The conversation.
        fields
            Tools and documents of the record.
        dates
            The record's own dates by format, where it has any.

        Raises
        ------
        RowRejected
            When the template refuses the conversation, or has no place for its tool calls or their results.
        """
        fields = fields or {}
        if self.text is None:
            if any(message.fields.get("tool_calls") for message in messages):
                raise RowRejected(
                    "encode", "not_replayed", "Tool calls are not replayed without a chat template (`none` is set)."
                )
            flags = ("messages_joined",) if len(messages) > 1 else ()
            return Rendered("".join(message.content for message in messages), flags)
        turns = [turn_of(message) for message in messages]
        try:
            text = self.applied(turns, fields, dates)
            missing = missing_texts(messages, text)
        except REFUSALS as error:
            text, missing, refusal = "", ["all"], error
        else:
            refusal = None
        if missing:
            in_parts = self._in_parts(messages, fields, dates)
            if in_parts is not None and len(missing_texts(messages, in_parts)) < len(missing):
                text, missing, refusal = in_parts, missing_texts(messages, in_parts), None
        if refusal is not None:
            raise RowRejected(
                "encode", "template_refuses", f"The chat template cannot render this conversation: {refusal}"
            )
        refuse_unplaced_tools(messages, text)
        self._refuse_unprinted_calls(messages, text, fields, dates)
        flags = ("content_left_out",) if missing else ()
        repeated = ("preamble_repeated",) if repeats_preamble(messages, text) else ()
        return Rendered(text, (*flags, *self._unread(fields, text), *repeated))

    def _unread(self, fields: Mapping[str, object], text: str) -> Iterator[str]:
        """Yield flags for what of a record's tools, documents and settings does not reach the prompt."""
        if any(name not in text for name in tool_names(fields.get("tools"))):
            yield "tools_left_out"
        if fields.get("documents") and "documents" not in self._variables:
            yield "documents_left_out"
        if any(name not in self._variables for name in fields if name not in ("tools", "documents")):
            yield "template_kwargs_unread"

    def _refuse_unprinted_calls(
        self,
        messages: Sequence[Message],
        text: str,
        fields: Mapping[str, object],
        dates: Mapping[str, str] | None,
    ) -> None:
        """Turn a conversation away of which the template makes the same with and without its tool calls."""
        turns = [turn_of(message) for message in messages]
        if not any(turn.get("tool_calls") for turn in turns):
            return
        without = [{key: value for key, value in turn.items() if key != "tool_calls"} for turn in turns]
        try:
            is_same = self.applied(without, fields, dates) == text
        except REFUSALS:
            return  # it asks for them
        if is_same:
            raise RowRejected("encode", "not_replayed", UNPLACED.format(names="as a whole"))

    def _in_parts(
        self, messages: Sequence[Message], fields: Mapping[str, object], dates: Mapping[str, str] | None
    ) -> str | None:
        """Return what the template makes of contents in parts, which templates of models that see images expect."""
        turns = [
            {**turn_of(message), "content": [{"type": "text", "text": message.content}] if message.content else []}
            for message in messages
        ]
        try:
            return self.applied(turns, fields, dates)
        except REFUSALS:
            return None

    def applied(
        self,
        turns: Sequence[Mapping[str, object]],
        fields: Mapping[str, object],
        dates: Mapping[str, str] | None = None,
        *,
        is_prompt: bool = True,
    ) -> str:
        """Return what the template makes of turns; raises what Jinja, the template and transformers raise."""
        assert self.text is not None
        if self.formats:
            day = self.day or datetime.now(UTC).date()
            text = pinned(self.text, {**printed(day, self.formats), **(dates or {})})
        else:
            text = self.text
        return self.tokenizer.apply_chat_template(
            list(turns),
            chat_template=text,
            tokenize=False,
            add_generation_prompt=is_prompt,
            **{**self.settings, **fields},
        )


def pin_date(config: Config, tokenizer: Any) -> None:
    """Let a config hold the day that its chat template prints, where it prints today's and the config names none.

    It is the day of the first plan, in UTC, and ``run.yaml`` keeps it: a run that goes on has the same tokens.
    """
    if config.prompt.date is None and ChatTemplate.of(config, tokenizer).prints_date:
        set_pinned_date(config, datetime.now(UTC).date().isoformat())


def set_pinned_date(config: Config, day: str) -> None:
    """Give a config a day that its user did not name."""
    config.prompt.date = day
    config.prompt.model_fields_set.discard("date")


def template_warnings(config: Config, template: ChatTemplate, num_rendered: int) -> list[str]:
    """Return what a person should know of the chat template and its settings.

    Parameters
    ----------
    config
        The run's config.
    template
        Its chat template.
    num_rendered
        Samples whose prompt the template renders.
    """
    warnings = []
    if num_rendered and template.prints_date and "date" not in config.prompt.model_fields_set:
        warnings.append(
            f"The chat template prints today's date; it is pinned to {config.prompt.date} in all {num_rendered} "
            f"prompt(s) that it renders, and kept in run.yaml. Set prompt.date to the day on which the answers were "
            f"generated."
        )
    unknown = template.unknown_settings()
    if unknown:
        warnings.append(
            f"prompt.template_kwargs: the chat template never reads {', '.join(unknown)}, so that the prompts are the "
            f"same without."
        )
    return warnings


def template_variables(template: str) -> frozenset[str]:
    """Return the names that a template reads and does not set."""
    bare = re.sub(r"\{%-?\s*(?:end)?generation\s*-?%\}", "", template)
    try:
        tree = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(bare)
    except UNREADABLE:
        return frozenset(re.findall(r"\w+", template))
    return frozenset(meta.find_undeclared_variables(tree)) | frozenset(re.findall(r"\b(\w+) is (?:not )?defined", bare))


def turn_of(message: Message) -> dict[str, object]:
    """Return a message as chat templates take it."""
    return {"role": message.role, "content": message.content, **message.fields}
