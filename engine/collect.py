"""Collecting: every planned unit is measured and committed, inline or over Ray, and the run is verified."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from engine.causal_plan import preparation_units, write_causal_plan
from engine.config import Config
from engine.errors import ConfigError, RunFailedError, RunStopped
from engine.progress import ProgressReport
from engine.ray_process import run_units
from engine.stopping import stopping_at_shards
from engine.store import PlannedUnit, RunStore
from engine.verification import damage_of_causal_plan, damage_of_rejects, verify
from engine.worker import UnitWorker


def collect(config: Config, store: RunStore, key_groups: Sequence[str]) -> dict[str, int]:
    """Bring every planned unit to a commit and verify the run; publishing it is left to the caller.

    Returns
    -------
    dict
        Verified numbers of units, samples and rejects.

    Raises
    ------
    RunFailedError
        When a unit cannot be committed or the run cannot be verified; what is committed stays.
    RunStopped
        When the run was asked to stop.
    """
    planned = store.planned_units()
    missing = store.missing_units(planned)
    if missing:
        store.withdraw()
        run_missing(config, store, planned, missing, key_groups)
    if config.causal.is_on:
        _explain(config, store, key_groups)
    if store.is_published() and damage_of_rejects(store):
        store.withdraw()  # they are merged anew when the run is published again
    summary = verify(store)
    if not summary["samples"]:
        first = store.first_reject()
        raise RunFailedError(
            f"{store.root}: every sample was rejected while it was measured, the first because: {first} Nothing was "
            f"published; the rejects are in {store.shards}/*/rejects.parquet."
        )
    return summary


def _explain(config: Config, store: RunStore, key_groups: Sequence[str]) -> None:
    """Bring every causal unit to a commit: first what they need of all samples, then the units themselves."""
    if damage_of_causal_plan(store, {"is_causal": True}):
        store.withdraw()
        prepared = preparation_units(config, store)
        missing = store.preparation.missing_units(prepared)
        if missing:
            run_missing(config, store, prepared, missing, key_groups, "prepared")
        write_causal_plan(config, store)
    planned = store.causal_units()
    missing = store.missing_units(planned)
    if missing:
        store.withdraw()
        run_missing(config, store, planned, missing, key_groups, "explained")


def run_missing(
    config: Config,
    store: RunStore,
    planned: Sequence[PlannedUnit],
    missing: Sequence[PlannedUnit],
    key_groups: Sequence[str],
    verb: str = "measured",
) -> None:
    """Let replicas commit the missing units of a ledger.

    Parameters
    ----------
    config
        The run's config.
    store
        The ledger.
    planned, missing
        All of its units, and those that are not committed.
    key_groups
        Names of the key groups.
    verb
        What happens to samples, for the progress.

    Raises
    ------
    RunFailedError
        When a unit cannot be committed.
    RunStopped
        When the run was asked to stop.
    """
    total = sum(len(unit.sample_ids) for unit in planned)
    done = total - sum(len(unit.sample_ids) for unit in missing)
    names = [unit.name for unit in missing]
    is_inline = config.cluster.mode == "inline"
    if not is_inline:
        # Deaths of an earlier driver's replicas were its own death; inline the driver is the replica.
        shutil.rmtree(store.journals, ignore_errors=True)
    work = _inline if is_inline else run_units
    has_stopped = False
    with (
        store.session() as session,
        stopping_at_shards(session.request_stop),
        ProgressReport(store, total, done, verb) as progress,
    ):
        for row in work(config, session, names, key_groups):
            if row["state"] == "failed":
                error = ConfigError if row["exit_code"] == ConfigError.exit_code else RunFailedError
                raise error(row["detail"])
            if row["state"] == "stopped":
                has_stopped = True
            else:
                progress.add(row)
        if has_stopped or session.is_stop_requested():
            raise RunStopped(
                f"{store.root}: stopped at a shard boundary as asked; {progress.done} of {total} samples are {verb}. "
                f"Start the same command again to continue."
            )


def _inline(
    config: Config, store: RunStore, units: Sequence[str], key_groups: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield one ledger row per unit, measured in this very process."""
    worker = UnitWorker(config, store.root, key_groups, store.incoming)
    for unit in units:
        yield worker.run(unit)
