"""JSON text → records: what every JSON reader shares, and how any JSON value becomes a record."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

from engine.inputs.readers.encodings import why_not_utf8
from engine.inputs.readers.record import Record, text_length, too_large

SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_PYTHON = re.compile(rb"\s*\{\s*'[^'\n]{1,80}'\s*:")
"""What an object begins with that Python printed."""


class KeyedObjects:
    """Makes dictionaries of JSON objects, of which the last of several equal keys counts, and remembers those keys."""

    def __init__(self) -> None:
        self._repeating: list[tuple[dict[str, object], tuple[str, ...]]] = []

    def __call__(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        """Return an object's dictionary; to be given to ``json.loads`` as its ``object_pairs_hook``."""
        made = dict(pairs)
        if len(made) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            self._repeating.append((made, tuple(name for name, count in counts.items() if count > 1)))
        return made

    def repeated_keys(self) -> tuple[str, ...]:
        """Return the keys that any of the objects holds several times."""
        return tuple(dict.fromkeys(key for _, keys in self._repeating for key in keys))

    def repeated_by(self, value: object) -> tuple[str, ...]:
        """Return the keys that one object itself holds several times."""
        return next((keys for made, keys in self._repeating if made is value), ())

    def repeated_in(self, value: object) -> tuple[str, ...]:
        """Return the keys that one object, or any inside it, holds several times."""
        if not self._repeating:
            return ()
        inside = {id(one) for one in _objects_in(value)}
        return tuple(dict.fromkeys(key for made, keys in self._repeating if id(made) in inside for key in keys))


def _objects_in(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects_in(inner)


def parsed_record(raw: bytes, name: str) -> Record:
    """Return the JSON object in some bytes as a record, or the record's problem.

    Parameters
    ----------
    raw
        The bytes of one JSON value.
    name
        What to call the record in its problem, such as ``Line 3``.
    """
    made = KeyedObjects()
    try:
        item = json.loads(raw.decode(), object_pairs_hook=made)
        if SURROGATE.search(raw):
            json.dumps(item, ensure_ascii=False).encode()  # half of a pair cannot be encoded
    except UnicodeDecodeError as error:
        return Record({}, f"{name} is not UTF-8 text: {why_not_utf8(raw, error.start)}")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        return Record({}, f"{name} holds {half}, half of a surrogate pair, which is no character.")
    except RecursionError:
        return Record({}, f"{name} is nested too deeply to be read.")
    except json.JSONDecodeError as error:
        is_python = _PYTHON.match(raw) is not None
        hint = " It is an object as Python prints it: write it with json.dumps." if is_python else ""
        return Record({}, f"{name} is not valid JSON: {error}.{hint}")
    except ValueError:  # the one other thing that Python refuses
        return Record({}, f"{name} holds a number of too many digits to be read.")
    if isinstance(item, dict):
        return Record(item, repeated_keys=made.repeated_keys())
    return Record({}, f"{name} is {type(item).__name__}, not an object.")


def checked_value(values: object, name: str, limit: int, *, has_halves: bool = False) -> Record:
    """Return as a record what was parsed as a part of something larger.

    Parameters
    ----------
    values
        What was parsed.
    name
        What to call it in its problem.
    limit
        How many characters its texts may have.
    has_halves
        Whether halves of surrogate pairs may be among its texts.
    """
    if not isinstance(values, dict):
        return Record({}, f"{name} is {type(values).__name__}, not an object.")
    size = text_length(values)
    if size > limit:
        return too_large(name, size, limit)
    return parsed_record(json.dumps(values).encode(), name) if has_halves else Record(values)
