"""Files that appear whole or not at all, and are on disk once they do."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file that is whole and on disk before it has its name."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with naming(path):
            pq.write_table(table, temporary, compression="zstd")
            sync_file(temporary)
            temporary.replace(path)
    finally:
        _discard(temporary)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that is whole and on disk before it has its name."""
    with replacing(path) as stream:
        stream.write(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a stream whose content replaces a file once it is complete and on disk."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        _discard(temporary)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let a failed write say which file it was: a full disk does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _WRITE_ERRORS:
            error.filename = str(path)
        raise


def _discard(temporary: Path) -> None:
    # What made the write fail may make this fail too, and the first of the two is what a user must read.
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def sync_file(file: Path) -> None:
    """Bring a file's content to disk."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileFacts(TypedDict):
    """A Parquet file's rows, bytes and checksum, as a manifest has them."""

    rows: int
    bytes: int
    sha256: str


def file_facts(file: Path) -> FileFacts:
    """Return a Parquet file's rows, bytes and checksum."""
    return {"rows": pq.read_metadata(file).num_rows, "bytes": file.stat().st_size, "sha256": sha256(file)}


def sha256(file: Path) -> str:
    """Return a file's checksum."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
