"""Progress of a run: a bar on a terminal, plain lines otherwise, and ``progress.json`` either way."""

from __future__ import annotations

import contextlib
import sys
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import TypedDict

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from engine.errors import RunStopped
from engine.schema import layout
from engine.storage.records import LedgerRow
from engine.storage.run_directory import RunDirectory

LINE_SECONDS = 5.0
_WRITE_SECONDS = 1.0


class ProgressState(TypedDict):
    """What ``progress.json`` holds beside the state in words."""

    num_samples: int
    """To be done."""
    num_done: int
    """Done."""
    num_done_before: int
    """Done before this start."""
    num_rejects: int
    """Turned away while measured."""
    samples_per_second: float
    """Since this start."""
    tokens_per_second: float
    """Since this start."""
    remaining_seconds: float | None
    """At this pace; null before the first."""
    elapsed_seconds: float
    """Since this start."""
    num_units_done: int
    """Committed since this start."""
    num_deaths: int
    """Sudden deaths of replicas."""
    peak_memory_bytes: int | None
    """Of the replica that took most."""
    updated: str
    """When it was written, in UTC."""


class ProgressReport:
    """Counts samples, tokens and rejects as units are committed.

    Parameters
    ----------
    run_dir
        Where ``progress.json`` is written.
    num_samples
        Samples of all units.
    done
        Samples and rejects of units that were committed before this start.
    verb
        What happens to them.
    """

    def __init__(self, run_dir: RunDirectory, num_samples: int, done: int, verb: str = "measured"):
        self.run_dir, self.verb = run_dir, verb
        self.total, self.done, self.resumed = num_samples, done, done
        self.tokens, self.rejects, self.units, self.deaths, self.peak_memory = 0, 0, 0, 0, 0
        self.started = time.monotonic()
        self._last_line = self.started
        self._next_write = self.started
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> ProgressReport:
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn(self.verb),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f} samples"),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.verb, total=self.total, completed=self.done, rate="")
        return self

    def add(self, row: LedgerRow) -> None:
        """Count a committed unit's ledger row."""
        self.done += row.num_samples + row.num_rejects
        self.tokens += row.num_tokens
        self.rejects += row.num_rejects
        self.units += 1
        self.deaths += row.num_deaths
        self.peak_memory = max(self.peak_memory, row.peak_memory_bytes)
        now = time.monotonic()
        if now >= self._next_write:
            self._next_write = now + _WRITE_SECONDS
            self._write(self.verb)
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, rate=self._rate())
        elif now - self._last_line >= LINE_SECONDS or self.done >= self.total:
            self._last_line = now
            print(f"{self.verb} {self.done}/{self.total} samples, {self._rate()}", file=sys.stderr, flush=True)

    def _write(self, state: str) -> None:
        """Write ``progress.json``; a run neither fails for it nor makes a run directory anew that was removed."""
        if self.run_dir.root.is_dir():
            with contextlib.suppress(OSError):
                self.run_dir.write_json(layout.PROGRESS, {"state": state, **self.state()})

    def state(self) -> ProgressState:
        """Return what ``progress.json`` holds."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        new = self.done - self.resumed
        return {
            "num_samples": self.total,
            "num_done": self.done,
            "num_done_before": self.resumed,
            "num_rejects": self.rejects,
            "samples_per_second": new / seconds,
            "tokens_per_second": self.tokens / seconds,
            "remaining_seconds": (self.total - self.done) * seconds / new if new else None,
            "elapsed_seconds": seconds,
            "num_units_done": self.units,
            "num_deaths": self.deaths,
            "peak_memory_bytes": self.peak_memory or None,
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _rate(self) -> str:
        state = self.state()
        left = state["remaining_seconds"]
        remaining = f"{left:.0f} s left, " if left else ""
        return (
            f"{state['samples_per_second']:.1f} samples/s, {state['tokens_per_second']:.0f} tokens/s, {remaining}"
            f"{self.rejects} rejects"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_stop = isinstance(error, RunStopped | KeyboardInterrupt)
        self._write(f"{self.verb}: " + ("done" if error is None else "stopped" if is_stop else "failed"))
        if self._bar is not None:
            self._bar.stop()
