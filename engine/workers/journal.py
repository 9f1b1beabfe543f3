"""What a replica notes before it works on samples, so that one that kills its process is found and set aside.

A sudden death (SIGKILL, a segmentation fault, the machine out of memory) leaves no exception. It leaves the note: the
next attempt at the unit reads which samples were in flight. Who died of what is only known where somebody lives on: a
process that is its own driver may have been killed by a batch system, and its death blames nobody. Deaths that count
are those of replicas whose driver lived on, and those that a parent noted down; after some of them the unit is done in
a process of its own (``executors/processes/apart.py``), its samples are worked on one by one, and one is given up only
for deaths while it was alone in flight, first in its process. A unit is written beside the next one's samples, whose
doing a death may be: it is not counted, but the next attempt is written alone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType

from engine.errors import DeviceLost, RunFailedError
from engine.machine.atomic_files import naming
from engine.machine.deaths import OF_MEMORY, has_killed_for_memory_since, kernel_facts, signal_of_last_words

DEATHS_ALONE = 2
"""Deaths of a sample that was alone, first in its process, until it is given up: one may be somebody else's doing."""


def most_deaths(max_retries: int) -> int:
    """Return how many sudden deaths one sample can cause until it is given up.

    As many as it takes until samples are worked on one by one, one behind others whose doing it may be, and those
    that condemn it.
    """
    return (max_retries + 1) + 1 + DEATHS_ALONE


