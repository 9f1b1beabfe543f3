"""A replica at work on a run directory: read a unit's encoded samples, measure them, commit the tables."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.atomic_files import reason_of
from engine.attempts import UnitJournal
from engine.causal import CausalInputs
from engine.causal_work import explain_unit, prepare_unit, read_means
from engine.config import Config
from engine.encoded_units import read_batches, read_prompts
from engine.errors import RunFailedError
from engine.replica import Replica
from engine.samples import EncodedSample, Reject
from engine.store import CAUSAL_PLAN, RunStore
from engine.unit_results import UnitResult

Commit = Callable[[], dict[str, Any]]
"""What is left of a unit's work once the model is free for the next one: returns the manifest that counts."""


class UnitWorker:
    """A replica together with the run directory that it reads from and commits to.

    Two threads may run units: while one has the model, the other builds its unit's tables and writes them.
    """

    def __init__(self, config: Config, root: Path, key_groups: Sequence[str], incoming: Path | None = None):
        self.store = RunStore(root, incoming)
        self.key_groups = list(key_groups)
        self.max_retries = config.cluster.max_retries
        self.replica = Replica(config)
        self._model_in_use = threading.Lock()
        self._work: dict[str, Callable[[str, UnitJournal], Commit]] = {
            "measure": self._measure,
            "generate": self._generate,
            "prepare": self._prepare,
            "causal": self._explain,
        }

    def run(self, unit: str) -> dict[str, Any]:
        """Do a unit's work, which its name begins with, commit it and return its ledger row.

        Nothing is done when the run was asked to stop.

        Raises
        ------
        RunFailedError
            When the unit cannot be committed, or this replica's run directory is no longer its driver's.
        DeviceLost
            When only a new process can go on; the next attempt sets the sample at fault aside.
        """
        with contextlib.ExitStack() as attempt:
            with self._model_in_use:
                if self.store.is_stop_requested():
                    return {"unit": unit, "state": "stopped"}
                if not self.store.incoming.is_dir():
                    raise self.store.lost()
                started = time.perf_counter()
                with self._naming_faults(unit):
                    journal = attempt.enter_context(UnitJournal(self.store.journals, unit, self.max_retries))
                    commit = self._work[unit.partition("-")[0]](unit, journal)
                    if journal.is_written_alone:
                        return self._committed(unit, commit(), journal, started)
                    journal.is_written_beside_others()
            with self._naming_faults(unit):
                return self._committed(unit, commit(), journal, started)

    @contextlib.contextmanager
    def _naming_faults(self, unit: str) -> Iterator[None]:
        try:
            yield
        except (OSError, RunFailedError) as error:
            if not self.store.incoming.is_dir():
                raise self.store.lost() from error
            if isinstance(error, OSError):
                raise RunFailedError(f"{error.filename or self.store.root}: {reason_of(error)}, in {unit}.") from error
            raise

    @staticmethod
    def _committed(unit: str, manifest: dict[str, Any], journal: UnitJournal, started: float) -> dict[str, Any]:
        return {
            "unit": unit,
            "state": "committed",
            "num_samples": len(manifest["sample_ids"]),
            "num_rejects": len(manifest["rejected_ids"]),
            "num_tokens": int(manifest["facts"]["num_tokens"]),
            "num_deaths": len(journal.deaths),
            "peak_memory_bytes": int(manifest["facts"].get("peak_memory_bytes") or 0),
            "seconds": time.perf_counter() - started,
        }

    def _measure(self, unit: str, journal: UnitJournal) -> Commit:
        planned = read_batches(self.store.check_encoded(unit))
        batches = [[sample for sample in batch if sample.sample_id not in journal.condemned] for batch in planned]
        rest = self.replica.forward_passes(
            [batch for batch in batches if batch], self.key_groups, journal.at_work_on, journal.isolated
        )

        def commit() -> dict[str, Any]:
            result = rest()
            measured = result.tables["samples"]["sample_id"].to_pylist()
            rejects = [*result.rejects, *_condemned(journal, "measure")]
            return self.store.commit(unit, measured, result.tables, rejects, _facts(result, journal))

        return commit

    def _generate(self, unit: str, journal: UnitJournal) -> Commit:
        prompts = [p for p in read_prompts(self.store.encoded_path(unit)) if p.sample_id not in journal.condemned]
        answers = self.replica.generate(prompts, watch=journal.at_work_on, isolated=journal.isolated)
        table = pa.table(
            {
                "sample_id": pa.array([answer.sample_id for answer in answers], pa.string()),
                "answer": pa.array([answer.text for answer in answers], pa.string()),
                "num_tokens": pa.array([answer.num_tokens for answer in answers], pa.int32()),
                "is_cut": pa.array([answer.is_cut for answer in answers], pa.bool_()),
            }
        )
        facts = {"num_tokens": sum(answer.num_tokens for answer in answers)}
        rejects = _condemned(journal, "read")
        return lambda: self.store.commit(unit, table["sample_id"].to_pylist(), {"answers": table}, rejects, facts)

    def _prepare(self, unit: str, journal: UnitJournal) -> Commit:
        ledger = self.store.preparation
        entry = next(entry for entry in ledger.read_json("plan/units.json") if entry["name"] == unit)
        samples = self._samples(entry["source"], _kept(entry["sample_ids"], journal))
        result = prepare_unit(self.replica.explainer, samples, journal.at_work_on)
        return lambda: self._commit(ledger, unit, entry["sample_ids"], result, journal)

    def _explain(self, unit: str, journal: UnitJournal) -> Commit:
        plan = self.store.read_json(CAUSAL_PLAN)
        entry = next(entry for entry in plan["units"] if entry["name"] == unit)
        samples = self._samples(entry["source"], _kept(entry["sample_ids"], journal))
        inputs = self._inputs(plan, samples)
        result = explain_unit(self.replica.explainer, samples, inputs, self.key_groups, journal.at_work_on)
        return lambda: self._commit(self.store, unit, entry["sample_ids"], result, journal)

    def _commit(
        self, ledger: RunStore, unit: str, ids: Sequence[str], result: UnitResult, journal: UnitJournal
    ) -> dict[str, Any]:
        rejects = [*result.rejects, *_condemned(journal, "causal")]
        rejected = {reject.sample_id for reject in rejects}
        kept = [sample_id for sample_id in ids if sample_id not in rejected]
        return ledger.commit(unit, kept, result.tables, rejects, _facts(result, journal))

    def _samples(self, source: str, ids: Collection[str]) -> list[EncodedSample]:
        """Return some samples of a measure unit, in the order of ``ids``."""
        wanted = set(ids)
        batches = read_batches(self.store.check_encoded(source))
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


def _kept(ids: Sequence[str], journal: UnitJournal) -> list[str]:
    return [sample_id for sample_id in ids if sample_id not in journal.condemned]


def _condemned(journal: UnitJournal, stage: str) -> list[Reject]:
    """Return the rejects of samples that kill the process that works on them."""
    return [
        Reject(
            sample_id, stage, "killed_its_process",
            f"The process that worked on this sample alone died {count} times without an exception (killed by the "
            f"system, or the machine ran out of memory).",
        )
        for sample_id, count in journal.condemned.items()
    ]  # fmt: skip


def _facts(result: UnitResult, journal: UnitJournal) -> dict[str, Any]:
    """Return the unit's facts with what earlier attempts left behind, for the ledger."""
    isolated = sorted(journal.isolated)
    facts = {**result.facts, "num_deaths": len(journal.deaths), "isolated_sample_ids": isolated}
    if "divided_sample_ids" in facts:  # also those whose whole batch is gone but for them
        alone = [sample_id for sample_id in isolated if sample_id not in journal.condemned]
        facts["divided_sample_ids"] = list(dict.fromkeys([*facts["divided_sample_ids"], *alone]))
    return facts
