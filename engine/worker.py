"""A replica at work on a run directory: read a unit's encoded samples, measure them, commit the tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.config import Config
from engine.encoded_units import read_batches
from engine.replica import Replica
from engine.store import RunStore


class UnitWorker:
    """A replica together with the run directory that it reads from and commits to."""

    def __init__(self, config: Config, root: Path, key_groups: Sequence[str]):
        self.store = RunStore(root)
        self.key_groups = list(key_groups)
        self.replica = Replica(config)

    def run(self, unit: str) -> dict[str, Any]:
        """Measure and commit one unit, unless the run was asked to stop; return its ledger row."""
        if self.store.is_stop_requested():
            return {"unit": unit, "state": "stopped"}
        started = time.perf_counter()
        batches = read_batches(self.store.encoded_path(unit))
        result = self.replica.measure(batches, self.key_groups)
        manifest = self.store.commit(unit, result.tables, result.rejects, result.facts)
        return {
            "unit": unit,
            "state": "committed",
            "num_samples": len(manifest["sample_ids"]),
            "num_rejects": len(manifest["rejected_ids"]),
            "num_tokens": int(manifest["facts"]["num_tokens"]),
            "seconds": time.perf_counter() - started,
        }
