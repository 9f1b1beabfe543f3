"""A list somewhere inside one JSON object, item by item: of a log of any size, with a head that is small."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from engine.errors import InputError
from engine.inputs.readers.json_files.json_list import ListRecords
from engine.inputs.readers.record import Record
from engine.inputs.readers.text_source import SPACE, TextSource

_TOKENS = re.compile(rb'("(?:[^"\\]|\\.)*+")(\s*+:)?|([{}\[\]])', re.DOTALL)
_CLOSING = {ord("{"): b"}", ord("["): b"]"}


class MemberList:
    """A list inside an object, found by the keys that lead to it, to be iterated once.

    Parameters
    ----------
    source
        The file's bytes, of which the first that is not blank is the object's brace.
    keys
        The keys of the objects around the list, from the outside.
    limit
        How many bytes an item, and what stands before the list, may have.

    Raises
    ------
    InputError
        When the object has no such list.
    """

    def __init__(self, source: TextSource, keys: Sequence[str], limit: int):
        self._source, self._keys, self._limit = source, tuple(keys), limit
        head, opened, rest = self._found()
        source.put_back(rest)
        closed = b"".join(_CLOSING[bracket] for bracket in reversed(opened))
        try:
            self.head: Mapping[str, object] = json.loads(head + b"[]" + closed)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{source.file}: is not valid JSON before its list {'.'.join(keys)!r}: {error}. Copy the log again."
            ) from None

    def __iter__(self) -> Iterator[Record]:
        """Yield the items.

        Raises
        ------
        InputError
            When the list, or the object around it, ends in the middle.
        """
        yield from _ListInside(self._source, self._limit)

    def _found(self) -> tuple[bytes, list[int], bytes]:
        """Return what stands before the list, the brackets that are open there, and what was read from it on."""
        buffer = b""
        while chunk := self._source.read():
            buffer += chunk
            place = _list_at(buffer, self._keys)
            if place is not None:
                start, opened = place
                return buffer[:start], opened, buffer[start:]
            if len(buffer) > self._limit:
                break
        name = ".".join(self._keys)
        raise InputError(
            f"{self._source.file}: the log holds no list {name!r} with rows, or was cut off before it. Copy it again, "
            f"or write it anew with the samples in it."
        )


def _list_at(buffer: bytes, keys: tuple[str, ...]) -> tuple[int, list[int]] | None:
    """Return where the list begins in an object, and the brackets open before it; None where it was not reached."""
    wanted = [json.dumps(key).encode() for key in keys]
    opened: list[int] = []
    path: list[bytes] = []
    key = b""
    for token in _TOKENS.finditer(buffer):
        text, colon, bracket = token.groups()
        if text is not None:
            key = text if colon is not None else b""
            continue
        sign = ord(bracket)
        if bracket in (b"{", b"["):
            if bracket == b"[" and [*path, key] == [b"", *wanted]:
                return token.start(), opened
            opened.append(sign)
            path.append(key)
        elif opened:
            opened.pop()
            path.pop()
        key = b""
    return None


class _ListInside(ListRecords):
    """A list behind which the rest of an object follows."""

    def _refuse_more(self) -> None:
        """Read to the end of the object, and refuse one that has none."""
        last = self._buffer[self._position :]
        while chunk := self.source.read():
            last = last[-1:] + chunk if not chunk.strip(SPACE) else chunk
        if last.rstrip(SPACE)[-1:] != b"}":
            raise InputError(
                f"{self.source.file}: is cut off behind its {self._number} row(s): the object around them does not "
                f"end. Copy the log again in full."
            )
