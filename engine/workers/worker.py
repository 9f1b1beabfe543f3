"""A replica at work on a run directory: read a unit's encoded samples, measure them, commit the tables."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pyarrow as pa
import torch

from engine.causal.method import CausalInputs
from engine.causal.plan import ranking_unit
from engine.causal.units import circuit_inputs, explain_unit, prepare_unit, rank_unit, read_means, read_ranking
from engine.config import Config
from engine.encoded_samples import EncodedSample
from engine.encoding.encoded_files import read_batches, read_prompts
from engine.errors import RunFailedError, reason_of
from engine.measuring.unit_results import UnitResult
from engine.samples import Reject
from engine.storage.fingerprints import check_model
from engine.storage.planned.units import CausalPlan, PlannedUnit
from engine.storage.records import LedgerRow, Manifest, UnitFacts
from engine.storage.run_directory import RunDirectory
from engine.workers.journal import UnitJournal, Witness
from engine.workers.replica import Replica
from engine.workers.shared_check import SharedCheck

Commit = Callable[[], Manifest]
"""What is left of a unit's work once the model is free for the next one: returns the manifest that counts."""


class UnitWorker:
    """A replica together with the run directory that it reads from and commits to.

    Two threads may run units: while one has the model, the other builds its unit's tables and writes them.

    Raises
    ------
    ConfigError
        When the model cannot be loaded, or is not the one that the run was fingerprinted with.
    """

    def __init__(
        self,
        config: Config,
        root: Path,
        key_groups: Sequence[str],
        incoming: Path | None = None,
        witness: Witness = Witness.NOBODY,
        last_words: Path | None = None,
    ):
        self.run_dir = RunDirectory(root, incoming)
        self._witness, self._begun, self._last_words = witness, set[str](), last_words
        self.key_groups = list(key_groups)
        self.max_retries = config.cluster.max_retries
        self.replica = self._loaded(config)
        self._model_in_use = threading.Lock()
        self._work: dict[str, Callable[[str, UnitJournal], Commit]] = {
            "measure": self._measure,
            "generate": self._generate,
            "prepare": self._prepare,
            "rank": self._rank,
            "causal": self._explain,
        }

    def run(self, unit: str) -> LedgerRow:
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
                if self.run_dir.is_stop_requested():
                    return LedgerRow(unit, "stopped")
                if not self.run_dir.incoming.is_dir():
                    raise self.run_dir.ledger.lost()
                started = time.perf_counter()
                with self._naming_faults(unit):
                    journal = attempt.enter_context(self._journal(unit))
                    commit = self._work[unit.partition("-")[0]](unit, journal)
                    if journal.is_written_alone:
                        return self._committed(unit, commit(), journal, started)
                    journal.is_written_beside_others()
            with self._naming_faults(unit):
                return self._committed(unit, commit(), journal, started)

    def _loaded(self, config: Config) -> Replica:
        check_model(config, self.run_dir.root)
        replica = Replica(config)
        check_model(config, self.run_dir.root)  # what was loaded lies between the two
        replica.measurer.checker.store = SharedCheck(self.run_dir)
        return replica

    @contextlib.contextmanager
    def without_model(self) -> Iterator[None]:
        """Give the model's memory back for as long as this is entered; units wait meanwhile."""
        with self._model_in_use:
            config = self.replica.config
            del self.replica
            gc.collect()
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            try:
                yield
            finally:
                self.replica = self._loaded(config)

    def _journal(self, unit: str) -> UnitJournal:
        return UnitJournal(self.run_dir.journals, unit, self.max_retries, self._witness, self._begun, self._last_words)

    @contextlib.contextmanager
    def _naming_faults(self, unit: str) -> Iterator[None]:
        try:
            yield
        except (OSError, RunFailedError) as error:
            if not self.run_dir.incoming.is_dir():
                raise self.run_dir.ledger.lost() from error
            if isinstance(error, OSError):
                raise RunFailedError(
                    f"{error.filename or self.run_dir.root}: {reason_of(error)}, in {unit}."
                ) from error
            raise

    @staticmethod
    def _committed(unit: str, manifest: Manifest, journal: UnitJournal, started: float) -> LedgerRow:
        facts = manifest["facts"]
        return LedgerRow(
            unit,
            "committed",
            num_samples=len(manifest["sample_ids"]),
            num_rejects=len(manifest["rejected_ids"]),
            num_tokens=int(facts["num_tokens"]),
            num_deaths=len(journal.attempts),
            peak_memory_bytes=int(facts.get("peak_memory_bytes") or 0),
            seconds=time.perf_counter() - started,
            detail="\n".join(
                f"{unit}: a replica that worked on it died of {attempt.cause}; it was done again."
                for attempt in journal.deaths
                if attempt.cause and attempt.witness == Witness.DRIVER
            ),
        )

    def _measure(self, unit: str, journal: UnitJournal) -> Commit:
        planned = read_batches(self.run_dir.plan.check_encoded(unit))
        batches = [[sample for sample in batch if sample.sample_id not in journal.condemned] for batch in planned]
        rest = self.replica.measurer.forward_passes(
            _suspects_first([batch for batch in batches if batch], journal),
            self.key_groups,
            journal.at_work_on,
            journal.isolated,
        )

        def commit() -> Manifest:
            result = rest()
            measured = result.tables["samples"]["sample_id"].to_pylist()
            rejects = [*result.rejects, *_condemned(journal, "measure")]
            return self.run_dir.ledger.commit(unit, measured, result.tables, rejects, _facts(result, journal))

        return commit

    def _generate(self, unit: str, journal: UnitJournal) -> Commit:
        prompts = [
            p for p in read_prompts(self.run_dir.plan.encoded_path(unit)) if p.sample_id not in journal.condemned
        ]
        answers = self.replica.generate(prompts, watch=journal.at_work_on, isolated=journal.isolated)
        table = pa.table(
            {
                "sample_id": pa.array([answer.sample_id for answer in answers], pa.string()),
                "answer": pa.array([answer.text for answer in answers], pa.string()),
                "num_tokens": pa.array([answer.num_tokens for answer in answers], pa.int32()),
                "is_cut": pa.array([answer.is_cut for answer in answers], pa.bool_()),
            }
        )
        facts: UnitFacts = {"num_tokens": sum(answer.num_tokens for answer in answers)}
        rejects = _condemned(journal, "read")
        return lambda: self.run_dir.ledger.commit(
            unit, table["sample_id"].to_pylist(), {"answers": table}, rejects, facts
        )

    def _prepare(self, name: str, journal: UnitJournal) -> Commit:
        run_dir = self.run_dir.preparation
        unit = next(unit for unit in run_dir.plan.units() if unit.name == name)
        samples = self._samples(unit.source, _uncondemned(unit.sample_ids, journal))
        result = prepare_unit(self.replica.explainer, samples, journal.at_work_on)
        return lambda: self._commit(run_dir, unit, result, journal)

    def _rank(self, name: str, journal: UnitJournal) -> Commit:
        run_dir = self.run_dir.preparation
        plan = run_dir.plan.read_causal()
        assert plan is not None, "what is shared is known before edges are ranked"
        unit = next(unit for unit in plan.units if unit.name == name)
        samples = self._samples(unit.source, _uncondemned(unit.sample_ids, journal))
        result = rank_unit(self.replica.explainer, samples, self._inputs(plan, samples), journal.at_work_on)
        return lambda: self._commit(run_dir, unit, result, journal)

    def _explain(self, name: str, journal: UnitJournal) -> Commit:
        plan = self.run_dir.plan.read_causal()
        assert plan is not None, "causal units are planned before they are worked on"
        unit = next(unit for unit in plan.units if unit.name == name)
        samples = self._samples(unit.source, _uncondemned(unit.sample_ids, journal))
        inputs = self._inputs(plan, samples)
        ranking = self.run_dir.preparation.ledger.table_path(ranking_unit(name), "ranking")
        if inputs.circuit is not None and ranking.is_file():
            ranked = read_ranking(ranking)
            inputs = replace(inputs, circuit=replace(inputs.circuit, linearised=ranked))
        result = explain_unit(self.replica.explainer, samples, inputs, self.key_groups, journal.at_work_on)
        return lambda: self._commit(self.run_dir, unit, result, journal)

    @staticmethod
    def _commit(run_dir: RunDirectory, unit: PlannedUnit, result: UnitResult, journal: UnitJournal) -> Manifest:
        rejects = [*result.rejects, *_condemned(journal, "causal")]
        rejected = {reject.sample_id for reject in rejects}
        explained = [sample_id for sample_id in unit.sample_ids if sample_id not in rejected]
        return run_dir.ledger.commit(unit.name, explained, result.tables, rejects, _facts(result, journal))

    def _samples(self, source: str, ids: Collection[str]) -> list[EncodedSample]:
        """Return some samples of a measure unit, in the order of ``ids``."""
        wanted = set(ids)
        batches = read_batches(self.run_dir.plan.check_encoded(source))
        by_id = {sample.sample_id: sample for batch in batches for sample in batch if sample.sample_id in wanted}
        return [by_id[sample_id] for sample_id in ids]

    def _inputs(self, plan: CausalPlan, samples: Sequence[EncodedSample]) -> CausalInputs:
        """Return what the causal plan holds for these samples."""
        by_source: dict[str, list[str]] = {}
        partners = {s.sample_id: plan.partners[s.sample_id] for s in samples if s.sample_id in plan.partners}
        matched = {s.sample_id: plan.matched[s.sample_id] for s in samples if s.sample_id in plan.matched}
        for partner in (*partners.values(), *matched.values()):
            by_source.setdefault(partner.source, []).append(partner.sample_id)
        encoded = {s.sample_id: s for source, ids in by_source.items() for s in self._samples(source, ids)}
        return CausalInputs(
            read_means(self.run_dir.plan.table_path("head_means")) if "head_means" in plan.fingerprints else None,
            {sample_id: encoded[partner.sample_id] for sample_id, partner in partners.items()},
            tuple(sorted([*plan.screened.top, *plan.screened.random])),
            {sample_id: encoded[match.sample_id] for sample_id, match in matched.items()},
            None if plan.circuit is None else circuit_inputs(plan.circuit),
        )


