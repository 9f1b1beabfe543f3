"""Regular expressions that users write: compiled in a sentence, and given up where they search one text for too long.

A pattern such as ``(a+)+b`` takes time that doubles with every letter. Python's matcher looks for signals while it
works, so a timer of this process's own seconds ends it, whatever the load of the machine. Timers are the main thread's;
in other threads patterns are not limited.
"""

from __future__ import annotations

import re
import signal
import threading
from types import FrameType

from engine.errors import ConfigError

SECONDS_PER_TEXT = 5.0
"""Seconds of this process that one pattern may search one text: thousands of times what a sound one takes."""


class UserPattern:
    """A regular expression of a config.

    Parameters
    ----------
    where
        Its path in the config.
    text
        The expression.
    flags
        Those of ``re``.

    Raises
    ------
    ValueError
        When it is no regular expression, or one that cannot be compiled; the message says why, without a full stop.
    """

    def __init__(self, where: str, text: str, flags: re.RegexFlag = re.NOFLAG):
        self.where, self.text = where, text
        try:
            self.compiled = re.compile(text, flags)
        except re.error as error:
            raise ValueError(f"{_shown(text)} is no regular expression: {error}") from None
        except (RecursionError, OverflowError, MemoryError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{_shown(text)} is nested too deeply or counts too far to be used: {reason}") from None

    def matches(self, text: str) -> list[re.Match[str]]:
        """Return the matches in a text.

        Raises
        ------
        ConfigError
            When the search takes longer than ``SECONDS_PER_TEXT``.
        """
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
            return list(self.compiled.finditer(text))
        before = signal.signal(signal.SIGVTALRM, self._give_up)
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_PER_TEXT)
            return list(self.compiled.finditer(text))
        except _OverdueError:
            raise ConfigError(
                f"{self.where}: {_shown(self.text)} was given up after {SECONDS_PER_TEXT:g} s on one text of "
                f"{len(text):,} characters. Repetitions inside repetitions, such as (a+)+ or (a|b)*.*, try all ways of "
                f"dividing a text: write them so that only one way fits, or bound them ({{1,20}})."
            ) from None
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)

    @staticmethod
    def _give_up(_number: int, _frame: FrameType | None) -> None:
        raise _OverdueError


class _OverdueError(Exception):
    """The timer went off."""


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}…")
