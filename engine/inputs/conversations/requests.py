"""What a record holds of the request beside its messages: a system text, settings of the chat template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from engine.inputs.answers.recorded import plain_text
from engine.inputs.conversations.message_parts import of_parts
from engine.inputs.conversations.messages import parsed
from engine.samples import Message, RowRejected

_SYSTEM_NAMES = (
    "system_prompt",
    "instructions",
    "system_message",
    "system_instruction",
    "system_instructions",
    "systemInstruction",
    "systemPrompt",
)
"""Names of a system text in requests of OpenAI's responses and Gemini's, and in data sets, beside ``fields.system``."""
_REQUESTS = ("request", "body", "extra_body", "params", "parameters", "sampling_params", "generation_config")
"""Names under which logs keep a request, and requests what is not of OpenAI's own."""
_DEEPEST = 3
_KWARGS = ("chat_template_kwargs", "chat_template_args", "template_kwargs")
_SWITCHES: dict[str, type] = {"enable_thinking": bool, "thinking": bool, "reasoning_effort": str}
"""What some servers take outside of these objects; it counts where the chat template reads it."""
_DECIDED = ("tokenize", "return_dict", "return_tensors", "padding", "truncation", "max_length", "conversation")
"""What rendering decides itself, and leaves the text as it is."""
_WITH_PROMPT = ("add_generation_prompt", "continue_final_message")


def system_beside(places: Sequence[Mapping[str, object]], name: str) -> tuple[str, str] | None:
    """Return a system text that stands beside the messages or the prompt, and its field; None where there is none.

    Parameters
    ----------
    places
        The record, and the object around its messages.
    name
        The configured field; others are known by name.

    Raises
    ------
    RowRejected
        When it is no text, or there are several that differ.
    """
    found: dict[str, tuple[str, str]] = {}
    for place in _requests(places):
        for field in (name, *_SYSTEM_NAMES):
            text = _text_of(place.get(field), field)
            if text is not None and text.strip():
                found.setdefault(text.strip(), (text, field))
    if len(found) > 1:
        raise _several(" and ".join(repr(field) for _, field in found.values()), "differs")
    return next(iter(found.values()), None)


def with_system(messages: tuple[Message, ...], beside: tuple[str, str]) -> tuple[Message, ...]:
    """Return messages with the system text that stands beside them, unless they hold it already.

    Raises
    ------
    RowRejected
        When they begin with another one.
    """
    text, field = beside
    own = [message.content for message in messages if message.role in ("system", "developer")]
    if any(text.strip() in content for content in own):
        return messages
    if own:
        raise _several(
            f"{field!r} ({text.strip()[:40]!r})", f"differs from the messages' own ({own[0].strip()[:40]!r})"
        )
    return (Message("system", text), *messages)


def _several(what: str, verb: str) -> RowRejected:
    return RowRejected(
        "read",
        "several_systems",
        f"The record's system text in {what} {verb}: which one the model saw cannot be told. Keep one of them, or set "
        f"prompt.system.",
    )


def _text_of(value: object, name: str) -> str | None:
    """Return a system text, which may come in parts or as a message.

    Raises
    ------
    RowRejected
        When it is neither.
    """
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("content", "parts", "text") if key in value), value)
    if isinstance(value, list | tuple):
        texts = [_text_of(part, name) if isinstance(part, Mapping) and "role" in part else part for part in value]
        return of_parts([text for text in texts if text is not None], "system", name)[0] or None
    if isinstance(value, Mapping):
        if not value:
            return None
        raise RowRejected("read", "not_text", f"The system text in {name!r} is an object, not text.")
    return plain_text(value)


