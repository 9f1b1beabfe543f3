"""Checksums of a run's files, each computed once for as long as the file stays as it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.schema.layout import CHECKSUMS

Stamp = tuple[int, int, int, int]
"""Size in bytes, times of the last change of content and of entry in nanoseconds, inode."""

_SETTLED_SECONDS = 2.0
"""A file that was changed more recently may be changed again without another time: its checksum is not kept."""
_MOST_THREADS = 8


class Checksums:
    """Checksums of the files of one run directory.

    Parameters
    ----------
    run_dir
        The run directory; where it cannot be written, checksums are computed each time.
    """

    def __init__(self, run_dir: Path):
        self.run_dir, self.path = run_dir, run_dir / CHECKSUMS
        self._known = _read(self.path)
        self._used: dict[str, tuple[Stamp, str]] = {}

    def of(self, files: Sequence[Path]) -> dict[Path, str]:
        """Return the SHA-256 of each file by its path.

        Raises
        ------
        OSError
            When a file is not there or cannot be read.
        """
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
            return dict(zip(files, threads.map(self._of, files), strict=True))

    def _of(self, file: Path) -> str:
        before, name = stamp_of(file), file.relative_to(self.run_dir).as_posix()
        known = self._known.get(name)
        if known is not None and known[0] == before:
            self._used[name] = known
            return known[1]
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if max(before[1], before[2]) < time.time_ns() - _SETTLED_SECONDS * 1e9 and stamp_of(file) == before:
            self._used[name] = (before, digest)
        return digest

    def keep(self) -> None:
        """Write down what was found, for the next reader."""
        if not self._used or self._used == self._known:
            return
        content = {name: [*stamp, digest] for name, (stamp, digest) in sorted(self._used.items())}
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):  # a run that may only be read
            temporary.write_text(json.dumps(content), encoding="utf-8")
            temporary.replace(self.path)


def stamp_of(file: Path) -> Stamp:
    """Return what changes when a file is written or replaced."""
    facts = file.stat()
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino


def _read(path: Path) -> dict[str, tuple[Stamp, str]]:
    """Return what is kept; nothing where it is missing or of another shape."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: ((size, changed, entered, inode), digest)
            for name, (size, changed, entered, inode, digest) in content.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
