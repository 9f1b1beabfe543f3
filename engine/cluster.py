"""Ray: starting or joining a cluster, and units mapped over an actor pool of replicas.

``serve`` is the whole life of a process of its own, which ``ray_process`` starts and watches: when Ray's C++ core ends
its process, as it does when a head node is lost, the run's driver goes on to say so.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from engine.config import Config
from engine.errors import ConfigError, DeviceLost, RunFailedError, UserError
from engine.machine import Node, misfit

_OBJECT_STORE_BYTES = 256 * 2**20
_CONNECT_SECONDS = 5.0
_SIGN_OF_LIFE_SECONDS = 2.0


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
    if address is None:
        # A token of this run's own: no other user of this machine and no other cluster's token file matters.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        os.environ.pop("RAY_AUTH_TOKEN_PATH", None)
    else:
        check_address(address)
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": False}
    if address is None:
        # "local" keeps a stale address file of some other cluster from being joined.
        options |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_node_ip_address": _stay_on_loopback(),
        }
    else:
        options["address"] = address
        if _is_on_loopback_only(address):
            options["_node_ip_address"] = _stay_on_loopback()
    try:
        ray.init(**options)
    except Exception as error:
        raise RunFailedError(_why_no_cluster(address, error, ray.__version__)) from error
    try:
        yield _nodes(ray.nodes())
    finally:
        ray.shutdown()


def cluster_address(config: Config) -> str | None:
    """Return the address of the cluster to join, or None when one is started on this machine."""
    return (os.environ.get("RAY_ADDRESS") or None) if config.cluster.mode == "auto" else None


def _stay_on_loopback() -> str:
    """Keep Ray from listening on network cards and return the address to use.

    Ray listens on loopback only when its node's address is 127.0.0.1, but on Linux replaces that by the address of a
    network card; any other address, 127.0.0.2 too, makes it listen on all of them.
    """
    from ray._private import services

    assert hasattr(services, "resolve_ip_for_localhost"), "this Ray would listen beyond loopback"
    services.resolve_ip_for_localhost = lambda host: host
    return "127.0.0.1"


def _is_on_loopback_only(address: str) -> bool:
    """Whether a head node on this machine listens on loopback only, where Ray would look for it at a network card."""
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "::1", "[::1]"):
        return False
    from ray._private import services

    try:
        socket.create_connection((services.get_node_ip_address(), int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return True
    return False


def check_address(address: str) -> None:
    """Refuse an address that is none, or where nothing listens, before Ray waits for it.

    Raises
    ------
    RunFailedError
        Saying what ``RAY_ADDRESS`` must be.
    """
    hint = (
        "Set RAY_ADDRESS to the host:port that `ray start --head` printed (port 6379 unless chosen), or unset it, or "
        "set cluster.mode=local, to run on this machine."
    )
    if address in ("auto", "local"):
        return
    if "://" in address:
        raise RunFailedError(
            f"RAY_ADDRESS={address}: is the address of a Ray client server or a dashboard; Ray Data needs the head "
            f"node itself. {hint}"
        )
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise RunFailedError(f"RAY_ADDRESS={address}: is not of the form host:port. {hint}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        reason = "no such host" if isinstance(error, socket.gaierror) else error.strerror or str(error)
        raise RunFailedError(f"RAY_ADDRESS={address}: no Ray cluster answers there ({reason}). {hint}") from None


def _why_no_cluster(address: str | None, error: Exception, version: str) -> str:
    reason = " ".join(str(error).split())[:400]
    if address is None:
        return (
            f"cluster.mode: Ray could not be started on this machine: {reason} Set cluster.mode=inline to run without."
        )
    words = f"{type(error).__name__} {reason}".lower()
    if "version mismatch" in words:
        hint = f"Install the cluster's versions here, or Ray {version} and Python {sys.version.split()[0]} there."
    elif "auth" in words or "token" in words or "failed to connect" in words:  # Ray does not say which
        hint = (
            "Something listens there, but does not take this process for its own. Export RAY_AUTH_MODE=token and "
            "one RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) here and on every node before `ray start`, or "
            "RAY_AUTH_MODE=disabled on all of them; a file ~/.ray/auth_token of another cluster counts too."
        )
    else:
        hint = "Set RAY_ADDRESS to the host:port that `ray start --head` printed, or unset it to run on this machine."
    return f"cluster.mode: the Ray cluster at RAY_ADDRESS={address} cannot be used: {reason} {hint}"


def _nodes(table: Sequence[Mapping[str, Any]]) -> list[Node]:
    """Return what the living nodes of Ray's table offer."""
    return [Node.of_resources(node["Resources"]) for node in table if node["Alive"]]


