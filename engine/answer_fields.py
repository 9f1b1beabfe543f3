"""The field of an answer that holds its label: in valid JSON, in broken JSON, or written as prose.

Value and place are found together, so that a label and its decision cannot come from different places.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

import json_repair

from engine.labels import STRIP, LabelReader, LabelWord

_FENCED = re.compile(r"```(?:\w+)?\s*(.*?)(?:```|\Z)", re.DOTALL)
_MAX_BRACES = 50
"""How many opening braces are tried from the end of an answer."""
_REPAIRED_CHARACTERS = 200_000
"""How much of an answer's end is repaired at most: 0.4 s of work, and far more than any answer's JSON."""
_DECODER = json.JSONDecoder()
_STRING_END = r"\\*[\"”]\s*(?:[,}\]\n]|\Z)"
_VALUE = (
    rf"(?:\\*[\"“](?P<double>(?:(?!{_STRING_END})(?s:.)){{0,400}})"
    r"|\\*'(?P<single>(?:(?!'\s*(?:[,}\]\n]|\Z))(?s:.)){0,400})"
    r"|[\[{](?P<inner>[^\]}]{0,400})|(?P<bare>[^,}\n<|]*))"
)


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A value that an answer gives the field: its character span, and whether it stands in valid JSON.

    ``is_key`` tells a quoted key, as in JSON, from the field's name in prose.
    """

    start: int
    end: int
    is_key: bool
    is_valid: bool


@dataclass(frozen=True, slots=True)
class FieldAnswer:
    """What the field says: a label's word and where it was read, or the reason and text of a value without one."""

    word: LabelWord | None
    source: str
    text: str
    reason: str = ""


def field_answer(answer: str, field: str, labels: LabelReader) -> FieldAnswer | None:
    """Return what an answer's field says; None when the answer has no such field.

    The last value counts, quoted keys before the field's name in prose. Values that are empty or echo the choice are
    passed over where another one says more; so is prose that names several labels.
    """
    passed: FieldAnswer | None = None
    values = field_values(answer, field)
    for value in sorted(values, key=lambda value: (value.is_key, value.start), reverse=True):
        text = answer[value.start : value.end]
        source = "json" if value.is_valid else "repaired_json"
        word = labels.single(answer, value.start, value.end)
        if word:
            return FieldAnswer(word, source, text)
        reason = labels.why_none(text)
        found = FieldAnswer(None, source, text, reason)
        is_vague = reason == "template_echo" or (reason == "ambiguous_label" and not value.is_key)
        if text.strip(STRIP) and not is_vague:
            return passed or found if not value.is_key else found
        passed = passed or found
    return passed


def field_values(answer: str, field: str) -> list[FieldValue]:
    """Return every value that an answer gives a field, in the order of the text."""
    matches = list(_pattern(field).finditer(answer))
    if not matches:
        return []
    valid = _valid_spans(answer, field)
    found = []
    for match in matches:
        part = match.lastgroup or "bare"
        start, end = match.span(part)
        is_valid = any(first <= match.start() and end <= last for first, last in valid)
        found.append(FieldValue(start, end, bool(match["quote"]), is_valid))
    return found


def stated_value(answer: str, field: str) -> str | None:
    """Return the last value that an answer gives a field, without quotes; mended by json-repair where it is broken."""
    values = field_values(answer, field)
    if not values:
        return None
    last = max(values, key=lambda value: (value.is_key, value.start))
    if last.is_valid or not last.is_key:
        return answer[last.start : last.end].strip(STRIP) or None
    try:
        tree = json_repair.loads(answer[max(answer.rfind("{", 0, last.start), 0) :][:_REPAIRED_CHARACTERS])
    except (ValueError, RecursionError):  # whatever it cannot mend is taken as it stands
        tree = None
    value = _named(tree, field)
    return str(value).strip(STRIP) or None if value is not None else answer[last.start : last.end].strip(STRIP) or None


@cache
def _name(field: str) -> str:
    """Return a pattern of a field's name; its words may be joined by underscores, hyphens or blanks, as in prose."""
    return r"[\s_-]+".join(re.escape(word) for word in re.split(r"[\s_-]+", field))


@cache
def _pattern(field: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?:\\*(?P<quote>[\"'“])(?i:{_name(field)})\\*[\"'”]\s*:\s*"
        rf"|(?<!\w)(?i:{_name(field)})(?!\w)[*`_\"'”]*\s*(?:[:=→>|]|\bis\b)\s*[*`]*\s*){_VALUE}"
    )


def _valid_spans(answer: str, field: str) -> list[tuple[int, int]]:
    """Return the spans of valid JSON that holds the field: whole fenced blocks, or objects anywhere in the text."""
    fenced = (match for match in _FENCED.finditer(answer) if _named(_parsed(match.group(1)), field) is not None)
    spans = [match.span(1) for match in fenced]
    for start in [match.start() for match in re.finditer(r"\{", answer)][-_MAX_BRACES:]:
        try:
            tree, end = _DECODER.raw_decode(answer, start)
        except (ValueError, RecursionError):
            continue
        if _named(tree, field) is not None:
            spans.append((start, end))
    return spans


def _named(tree: object, field: str) -> object | None:
    """Return the value of the last object that has the field, at any depth."""
    if isinstance(tree, dict):
        named = [value for key, value in tree.items() if re.fullmatch(_name(field), str(key), re.IGNORECASE)]
        if named:
            return named[-1]
        tree = list(tree.values())
    if isinstance(tree, list):
        found = (_named(item, field) for item in reversed(tree) if isinstance(item, dict | list))
        return next((value for value in found if value is not None), None)
    return None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
