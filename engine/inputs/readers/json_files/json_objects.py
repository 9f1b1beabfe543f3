r"""JSON objects one after another, whatever lines they take: cut from the bytes one by one, then parsed by ``json``.

An object ends where a line end and another object's brace follow its closing brace. Valid JSON has neither inside of
it, since line ends in strings are written as ``\n`` and objects of a list have a comma between them; so that an object
that is damaged costs itself, and no more than one object within the limit, and one chunk, is held. Objects of one line
are told by parsing them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from engine.inputs.readers.json_files.json_text import parsed_record
from engine.inputs.readers.reader import FileHead
from engine.inputs.readers.record import Record, too_large
from engine.inputs.readers.text_source import SPACE, TextSource

BOUNDARY = re.compile(rb"\}[ \t]*+(?:,[ \t]*+)?\r?\n[ \t\r\n]*+(?=\{)")
_UNINDENTED = re.compile(rb"\n\}[ \t]*+\r?\n\s*+\{")
_BETWEEN = re.compile(r"[ \t\r\n,]*+")
_TAIL_BYTES = 4096  # more than the blanks between two objects take
_DECODER = json.JSONDecoder()


def holds_objects(head: FileHead) -> bool:
    """Whether a file that begins with a brace holds several objects, of which the first takes several lines."""
    first, after = head.lines()
    if not first.startswith(b"{"):
        return False
    end = _object_end(first.decode("latin-1"))
    if end is not None:
        return first[end:].lstrip(SPACE)[:1] == b"{"
    if not after or (first[-1:] not in b"{[,:" or (after[:1] == b"{" and first[-1:] != b"[")):
        return False
    text = head.beginning(_UNINDENTED)
    if _UNINDENTED.search(text):
        return True
    boundary = BOUNDARY.search(text)
    return (
        boundary is not None and _object_end(text[: boundary.start() + 1].lstrip(SPACE).decode("latin-1")) is not None
    )


def object_records(source: TextSource, limit: int) -> Iterator[Record]:
    """Yield the objects of a file as records.

    Parameters
    ----------
    source
        The file's bytes.
    limit
        How many bytes an object may have; longer ones are passed over without being held.
    """
    number, rest, searched = 0, b"", 0
    is_end = False
    while not is_end:
        chunk = source.read()
        rest, is_end, position = rest + chunk, not chunk, 0
        while (boundary := BOUNDARY.search(rest, max(searched - _TAIL_BYTES, position))) is not None:
            for record in _records(rest[position : boundary.start() + 1], number, limit):
                number += 1
                yield record
            position = boundary.end()
        rest = _shortened(rest[position:])
        searched = len(rest)
        if len(rest) > limit and not is_end:
            items, position = _whole_objects(rest)
            for raw in items:
                number += 1
                yield (
                    parsed_record(raw, f"Object {number}")
                    if len(raw) <= limit
                    else too_large(f"Object {number}", len(raw), limit)
                )
            rest = _shortened(rest[position:])
            searched = len(rest)
            if len(rest) > limit:
                number += 1
                size, rest = _passed_over(source, rest)
                searched = 0
                yield too_large(f"Object {number}", size, limit)
    yield from _records(rest, number, limit)


def _shortened(raw: bytes) -> bytes:
    """Return some bytes without most of the blanks behind them, of which a file may hold any number."""
    bare = raw.rstrip(SPACE)
    return raw if len(raw) - len(bare) <= _TAIL_BYTES else bare + b"\n"


def _records(raw: bytes, number: int, limit: int) -> Iterator[Record]:
    """Yield the objects in some bytes: most often one; several where they share a line."""
    raw = raw.strip(SPACE).removesuffix(b",") if raw.strip(SPACE).endswith(b"},") else raw.strip(SPACE)
    text, start = raw.decode("latin-1"), 0  # one character per byte, and the syntax is all ASCII
    while start < len(text):
        number += 1
        end = _object_end(text, start)
        following = _behind(text, end or start)
        if end is None or text[following : following + 1] != "{":
            end = following = len(text)
        name = f"Object {number}"
        yield too_large(name, end - start, limit) if end - start > limit else parsed_record(raw[start:end], name)
        start = following


def _whole_objects(raw: bytes) -> tuple[list[bytes], int]:
    """Return the objects with nothing but blanks between them at the beginning, and where they end."""
    text = raw.decode("latin-1")
    start, found = len(text) - len(text.lstrip(" \t\r\n")), []
    while (end := _object_end(text, start)) is not None:
        found.append(raw[start:end])
        start = end
        while text[start : start + 1] in (" ", "\t", "\r", "\n"):
            start += 1
    return found, start if found else 0


def _behind(text: str, start: int) -> int:
    """Return where the blanks and commas at a place end."""
    match = _BETWEEN.match(text, start)
    assert match is not None, "no blank at all is a match too"
    return match.end()


def _object_end(text: str, start: int = 0) -> int | None:
    """Return where the object at a place ends; None where it does not end as JSON does."""
    try:
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return end


def _passed_over(source: TextSource, held: bytes) -> tuple[int, bytes]:
    """Go to the end of an object that is too large; return its size and what follows it as far as it was read."""
    size = 0
    while (boundary := BOUNDARY.search(held)) is None:
        size += max(len(held) - _TAIL_BYTES, 0)
        held = held[-_TAIL_BYTES:]
        chunk = source.read()
        if not chunk:
            return size + len(held), b""
        held += chunk
    return size + boundary.start() + 1, held[boundary.end() :]
