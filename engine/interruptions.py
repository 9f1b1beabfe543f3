"""Ctrl-C and its kin before a command has begun: a sentence, where Python would print half of its own modules.

Loading libraries takes seconds, in which a command has neither read nor written anything; whoever interrupts it then
needs no traceback. Commands call ``answer_early_signals`` before their first import and ``stop_answering`` once they
look after signals themselves.
"""

from __future__ import annotations

import contextlib
import os
import signal

EXIT_STOPPED = 75

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
"""What asks a command to stop: a batch system, a person, a terminal that was closed."""


def answer_early_signals() -> None:
    """Let a stop signal end this process with a sentence and exit 75, until ``stop_answering``."""
    for number in heeded_signals():
        signal.signal(number, _end)


def stop_answering() -> None:
    """Let signals mean again what they mean to Python; nothing where they are not answered here."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def heeded_signals() -> list[signal.Signals]:
    """Return the stop signals of this process: under ``nohup``, SIGHUP is to be ignored and stays so."""
    is_ignored = hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in STOP_SIGNALS if not is_ignored or number != signal.SIGHUP]


def _end(number: int, _frame: object) -> None:
    sentence = f"{signal.Signals(number).name}: stopped before anything was begun; start the same command again.\n"
    with contextlib.suppress(OSError):  # a terminal that was closed
        os.write(2, sentence.encode())
    os._exit(EXIT_STOPPED)
