"""What a format of predictions is: how its files are recognised, and how their records are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Protocol

from engine.inputs.readers.record import EmptyFileError, Limits, Record
from engine.inputs.readers.text_source import SPACE, TextSource, compression_of

_DECODER = json.JSONDecoder()
_TOKENS = re.compile(rb'"((?:[^"\\]|\\.)*+)"\s*+:|"(?:[^"\\]|\\.)*+"|[{}\[\]]', re.DOTALL)
OnBytes = Callable[[int], None]
"""Called with the bytes on disk that were read since the last call; for a whole file they add up to its size."""


class FileHead:
    """The beginning of a file, decompressed, and read only as far as somebody asks.

    Parameters
    ----------
    file
        The file.
    limits
        How much of it is held.
    """

    def __init__(self, file: Path, limits: Limits):
        self.file = file
        self.limits = limits
        self._lines: tuple[bytes, bytes] | None = None
        self._first_byte: bytes | None = None
        self._first_object: Mapping[str, object] | None = None

    @property
    def suffix(self) -> str:
        """The suffix of the file's name in lower case, that of a compression aside."""
        return bare_suffix(self.file)

    def first_byte(self) -> bytes:
        """Return the first byte that is not blank; nothing when there is none."""
        if self._first_byte is None:
            with TextSource(self.file, self.limits.chunk_bytes) as source:
                try:
                    self._first_byte = source.first_byte()
                except EmptyFileError:
                    self._first_byte = b""
        return self._first_byte

    def beginning(self, until: re.Pattern[bytes]) -> bytes:
        """Return the beginning of the file, up to where a pattern is first met or a record may end at the latest."""
        head, searched = b"", 0
        with TextSource(self.file, self.limits.chunk_bytes) as source:
            while len(head) <= self.limits.row_bytes and (chunk := source.read()):
                head += chunk
                if until.search(head, max(searched - 100, 0)):
                    break
                searched = len(head)
        return head

    def lines(self) -> tuple[bytes, bytes]:
        """Return the first line that is not blank, and what follows it as far as it was read.

        The second is empty only where nothing follows, or the first line is longer than a record may be.
        """
        if self._lines is None:
            head = b""
            with TextSource(self.file, self.limits.chunk_bytes) as source:
                while len(head) <= self.limits.row_bytes and (chunk := source.read()):
                    head += chunk
                    if head.lstrip(SPACE).partition(b"\n")[2].strip(SPACE):
                        break
            first, _, after = head.lstrip(SPACE).partition(b"\n")
            self._lines = first.strip(SPACE), after.strip(SPACE)
        return self._lines

    def first_object(self) -> Mapping[str, object]:
        """Return the first record: the object that the file begins with, or the first of a list or of its lines.

        Empty where the file begins with something else. Of an object that is larger than a chunk its keys are there,
        with null for the values.
        """
        if self._first_object is None:
            first, after = self.lines()
            start = first.removeprefix(b"[").lstrip(SPACE) if first[:1] == b"[" else first
            if start[:1] not in b"{" or not start:
                start = after
            found = _object_in(start) or _object_in(start + b"\n" + after) or _object_in(after)
            self._first_object = found or dict.fromkeys(outer_keys(start + b"\n" + after))
        return self._first_object


def _object_in(raw: bytes) -> Mapping[str, object] | None:
    """Return the object that some bytes begin with; None where they begin with none, or hold a part of it."""
    try:
        found, _ = _DECODER.raw_decode(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def outer_keys(raw: bytes) -> list[str]:
    """Return the keys of an object, as far as some bytes hold it, without those of the objects in it."""
    keys: list[str] = []
    depth = 0
    for token in _TOKENS.finditer(raw):
        sign = token[0]
        if sign in (b"{", b"["):
            depth += 1
        elif sign in (b"}", b"]"):
            depth -= 1
            if not depth:
                break
        elif depth == 1 and token[1] is not None:
            keys.append(token[1].decode("utf-8", "replace"))
    return keys


def bare_suffix(file: Path) -> str:
    """Return the suffix of a file's name in lower case, that of a compression aside."""
    return (file.with_suffix("") if compression_of(file) else file).suffix.lower()


class Reader(Protocol):
    """One format of predictions.

    Attributes
    ----------
    suffixes
        Suffixes that files of the format have, in lower case; other formats may have them too.
    is_compressible
        Whether a file may be compressed from outside (``.csv.gz``).
    """

    suffixes: ClassVar[tuple[str, ...]]
    is_compressible: ClassVar[bool] = True

    def recognises(self, head: FileHead) -> bool:
        """Whether a file with one of the suffixes is of this format.

        Asked where several formats share the suffix; of those that say yes, the last in ``READERS`` reads the file.
        """
        return True

    def files_in(self, folder: Path) -> list[Path]:
        """Return the files to read of a folder that is of this format as a whole; none where it is not.

        Raises
        ------
        InputError
            When it is, and which of its files are meant cannot be told.
        """
        return []

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield the records of one file, in its order, without ever holding it as a whole.

        What cannot be read of a record is that record's problem. What cannot be read of a file, so that records would
        be lost without a trace, is raised.

        Parameters
        ----------
        file
            The file.
        limits
            How much of it may be held.
        on_bytes
            Called as it is read.

        Raises
        ------
        InputError
            When the file cannot be read as a whole; ``EmptyFileError`` when there is nothing in it.
        """
        ...
