"""The temporary folder of a Ray of our own: the usual one, or a short and private one where its path is too long."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from engine.errors import RunFailedError

_SOCKET_BYTES = 107
"""Bytes that the path of a Unix socket may have (Linux; macOS allows three fewer)."""
_BELOW = len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store") + 4
"""Bytes that Ray adds to its temporary folder."""
_PREFIX = "hl"
_SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
FOLDER = "RAY_TMPDIR"
"""What Ray reads its temporary folder from, before TMPDIR."""


OWN_FOLDER = "HEADLEDGER_RAY_FOLDER"
"""The same folder, where it is one of our own, for whoever removes it."""


def variables_of(folder: Path | None) -> dict[str, str]:
    """Return the environment variables that bring Ray into a folder of our own; none without one."""
    return {} if folder is None else {FOLDER: str(folder), OWN_FOLDER: str(folder)}


def has_room_for_sockets(folder: str) -> bool:
    """Whether Ray can put its sockets below a folder."""
    return len(os.fsencode(folder)) + _BELOW <= _SOCKET_BYTES


def short_folder(places: Sequence[str] = _SHORT_PLACES) -> Path | None:
    """Make a folder of our own (mode 0700) for Ray where the usual one has too long a path; None where it has not.

    Parameters
    ----------
    places
        Where it may be made; the first that can be written counts.

    Raises
    ------
    RunFailedError
        When it can be made nowhere; the message says what to set.
    """
    usual = os.environ.get(FOLDER) or tempfile.gettempdir()
    if has_room_for_sockets(usual):
        return None
    for place in places:
        try:
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        except OSError:
            continue
    raise RunFailedError(
        f"cluster.mode: Ray's temporary folder {usual!r} is {len(os.fsencode(usual))} bytes long, which leaves no room "
        f"for its sockets ({_SOCKET_BYTES} bytes), and none could be made in {', '.join(places)}. Set RAY_TMPDIR to a "
        f"short folder that can be written, or cluster.mode=inline to run without Ray."
    )


def remove_folder(folder: Path | None) -> None:
    """Remove a folder that ``short_folder`` made, with all that Ray left in it."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
