"""The bytes of a file as text: decompressed, decoded, read in chunks."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol

import pyarrow as pa

from engine.errors import InputError
from engine.inputs.readers.encodings import wide_encoding
from engine.inputs.readers.record import EmptyFileError

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_HEAD = 64
"""Bytes that tell what a file is."""
SPACE = b" \t\r\n"
"""What JSON calls blank."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\x00": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_SPREADSHEET_REMEDY = "Save the sheet as CSV UTF-8, or write it from the program that made it as JSON Lines or Parquet."
_CONTAINERS = {
    b"PK\x03\x04": ("a zip archive or a spreadsheet (xlsx, ods)", f"Unpack it. {_SPREADSHEET_REMEDY}"),
    b"\xd0\xcf\x11\xe0": ("a spreadsheet of the old kind (xls)", _SPREADSHEET_REMEDY),
    b"SQLite": ("a database (SQLite)", "Write its table as CSV, JSON Lines or Parquet."),
    b"PAR1": ("a Parquet table", "Name the file .parquet, or set predictions.format to parquet."),
    b"ARROW1": ("an Arrow table", "Name the file .arrow, or set predictions.format to arrow."),
    b"%PDF": ("a PDF", "Give the recorded predictions themselves."),
}
"""What other files begin with: what they are, and what helps."""
_FAULTS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


def compression_of(file: Path) -> str:
    """Return the suffix of a compressed file, or nothing."""
    suffix = file.suffix.lower()
    return suffix if suffix in COMPRESSIONS else ""


class _Stream(Protocol):
    """Decompressed bytes."""

    def read(self, size: int, /) -> bytes: ...


class TextSource:
    """The decompressed bytes of a text file, chunk by chunk, without a byte order mark.

    Parameters
    ----------
    file
        The file; its suffix says how it is compressed.
    chunk_bytes
        How many decompressed bytes one ``read`` returns at most.
    on_bytes
        Called with the number of bytes that the position in the file, as it lies on disk, has moved on.
    """

    def __init__(self, file: Path, chunk_bytes: int, on_bytes: Callable[[int], None] | None = None):
        self.file = file
        self.consumed = 0  # decompressed bytes, without the byte order mark
        self._chunk_bytes = chunk_bytes
        self._on_bytes = on_bytes
        self._reported = 0
        self._pending = b""
        try:
            self._size = file.stat().st_size
            self._raw = file.open("rb")
        except OSError as error:
            raise InputError(f"{file}: cannot be opened: {error.strerror}. Check its permissions.") from None
        self._stream = self._decompressed()
        try:
            self._pending = self._without_mark(self._stream_head())
        except BaseException:
            self._raw.close()
            raise

    def __enter__(self) -> TextSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._raw.close()

    def read(self) -> bytes:
        """Return the next chunk, or nothing at the end of the file.

        Raises
        ------
        InputError
            When the file cannot be read or is not what its compression suffix says.
        """
        if self._pending:
            chunk, self._pending = self._pending, b""
        else:
            chunk = self._next_chunk()
        self.consumed += len(chunk)
        return chunk

    def first_byte(self) -> bytes:
        """Return the first byte that is not blank, and leave the source where the chunk with it begins.

        Raises
        ------
        EmptyFileError
            When there is none.
        InputError
            As ``read``.
        """
        while chunk := self.read():
            if text := chunk.lstrip(SPACE):
                self.put_back(chunk)
                return text[:1]
        raise EmptyFileError(f"{self.file}: the file is empty; it must hold a list of predictions.")

    def put_back(self, data: bytes) -> None:
        """Let the next ``read`` return these bytes, which were read last."""
        self._pending = data + self._pending
        self.consumed -= len(data)

    def _decompressed(self) -> _Stream:
        compression = compression_of(self.file)
        if compression == ".gz":
            return gzip.GzipFile(fileobj=self._raw)
        if compression == ".bz2":
            return bz2.BZ2File(self._raw)
        if compression == ".xz":
            return lzma.LZMAFile(self._raw)
        if compression == ".zst":
            return pa.CompressedInputStream(pa.PythonFile(self._raw, mode="r"), "zstd")
        return self._raw

    def _next_chunk(self) -> bytes:
        try:
            chunk = self._stream.read(self._chunk_bytes)
        except _FAULTS as error:
            name = compression_of(self.file)
            if not name:
                raise InputError(f"{self.file}: cannot be read: {error}.") from None
            raise InputError(
                f"{self.file}: its {name} compression is damaged or cut off, or it is no {name} file ({error}). Copy "
                f"the file again from where it was written, or decompress what can be saved and give that."
            ) from None
        position = self._raw.tell() if chunk else max(self._size, self._reported)
        if self._on_bytes and position > self._reported:
            self._on_bytes(position - self._reported)
        self._reported = max(self._reported, position)
        return chunk

    def _stream_head(self) -> bytes:
        head = b""
        while len(head) < _HEAD and (chunk := self._next_chunk()):
            head += chunk
        return head

    def _without_mark(self, head: bytes) -> bytes:
        for magic, (kind, remedy) in _CONTAINERS.items():
            if head.startswith(magic):
                raise InputError(f"{self.file}: holds {kind}, whatever its name says. {remedy}")
        for magic, suffix in _MAGIC.items():
            if head.startswith(magic) and suffix != ".bz2":  # three letters can be a text's
                raise InputError(f"{self.file}: holds compressed data ({suffix}); add {suffix} to the file's name.")
        encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "")
        encoding = encoding or wide_encoding(head)
        if encoding:
            raise InputError(
                f"{self.file}: is {encoding} text; only UTF-8 is read. Convert it: `iconv -f {encoding} -t UTF-8`."
            )
        return head.removeprefix(BYTE_ORDER_MARK)
