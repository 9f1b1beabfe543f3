"""Where the check before measuring is written down, so that a run checks and decides once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from engine.measuring.checking.start_check import StartCheck


class CheckStore(Protocol):
    """Keeps a run's check."""

    def turn(self) -> AbstractContextManager[StartCheck | None]:
        """Give what is known, and keep everybody else from checking while inside."""
        ...

    def write(self, found: StartCheck) -> None:
        """Write a check down, inside a turn."""
        ...


class Unshared(CheckStore):
    """Keeps the check for one measurer alone."""

    def __init__(self) -> None:
        self._found: StartCheck | None = None

    @contextmanager
    def turn(self) -> Iterator[StartCheck | None]:
        """Give what is known."""
        yield self._found

    def write(self, found: StartCheck) -> None:
        """Keep a check."""
        self._found = found
