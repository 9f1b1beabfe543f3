"""Units mapped over a Ray actor pool of replicas, one ledger row each."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.config import Config
from engine.errors import ConfigError, DeviceLost, RunFailedError, UserError
from engine.executors.job import Job
from engine.executors.over_ray.ray_cluster import (
    OBJECT_STORE_BYTES,
    alive_nodes,
    check_address,
    cluster_address,
    is_on_loopback_only,
    require_token,
    stay_on_loopback,
    why_no_cluster,
)
from engine.executors.over_ray.ray_messages import JobMessage
from engine.executors.processes.apart import done_apart, needs_witness
from engine.machine.deaths import say_last_words
from engine.machine.nodes import Node, misfit
from engine.storage.records import LedgerRow
from engine.storage.run_directory import RunDirectory
from engine.workers.journal import Witness


@contextlib.contextmanager
def ray_session(config: Config) -> Iterator[list[Node]]:
    """Join the cluster at ``RAY_ADDRESS``, or start one on this machine, and yield what its nodes offer.

    ``cluster.mode: local`` always starts its own; ``auto`` joins when ``RAY_ADDRESS`` is set.

    Raises
    ------
    RunFailedError
        When there is no such cluster, or it cannot be joined; the message says what to set.
    """
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "ERROR")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    address = cluster_address(config)
    if address is not None:
        check_address(address)
    require_token()
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": False}
    if address is None:
        # "local" keeps a stale address file of some other cluster from being joined.
        options |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_node_ip_address": stay_on_loopback(),
        }
    else:
        options["address"] = address
        if is_on_loopback_only(address):
            options["_node_ip_address"] = stay_on_loopback()
    try:
        ray.init(**options)
    except Exception as error:
        raise RunFailedError(why_no_cluster(address, error, ray.__version__)) from error
    try:
        yield alive_nodes(ray.nodes())
    finally:
        ray.shutdown()


def room_for_replicas(config: Config, nodes: Sequence[Node]) -> int:
    """Return how many replicas of the configured size fit on the nodes."""
    return sum(node.room(config) for node in nodes)


def num_replicas(config: Config, nodes: Sequence[Node], num_units: int, *, is_retry: bool = False) -> int:
    """Return how many replicas to start, at most one per unit.

    Parameters
    ----------
    config
        The run's config.
    nodes
        What the cluster's nodes offer.
    num_units
        Units to be done.
    is_retry
        Whether a part of the cluster was lost since the run began; what is left of it then decides.

    Raises
    ------
    ConfigError
        When the cluster cannot hold the configured replicas.
    """
    room = room_for_replicas(config, nodes)
    wanted = config.cluster.replicas or max(room, 1)
    if is_retry:
        wanted = min(wanted, max(room, 1))
    if wanted > room:
        raise ConfigError(f"cluster.replicas: {misfit(config, nodes, wanted)}")
    return max(1, min(wanted, num_units))


class ReplicaActor:
    """One replica in an actor; errors come back as rows, so that Ray never restarts a replica for a user's mistake."""

    def __init__(self, job: JobMessage, num_replicas: int):
        self._failure: LedgerRow | None = None
        config, incoming = Config.model_validate(job["config"]), Path(job["incoming"])
        run_dir = RunDirectory(Path(job["root"]), incoming)
        self._job = Job(config, run_dir, job["units"], job["key_groups"])
        try:
            with _loading(incoming, num_replicas * (1 + config.cluster.max_retries)):
                from engine.workers.worker import UnitWorker

                words = say_last_words(incoming / f"last-words-{uuid.uuid4().hex}")
                self._worker = UnitWorker(config, run_dir.root, job["key_groups"], incoming, Witness.DRIVER, words)
        except Exception as error:
            self._failure = _failure_row("", error)

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, list[object]]:
        """Measure and commit one unit; return its ledger row, as columns of one value each."""
        unit = str(batch["unit"][0])
        if self._failure is not None:
            row = replace(self._failure, unit=unit)
        else:
            try:
                row = (
                    self._done_apart(unit) if needs_witness(self._job, unit, Witness.DRIVER) else self._worker.run(unit)
                )
            except DeviceLost as error:
                print(error, file=sys.stderr, flush=True)
                os._exit(1)  # Ray starts this replica anew; the unit's journal knows the sample
            except Exception as error:
                row = _failure_row(unit, error)
        return {name: [value] for name, value in row.to_json().items()}

    def _done_apart(self, unit: str) -> LedgerRow:
        """Do a unit in a fresh process, whose death is seen from here; what there is to say of it goes with the row."""
        said: list[str] = []
        with self._worker.without_model():
            row = done_apart(self._job, unit, said.append)
        return row if row.state == "failed" else replace(row, detail="\n".join([*said, row.detail]))


@contextlib.contextmanager
def _loading(incoming: Path, limit: int) -> Iterator[None]:
    """Note that a replica loads its model, and refuse to when too many died of that since the last success.

    Ray starts a replica that died anew, without end when it is the loading that kills it.
    """
    if sum(1 for _ in incoming.glob("loading-*")) >= limit:
        raise RunFailedError(
            "model.path: replicas die again and again while they load the model (killed by the system, most often for "
            "want of memory: see dmesg). Lower cluster.replicas, or give each replica a machine that holds the model."
        )
    note = incoming / f"loading-{uuid.uuid4().hex}"
    note.touch()
    try:
        yield
    finally:  # whoever lives proves that loading need not kill
        for path in incoming.glob("loading-*"):
            path.unlink(missing_ok=True)


def _failure_row(unit: str, error: Exception) -> LedgerRow:
    if isinstance(error, UserError):
        return LedgerRow(unit, "failed", detail=str(error), exit_code=error.exit_code)
    detail = "".join(traceback.format_exception(error))
    return LedgerRow(unit, "failed", detail=detail, exit_code=RunFailedError.exit_code)


def ledger_rows(job: JobMessage, size: int) -> Iterator[dict[str, Any]]:
    """Yield one ledger row per unit of a job, in the order in which they finish; Ray runs."""
    import pyarrow as pa
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    settings = Config.model_validate(job["config"]).cluster
    # One block per unit: a single block would hand every unit to one replica.
    shards = ray.data.from_arrow([pa.table({"unit": [unit]}) for unit in job["units"]])
    with warnings.catch_warnings():
        # Ray names no successor of these two yet; pyproject.toml holds Ray below the version that drops them.
        warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
        rows = shards.map_batches(
            ReplicaActor,
            fn_constructor_args=(job, size),
            # One unit has the model while the one before it is written, or the one after it waits: more would leave
            # a unit behind a slow replica while others are idle.
            compute=ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2, enable_true_multi_threading=True),
            max_concurrency=2,
            batch_size=1,
            num_cpus=settings.cpus_per_replica,
            num_gpus=settings.gpus_per_replica or None,
            accelerator_type=settings.accelerator_type if settings.gpus_per_replica else None,
            # Ray may start replicas anew as often as it likes, for a pool outlives many of them: what bounds the
            # deaths that one sample or one model causes are the unit's journal and the notes of loading replicas.
            max_restarts=-1,
            max_task_retries=-1,
        )
    for row in rows.iter_rows():
        yield dict(row)
