"""Ray: starting or joining a cluster, and units mapped over an actor pool of replicas."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.config import Config
from engine.errors import ConfigError, RunFailedError, UserError
from engine.worker import UnitWorker

_OBJECT_STORE_BYTES = 256 * 2**20


@contextmanager
def ray_session(config: Config) -> Iterator[dict[str, float]]:
    """Join the cluster at ``RAY_ADDRESS``, or start one on this machine, and yield what it offers.

    ``cluster.mode: local`` always starts its own; ``auto`` joins when ``RAY_ADDRESS`` is set.
    """
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "ERROR")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": False}
    address = os.environ.get("RAY_ADDRESS") if config.cluster.mode == "auto" else None
    if address is None:
        # "local" keeps a stale address file of some other cluster from being joined.
        options |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
        if sys.platform == "linux":
            # Ray replaces 127.0.0.1 by the address of a network card; any other loopback address it leaves alone.
            options["_node_ip_address"] = "127.0.0.2"
    else:
        options["address"] = address
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with _silent_stderr():
            ray.init(**options)
    except Exception as error:
        where = f"the Ray cluster at RAY_ADDRESS={address}" if address else "a local Ray"
        raise RunFailedError(f"cluster.mode: {where} cannot be used: {' '.join(str(error).split())[:300]}") from error
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():  # Ray installs its own, which would not stop at a shard boundary
            signal.signal(number, handler)
    try:
        yield dict(ray.cluster_resources())
    finally:
        ray.shutdown()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep what Ray's C++ core prints while it starts off the terminal; failures come as exceptions."""
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


def num_replicas(config: Config, resources: dict[str, float], num_units: int) -> int:
    """Return how many replicas to start, at most one per unit.

    Raises
    ------
    ConfigError
        When the cluster cannot hold the configured replicas.
    """
    settings = config.cluster
    offers = [int(resources.get("CPU", 0) // settings.cpus_per_replica)]
    if settings.gpus_per_replica:
        offers.append(int(resources.get("GPU", 0) / settings.gpus_per_replica))
    room = min(offers)
    wanted = settings.replicas or max(room, 1)
    if wanted > room:
        raise ConfigError(
            f"cluster.replicas: {wanted} replica(s) of {settings.cpus_per_replica} CPU(s) and "
            f"{settings.gpus_per_replica:g} GPU(s) do not fit: the cluster offers {resources.get('CPU', 0):g} CPU(s) "
            f"and {resources.get('GPU', 0):g} GPU(s). Lower cluster.replicas, cpus_per_replica or gpus_per_replica."
        )
    return max(1, min(wanted, num_units))


class ReplicaActor:
    """One replica in an actor; errors come back as rows, so that Ray never restarts a replica for a user's mistake."""

    def __init__(self, config: dict[str, Any], root: str, key_groups: Sequence[str]):
        self._failure: dict[str, Any] | None = None
        try:
            self._worker = UnitWorker(Config.model_validate(config), Path(root), key_groups)
        except Exception as error:
            self._failure = _failure_row(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Measure and commit one unit; return its ledger row."""
        row: dict[str, Any]
        if self._failure is not None:
            row = self._failure
        else:
            try:
                row = self._worker.run(str(batch["unit"][0]))
            except Exception as error:
                row = _failure_row(error)
        return {name: [value] for name, value in {**_EMPTY_ROW, **row, "unit": str(batch["unit"][0])}.items()}


_EMPTY_ROW = {"state": "", "num_samples": 0, "num_rejects": 0, "num_tokens": 0, "seconds": 0.0, "detail": "",
              "exit_code": 0}  # fmt: skip


def _failure_row(error: Exception) -> dict[str, Any]:
    if isinstance(error, UserError):
        return {"state": "failed", "detail": str(error), "exit_code": error.exit_code}
    return {"state": "failed", "detail": traceback.format_exc(), "exit_code": RunFailedError.exit_code}


def run_units(config: Config, root: Path, units: Sequence[str], key_groups: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield one ledger row per unit, in the order in which they finish.

    Raises
    ------
    RunFailedError
        When Ray gives up, for instance after a replica died more often than ``cluster.max_retries``.
    """
    with ray_session(config) as resources:
        import pyarrow as pa
        import ray
        from ray.data import ActorPoolStrategy, DataContext

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        settings = config.cluster
        size = num_replicas(config, resources, len(units))
        # One block per unit: a single block would hand every unit to one replica.
        shards = ray.data.from_arrow([pa.table({"unit": [unit]}) for unit in units])
        with warnings.catch_warnings():
            # Ray names no successor of these two yet; pyproject.toml holds Ray below the version that drops them.
            warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
            rows = shards.map_batches(
                ReplicaActor,
                fn_constructor_args=(config.model_dump(mode="json"), str(root), list(key_groups)),
                compute=ActorPoolStrategy(size=size),
                batch_size=1,
                num_cpus=settings.cpus_per_replica,
                num_gpus=settings.gpus_per_replica or None,
                accelerator_type=settings.accelerator_type if settings.gpus_per_replica else None,
                # Bounded: by default Ray restarts an actor for ever when a sample kills its process.
                max_restarts=settings.max_retries,
                max_task_retries=settings.max_retries,
            )
        try:
            for row in rows.iter_rows():
                yield dict(row)
        except GeneratorExit:
            raise
        except Exception as error:
            raise RunFailedError(
                f"cluster: Ray gave up: {' '.join(str(error).split())[-400:]} Committed units are kept; start the same "
                f"command again to go on."
            ) from error
