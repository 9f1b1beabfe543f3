"""Paths into the objects and lists of a record: ``arguments.gen_args_0.arg_0``, ``resps[0][0]``, ``["a b.c"].value``.

A step is a key, or a number for an item of a list (from the end where it is negative); ``resps.0.0`` means the same as
``resps[0][0]``. A key with a point or a bracket in it stands in brackets and quotes. A field whose whole name is the
path comes first, and a text that holds JSON is looked into.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

_STEP = re.compile(r"\.?([^.\[\]\"']+)|\[\s*(-?\d+)\s*\]|\[\s*([\"'])(.*?)\3\s*\]", re.DOTALL)
_PLAIN = re.compile(r"[^.\[\]\"']+")
_NUMBER = re.compile(r"-?\d+")
_LONGEST_JSON = 2**22
"""Characters of a text that is looked into for JSON."""

MISSING = object()
"""What a path leads to that leads nowhere: null is a value."""


def is_path(name: str) -> bool:
    """Whether a field's name may be a path."""
    return "." in name or "[" in name


def value_at(values: Mapping[str, object], path: str) -> object:
    """Return what a path leads to in a record; ``MISSING`` where it leads nowhere."""
    if path in values:
        return values[path]
    steps = _steps(path)
    if not steps:
        return MISSING
    place: object = values
    for step in steps:
        place = _inside(place, step)
        if place is MISSING:
            return MISSING
    return place


def quoted_step(key: str) -> str:
    """Return the step of a path for a key, in brackets and quotes where it could be read as several."""
    if _PLAIN.fullmatch(key) and key == key.strip():
        return f".{key}"
    quote = "'" if '"' in key else '"'
    return f"[{quote}{key}{quote}]"


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    place = 0
    while place < len(path):
        match = _STEP.match(path, place)
        if match is None:
            return []
        place = match.end()
        key, number, _, quoted = match.groups()
        steps.append(key if key is not None else int(number) if number is not None else quoted)
    return steps


def _inside(place: object, step: str | int) -> object:
    if isinstance(place, str) and place.lstrip()[:1] in ("{", "[") and len(place) <= _LONGEST_JSON:
        try:
            place = json.loads(place)
        except (ValueError, RecursionError):
            return MISSING
    if isinstance(place, Mapping):
        return place.get(str(step), MISSING)
    if isinstance(place, Sequence) and not isinstance(place, str | bytes):
        number = int(step) if isinstance(step, int) or _NUMBER.fullmatch(step) else None
        return place[number] if number is not None and -len(place) <= number < len(place) else MISSING
    return MISSING
