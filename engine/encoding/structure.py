"""The parts of an encoded text: chat segments, statements and their spans, as token positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.encoded_samples import SEGMENTS, IntArray, StatementSpan
from engine.samples import Message
from engine.statements.layouts.unread import unread_layout
from engine.statements.parser import (
    SPAN_KINDS,
    empty_periods,
    figures_without_sign,
    group_spans,
    named_item_spans,
    parse_statement,
    period_spans,
    statement_span,
    unread_figures,
    unread_headers,
)

CharSpans = Mapping[str, Sequence[tuple[int, int]]]
"""Character spans by kind, or by ``kind: name`` in lower case."""

_ROLE_SEGMENT = {"system": "system", "developer": "system", "user": "instruction"}


@dataclass(slots=True)
class Structure:
    """Where the parts of a rendered prompt stand, in characters.

    Attributes
    ----------
    segments
        Segment and span, later ones inside earlier ones.
    groups
        Spans by kind, and by kind and name, as key groups ask for them.
    named
        Spans of each line item and each period, by kind and name.
    """

    segments: list[tuple[str, tuple[int, int]]] = field(default_factory=list)
    groups: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    named: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)


def structure_of(prompt: str, messages: Sequence[Message]) -> Structure:
    """Find every message, and the tables of the user's ones, in the rendered prompt."""
    structure = Structure()
    cursor = 0
    for message in messages:
        content = message.content.strip()
        begin = prompt.find(content, cursor)
        if not content or begin < 0:
            continue
        cursor = begin + len(content)
        structure.segments.append((_ROLE_SEGMENT.get(message.role, "history"), (begin, cursor)))
        if message.role == "user":
            _add_statement(structure, content, begin)
    return structure


def _add_statement(structure: Structure, content: str, begin: int) -> None:
    """Add where the parts of a user's message lie that begins at a character of the prompt."""
    span = statement_span(content)
    if span:
        structure.segments.append(("statement", (begin + span[0], begin + span[1])))
    statement = parse_statement(content)
    for kind in SPAN_KINDS:
        structure.groups.setdefault(kind, []).extend(_shifted(group_spans(statement, kind), begin))
    for kind, named in (("line_item", named_item_spans(statement)), ("period", period_spans(statement))):
        for name, spans in named.items():
            structure.named.setdefault((kind, name), []).extend(_shifted(spans, begin))
            structure.groups.setdefault(span_key(f"{kind}: {name}"), []).extend(_shifted(spans, begin))


def has_empty_period(messages: Sequence[Message]) -> bool:
    """Whether a period heads a column of the user's statement that has no figure."""
    users = (message.content.strip() for message in messages if message.role == "user")
    return any(empty_periods(parse_statement(content)) for content in users)


def has_unread_figures(messages: Sequence[Message]) -> bool:
    """Whether a cell of the user's statement under a period holds digits and is no figure that is read."""
    users = (message.content.strip() for message in messages if message.role == "user")
    return any(unread_figures(parse_statement(content)) for content in users)


def unordered_header(messages: Sequence[Message]) -> str | None:
    """Return a header of the user's statement of which it is not known which period it names; None without any."""
    users = (message.content.strip() for message in messages if message.role == "user")
    return next((header for content in users for header in unread_headers(parse_statement(content))), None)


def has_figure_without_sign(messages: Sequence[Message]) -> bool:
    """Whether a figure of the user's statement is marked as debit or credit."""
    users = (message.content.strip() for message in messages if message.role == "user")
    return any(figures_without_sign(parse_statement(content)) for content in users)


def has_unread_table(messages: Sequence[Message]) -> bool:
    """Whether a user's message holds a table in a layout that is not read, such as CSV, JSON or LaTeX."""
    users = (message.content.strip() for message in messages if message.role == "user")
    return any(
        unread_layout(content, [(table.start, table.end) for table in parse_statement(content).tables]) is not None
        for content in users
    )


def _shifted(spans: Sequence[tuple[int, int]], by: int) -> list[tuple[int, int]]:
    return [(start + by, end + by) for start, end in spans]


def statement_spans(structure: Structure, starts: IntArray, ends: IntArray) -> tuple[StatementSpan, ...]:
    """Return the named spans of statements as token positions."""
    return tuple(
        StatementSpan(kind, name, positions_in_spans(sorted(spans), starts, ends))
        for (kind, name), spans in structure.named.items()
    )


def segment_codes(
    structure: Structure,
    starts: IntArray,
    ends: IntArray,
    num_prompt_tokens: int,
    thoughts: Sequence[tuple[int, int]] = (),
) -> IntArray:
    """Return the chat segment of every token, as an index into ``SEGMENTS``; ``thoughts`` are spans of the answer."""
    codes = np.full(len(starts), SEGMENTS.index("template"), dtype=np.int32)
    for segment, span in structure.segments:
        codes[positions_in_spans([span], starts, ends)] = SEGMENTS.index(segment)
    codes[num_prompt_tokens:] = SEGMENTS.index("response")
    thinking = positions_in_spans(thoughts, starts, ends)
    codes[thinking[thinking >= num_prompt_tokens]] = SEGMENTS.index("thinking")
    return codes


def span_key(spans: str) -> str:
    """Return the key of a group of spans, in which case and blanks of a name do not count."""
    return ": ".join(" ".join(part.split()).casefold() for part in spans.split(":", 1))


def positions_in_spans(spans: Iterable[tuple[int, int]], char_starts: IntArray, char_ends: IntArray) -> IntArray:
    """Return the positions of tokens that share at least one character with any of the spans.

    ``char_starts`` and ``char_ends`` never decrease, so all spans are found by one bisection each.
    """
    flat = [edge for span in spans if span[1] > span[0] for edge in span]  # flat: an array of pairs takes far longer
    if not flat:
        return np.array([], dtype=np.int32)
    edges = np.array(flat, dtype=char_starts.dtype).reshape(-1, 2)  # of one type: else all tokens are converted
    first = np.searchsorted(char_ends, edges[:, 0], side="right")
    last = np.searchsorted(char_starts, edges[:, 1], side="left")
    # How many spans each token lies in: one more from a span's first token on, one fewer from behind its last.
    length = len(char_starts) + 1
    changes = np.bincount(first, minlength=length) - np.bincount(np.maximum(first, last), minlength=length)
    return np.flatnonzero((np.cumsum(changes[:-1]) > 0) & (char_ends > char_starts)).astype(np.int32)
