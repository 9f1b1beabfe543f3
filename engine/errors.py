"""Errors that a user can cause: printed as one paragraph without a traceback, each with its exit code."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable

from engine.interruptions import EXIT_STOPPED as EXIT_STOPPED

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_INPUT = 3


class UserError(ValueError):
    """A mistake the user can mend: value, allowed set, config path and what to do, in one paragraph."""

    exit_code = EXIT_FAILED


class ConfigError(UserError):
    """A config value or a command-line argument that cannot be used."""

    exit_code = EXIT_CONFIG


class InputError(UserError):
    """A predictions file that cannot be used."""

    exit_code = EXIT_INPUT


class RunFailedError(UserError):
    """A run that cannot go on or cannot be verified; nothing was published."""

    exit_code = EXIT_FAILED


class RunStopped(UserError):  # noqa: N818 - not an error: the run goes on when started again
    """A run that stopped at a shard boundary because it was asked to; the same command continues it."""

    exit_code = EXIT_STOPPED


class LocaleError(ConfigError):
    """A name that this process cannot write, since its locale knows ASCII only."""

    def __init__(self, name: str):
        plain = os.fsencode(name).decode(errors="replace") if _is_encodable(name) else name
        shown = plain.encode("ascii", "backslashreplace").decode()
        setting, mode = os.environ.get("LC_ALL") or "unset", os.environ.get("PYTHONUTF8") or "unset"
        super().__init__(
            f"{shown}: has characters that this locale cannot write: names of files are "
            f"{sys.getfilesystemencoding()} here (LC_ALL={setting}, PYTHONUTF8={mode}). Start again with PYTHONUTF8=1 "
            f"or LC_ALL=C.UTF-8, or choose names in ASCII."
        )


def _is_encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def is_ascii_locale() -> bool:
    """Whether names of files are anything else than UTF-8 to this process."""
    return sys.getfilesystemencoding().lower().replace("-", "") not in ("utf8", "utf8mb4")


def check_names(names: Iterable[object]) -> None:
    """Refuse names that the locale cannot write, before anything is begun.

    Raises
    ------
    LocaleError
        Naming the first of them, and what to set.
    """
    if is_ascii_locale():
        for name in map(str, names):
            if not name.isascii():
                raise LocaleError(name)


def name_in(error: UnicodeError) -> str:
    """Return the name around the character that could not be written."""
    if not isinstance(error, UnicodeEncodeError):
        return str(error)
    before, after = error.object[: error.start], error.object[error.start :]
    left = max(before.rfind(sign) for sign in '"\n') + 1
    right = min((place for sign in '"\n' if (place := after.find(sign)) >= 0), default=len(after))
    return (before[left:] + after[:right])[-200:]


def print_anything() -> None:
    """Let a text that the terminal's encoding has no characters for be printed with escapes instead of ending a run."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and (stream.encoding or "").lower().replace("-", "") != "utf8":
            reconfigure(errors="backslashreplace")


_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that move a cursor, colour a terminal or turn the direction of a text, line ends and tabs aside."""


def printable(text: str) -> str:
    """Return a text for people with its control characters as escapes: ids, labels and answers are anybody's."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class DeviceLost(RunFailedError):  # noqa: N818 - what happened, not a mistake
    """A sample left the device unusable for this process; a new one goes on with the other samples."""


class UnsupportedModelError(ValueError):
    """A model whose attention this engine does not cover; the message names what is not covered."""


def reason_of(error: OSError) -> str:
    """Return why an operation failed, in the system's words."""
    return (os.strerror(error.errno) if error.errno else str(error)) or type(error).__name__