def template_kwargs(
    places: Sequence[Mapping[str, object]], settings: Mapping[str, object], template: str | None
) -> dict[str, object]:
    """Return the settings of the chat template that a record or its request holds.

    Parameters
    ----------
    places
        The record, and the object around its messages.
    settings
        ``prompt.template_kwargs``.
    template
        The chat template's text; None where there is none.

    Raises
    ------
    RowRejected
        When the record's differ from each other or from the config's, or name a template of their own.
    """
    found: dict[str, object] = {}
    for place in _requests(places):
        _refuse_other_template(place.get("chat_template"), template)
        for name, kind in _SWITCHES.items():
            if isinstance(place.get(name), kind) and re.search(rf"\b{name}\b", template or ""):
                _add(found, {name: place[name]})
        for name in _KWARGS:
            value = place.get(name)
            if isinstance(value, str) and value.strip():
                value = parsed(value, name)
            if isinstance(value, Mapping):
                _refuse_other_template(value.get("chat_template"), template)
                _add(found, value)
            elif plain_text(value) is not None:
                raise RowRejected("read", "not_replayed", f"The settings in {name!r} are no object: {str(value)[:40]}.")
    for name, item in found.items():
        if name in settings and settings[name] != item:
            raise _differing(name, item, f"prompt.template_kwargs says {settings[name]!r}")
    return found


def offered(places: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return the tools and documents that a record or its request offers, as templates take them.

    Raises
    ------
    RowRejected
        When two places of the record offer different ones.
    """
    found: dict[str, object] = {}
    functions: dict[str, object] = {}
    for place in _requests(places):
        for key in ("tools", "documents"):
            _offer(found, key, _listed(place.get(key), key))
        _offer(functions, "functions", _listed(place.get("functions"), "functions"))
    if isinstance(own := functions.get("functions"), list) and "tools" not in found:
        found["tools"] = [{"type": "function", "function": function} for function in own]
    return found


def _offer(found: dict[str, object], key: str, items: list[object] | None) -> None:
    if not items:
        return
    if found.setdefault(key, items) != items:
        raise RowRejected(
            "read",
            f"{key}_differ",
            f"The record offers {key} in two places, and they differ: which the model saw cannot be told. Keep those "
            f"of the request.",
        )


def _listed(value: object, name: str) -> list[object] | None:
    """Return tools or documents as a list; None where there are none."""
    if isinstance(value, str) and value.strip():
        value = parsed(value, name)
    if isinstance(value, Mapping) and value:
        return [value]
    return list(value) if isinstance(value, list | tuple) else None


def _add(found: dict[str, object], more: Mapping[str, object]) -> None:
    for name, item in more.items():
        if item is None or name in _DECIDED or name == "chat_template":
            continue
        if name in _WITH_PROMPT:
            if item is (name == "add_generation_prompt"):
                continue
            raise RowRejected(
                "read",
                "not_replayed",
                f"The record's request sets {name} to {item!r}: the model went on with the last message, which is not "
                f"replayed. Record the rendered prompt and the answer (prompt.source=fields).",
            )
        if name in found and found[name] != item:
            raise _differing(name, item, f"another place of the record says {found[name]!r}")
        found[name] = item


def _differing(name: str, item: object, other: str) -> RowRejected:
    return RowRejected(
        "read",
        "template_kwargs_differ",
        f"The record was made with the chat template's setting {name}={item!r}, and {other}: the prompt would not be "
        f"the one that the model saw. The record's settings are used by themselves; leave {name} out elsewhere.",
    )


def _refuse_other_template(value: object, template: str | None) -> None:
    """Turn a row away whose request brought a chat template of its own."""
    if isinstance(value, str) and re.search(r"\{[{%]", value) and value.strip() != (template or "").strip():
        raise RowRejected(
            "read",
            "not_replayed",
            "The record's request names a chat template of its own, which is another one than the run's: give it in "
            "prompt.chat_template.",
        )


def _requests(places: Sequence[Mapping[str, object]]) -> Iterator[Mapping[str, object]]:
    """Yield a record's objects and the requests inside them, which may stand there as JSON text."""
    current = list(places)
    for _ in range(_DEEPEST):
        yield from current
        current = [inner for place in current for name in _REQUESTS if (inner := _object(place.get(name), name))]


def _object(value: object, name: str) -> Mapping[str, object] | None:
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            value = parsed(value, name)
        except RowRejected:
            return None
    return value if isinstance(value, Mapping) else None
