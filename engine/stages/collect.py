"""The collect stage: every planned unit is measured and committed, and the run is verified."""

from __future__ import annotations

from collections.abc import Sequence

from engine.causal.plan import preparation_units, ranking_units, write_causal_plan
from engine.config import Config
from engine.errors import RunFailedError
from engine.executors.missing_units import run_missing
from engine.schema import layout
from engine.storage.records import RunCounts
from engine.storage.run_directory import RunDirectory
from engine.storage.verification import damage_of_causal_plan, damage_of_rejects, verify


def collect(config: Config, run_dir: RunDirectory, key_groups: Sequence[str]) -> RunCounts:
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
    planned = run_dir.plan.units()
    missing = run_dir.missing_units(planned)
    if missing:
        run_dir.withdraw()
        run_missing(config, run_dir, planned, missing, key_groups=key_groups, verb="measured")
    if config.causal.is_on:
        _explain(config, run_dir, key_groups)
    if run_dir.is_published() and damage_of_rejects(run_dir):
        run_dir.withdraw()  # they are merged anew when the run is published again
    counts = verify(run_dir)
    if not counts["samples"]:
        first = run_dir.ledger.first_reject()
        raise RunFailedError(
            f"{run_dir.root}: every sample was rejected while it was measured, the first because: {first} Nothing was "
            f"published; the rejects are in {run_dir.ledger.shards}/*/{layout.REJECTS}."
        )
    return counts


def _explain(config: Config, run_dir: RunDirectory, key_groups: Sequence[str]) -> None:
    """Bring every causal unit to a commit: first what they need of all samples, then the units themselves."""
    if damage_of_causal_plan(run_dir, is_needed=True):
        run_dir.withdraw()
        ledger = run_dir.preparation.ledger
        for units, verb in ((preparation_units, "prepared"), (ranking_units, "linearised")):
            prepared = units(config, run_dir)
            missing = run_dir.missing_units(prepared, ledger)
            if missing:
                run_missing(config, run_dir, prepared, missing, key_groups=key_groups, verb=verb, ledger=ledger)
        write_causal_plan(config, run_dir)
    planned = run_dir.plan.causal_units()
    missing = run_dir.missing_units(planned)
    if missing:
        run_dir.withdraw()
        run_missing(config, run_dir, planned, missing, key_groups=key_groups, verb="explained")
