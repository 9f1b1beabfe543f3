"""Progress of a run: a bar on a terminal, plain lines otherwise, and ``progress.json`` either way."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from engine.errors import RunStopped
from engine.store import RunStore

_LINE_SECONDS = 5.0
_WRITE_SECONDS = 1.0


class PlanProgress:
    """Says how far planning is: a bar on a terminal, plain lines otherwise, nothing where it takes seconds."""

    def __init__(self) -> None:
        self._verb, self._total = "read", 0
        self._next = time.monotonic() + _LINE_SECONDS
        self._bar: Progress | None = None

    def __enter__(self) -> PlanProgress:
        return self

    def start(self, verb: str, total: int) -> None:
        """Begin a part: ``read`` counts bytes, the others samples."""
        self._verb, self._total = verb, total

    def rows(self, num_bytes: int, num_rows: int, num_rejects: int) -> None:
        """Report rows read so far."""
        self._say(num_bytes, lambda: f"{num_bytes / 2**20:,.0f} of {self._total / 2**20:,.0f} MiB, {num_rows:,} rows, "
                                     f"{num_rejects:,} rejects")  # fmt: skip

    def samples(self, number: int) -> None:
        """Report samples done so far."""
        self._say(number, lambda: f"{number:,} of {self._total:,} samples")

    def _say(self, done: int, words: Callable[[], str]) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        if not sys.stderr.isatty():
            self._next = now + _LINE_SECONDS
            print(f"{self._verb} {words()}", file=sys.stderr, flush=True)
            return
        self._next = now + 0.2
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"),
                TimeRemainingColumn(), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._bar.start()
        task = next((t for t in self._bar.tasks if t.description == self._verb), None)
        number = task.id if task else self._bar.add_task(self._verb, total=self._total, words="")
        self._bar.update(number, completed=done, words=words())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class ProgressReport:
    """Counts samples, tokens and rejects as units are committed.

    Parameters
    ----------
    store
        Where ``progress.json`` is written.
    num_samples
        Samples of all units.
    done
        Samples and rejects of units that were committed before this start.
    verb
        What happens to them.
    """

    def __init__(self, store: RunStore, num_samples: int, done: int, verb: str = "measured"):
        self.store, self.verb = store, verb
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
                TextColumn(self.verb), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} samples"),
                TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=Console(stderr=True),
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task(self.verb, total=self.total, completed=self.done, rate="")
        return self

    def add(self, row: dict[str, Any]) -> None:
        """Count a committed unit's ledger row."""
        self.done += row["num_samples"] + row["num_rejects"]
        self.tokens += row["num_tokens"]
        self.rejects += row["num_rejects"]
        self.units += 1
        self.deaths += row.get("num_deaths", 0)
        self.peak_memory = max(self.peak_memory, row.get("peak_memory_bytes", 0))
        now = time.monotonic()
        if now >= self._next_write:
            self._next_write = now + _WRITE_SECONDS
            self._write(self.verb)
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, rate=self._rate())
        elif now - self._last_line >= _LINE_SECONDS or self.done >= self.total:
            self._last_line = now
            print(f"{self.verb} {self.done}/{self.total} samples, {self._rate()}", file=sys.stderr, flush=True)

    def _write(self, state: str) -> None:
        """Write ``progress.json``; a run neither fails for it nor makes a run directory anew that was removed."""
        if self.store.root.is_dir():
            with contextlib.suppress(OSError):
                self.store.write_json("progress.json", {"state": state, **self.state()})

    def state(self) -> dict[str, Any]:
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
