"""Stop signals (SIGTERM, SIGUSR1, Ctrl-C, a closed terminal): the shards in flight are finished, then the run stops.

A second signal abandons them.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.interruptions import heeded_signals


@dataclass(slots=True)
class _State:
    """What the signals of this process mean at the moment."""

    is_requested: bool = False
    ask: Callable[[], None] | None = None


_state = _State()


@contextmanager
def stop_signals() -> Iterator[None]:
    """Turn the signals into an orderly end for as long as this is entered.

    While shards are measured (``stopping_at_shards``) the first one asks the replicas to stop at the next shard; at any
    other time, and from the second one on, ``KeyboardInterrupt`` is raised: nothing that is committed is lost by it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may have handlers; the caller looks after signals itself
        return
    _state.is_requested, _state.ask = False, None
    previous = {number: signal.signal(number, _stop) for number in heeded_signals()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def stopping_at_shards(ask: Callable[[], None]) -> Iterator[None]:
    """Let the first signal call ``ask`` instead of interrupting."""
    _state.ask = ask
    try:
        yield
    finally:
        _state.ask = None


def _stop(number: int, _frame: object) -> None:
    name = signal.Signals(number).name
    _leave_closed_terminal()
    if _state.ask is None or _state.is_requested:
        raise KeyboardInterrupt(name)
    _state.is_requested = True
    print(f"{name}: finishing the shards in flight, then stopping; a second signal abandons them.", file=sys.stderr)
    _state.ask()


def _leave_closed_terminal() -> None:
    """Let nothing be printed to a terminal that was closed: the run would end at its next line."""
    for descriptor in (1, 2):
        try:
            os.get_terminal_size(descriptor)
        except OSError as error:
            if error.errno == errno.EIO:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
