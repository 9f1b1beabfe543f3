"""Units over Ray: on the cluster at ``RAY_ADDRESS``, or on one of its own that is started on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from engine.config import Config
from engine.errors import RunFailedError
from engine.executors.job import Job
from engine.executors.over_ray.ray_cluster import cluster_address, is_token_switched_off
from engine.executors.over_ray.ray_driver import RayProcess, check_asks_for_token, cluster_nodes
from engine.executors.over_ray.ray_folder import AUTH_MODE
from engine.executors.over_ray.ray_messages import JobMessage
from engine.executors.processes.apart import print_warning
from engine.machine.nodes import Node, this_machine
from engine.machine.open_files import require_open_files
from engine.storage.records import LedgerRow

_OPEN_FILES = 1024
"""Files that Ray's processes need open at least: with 64 they die or wait for each other without a word."""


class RayExecutor:
    """Maps units over a pool of replicas in Ray actors, from a process of its own: Ray never runs in this one."""

    is_local = False

    def __init__(self, config: Config):
        self._address = cluster_address(config)
        self.place = "this machine" if self._address is None else f"Ray at {self._address}"
        self.caveat = ""
        if self._address is None and config.cluster.mode == "auto":
            self.caveat = "This machine was looked at, for RAY_ADDRESS names no cluster; a login node says little."

    def nodes(self) -> Sequence[Node]:
        """Return what the cluster's nodes offer, without joining it; this machine where none is named.

        Raises
        ------
        RunFailedError
            When the cluster cannot be asked.
        """
        return [this_machine()] if self._address is None else cluster_nodes(self._address)

    def run(self, job: Job) -> Iterator[LedgerRow]:
        """Yield one ledger row per unit, in the order in which they finish.

        When nodes are lost, so that Ray waits for room that nobody offers, what is left of the cluster goes on.

        Raises
        ------
        RunFailedError
            When Ray gives up or its cluster is lost. What is committed stays.
        """
        if self._address is not None and is_token_switched_off():
            print_warning(
                f"{AUTH_MODE} is not set to token: everybody who reaches the Ray cluster at {self._address} can run "
                f"code on it."
            )
        elif self._address is not None:
            check_asks_for_token(self._address)
        require_open_files(_OPEN_FILES, "cluster.mode")
        left = list(job.units)
        is_retry = False
        while left:
            with RayProcess(_message(job, left, is_retry=is_retry), job.run_dir) as process:
                done = 0
                for row in process.rows():
                    yield row
                    done += 1
                    left = [unit for unit in left if unit != row.unit]
            if not process.has_lost_nodes:
                break
            if is_retry and not done:
                raise RunFailedError(
                    "cluster: nodes were lost again before any shard was finished. Committed units are kept; start the "
                    "same command again when the cluster is whole."
                )
            is_retry = True
            print(
                f"cluster: a node was lost; {len(left)} shard(s) go on with what is left of the cluster.",
                file=sys.stderr,
                flush=True,
            )


def _message(job: Job, units: list[str], *, is_retry: bool) -> JobMessage:
    return {
        "config": job.config.model_dump(mode="json"),
        "root": str(job.run_dir.root),
        "incoming": str(job.run_dir.incoming),
        "key_groups": list(job.key_groups),
        "units": units,
        "is_retry": is_retry,
    }