def room_for_replicas(config: Config, nodes: Sequence[Node]) -> int:
    """Return how many replicas of the configured size fit on the nodes."""
    return sum(node.room(config) for node in nodes)


def num_replicas(config: Config, nodes: Sequence[Node], num_units: int, is_retry: bool = False) -> int:
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

    def __init__(self, job: dict[str, Any], num_replicas: int):
        self._failure: dict[str, Any] | None = None
        config, incoming = Config.model_validate(job["config"]), Path(job["incoming"])
        try:
            with _loading(incoming, num_replicas * (1 + config.cluster.max_retries)):
                from engine.worker import UnitWorker

                self._worker = UnitWorker(config, Path(job["root"]), job["key_groups"], incoming)
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
            except DeviceLost as error:
                print(error, file=sys.stderr, flush=True)
                os._exit(1)  # Ray starts this replica anew; the unit's journal knows the sample
            except Exception as error:
                row = _failure_row(error)
        return {name: [value] for name, value in {**_EMPTY_ROW, **row, "unit": str(batch["unit"][0])}.items()}


_EMPTY_ROW = {"state": "", "num_samples": 0, "num_rejects": 0, "num_tokens": 0, "seconds": 0.0, "detail": "",
              "exit_code": 0, "num_deaths": 0, "peak_memory_bytes": 0}  # fmt: skip


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


def _failure_row(error: Exception) -> dict[str, Any]:
    if isinstance(error, UserError):
        return {"state": "failed", "detail": str(error), "exit_code": error.exit_code}
    return {"state": "failed", "detail": traceback.format_exc(), "exit_code": RunFailedError.exit_code}


def ledger_rows(job: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
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


def serve() -> None:
    """Run the job that stands on stdin over Ray; one JSON event per line goes to stdout.

    ``started`` (replicas), ``row`` (a ledger row), ``alive`` (what the cluster offers now), ``failed`` and ``done``.
    When stdin ends, whoever started this is gone, and this process ends too, and with it a Ray of its own.
    """
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is not an event
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    lock = threading.Lock()

    def say(kind: str, **content: Any) -> None:
        with lock:
            _write(events, {"event": kind, **content})

    try:
        config = Config.model_validate(job["config"])
        with ray_session(config) as nodes:
            size = num_replicas(config, nodes, len(job["units"]), job["is_retry"])
            say("started", size=size)
            threading.Thread(target=_signs_of_life, args=(config, say), daemon=True).start()
            for row in ledger_rows(job, size):
                say("row", row=row)
            say("done")
    except UserError as error:
        say("failed", detail=str(error), exit_code=error.exit_code)
    except Exception as error:
        traceback.print_exc()
        reason = " ".join(str(error).split())[-400:] or type(error).__name__
        detail = f"cluster: Ray gave up: {reason} Committed units are kept; start the same command again to go on."
        say("failed", detail=detail, exit_code=RunFailedError.exit_code)


def _write(events: TextIO, event: dict[str, Any]) -> None:
    try:
        events.write(f"{json.dumps(event)}\n")
        events.flush()
    except OSError:  # nobody listens any more
        os._exit(1)


def _end_with_stdin() -> None:
    # By the descriptor: a thread that waits in sys.stdin would hold its lock when the interpreter ends.
    while os.read(0, 4096):
        pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)  # Ray's own processes too, some of which would linger
    os._exit(1)


def _signs_of_life(config: Config, say: Any) -> None:
    """Say what the cluster offers, again and again; silent while its head node does not answer."""
    import ray

    while True:
        time.sleep(_SIGN_OF_LIFE_SECONDS)
        try:
            nodes = _nodes(ray.nodes())
        except Exception:
            return
        say("alive", room=room_for_replicas(config, nodes))


def survey(address: str) -> None:
    """Print what the living nodes of a cluster offer, or why it cannot be asked, as JSON; the cluster is not joined."""
    try:
        check_address(address)
        from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]

        found = GcsClient(address=address).get_all_node_info(timeout=_CONNECT_SECONDS).values()
        said: Any = {"nodes": [dict(node.resources_total) for node in found if node.state == 0]}
    except UserError as error:
        said = {"problem": str(error)}
    except Exception as error:  # Ray raises many types here
        said = {"problem": f"RAY_ADDRESS={address}: {' '.join(str(error).split())[:300]}"}
    print(json.dumps(said), flush=True)
