"""What an executor is given to do, and what every executor must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.config import Config
from engine.machine.nodes import Node
from engine.storage.records import LedgerRow
from engine.storage.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Job:
    """Units to be brought to a commit.

    Attributes
    ----------
    config
        The run's config.
    run_dir
        The run directory or the one of a ledger inside it, in its session.
    units
        Names of the units.
    key_groups
        Names of the run's key groups.
    """

    config: Config
    run_dir: RunDirectory
    units: Sequence[str]
    key_groups: Sequence[str]


class Executor(Protocol):
    """Runs units somewhere; knows nothing of what a unit does.

    Attributes
    ----------
    is_local
        Whether units run in this very process: with one replica, whose death is the driver's own.
    place
        Where units run, for a person.
    caveat
        What a person should know of ``nodes`` where no replica finds room on them; most often nothing.
    """

    is_local: bool
    place: str
    caveat: str

    def nodes(self) -> Sequence[Node]:
        """Return what there is for replicas, without beginning anything.

        Raises
        ------
        RunFailedError
            When it cannot be found out.
        """
        ...

    def run(self, job: Job) -> Iterator[LedgerRow]:
        """Yield one ledger row per unit, in the order in which they finish.

        Raises
        ------
        RunFailedError
            When units cannot go on anywhere. What is committed stays.
        """
        ...
