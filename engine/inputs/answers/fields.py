"""The field of an answer that holds its label: in valid JSON, in broken JSON, or written as prose.

Value and place are found together, so that a label and its decision cannot come from different places.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

import json_repair

from engine.inputs.answers.unstated.places import Place, key_places
from engine.inputs.answers.values import ValueReader
from engine.inputs.answers.words import STRIP, LabelWord

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
    r"|[\[{](?P<inner>[^\]}]{0,400})|(?P<bare>(?:(?!\{\s*[\"'“])[^,}\n<|])*))"
)


@dataclass(frozen=True, slots=True)
class FieldValue:
    """A value that an answer gives the field: its character span, and whether it stands in valid JSON.

    ``is_key`` tells a quoted key, as in JSON, from the field's name in prose; ``is_closed`` tells a value in quotes or
    brackets; ``place`` where the key stands: how deep in which object, or how well it heads its line.
    """

    start: int
    end: int
    is_key: bool
    is_valid: bool
    is_closed: bool
    place: Place


@dataclass(frozen=True, slots=True)
class FieldAnswer:
    """What the field says: a label's word and where it was read, or the reason and text of a value without one."""

    word: LabelWord | None
    source: str
    text: str
    reason: str = ""


def field_answer(answer: str, field: str, labels: ValueReader) -> FieldAnswer | None:
    """Return what an answer's field says; None when the answer has no such field.

    The last value counts, quoted keys before the field's name in prose, keys of the outermost object before those of
    objects inside it, and keys that head their line before those behind other words; several objects, or lines, with
    different labels are ambiguous unless the last one is called final. Values that are empty or echo the choice are
    passed over where another one says more; so is prose that names several labels.
    """
    passed: FieldAnswer | None = None
    values = field_values(answer, field)
    several = _contradicting(answer, values, labels)
    if several is not None:
        return several
    for value in sorted(values, key=lambda value: (value.is_key, value.place.rank, value.start), reverse=True):
        end = value.end if value.is_closed else _list_end(answer, value.end)
        text = answer[value.start : value.end]
        if end > value.end and labels.several(answer[value.start : end]):
            text = answer[value.start : end].strip()
        source = "json" if value.is_valid else "repaired_json"
        reading = labels.read(text)
        if reading.word:
            return FieldAnswer(reading.word.moved(value.start), source, text)
        reason = reading.reason
        wordless = FieldAnswer(None, source, text, reason)
        is_vague = reason == "template_echo" or (reason == "ambiguous_label" and not value.is_key)
        if text.strip(STRIP) and not is_vague:
            return passed or wordless if not value.is_key else wordless
        passed = passed or wordless
    return passed


def _contradicting(answer: str, values: list[FieldValue], labels: ValueReader) -> FieldAnswer | None:
    """Return the refusal of values of one rank that stand in different objects, or lines, and name different labels."""
    best = max(((value.is_key, value.place.rank) for value in values), default=None)
    peers = [value for value in values if (value.is_key, value.place.rank) == best]
    if len({value.place.owner for value in peers}) < 2:
        return None
    readings = {value: labels.read(answer[value.start : value.end]) for value in peers}
    named = [(value, reading.word.label) for value, reading in readings.items() if reading.word]
    met = tuple(dict.fromkeys(label for _, label in named))
    if len(met) < 2 or peers[-1].place.is_final:
        return None
    texts = ", ".join(answer[value.start : value.end].strip() for value, _ in named)
    return FieldAnswer(None, "json" if peers[-1].is_valid else "repaired_json", texts, "ambiguous_label")


def _list_end(answer: str, position: int) -> int:
    """Return where the line, tag or object ends that a value without quotes stands in."""
    line = answer[answer.rfind("\n", 0, position) + 1 : position]
    stop = r"[\n<}|]" if "|" in line else r"[\n<}]"  # "increase | decrease" is a choice but in a table's row
    end = re.compile(stop).search(answer, position, position + 100)
    return end.start() if end else min(len(answer), position + 100)


def field_values(answer: str, field: str) -> list[FieldValue]:
    """Return every value that an answer gives a field, in the order of the text."""
    matches = list(_pattern(field).finditer(answer))
    if not matches:
        return []
    valid = _valid_spans(answer, field)
    values = []
    places = key_places(answer, matches)
    for match, place in zip(matches, places, strict=True):
        if place is None and len(matches) > 1:
            continue
        part = match.lastgroup or "bare"
        start, end = match.span(part)
        is_valid = any(first <= match.start() and end <= last for first, last in valid)
        values.append(FieldValue(start, end, bool(match["quote"]), is_valid, part != "bare", place or Place()))
    return values


def end_of_object(answer: str, position: int) -> int:
    """Return the end of the outermost JSON object around a position; of the last brace behind where it is broken."""
    for match in re.finditer(r"\{", answer[:position]):
        try:
            _, end = _DECODER.raw_decode(answer, match.start())
        except (ValueError, RecursionError):
            continue
        if end > position:
            return end
    return max(position, answer.rfind("}") + 1 if "{" in answer[:position] else position)


def answered_value(answer: str, field: str) -> str | None:
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
    return r"[\s_-]*".join(re.escape(word) for word in re.split(r"[\s_-]+", field))


@cache
def _pattern(field: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?:\\*(?P<quote>[\"'“])(?i:{_name(field)})\\*[\"'”]\s*:\s*"
        rf"|(?<![\w/])(?i:{_name(field)})(?!\w)[*`_\"'”]*\s*(?:[:=→>|]|\bis\b)\s*[*`]*\s*){_VALUE}"
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
        nested = (_named(item, field) for item in reversed(tree) if isinstance(item, dict | list))
        return next((value for value in nested if value is not None), None)
    return None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
