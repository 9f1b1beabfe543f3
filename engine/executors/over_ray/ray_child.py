"""The life of the process that talks to Ray, which ``ray_driver`` starts and watches.

When Ray's C++ core ends its process, as it does when a head node is lost, the run's driver goes on to say so.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TextIO

from engine.config import Config
from engine.errors import RunFailedError, UserError
from engine.executors.over_ray.ray_cluster import ANSWER_SECONDS, alive_nodes, check_address, require_token
from engine.executors.over_ray.ray_folder import OWN_FOLDER
from engine.executors.over_ray.ray_messages import Event, JobMessage, Survey
from engine.executors.over_ray.ray_pool import ledger_rows, num_replicas, ray_session, room_for_replicas

_SIGN_OF_LIFE_SECONDS = 2.0


def serve() -> None:
    """Run the job that stands on stdin over Ray; one JSON event per line goes to stdout.

    ``started`` (replicas), ``row`` (a ledger row), ``alive`` (what the cluster offers now), ``failed`` and ``done``.
    When stdin ends, whoever started this is gone, and this process ends too, and with it a Ray of its own.
    """
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is not an event
    job: JobMessage = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    lock = threading.Lock()

    def say(event: Event) -> None:
        with lock:
            _write(events, event)

    try:
        config = Config.model_validate(job["config"])
        with ray_session(config) as nodes:
            size = num_replicas(config, nodes, len(job["units"]), is_retry=job["is_retry"])
            say({"event": "started", "size": size})
            threading.Thread(target=_signs_of_life, args=(config, say), daemon=True).start()
            for row in ledger_rows(job, size):
                say({"event": "row", "row": row})
            say({"event": "done"})
    except UserError as error:
        say({"event": "failed", "detail": str(error), "exit_code": error.exit_code})
    except Exception as error:
        traceback.print_exc()
        reason = " ".join(str(error).split())[-400:] or type(error).__name__
        detail = f"cluster: Ray gave up: {reason} Committed units are kept; start the same command again to go on."
        say({"event": "failed", "detail": detail, "exit_code": RunFailedError.exit_code})


def _write(events: TextIO, event: Event) -> None:
    try:
        events.write(f"{json.dumps(event)}\n")
        events.flush()
    except OSError:  # nobody listens any more
        os._exit(1)


def _end_with_stdin() -> None:
    # By the descriptor: a thread that waits in sys.stdin would hold its lock when the interpreter ends.
    while os.read(0, 4096):
        pass
    if (folder := os.environ.get(OWN_FOLDER)) is not None:  # who made it may be gone
        shutil.rmtree(folder, ignore_errors=True)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)  # Ray's own processes too, some of which would linger
    os._exit(1)


def _signs_of_life(config: Config, say: Callable[[Event], None]) -> None:
    """Say what the cluster offers, again and again; silent while its head node does not answer."""
    import ray

    while True:
        time.sleep(_SIGN_OF_LIFE_SECONDS)
        try:
            nodes = alive_nodes(ray.nodes())
        except Exception:
            return
        say({"event": "alive", "room": room_for_replicas(config, nodes)})


def survey(address: str) -> None:
    """Print what the living nodes of a cluster offer, or why it cannot be asked, as JSON; the cluster is not joined."""
    try:
        check_address(address)
        require_token()
        from ray._private.services import canonicalize_bootstrap_address_or_die
        from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]

        if address == "auto":  # the one that runs on this machine
            address = canonicalize_bootstrap_address_or_die(address)
        nodes = GcsClient(address=address).get_all_node_info(timeout=ANSWER_SECONDS).values()
        answer: Survey = {"nodes": [dict(node.resources_total) for node in nodes if node.state == 0]}
    except UserError as error:
        answer = {"problem": str(error)}
    except Exception as error:  # Ray raises many types here
        answer = {"problem": f"RAY_ADDRESS={address}: {' '.join(str(error).split())[:300]}"}
        answer["is_stranger"] = type(error).__name__ == "AuthenticationError"
    print(json.dumps(answer), flush=True)
