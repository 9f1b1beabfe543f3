"""Conversations as a model saw them: what a tokenizer and its chat template tell of a record's turns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.config import Config
from engine.encoding.sequences.chat_template import REFUSALS, ChatTemplate
from engine.encoding.sequences.renderings import is_rendering
from engine.encoding.tokenizer import load_tokenizer
from engine.inputs.conversations.markup import ChatMarkup
from engine.inputs.sample_reader import SampleReader
from engine.inputs.transcripts import TranscriptReader
from engine.samples import Answer, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARKS = {"system": "\ue000s\ue001", "user": "\ue000u\ue001", "assistant": "\ue000a\ue001", "next": "\ue000n\ue001"}
_DATE_MARK = re.compile("\ue000d(\\d+)\ue001")
_ROLE_MARKS = (">", "]")
"""What the marks of turns end with."""
_PADS = re.compile(r"(?<![^\W_])pad(?![^\W_])|<\|endoftext\|>", re.IGNORECASE)
"""Names of tokens that fill batches."""


def render(tokenizer: Any, template: str | None, messages: Sequence[Message]) -> str:
    """Return a conversation as the model sees it, up to where its answer begins.

    Raises
    ------
    RowRejected
        When the chat template refuses the conversation.
    """
    return ChatTemplate(tokenizer, template).render(messages).text


def sample_reader(
    config: Config, answers: Mapping[str, Answer] | None = None, tokenizer: PreTrainedTokenizerBase | None = None
) -> SampleReader:
    """Return the reader of a config's rows, which knows the tokenizer's chat template."""
    tokenizer = tokenizer or load_tokenizer(config)
    template = ChatTemplate.of(config, tokenizer)
    layouts = _layouts(template)
    return SampleReader(config, TranscriptReader(layouts, chat_markup(template), template.formats), answers)


def transcript_layouts(tokenizer: Any, template: str | None) -> tuple[re.Pattern[str], ...]:
    """Return what a rendered conversation with an answer looks like, with special tokens and without them.

    The template is rendered around marks, and the text between the marks becomes a pattern with the groups ``system``,
    ``user`` and ``response``, special tokens at its end included; the first text that fits counts. Templates that
    refuse a system part, or tell their roles
    by special tokens only, have fewer layouts or none. Dates that the template prints may be any: groups ``date0``, ….
    """
    return _layouts(ChatTemplate(tokenizer, template))


def _layouts(template: ChatTemplate) -> tuple[re.Pattern[str], ...]:
    if template.text is None:
        return ()
    dropped = special_tokens(template.tokenizer)
    dates = {text: f"\ue000d{index}\ue001" for index, text in enumerate(template.formats)}
    layouts = []
    for roles in (("system", "user"), ("user",)):
        rendered = _rendered(template, roles, dates)
        if rendered is None:
            continue
        for text in dict.fromkeys((rendered, dropped.sub("", rendered))):
            pieces = re.split("|".join(re.escape(_MARKS[role]) for role in roles), text)
            if len(pieces) == len(roles) + 1 and all(piece.strip() for piece in pieces[1:]):
                head, *others = _with_date_groups([_loosely(piece) for piece in pieces])
                has_dates = any("(?P" in piece for piece in (head, *others))
                # What follows a part always fits, so a part that was found need not be looked for again further on:
                # that would take a time that grows with the square of a text. Of dates another one may fit.
                opening = "(?:" if has_dates else "(?>"
                parts = (f"{opening}(?P<{role}>.*?){piece})" for role, piece in zip(roles, others, strict=True))
                layouts.append(re.compile(rf"\s*{head}{''.join(parts)}(?P<response>.*)", re.DOTALL))
    return tuple(layouts)


def _rendered(
    template: ChatTemplate, roles: Sequence[str], dates: Mapping[str, str] | None = None, *, is_prompt: bool = True
) -> str | None:
    """Return what a template makes of turns whose contents are marks; None where it refuses them."""
    turns = [{"role": "user" if role == "next" else role, "content": _MARKS[role]} for role in roles]
    try:
        return template.applied(turns, {}, dates, is_prompt=is_prompt)
    except REFUSALS:
        return None


def _with_date_groups(patterns: Sequence[str]) -> list[str]:
    """Return patterns in which the marks of dates are groups, and references to them where they come again."""
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        name = f"date{match.group(1)}"
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return rf"(?P<{name}>[^\n]{{1,60}}?)"

    return [_DATE_MARK.sub(group, pattern) for pattern in patterns]


def chat_markup(template: ChatTemplate) -> ChatMarkup:
    """Return what a tokenizer and its chat template tell of a record's turns."""
    tokenizer = template.tokenizer
    special = special_tokens(tokenizer)
    beginning = tokenizer.bos_token or ""
    prompt = _rendered(template, ("user",)) if template.text is not None else None
    if prompt is not None and not prompt.startswith(beginning):
        beginning = ""  # the template begins without it

    def decode(ids: Sequence[int]) -> str:
        if any(not 0 <= number < len(tokenizer) for number in ids):
            raise IndexError(max(ids))
        return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    markup = ChatMarkup(
        tokens=frozenset(str(token) for token in tokenizer.added_tokens_decoder.values()),
        template=template.text,
        beginning=beginning,
        generation_prompt=prompt.rpartition(_MARKS["user"])[2] if prompt else "",
        opening=prompt.partition(_MARKS["user"])[0] if prompt else "",
        between=_between(template),
        openings=_openings(template, special),
        turn_marks=_turn_marks(template, special),
        decode=decode,
        special=special,
        has_bare_system=_has_bare_system(template),
        padding=_padding(tokenizer),
        begins=_ids(tokenizer.bos_token_id),
        ends=_ids(tokenizer.eos_token_id),
        adds_first=_first_added(tokenizer, prompt),
    )
    return markup if template.text is None else replace(markup, is_rendering=partial(is_rendering, template, markup))


