"""A replica at work on a run directory: read a unit's encoded samples, measure them, commit the tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.config import Config
from engine.encoded_units import read_batches, read_prompts
from engine.replica import Replica
from engine.store import RunStore


class UnitWorker:
    """A replica together with the run directory that it reads from and commits to."""

    def __init__(self, config: Config, root: Path, key_groups: Sequence[str]):
        self.store = RunStore(root)
        self.key_groups = list(key_groups)
        self.replica = Replica(config)

    def run(self, unit: str) -> dict[str, Any]:
        """Measure a unit or answer its prompts, commit it and return its ledger row; nothing when asked to stop."""
        if self.store.is_stop_requested():
            return {"unit": unit, "state": "stopped"}
        started = time.perf_counter()
        work = self._generate if unit.startswith("generate-") else self._measure
        manifest = work(unit)
        return {
            "unit": unit,
            "state": "committed",
            "num_samples": len(manifest["sample_ids"]),
            "num_rejects": len(manifest["rejected_ids"]),
            "num_tokens": int(manifest["facts"]["num_tokens"]),
            "seconds": time.perf_counter() - started,
        }

    def _measure(self, unit: str) -> dict[str, Any]:
        batches = read_batches(self.store.encoded_path(unit))
        result = self.replica.measure(batches, self.key_groups)
        measured = result.tables["samples"]["sample_id"].to_pylist()
        return self.store.commit(unit, measured, result.tables, result.rejects, result.facts)

    def _generate(self, unit: str) -> dict[str, Any]:
        answers = self.replica.generate(read_prompts(self.store.encoded_path(unit)))
        table = pa.table(
            {
                "sample_id": pa.array([answer.sample_id for answer in answers], pa.string()),
                "answer": pa.array([answer.text for answer in answers], pa.string()),
                "num_tokens": pa.array([answer.num_tokens for answer in answers], pa.int32()),
                "is_cut": pa.array([answer.is_cut for answer in answers], pa.bool_()),
            }
        )
        facts = {"num_tokens": sum(answer.num_tokens for answer in answers)}
        return self.store.commit(unit, table["sample_id"].to_pylist(), {"answers": table}, [], facts)