class Witness(StrEnum):
    """Who lives on when a process that works on a unit dies."""

    NOBODY = "nobody"
    """It is its own driver: whoever kills the run kills it too."""
    DRIVER = "driver"
    """The driver, who starts another replica: every death counts."""
    PARENT = "parent"
    """A parent, who notes down what it died of: only noted deaths count."""


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt that ended in a sudden death."""

    witness: str
    sample_ids: tuple[str, ...] = ()
    is_first: bool = False
    cause: str | None = None
    kernel: object = None
    last_words: str | None = None

    @property
    def counts(self) -> bool:
        """Whether somebody lived on, so that it is known to be no kill of the whole run."""
        return self.witness == Witness.DRIVER or self.cause is not None


class UnitJournal:
    """The note on one unit; entered for an attempt at it, gone when that ends in any way but a sudden death.

    Parameters
    ----------
    folder
        Where notes lie.
    unit
        The unit's name.
    max_retries
        Sudden deaths after which samples are worked on one by one, or the unit in a process of its own.
    witness
        Who lives on when this process dies.
    begun
        Samples that this process has worked on, shared by its journals.
    last_words
        Where this process says what signal it dies of, if it can.
    """

    def __init__(
        self,
        folder: Path,
        unit: str,
        max_retries: int,
        witness: Witness = Witness.NOBODY,
        begun: set[str] | None = None,
        last_words: Path | None = None,
    ):
        self.path, self.unit, self.max_retries, self.witness = folder / f"{unit}.jsonl", unit, max_retries, witness
        self.attempts: list[Attempt] = []
        self.is_written_alone = witness == Witness.PARENT  # whose process does this unit only
        self._begun = set() if begun is None else begun
        self._last_words = last_words

    def __enter__(self) -> UnitJournal:
        self.attempts = self._read()
        self._note_cause_of_last()
        if self.num_outside > self.max_retries:
            self.path.unlink(missing_ok=True)  # the next start tries again
            raise RunFailedError(
                f"{self.unit}: the process that worked on it died {self.num_outside} times while it read or wrote the "
                f"unit, not while it measured a sample. Look for a kill by the system (out of memory: dmesg) or a "
                f"damaged disk, then start the same command again."
            )
        self.path.parent.mkdir(exist_ok=True)  # not its parents: a run directory that was removed stays so
        entry = {"attempt": uuid.uuid4().hex, "witness": self.witness}
        if self.witness == Witness.DRIVER:
            entry |= {"kernel": kernel_facts(), "last_words": str(self._last_words) if self._last_words else None}
        self._append(entry)
        return self

    def _note_cause_of_last(self) -> None:
        """Note what the replica before this one died of, where it or this machine's kernel says it."""
        if not self.attempts or (last := self.attempts[-1]).witness != Witness.DRIVER or last.cause is not None:
            return
        said = signal_of_last_words(Path(last.last_words)) if last.last_words else None
        if cause := said or (f"SIGKILL, {OF_MEMORY}" if has_killed_for_memory_since(last.kernel) else None):
            self.note_death(cause)
            last.cause = cause

    @property
    def deaths(self) -> list[Attempt]:
        """Sudden deaths that count."""
        return [attempt for attempt in self.attempts if attempt.counts]

    @property
    def num_outside(self) -> int:
        """Deaths while no sample was in flight."""
        return sum(not attempt.sample_ids for attempt in self.deaths)

    @property
    def isolated(self) -> set[str]:
        """Samples to work on one by one."""
        # Beside a parent deaths without a witness came before, and were as many as it takes.
        if len(self.deaths) <= (0 if self.witness == Witness.PARENT else self.max_retries):
            return set()
        return {sample_id for attempt in self.deaths for sample_id in attempt.sample_ids}

    @property
    def suspects(self) -> list[str]:
        """Samples that were alone in flight when a process died, the latest first: to be worked on before others."""
        alone = [attempt.sample_ids[0] for attempt in self.deaths[::-1] if len(attempt.sample_ids) == 1]
        return [sample_id for sample_id in dict.fromkeys(alone) if sample_id in self.isolated]

    @property
    def condemned(self) -> dict[str, str]:
        """Samples to reject, and what is known of the deaths of processes that worked on each alone."""
        found: dict[str, str] = {}
        for sample_id in self.suspects:
            own = [attempt for attempt in self.deaths if attempt.sample_ids == (sample_id,)]
            if sum(attempt.is_first for attempt in own) >= DEATHS_ALONE:
                causes = dict.fromkeys(attempt.cause for attempt in own if attempt.cause)
                found[sample_id] = f"{len(own)} times without an exception ({', '.join(causes) or 'cause unknown'})"
        return found

    def at_work_on(self, sample_ids: Sequence[str]) -> None:
        """Note which samples are in flight from now on."""
        ids = list(sample_ids)
        self._append({"sample_ids": ids, "is_first": self._begun <= set(ids)})
        self._begun.update(ids)

    def is_written_beside_others(self) -> None:
        """Note that no sample is in flight any more, but perhaps those of another unit."""
        self._append({"sample_ids": [], "is_beside_others": True})

    def note_death(self, cause: str) -> None:
        """Note what a process died of that worked on the unit; for whoever lived on."""
        self._append({"died": cause})

    def needs_witness(self) -> bool:
        """Whether processes died so often at this unit that it should be done in one of its own, which is looked at.

        What a replica dies of nobody sees for certain, and a sample may only be given up for deaths in a fresh process.
        """
        attempts = self._read()
        if self.witness == Witness.DRIVER:
            return sum(attempt.counts for attempt in attempts) > self.max_retries
        return len(attempts) > self.max_retries or any(attempt.counts for attempt in attempts)

    def num_attempts(self) -> int:
        """Return how many attempts ended in a sudden death."""
        return len(self._read())

    def _append(self, entry: Mapping[str, object]) -> None:
        # Not brought to disk: what must survive is the death of the process, not of the machine.
        with naming(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(f"{json.dumps(entry)}\n")

    def _read(self) -> list[Attempt]:
        """Return the attempts that ended in a sudden death."""
        attempts: list[Attempt] = []
        current = Attempt(Witness.NOBODY)
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # cut off by the death of the machine
            if "attempt" in entry:
                current = Attempt(
                    entry.get("witness", Witness.NOBODY),
                    kernel=entry.get("kernel"),
                    last_words=entry.get("last_words"),
                )
                attempts.append(current)
            elif entry.get("is_beside_others"):
                attempts.remove(current)
                self.is_written_alone = True
            elif "died" in entry:
                current.cause = entry["died"]
            else:
                current.sample_ids, current.is_first = tuple(entry["sample_ids"]), bool(entry.get("is_first"))
        return attempts

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, DeviceLost):  # that counts as a death: only a new process can go on
            self.note_death("it left the device unusable")
        else:
            self.path.unlink(missing_ok=True)
