"""One record → its conversation: what the model was given and what it wrote, as far as the record holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from engine.config import Config, FieldsSection
from engine.inputs.answers.recorded import answer_in_list, is_unwrapped, plain_text
from engine.inputs.conversations.completions import Completion, answer_of, completion_in, is_cut
from engine.inputs.conversations.conversation import Conversation
from engine.inputs.conversations.escapes import is_escaped
from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.conversations.message_parts import (
    has_media,
    is_in_steps,
    reasoning_in,
    refuse_media,
    refuse_refusal,
)
from engine.inputs.conversations.messages import is_message_list, messages_and_answer
from engine.inputs.conversations.recorded_transcripts import of_transcript
from engine.inputs.conversations.rendered_prompts import rendered, verbatim, without_echo
from engine.inputs.conversations.requests import offered, system_beside, template_kwargs, with_system
from engine.inputs.conversations.thoughts.marked import thoughts_of
from engine.inputs.conversations.token_ids.compared import decoded
from engine.inputs.conversations.token_ids.recorded import recorded_ids, with_ids
from engine.inputs.transcripts import TranscriptReader
from engine.samples import Message, RowRejected

_PROMPT = FieldsSection().prompt
_NORMAL = (_PROMPT, FieldsSection().messages)
"""Names under which the readers of logs put what the model was given."""

_NO_REQUEST = (
    "The log holds an answer without what the model was given. Name the file of the requests in predictions.join, such "
    "as [{path: requests.jsonl, on: custom_id, fields: {messages: body.messages}}]."
)


class ConversationReader:
    """Takes conversations out of records, by ``prompt.source`` and the names of the fields.

    Parameters
    ----------
    config
        The run's config.
    transcripts
        Splits transcripts; knows the tokenizer's chat markup.
    """

    def __init__(self, config: Config, transcripts: TranscriptReader):
        self.config, self.transcripts = config, transcripts
        self.fields = config.predictions.fields

    @property
    def markup(self) -> ChatMarkup:
        """What is known of the tokenizer and its chat template."""
        return self.transcripts.markup

    def read(self, values: Mapping[str, object], told: str = "") -> Conversation:
        """Return the conversation of a record.

        Parameters
        ----------
        values
            The record.
        told
            How the format of a log holds what the model was given (``Told.source``); empty where nothing tells.

        Raises
        ------
        RowRejected
            When it has no prompt, or something of it cannot be replayed.
        """
        source = self._source(values, told)
        if source == "transcript":
            transcript = self._required_text(values, self.fields.transcript)
            read = of_transcript(transcript, self.transcripts, is_generating=self.config.generation.enabled)
        else:
            completion = completion_in(values, self.fields.response)
            is_rendered = told == "rendered" and values.get(self.fields.prompt) == values.get(_PROMPT)
            if source == "messages":
                read = self._messages(values, completion)
            else:
                read = self._fields(values, completion, is_rendered=is_rendered)
            refuse_media(values, "The record", [message.content for message in read.messages])
            if has_media(values):
                read = replace(read, flags=(*read.flags, "media_beside"))
            read = without_echo(self.markup, read)
            values = values if completion is None else {**completion.ids, **values}
            if is_cut(values) or (completion is not None and completion.is_cut):
                read = replace(read, flags=(*read.flags, "cut_answer"))
        said = (read.response, *(message.content for message in read.messages))
        if any(is_escaped(text) for text in said):
            read = replace(read, flags=(*read.flags, "escaped_text"))
        return with_ids(self.markup, self.fields, self._with_reasoning(self._with_system(read), values), values)

    def _source(self, values: Mapping[str, object], told: str) -> str:
        """Return ``prompt.source``; of a log, how it holds prompts, unless the config's own field is there."""
        source = self.config.prompt.source
        own = {"transcript": self.fields.transcript, "fields": self.fields.prompt, "messages": self.fields.messages}
        if not told or (values.get(own[source]) is not None and (source == told or own[source] not in _NORMAL)):
            return source
        if told != "messages":
            return "fields"
        if values.get(self.fields.messages) is None and values.get(self.fields.prompt) is None:
            raise RowRejected("read", "missing_field", _NO_REQUEST)
        # The input of OpenAI's responses may be a text, which is the user's message.
        is_text = values.get(self.fields.messages) is None and isinstance(values.get(self.fields.prompt), str)
        return "fields" if is_text else "messages"

    def _messages(self, values: Mapping[str, object], completion: Completion | None) -> Conversation:
        name = self.fields.messages
        messages, answer, around, flags = messages_and_answer(values.get(name), name)
        said = answer_of(completion, self.fields.response)
        if said is not None and answer is not None and said.content.strip() != answer.content.strip():
            raise _several_answers(name, answer.content, "completion", said.content)
        if said is None and answer is not None:
            self._refuse_other_response(values, answer.content)
        if not any(message.content.strip() for message in messages if message.role in ("user", "tool")):
            raise RowRejected("read", "no_user_message", f"No message of the user's in {name!r} holds any text.")
        places = (values, around)
        if self.config.prompt.system is None and (beside := system_beside(places, self.fields.system)) is not None:
            placed = with_system(messages, beside)
            flags += ("system_placed",) if len(placed) > len(messages) and beside[1] != self.fields.system else ()
            messages = placed
        answer = said or answer
        if answer is None:
            response, more = self._response(values)
            answer, flags = Message("assistant", response), flags + more
        read = Conversation(
            messages,
            answer.content,
            reasoning=reasoning_in(answer.fields),
            template_fields={**self._template_kwargs(*places), **offered((around, values))},
            flags=flags + _flags_of(answer, name),
        )
        return verbatim(self.markup, read)

    def _response(self, values: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
        """Return the text of the answer's field, empty where there is none, and flags.

        Raises
        ------
        RowRejected
            When the record holds a refusal in its place.
        """
        name = self.fields.response
        recorded = values.get(name)
        response = plain(answer_in_list(recorded, name), name) or ""
        if not response.strip():
            refuse_refusal(values)
        return response, ("unwrapped_list",) if is_unwrapped(recorded, response) else ()

    def _fields(
        self, values: Mapping[str, object], completion: Completion | None, *, is_rendered: bool = False
    ) -> Conversation:
        prompt = plain(values.get(self.fields.prompt), self.fields.prompt)
        if prompt is not None and is_message_list(prompt):
            raise RowRejected(
                "read",
                "not_text",
                f"The field {self.fields.prompt!r} holds chat messages as text, which the model saw rendered. "
                f"Set prompt.source=messages and predictions.fields.messages={self.fields.prompt}.",
            )
        said = answer_of(completion, self.fields.response)
        response, flags = self._response(values) if said is None else (said.content, _flags_of(said, "choices"))
        if prompt is None and self.markup.decode is not None:
            ids = recorded_ids(self.markup, self.fields, values, (), response).prompt
            prompt = None if ids is None else decoded(self.markup, ids, str(self.fields.prompt_token_ids))
        if prompt is None or not prompt.strip():
            prompt = self._required_text(values, self.fields.prompt)
        beside = system_beside((values,), self.fields.system) if self.config.prompt.system is None else None
        if beside is not None and beside[1] != self.fields.system:
            # The prompt may have been made of it.
            beside, flags = (None, flags) if beside[0].strip() in prompt else (beside, (*flags, "system_placed"))
        messages = ((Message("system", beside[0]),) if beside else ()) + (Message("user", prompt),)
        if any("\r\n" in text for text in (response, *(message.content for message in messages))):
            flags += ("windows_line_ends",)
        as_given = rendered if is_rendered else verbatim
        return as_given(
            self.markup,
            Conversation(
                messages,
                response,
                reasoning=None if said is None else reasoning_in(said.fields),
                template_fields={**self._template_kwargs(values), **offered((values,))},
                flags=flags,
            ),
        )

    def _template_kwargs(self, *places: Mapping[str, object]) -> dict[str, object]:
        return template_kwargs(places, self.config.prompt.template_kwargs, self.markup.template)

    def _refuse_other_response(self, values: Mapping[str, object], answer: str) -> None:
        """Turn a row away whose messages end with an answer that is not the one in the answer's field."""
        name = self.fields.response
        recorded = values.get(name)
        response = (plain(answer_in_list(recorded, name), name) or "") if not isinstance(recorded, Mapping) else ""
        if response.strip() and _bare(response) != _bare(answer):
            raise _several_answers(self.fields.messages, answer, f"field {name!r}", response)

    def _with_system(self, read: Conversation) -> Conversation:
        """Return a conversation with the system part that the config puts in place of the record's."""
        system = self.config.prompt.system
        if system is None:
            return read
        if read.prompt is not None:
            if system.strip() in read.prompt:
                return read
            if self.markup.template is None or self.markup.turns(read.prompt) is None:
                return replace(read, flags=(*read.flags, "system_left_out"))
            read = replace(read, prompt=None, source="template")  # another prompt than the recorded one is asked for
        others = (message for message in read.messages if message.role != "system")
        return replace(read, messages=(Message("system", system), *others), recorded_prompt=None)

    def _with_reasoning(self, read: Conversation, values: Mapping[str, object]) -> Conversation:
        """Return a conversation with the thought that the record keeps in a field of its own."""
        thought = read.reasoning
        if thought is None:
            name = self.fields.reasoning
            thought = reasoning_in(values) if name == "auto" else plain_text(values.get(name)) if name else None
        if thought is None or not read.response.strip() or "".join(thought.split()) in "".join(read.response.split()):
            return replace(read, reasoning=None)
        flags = ("parts_joined",) if is_in_steps(values) and "parts_joined" not in read.flags else ()
        return replace(read, reasoning=thought, flags=read.flags + flags)

    def _required_text(self, values: Mapping[str, object], name: str) -> str:
        text = plain(values.get(name), name)
        if text is None or not text.strip():
            known = ", ".join(sorted(str(key) for key in values)[:20])
            hint = _inside(values, name)
            if self.config.prompt.source == "transcript" and self.fields.response in values:
                hint = " For question and answer in fields of their own set prompt.source=fields."
            elif self.config.prompt.source == "transcript" and self.fields.messages in values:
                hint = " For chat messages set prompt.source=messages."
            raise RowRejected(
                "read", "missing_field", f"The row has no text in {name!r}; its fields are {known}.{hint}"
            )
        return text


def _inside(values: Mapping[str, object], name: str) -> str:
    """Return where a field stands one level deeper, in words; empty where it does not."""
    for outer, inner in values.items():
        if isinstance(inner, Mapping) and isinstance(inner.get(name), str):
            return (
                f" {outer!r} holds one: name paths in predictions.fields, such as {outer}.{name}, or run engine.init."
            )
    return ""


def _several_answers(name: str, answer: str, other: str, said: str) -> RowRejected:
    return RowRejected(
        "read",
        "several_answers",
        f"The messages in {name!r} end with an answer ({answer.strip()[:40]!r}), and the record's {other} is another "
        f"one ({said.strip()[:40]!r}). Keep the one to measure.",
    )


def _bare(answer: str) -> str:
    """Return an answer without the thought that may be recorded in one place only."""
    thoughts = thoughts_of(answer)
    return " ".join(answer[thoughts.start : thoughts.end].split())


def _flags_of(answer: Message, name: str) -> tuple[str, ...]:
    """Return flags for what an answer has beside its text.

    Raises
    ------
    RowRejected
        When it is a tool call alone.
    """
    if "tool_calls" not in answer.fields:
        return ()
    if not answer.content.strip():
        raise RowRejected(
            "read", "not_replayed", f"The answer in {name!r} is a tool call, in which no label can be read."
        )
    return ("tool_calls_left_out",)


def plain(value: object, name: str) -> str | None:
    """Return a prompt or an answer as text.

    Raises
    ------
    RowRejected
        When it is a list or an object: its printed form is not what the model saw or said.
    """
    if isinstance(value, bytes):
        raise RowRejected(
            "read", "not_text", f"The field {name!r} holds bytes that are no UTF-8 text. Write it as text."
        )
    if isinstance(value, Mapping | list | tuple):
        raise RowRejected(
            "read",
            "not_text",
            f"The field {name!r} holds {type(value).__name__}, not text. For chat messages set prompt.source=messages.",
        )
    return plain_text(value)
