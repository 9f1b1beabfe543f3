"""The check before measuring, written into the run directory: one replica checks and decides, all others read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from engine.machine.lease import LeaseHeld, RunLease
from engine.measuring.checking.start_check import StartCheck
from engine.measuring.checking.stores import CheckStore
from engine.schema import layout
from engine.storage.json_files import damaged
from engine.storage.run_directory import RunDirectory

_POLL_SECONDS = 0.2


class SharedCheck(CheckStore):
    """Keeps the check of a run for all its replicas, and for those that go on with it later.

    Parameters
    ----------
    run_dir
        The run's.
    """

    def __init__(self, run_dir: RunDirectory):
        self.run_dir = run_dir

    @contextmanager
    def turn(self) -> Iterator[StartCheck | None]:
        """Wait until no other replica checks, and give what is known by then."""
        while True:
            lease = RunLease(self.run_dir.root / layout.START_CHECK)
            try:
                lease.__enter__()
                break
            except LeaseHeld:
                time.sleep(_POLL_SECONDS)
        try:
            record = self.run_dir.read_json(layout.START_CHECK)
            yield self._check_of(record) if isinstance(record, dict) else None
        finally:
            lease.__exit__(None, None, None)

    def _check_of(self, record: Mapping[str, object]) -> StartCheck:
        try:
            return StartCheck.of_record(record)
        except TypeError as error:
            raise damaged(self.run_dir.root / layout.START_CHECK, error) from None

    def write(self, found: StartCheck) -> None:
        """Write a check down, inside a turn."""
        self.run_dir.write_json(layout.START_CHECK, found.as_record())
