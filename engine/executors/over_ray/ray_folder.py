"""The temporary folder of a Ray of our own: private, short, with the token that Ray asks for, gone afterwards.

Ray makes its sessions for everybody (mode 0777), so that who may use another user's sockets is decided by the folder
above them. That one is made anew for every Ray, for its user alone (0700). A lock on the folder itself says that its
driver, or the process that talks to Ray, is alive; the kernel drops it with the last of them, however they died, and
the next start of any run removes what is left.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RunFailedError

_SOCKET_BYTES = 107
"""Bytes that the path of a Unix socket may have (Linux; macOS allows three fewer)."""
_BELOW = len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store") + 4
"""Bytes that Ray adds to its temporary folder."""
_PREFIX = "hlr-"
_NAME = re.compile(r"hlr-\w{8}")
_RAY, _TOKEN = "ray", "token"
_SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
FOLDER = "RAY_TMPDIR"
"""What Ray reads its temporary folder from, before TMPDIR."""
OWN_FOLDER = "HEADLEDGER_RAY_FOLDER"
"""The same folder, for whoever removes it."""
AUTH_MODE = "RAY_AUTH_MODE"


@dataclass(frozen=True, slots=True)
class RayFolder:
    """A folder that this process made, and holds the lock of.

    Attributes
    ----------
    path
        The folder.
    lock
        Descriptor whose lock lasts as long as a process has it open; None where there are no such locks.
    """

    path: Path
    lock: int | None

    def variables(self) -> dict[str, str]:
        """Return the environment variables that bring Ray into this folder and make it ask for this folder's token."""
        return {
            FOLDER: str(self.path),
            OWN_FOLDER: str(self.path),
            AUTH_MODE: "token",
            "RAY_AUTH_TOKEN_PATH": str(self.path / _TOKEN),
            # Comes before the file, and may be that of another cluster.
            "RAY_AUTH_TOKEN": "",
        }

    def remove(self) -> None:
        """Remove the folder with all that Ray left in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.lock is not None:
            os.close(self.lock)


def make_folder(short_places: Sequence[str] = _SHORT_PLACES) -> RayFolder:
    """Make a folder for one Ray: in the usual place for temporary files, or in another where its path is too long.

    Folders that this user's dead runs left behind in these places are removed first.

    Parameters
    ----------
    short_places
        Where it may be made if not in the usual place; the first that can be written counts.

    Raises
    ------
    RunFailedError
        When it can be made nowhere; the message says what to set.
    """
    usual = os.environ.get(FOLDER) or tempfile.gettempdir()
    places = [*([usual] if has_room_for_sockets(usual) else []), *short_places]
    for place in dict.fromkeys(places):
        try:
            if not _can_be_trusted(place):
                continue
            sweep(place)
            made = _make(place)
        except OSError:
            continue
        _write_token(made.path / _TOKEN)
        return made
    raise RunFailedError(
        f"cluster.mode: Ray's temporary folder {usual!r} is too long for its sockets ({len(os.fsencode(usual))} bytes; "
        f"{_SOCKET_BYTES} in all), cannot be written, or lets every user rename what others put there, and none could "
        f"be made in {', '.join(short_places)}. Set RAY_TMPDIR to a short folder that can be written, or "
        f"cluster.mode=inline to run without Ray."
    )


def has_room_for_sockets(place: str) -> bool:
    """Whether Ray can put its sockets below a folder of ours in this place."""
    return len(os.fsencode(place)) + len("/hlr-12345678") + _BELOW <= _SOCKET_BYTES


def _can_be_trusted(place: str) -> bool:
    """Whether nobody but its owner and root can rename what we make there."""
    found = Path(place).stat()
    is_open = bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return not is_open or bool(found.st_mode & stat.S_ISVTX)


def _make(place: str) -> RayFolder:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        lock, is_ours = _locked(path)
        if is_ours:
            return RayFolder(path, lock)


def _locked(path: Path) -> tuple[int | None, bool]:
    """Lock a folder; say whether it is still there and nobody else's, who may have swept it in between.

    Without a lock where there are none: nobody sweeps there.
    """
    try:
        import fcntl
    except ImportError:
        return None, True
    try:
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    except OSError:
        return None, False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.path.samestat(os.fstat(lock), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        is_ours = False
    except OSError:  # a file system without locks
        os.close(lock)
        return None, True
    if not is_ours:
        os.close(lock)
        return None, False
    return lock, True


def _write_token(path: Path) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(32))


def sweep(place: str) -> None:
    """Remove this user's folders in a place of which no driver is alive."""
    if not hasattr(os, "geteuid"):
        return
    for path in _left_behind(place):
        lock, is_ours = _locked(path)
        if is_ours and lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _left_behind(place: str) -> Iterator[Path]:
    """Yield folders that only ``make_folder``, or a job of launch/slurm, makes in this user's name."""
    for entry in os.scandir(place):
        if not _NAME.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
            continue
        found = entry.stat(follow_symlinks=False)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            continue
        if {name.name for name in os.scandir(entry.path)} <= {_RAY, _TOKEN}:
            yield Path(entry.path)
