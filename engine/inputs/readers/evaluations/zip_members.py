"""Members of a zip archive, also those that zstd compressed, which Python's own reader knows from 3.14 on only."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from engine.errors import InputError

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_ZSTD = (93, 20)  # the method's number, and the one that it had before
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_FAULTS = (OSError, EOFError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile, pa.ArrowException)


class MemberError(Exception):
    """A member that cannot be read; ``str()`` says why."""


class ZipMembers:
    """The members of an archive, by name.

    Parameters
    ----------
    file
        The archive.

    Raises
    ------
    InputError
        When it is no whole zip archive.
    """

    def __init__(self, file: Path):
        self.file = file
        try:
            self._raw = file.open("rb")
        except OSError as error:
            raise InputError(f"{file}: cannot be opened: {error.strerror}. Check its permissions.") from None
        try:
            self._archive = zipfile.ZipFile(self._raw)
        except _FAULTS as error:
            self._raw.close()
            raise InputError(
                f"{file}: is no whole zip archive ({error}): its directory stands at the end, so that nothing of a "
                f"file that was cut off can be found. Copy it again in full."
            ) from None
        self._folders: defaultdict[str, list[str]] | None = None
        self.entries = {entry.filename: entry for entry in self._archive.infolist()}

    def __enter__(self) -> ZipMembers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._archive.close()
        self._raw.close()

    def in_folder(self, folder: str) -> list[str]:
        """Return the members directly in a folder, which is named with its stroke, in the archive's order."""
        if self._folders is None:  # asked for by some logs alone, and then for every sample
            self._folders = defaultdict(list)
            for name in self.entries:
                self._folders[name[: name.rfind("/") + 1]].append(name)
        return self._folders.get(folder, [])

    def size(self, name: str) -> int:
        """Return how many bytes a member has when it is decompressed."""
        return self.entries[name].file_size

    def read(self, name: str) -> bytes:
        """Return a member's bytes.

        Raises
        ------
        MemberError
            When they are damaged, or compressed in a way that is not known.
        """
        entry = self.entries[name]
        try:
            content = self._zstd(entry) if entry.compress_type in _ZSTD else self._archive.read(entry)
        except NotImplementedError as error:
            raise MemberError(f"{name} is compressed in a way that is not read ({error}).") from None
        except _FAULTS as error:
            raise MemberError(f"{name} is damaged: {error}.") from None
        if entry.compress_type in _ZSTD and zlib.crc32(content) != entry.CRC:
            raise MemberError(f"{name} is damaged: its checksum differs.")
        return content

    def _zstd(self, entry: zipfile.ZipInfo) -> bytes:
        self._raw.seek(entry.header_offset)
        *_, name_size, extra_size = _LOCAL_HEADER.unpack(self._raw.read(_LOCAL_HEADER.size))
        self._raw.seek(name_size + extra_size, 1)
        packed = self._raw.read(entry.compress_size)
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            return stream.read()
