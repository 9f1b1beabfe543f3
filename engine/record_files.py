"""Which files hold the predictions, and their bytes: found, decompressed, read in chunks, never as a whole."""

from __future__ import annotations

import bz2
import glob
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pyarrow as pa

from engine.errors import InputError

FORMATS = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
}
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\x00": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_BOM = b"\xef\xbb\xbf"
_FAULTS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


class Row(NamedTuple):
    """One row of one file: its fields, or why it cannot be read (a sentence and a reject reason)."""

    values: dict[str, Any]
    problem: str = ""
    reason: str = "unreadable_row"


def input_files(path: str, file_format: str = "auto") -> list[Path]:
    """Return the files that a ``predictions.path`` names, in the order in which they are read.

    Parameters
    ----------
    path
        A file; a glob pattern such as ``preds/*.jsonl.gz`` or ``preds/**/*.parquet``; or a folder, which stands for
        all files directly in it whose suffix is known. Hidden files are left out of patterns and folders.
    file_format
        ``json``, ``jsonl``, ``parquet``, ``csv``, or ``auto``, with which every file needs a known suffix.

    Raises
    ------
    InputError
        When there is no such file, the pattern matches none, the folder has none, or a suffix is unknown.
    """
    place = Path(path)
    if place.is_dir():
        files = [file for file in _visible_files(place) if _known_format(file)]
        if not files:
            raise InputError(
                f"{path}: the folder holds no file of predictions; known suffixes are {_known_suffixes()}."
            )
    elif place.is_file():
        files = [place]
    elif glob.has_magic(path):
        found = {Path(name) for name in glob.glob(path, recursive=True)}  # noqa: PTH207 - takes absolute patterns too
        files = sorted(file for file in found if file.is_file())
        if not files:
            raise InputError(f"{path}: no file matches this pattern. predictions.path must name files that exist.")
    else:
        what = "is neither a file nor a folder" if place.exists() else "no such file"
        raise InputError(f"{path}: {what}. predictions.path must name the file of recorded predictions.")
    for file in files:
        format_of(file, file_format)
    return files


def ignored_files(path: str) -> list[Path]:
    """Return the files of a folder that are not read because their suffix is unknown; none unless it is a folder."""
    place = Path(path)
    return [file for file in _visible_files(place) if not _known_format(file)] if place.is_dir() else []


def total_bytes(files: Iterable[Path]) -> int:
    """Return the size on disk of all files, in bytes: what ``on_bytes`` adds up to."""
    return sum(file.stat().st_size for file in files)


def format_of(file: Path, file_format: str = "auto") -> str:
    """Return ``json``, ``jsonl``, ``parquet`` or ``csv``: the stated format, or the one of the file's suffix.

    Raises
    ------
    InputError
        When the suffix is unknown and no format was stated, or a Parquet file is compressed from outside.
    """
    found = file_format if file_format != "auto" else _known_format(file)
    compression = _compression(file)
    if found == "parquet" and compression:
        raise InputError(
            f"{file}: a Parquet file compressed with {compression} cannot be read in parts; decompress it first "
            f"(Parquet is compressed inside)."
        )
    if found is None:
        shown = "".join(file.suffixes[-2:]) if compression else file.suffix
        raise InputError(f"{file}: unknown suffix {shown!r}; known are {_known_suffixes()}. Or set predictions.format.")
    return found


def _visible_files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read: {error.strerror}. Check its permissions.") from None


def _known_suffixes() -> str:
    return f"{', '.join(sorted(FORMATS))}, the text formats also with {', '.join(COMPRESSIONS)} added"


def _compression(file: Path) -> str:
    suffix = file.suffix.lower()
    return suffix if suffix in COMPRESSIONS else ""


def _known_format(file: Path) -> str | None:
    bare = file.with_suffix("") if _compression(file) else file
    found = FORMATS.get(bare.suffix.lower())
    return None if found == "parquet" and bare != file else found


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
        self._stream: Any = self._decompressed()
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

    def put_back(self, data: bytes) -> None:
        """Let the next ``read`` return these bytes, which were read last."""
        self._pending = data + self._pending
        self.consumed -= len(data)

    def _decompressed(self) -> Any:
        compression = _compression(self.file)
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
            name = _compression(self.file)
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
        while len(head) < 6 and (chunk := self._next_chunk()):
            head += chunk
        return head

    def _without_mark(self, head: bytes) -> bytes:
        for magic, suffix in _MAGIC.items():
            if head.startswith(magic) and suffix != ".bz2":  # three letters can be a text's
                raise InputError(f"{self.file}: holds compressed data ({suffix}); add {suffix} to the file's name.")
        encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "")
        if not encoding and len(head) >= 4 and b"\0" in head[:4] and head[:4].strip(b"\0"):
            encoding = "UTF-16 or UTF-32" if head[0:4:2] == b"\0\0" or head[1:4:2] == b"\0\0" else ""
        if encoding:
            raise InputError(
                f"{self.file}: is {encoding} text; only UTF-8 is read. Convert it, for example with "
                f"`iconv -f {encoding.split()[0]} -t UTF-8`."
            )
        return head.removeprefix(_BOM)
