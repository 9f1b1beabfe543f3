"""A replica at work on a run directory: read a unit's encoded samples, measure them, commit the tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.causal import CausalInputs
from engine.causal_work import explain_unit, prepare_unit, read_means
from engine.config import Config
from engine.encoded_units import read_batches, read_prompts
from engine.replica import Replica, UnitResult
from engine.samples import EncodedSample
from engine.store import CAUSAL_PLAN, RunStore


class UnitWorker:
    """A replica together with the run directory that it reads from and commits to."""

    def __init__(self, config: Config, root: Path, key_groups: Sequence[str]):
        self.store = RunStore(root)
        self.key_groups = list(key_groups)
        self.replica = Replica(config)
        self._work: dict[str, Callable[[str], dict[str, Any]]] = {
            "measure": self._measure,
            "generate": self._generate,
            "prepare": self._prepare,
            "causal": self._explain,
        }

    def run(self, unit: str) -> dict[str, Any]:
        """Do a unit's work, which its name begins with, commit it and return its ledger row.

        Nothing is done when the run was asked to stop.
        """
        if self.store.is_stop_requested():
            return {"unit": unit, "state": "stopped"}
        started = time.perf_counter()
        manifest = self._work[unit.partition("-")[0]](unit)
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

    def _prepare(self, unit: str) -> dict[str, Any]:
        ledger = self.store.preparation
        entry = next(entry for entry in ledger.read_json("plan/units.json") if entry["name"] == unit)
        result = prepare_unit(self.replica.explainer, self._samples(entry["source"], entry["sample_ids"]))
        return self._commit(ledger, unit, entry["sample_ids"], result)

    def _explain(self, unit: str) -> dict[str, Any]:
        plan = self.store.read_json(CAUSAL_PLAN)
        entry = next(entry for entry in plan["units"] if entry["name"] == unit)
        samples = self._samples(entry["source"], entry["sample_ids"])
        result = explain_unit(self.replica.explainer, samples, self._inputs(plan, samples), self.key_groups)
        return self._commit(self.store, unit, entry["sample_ids"], result)

    def _commit(self, ledger: RunStore, unit: str, ids: Sequence[str], result: UnitResult) -> dict[str, Any]:
        rejected = {reject.sample_id for reject in result.rejects}
        kept = [sample_id for sample_id in ids if sample_id not in rejected]
        return ledger.commit(unit, kept, result.tables, result.rejects, result.facts)

    def _samples(self, source: str, ids: Collection[str]) -> list[EncodedSample]:
        """Return some samples of a measure unit, in the order of ``ids``."""
        wanted = set(ids)
        batches = read_batches(self.store.encoded_path(source))
        found = {sample.sample_id: sample for batch in batches for sample in batch if sample.sample_id in wanted}
        return [found[sample_id] for sample_id in ids]

    def _inputs(self, plan: dict[str, Any], samples: Sequence[EncodedSample]) -> CausalInputs:
        """Return what the causal plan holds for these samples."""
        by_source: dict[str, list[str]] = {}
        partners = {s.sample_id: plan["partners"][s.sample_id] for s in samples if s.sample_id in plan["partners"]}
        for source, partner in partners.values():
            by_source.setdefault(source, []).append(partner)
        encoded = {s.sample_id: s for source, ids in by_source.items() for s in self._samples(source, ids)}
        screened = [(layer, head) for part in plan["screened"].values() for layer, head in part]
        return CausalInputs(
            read_means(self.store.plan_table_path("head_means")) if "head_means" in plan["fingerprints"] else None,
            {sample_id: encoded[partner] for sample_id, (_, partner) in partners.items()},
            tuple(sorted(screened)),
        )
