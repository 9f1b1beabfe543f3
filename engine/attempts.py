"""What a replica notes before it works on samples, so that one that kills its process is found and set aside.

A sudden death (SIGKILL, a segmentation fault, the machine out of memory) leaves no exception. It leaves the note: the
next attempt at the unit reads which samples were in flight, and after ``max_retries`` such deaths works on them one by
one, so that the next death names its sample. A unit is written beside the next one's samples, whose doing a death may
be: it is not counted, but the next attempt is written alone.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from engine.atomic_files import naming
from engine.errors import DeviceLost, RunFailedError

_DEATHS_ALONE = 2
"""Deaths of a sample that was alone in flight until it is given up: one may be somebody else's doing."""


class UnitJournal:
    """The note on one unit; entered for an attempt at it, gone when that ends in any way but a sudden death.

    Parameters
    ----------
    folder
        Where notes lie.
    unit
        The unit's name.
    max_retries
        Sudden deaths after which samples are worked on one by one.
    """

    def __init__(self, folder: Path, unit: str, max_retries: int):
        self.path, self.unit, self.max_retries = folder / f"{unit}.jsonl", unit, max_retries
        self.deaths: list[tuple[str, ...]] = []
        self.is_written_alone = False

    def __enter__(self) -> UnitJournal:
        self.deaths = self._read()
        if self.num_outside > self.max_retries:
            raise RunFailedError(
                f"{self.unit}: the process that worked on it died {self.num_outside} times while it read or wrote the "
                f"unit, not while it measured a sample. Look for a kill by the system (out of memory: dmesg) or a "
                f"damaged disk, then start the same command again."
            )
        self.path.parent.mkdir(exist_ok=True)  # not its parents: a run directory that was removed stays so
        self._append({"attempt": uuid.uuid4().hex})
        return self

    @property
    def num_outside(self) -> int:
        """Deaths while no sample was in flight."""
        return sum(not ids for ids in self.deaths)

    @property
    def isolated(self) -> set[str]:
        """Samples to work on one by one."""
        if len(self.deaths) <= self.max_retries:
            return set()
        return {sample_id for ids in self.deaths for sample_id in ids}

    @property
    def condemned(self) -> dict[str, int]:
        """Samples to reject, and how often each died alone."""
        if len(self.deaths) <= self.max_retries:
            return {}
        alone = Counter(ids[0] for ids in self.deaths if len(ids) == 1)
        return {sample_id: count for sample_id, count in alone.items() if count >= _DEATHS_ALONE}

    def at_work_on(self, sample_ids: Sequence[str]) -> None:
        """Note which samples are in flight from now on."""
        self._append({"sample_ids": list(sample_ids)})

    def is_written_beside_others(self) -> None:
        """Note that no sample is in flight any more, but perhaps those of another unit."""
        self._append({"sample_ids": [], "is_beside_others": True})

    def _append(self, entry: dict[str, object]) -> None:
        # Not brought to disk: what must survive is the death of the process, not of the machine.
        with naming(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(f"{json.dumps(entry)}\n")

    def _read(self) -> list[tuple[str, ...]]:
        """Return the samples in flight at the end of every attempt."""
        deaths: list[tuple[str, ...]] = []
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
                deaths.append(())
            elif entry.get("is_beside_others"):
                deaths.pop()
                self.is_written_alone = True
            elif deaths:
                deaths[-1] = tuple(entry["sample_ids"])
        return deaths

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, DeviceLost):  # that counts as a death: only a new process can go on
            self.path.unlink(missing_ok=True)
