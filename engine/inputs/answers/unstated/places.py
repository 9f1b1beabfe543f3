"""Where the keys of an answer stand: how deep in which object, behind what words; which are the answer's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from engine.inputs.answers.languages import languages, phrases, words_of

_OUTSIDE = 99
"""Rank of a key in the outermost object; one less for each object or list around it."""
_LEAD = 120
"""Characters before an object in which it is called final, an example or an alternative."""
_DRESS = " \t*_#>`\"'“({[|•-.0123456789)"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key stands.

    Attributes
    ----------
    rank
        The higher, the more the key is the answer's own.
    owner
        The object (by where it begins) that it is a key of, or the line.
    is_final
        Whether the words before it call it final, or a correction.
    """

    rank: int = 0
    owner: int = 0
    is_final: bool = False


def key_places(text: str, keys: Sequence[re.Match[str]]) -> list[Place | None]:
    """Return the place of each key; None of one that is quoted inside a string of another object.

    Parameters
    ----------
    text
        The answer.
    keys
        Matches in order; the group ``quote`` is the sign that a key of an object is quoted with.
    """
    places: list[Place | None] = []
    opened: list[int] = []
    is_string, at, last_end = False, 0, 0
    for key in keys:
        start = key.start()
        is_escaped = text[start] == "\\"
        while at < start:
            sign = text[at]
            if sign == "\\":
                at += 2
                continue
            if sign == '"' and opened:
                is_string = not is_string
            elif not is_string and sign in "{[":
                if not opened:
                    last_end, is_string = last_end if last_end <= at else at, False
                opened.append(at)
            elif not is_string and sign in "}]" and opened:
                opened.pop()
                last_end = at + 1 if not opened else last_end
            at += 1
        if not key["quote"]:
            places.append(None if is_string else _line_place(text, start))
        elif is_string and is_escaped:
            places.append(None)
        else:
            is_string = False
            places.append(_object_place(text, opened, last_end, start))
        at = max(at, start)
    return places


def _object_place(text: str, opened: Sequence[int], since: int, start: int) -> Place:
    outermost = opened[0] if opened else start
    lead = text[max(since, outermost - _LEAD) : outermost]
    sentence = re.split(r"[.!?。！？]\s|\n\s*\n(?=.*\n)", lead)[-1]
    is_other = bool(_examples().search(sentence))
    rank = _OUTSIDE - len(opened) - (_OUTSIDE if is_other else 0)
    return Place(rank, opened[-1] if opened else start, since > 0 and bool(_finals().search(lead)))


def _line_place(text: str, start: int) -> Place:
    """Return the place of a field's name in prose: 2 behind words such as overall, 1 at a line's beginning, else 0."""
    line = text.rfind("\n", 0, start) + 1
    before = text[line:start].strip(_DRESS)
    if not before:
        return Place(1, line)
    return Place(2 if _overall().fullmatch(before) else 0, line)


@cache
def _examples() -> re.Pattern[str]:
    """Return a pattern of what calls the object that follows an example, an alternative or a supposed case."""
    words = [word for kind in ("examples", "conditional") for word in words_of(languages(), kind)]
    return re.compile(phrases(words), re.IGNORECASE)


@cache
def _finals() -> re.Pattern[str]:
    words = [word for kind in ("final", "corrections") for word in words_of(languages(), kind)]
    return re.compile(phrases(words), re.IGNORECASE)


@cache
def _overall() -> re.Pattern[str]:
    words = [word for kind in ("modifiers", "final", "connectors") for word in words_of(languages(), kind)]
    return re.compile(rf"(?:(?:{phrases(words)}|overall|so)[\s,:*_]*)+", re.IGNORECASE)
