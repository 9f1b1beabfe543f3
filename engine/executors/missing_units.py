"""Units brought to a commit: any executor, one way to stop, to fail and to show progress."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from engine.config import Config
from engine.errors import ConfigError, RunFailedError, RunStopped
from engine.executors.executor import executor_of
from engine.executors.job import Job
from engine.executors.processes.apart import print_warning
from engine.executors.progress import ProgressReport
from engine.executors.stopping import stopping_at_shards
from engine.storage.ledger import Ledger
from engine.storage.planned.units import PlannedUnit
from engine.storage.run_directory import RunDirectory


def run_missing(
    config: Config,
    run_dir: RunDirectory,
    planned: Sequence[PlannedUnit],
    missing: Sequence[PlannedUnit],
    *,
    key_groups: Sequence[str],
    verb: str,
    ledger: Ledger | None = None,
) -> None:
    """Let replicas commit the missing units of a ledger.

    Parameters
    ----------
    config
        The run's config.
    run_dir
        The run directory or the one of a ledger inside it.
    planned, missing
        All of its units, and those that are not committed.
    key_groups
        Names of the key groups.
    verb
        What happens to samples, for the progress.
    ledger
        Where they are committed; that of ``run_dir`` unless given.

    Raises
    ------
    RunFailedError
        When a unit cannot be committed.
    RunStopped
        When the run was asked to stop.
    """
    total = sum(len(unit.sample_ids) for unit in planned)
    done = total - sum(len(unit.sample_ids) for unit in missing)
    executor = executor_of(config)
    if not executor.is_local:
        # Deaths of an earlier driver's replicas were its own death; in this process the driver is the replica.
        shutil.rmtree(run_dir.journals, ignore_errors=True)
    has_stopped = False
    with (
        run_dir.session() as session,
        stopping_at_shards(session.request_stop),
        ProgressReport(run_dir, total, done, verb) as progress,
    ):
        for row in executor.run(Job(config, session, [unit.name for unit in missing], key_groups)):
            if row.state == "failed":
                error = ConfigError if row.exit_code == ConfigError.exit_code else RunFailedError
                raise error(row.detail)
            if row.state == "stopped":
                has_stopped = True
            else:
                for said in filter(None, row.detail.split("\n")):
                    print_warning(said)
                progress.add(row)
        if has_stopped or session.is_stop_requested():
            raise RunStopped(
                f"{run_dir.root}: stopped at a shard boundary as asked; {progress.done} of {total} samples are {verb}. "
                f"Start the same command again to continue."
            )
    (ledger or run_dir.ledger).await_visible(missing)