def _uncondemned(ids: Sequence[str], journal: UnitJournal) -> list[str]:
    return [sample_id for sample_id in ids if sample_id not in journal.condemned]


def _suspects_first(batches: list[list[EncodedSample]], journal: UnitJournal) -> list[list[EncodedSample]]:
    """Return batches with those first of which a sample was alone in flight at a death, and it first among its own.

    Those batches are measured one by one, so that no number depends on their order.
    """
    places = {sample_id: place for place, sample_id in enumerate(journal.suspects)}

    def place(sample: EncodedSample) -> int:
        return places.get(sample.sample_id, len(places))

    ordered = sorted(batches, key=lambda batch: min(map(place, batch)))
    return [sorted(batch, key=place) for batch in ordered]


def _condemned(journal: UnitJournal, stage: str) -> list[Reject]:
    """Return the rejects of samples that kill the process that works on them."""
    return [
        Reject(
            sample_id,
            stage,
            "killed_its_process",
            f"The process that worked on this sample alone died {deaths}.",
        )
        for sample_id, deaths in journal.condemned.items()
    ]


def _facts(result: UnitResult, journal: UnitJournal) -> UnitFacts:
    """Return the unit's facts with what earlier attempts left behind, for the ledger."""
    isolated = sorted(journal.isolated)
    facts = cast(UnitFacts, {**result.facts, "num_deaths": len(journal.attempts), "isolated_sample_ids": isolated})
    if "divided_sample_ids" in facts:  # also those whose whole batch is gone but for them
        alone = [sample_id for sample_id in isolated if sample_id not in journal.condemned]
        facts["divided_sample_ids"] = list(dict.fromkeys([*facts["divided_sample_ids"], *alone]))
    return facts
