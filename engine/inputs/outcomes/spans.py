"""Where a free answer stands: no label of a list, but a number, an expression or a few words of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engine.config import SpanSection
from engine.inputs.selection import as_number
from engine.samples import RowRejected

_NUMBER = re.compile(r"(?<![\w.])[-−+]?\d+(?:[.,]\d+)*(?:/\d+)?|(?<=[-−/ ])\d+(?:[.,]\d+)*")
_CUE = re.compile(r"(?:####|(?i:\b(?:final\s+)?answer\b[\s*_\"']*(?:is\b|=|[:：])))[\s*_\"'$]*", re.MULTILINE)
"""What comes before a final answer: ``####``, ``Answer:``, ``the answer is``."""
_BOX = re.compile(r"\\boxed\s*\{")
_MARKUP = " \t*_`\"'$"
_STOPS = ".。!！;；,，"


def answer_span(response: str, start: int, end: int, span: SpanSection, offsets: object = None) -> tuple[int, int]:
    """Return the characters of a free answer.

    Parameters
    ----------
    response
        What the model wrote.
    start, end
        Where its answer behind the thought stands.
    span
        How it is found.
    offsets
        What the record's field of ``span.offsets`` holds: first character and one past the last, in ``response``.

    Raises
    ------
    RowRejected
        When there is none.
    """
    if span.kind == "offsets":
        return _given(response, offsets, str(span.value))
    finders = {"boxed": _boxed, "last_number": _numbers, "last_line": _last_line, "cue": _cued, "regex": _matches}
    found = [
        place for place in finders[span.kind](response[:end], start, span.value) if response[slice(*place)].strip()
    ]
    if not found:
        raise RowRejected("label", "no_decision", f"The answer has nothing that decision.span ({span.text}) asks for.")
    return found[-1]


def concluded_answer(text: str) -> str:
    """Return the answer that an explanation ends with: behind the last ``####``, or in the last box; else the text."""
    _, mark, behind = text.rpartition("####")
    if mark and behind.strip():
        return behind.strip()
    boxed = list(_boxed(text, 0, None))
    return text[slice(*boxed[-1])] if boxed else text


def same_answer(first: str, second: str) -> bool:
    """Whether two free answers are one: as numbers where both are, else as texts without case and blanks around."""
    numbers = as_number(_plain(first)), as_number(_plain(second))
    if None not in numbers:
        return numbers[0] == numbers[1]
    return " ".join(first.casefold().split()).strip(_STOPS) == " ".join(second.casefold().split()).strip(_STOPS)


def _plain(text: str) -> str:
    text = text.strip().strip(_MARKUP).rstrip(_STOPS).replace("−", "-")
    return text.replace(",", "") if re.fullmatch(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text) else text


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a stretch without markup and blanks around it, and without a stop at its end."""
    while start < end and text[start] in _MARKUP + "\r\n":
        start += 1
    while end > start and text[end - 1] in _MARKUP + "\r\n" + _STOPS:
        end -= 1
    return start, end


def _boxed(text: str, start: int, _value: str | None) -> Iterator[tuple[int, int]]:
    for match in _BOX.finditer(text, start):
        depth, place = 1, match.end()
        while place < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            place += 1
        if not depth:
            yield _trimmed(text, match.end(), place - 1)


def _numbers(text: str, start: int, _value: str | None) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _NUMBER.finditer(text, start))


def _last_line(text: str, start: int, _value: str | None) -> Iterator[tuple[int, int]]:
    return (_trimmed(text, *match.span()) for match in re.compile(r"[^\n]*\S[^\n]*").finditer(text, start))


def _cued(text: str, start: int, value: str | None) -> Iterator[tuple[int, int]]:
    cue = _CUE if value is None else re.compile(re.escape(value))
    for match in cue.finditer(text, start):
        line_end = text.find("\n", match.end())
        first, last = _trimmed(text, match.end(), len(text) if line_end < 0 else line_end)
        boxed = list(_boxed(text[:last], first, None))
        yield boxed[0] if boxed else (first, last)


def _matches(text: str, start: int, value: str | None) -> Iterator[tuple[int, int]]:
    for match in re.compile(value or "", re.MULTILINE).finditer(text, start):
        yield match.span(1 if match.re.groups and match.group(1) is not None else 0)


def _given(response: str, offsets: object, name: str) -> tuple[int, int]:
    if isinstance(offsets, Sequence) and not isinstance(offsets, str) and len(offsets) == 2:
        first, last = (int(place) if isinstance(place, int | float) else -1 for place in offsets)
        if 0 <= first < last <= len(response) and response[first:last].strip():
            return first, last
    raise RowRejected(
        "label",
        "no_decision",
        f"The field {name!r} holds {str(offsets)[:60]!r}, which is no stretch of the answer's {len(response)} "
        f"characters; it has to be its first character and the one behind its last.",
    )