def _between(template: ChatTemplate) -> str:
    """Return what a template writes between an answer and the user's next text; empty where it cannot be told."""
    whole = _rendered(template, ("user", "assistant", "next")) if template.text is not None else None
    if whole is None or any(_MARKS[role] not in whole for role in ("assistant", "next")):
        return ""
    return whole.partition(_MARKS["assistant"])[2].partition(_MARKS["next"])[0]


def _openings(template: ChatTemplate, special: re.Pattern[str]) -> tuple[str, ...]:
    """Return the first words of what a template writes in front of a conversation, without special tokens."""
    found: list[str] = []
    for roles in (("user",), ("system", "user")):
        rendered = _rendered(template, roles) if template.text is not None else None
        before = special.sub("", rendered.partition(_MARKS[roles[0]])[0]) if rendered else ""
        word = re.match(r"\s*([^\W\d_]+)", before)
        if word:
            found.append(word.group(1))
    return tuple(dict.fromkeys(found))


def _ids(number: object) -> frozenset[int]:
    return frozenset([number] if isinstance(number, int) else [])


def _padding(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the ids of tokens that batches are filled with: the tokenizer's, and those used for want of it."""
    added = tokenizer.added_tokens_decoder.items()
    named = {number for number, token in added if token.special and _PADS.search(str(token))}
    return frozenset(named) | _ids(tokenizer.pad_token_id) | _ids(tokenizer.unk_token_id)


def _first_added(tokenizer: PreTrainedTokenizerBase, prompt: str | None) -> int | None:
    """Return the id of the token that stands in front of every prompt: the template's, or the tokenizer's own."""
    if prompt is None:
        ids = tokenizer("a")["input_ids"]
        return ids[0] if ids and ids[0] in tokenizer.all_special_ids else None
    first = special_tokens(tokenizer).match(prompt)
    number = tokenizer.convert_tokens_to_ids(first.group()) if first else None
    return number if isinstance(number, int) else None


def _has_bare_system(template: ChatTemplate) -> bool:
    """Whether a template writes the system part without any mark in front."""
    rendered = _rendered(template, ("system", "user")) if template.text is not None else None
    if rendered is None or not rendered.partition(_MARKS["user"])[0].rstrip().endswith(_ROLE_MARKS):
        return False
    return rendered.removeprefix(template.tokenizer.bos_token or "").startswith(_MARKS["system"])


def _turn_marks(template: ChatTemplate, special: re.Pattern[str]) -> tuple[re.Pattern[str], ...]:
    """Return patterns of what a template writes between an answer and the next turn, and before another answer."""
    if template.text is None:
        return ()
    whole = _rendered(template, ("user", "assistant", "next"))
    if whole is None or any(_MARKS[role] not in whole for role in ("assistant", "next")):
        return ()
    before = whole.partition(_MARKS["user"])[2].partition(_MARKS["assistant"])[0]
    between = whole.partition(_MARKS["assistant"])[2].partition(_MARKS["next"])[0]
    marks = []
    for piece in (between, before):
        first = special.search(piece)
        kept = {piece.strip(), piece[first.end() :].strip()} if first else set()
        marks += [re.compile(_loosely(text)) for text in sorted(kept) if special.search(text)]
        stripped = special.sub("", piece)
        bare = stripped.strip()
        if sum(sign.isalnum() for sign in bare) > 2:  # without special tokens, on a line of its own
            if stripped.startswith(bare) and stripped.endswith("\n"):  # or glued to the answer, as of Llama 3
                marks.append(re.compile(_loosely(stripped)))
            end = r"[ \t]*\r?$" if bare.isalnum() else ""
            marks.append(re.compile(rf"^[ \t]*{_loosely(bare)}{end}", re.MULTILINE))
    return tuple(marks)


def _loosely(text: str) -> str:
    """Return a pattern of a text in which line ends may be Windows' ones."""
    return re.escape(text).replace("\\\n", r"\r?\n")


def without_special_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Return a text without the tokenizer's special tokens and without white space: what a stripped transcript says."""
    return "".join(special_tokens(tokenizer).sub(" ", text).split())


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Return a pattern of every token that decoding leaves out, the longest first."""
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    special = sorted({*map(str, tokenizer.all_special_tokens), *added}, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, special)) or r"(?!)")
