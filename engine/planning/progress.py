"""Progress while a plan is made: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 5.0
"""Between two plain lines."""


class PlanProgress:
    """Says how far planning is: a bar on a terminal, plain lines otherwise, nothing where it takes seconds."""

    def __init__(self) -> None:
        self._verb, self._total = "read", 0
        self._next = time.monotonic() + LINE_SECONDS
        self._bar: Progress | None = None

    def __enter__(self) -> PlanProgress:
        return self

    def start(self, verb: str, total: int) -> None:
        """Begin a part: ``read`` counts bytes, the others samples."""
        self._verb, self._total = verb, total

    def rows(self, num_bytes: int, num_rows: int, num_rejects: int) -> None:
        """Report rows read so far."""
        self._say(
            num_bytes,
            lambda: (
                f"{num_bytes / 2**20:,.0f} of {self._total / 2**20:,.0f} MiB, {num_rows:,} rows, "
                f"{num_rejects:,} rejects"
            ),
        )

    def samples(self, number: int) -> None:
        """Report samples done so far."""
        self._say(number, lambda: f"{number:,} of {self._total:,} samples")

    def _say(self, done: int, words: Callable[[], str]) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        if not sys.stderr.isatty():
            self._next = now + LINE_SECONDS
            print(f"{self._verb} {words()}", file=sys.stderr, flush=True)
            return
        self._next = now + 0.2
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[words]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
        task = next((t for t in self._bar.tasks if t.description == self._verb), None)
        number = task.id if task else self._bar.add_task(self._verb, total=self._total, words="")
        self._bar.update(number, completed=done, words=words())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
