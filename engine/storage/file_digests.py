"""Checksums of whole files, each computed once per run and host for as long as the file stays as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from engine.machine.atomic_files import sha256

_BLOB = re.compile(r"[0-9a-f]{64}")
_MOST_THREADS = 8


class Stamp(NamedTuple):
    """What changes when a file is written or replaced: a file with the stamp of another time is taken to be the same.

    Attributes
    ----------
    size
        In bytes.
    changed, entered
        Times of the last change of its content and of its entry, in nanoseconds.
    inode
        Number of the file within its file system; hosts with copies of their own differ here.
    """

    size: int
    changed: int
    entered: int
    inode: int

    @classmethod
    def of(cls, file: Path) -> Stamp:
        """Return a file's stamp."""
        facts = file.stat()
        return cls(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)


class FileDigests:
    """SHA-256 of files by their path and stamp.

    Parameters
    ----------
    known
        What was found before: by absolute path, stamps with their digests (one for each host that differs).
    """

    def __init__(self, known: object = None):
        self._known: dict[str, dict[Stamp, str]] = {}
        for path, entries in (known if isinstance(known, dict) else {}).items():
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, list) and len(entry) == 5:
                    self._known.setdefault(path, {})[Stamp(*entry[:4])] = str(entry[4])

    def to_json(self) -> dict[str, object]:
        """Return what was found, for the next who asks."""
        return {
            path: [[*stamp, digest] for stamp, digest in stamps.items()] for path, stamps in sorted(self._known.items())
        }

    def of(self, files: Sequence[Path]) -> list[str]:
        """Return the SHA-256 of each file, of its whole content.

        The cache of the Hugging Face hub names large files by their SHA-256, which is taken as it is.
        """
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
            return list(threads.map(self._of, files))

    def _of(self, file: Path) -> str:
        place = file.resolve()
        if place.parent.name == "blobs" and _BLOB.fullmatch(place.name):
            return place.name
        stamp, known = Stamp.of(place), self._known.setdefault(str(place), {})
        if stamp in known:
            return known[stamp]
        digest = sha256(place)
        if Stamp.of(place) == stamp:  # or it was written while it was read, and the next look finds another file
            known[stamp] = digest
        return digest


def stamps_of(files: Iterable[Path]) -> dict[str, Stamp]:
    """Return the stamp of each file by its path."""
    return {str(file): Stamp.of(file) for file in files}
