"""A Ray cluster: joining the one at RAY_ADDRESS or starting one on this machine, and why one cannot be used."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TypedDict

from engine.config import Config
from engine.errors import RunFailedError
from engine.executors.over_ray.ray_folder import AUTH_MODE
from engine.machine.nodes import ACCELERATORS, Node

OBJECT_STORE_BYTES = 256 * 2**20
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
FIRST_WITH_TOKENS = (2, 52)
"""The first Ray that asks for a token; pyproject.toml names it too."""


def cluster_address(config: Config) -> str | None:
    """Return the address of the cluster to join, or None when one is started on this machine."""
    address = os.environ.get("RAY_ADDRESS", "") if config.cluster.mode == "auto" else ""
    return None if address in ("", "local") else address


def require_token() -> None:
    """Make this process present a token to Ray, and a Ray that it starts ask for one, unless that is switched off.

    A Ray without tokens runs the code of everybody who reaches it; older versions ignore the setting silently.

    Raises
    ------
    RunFailedError
        When this Ray knows no tokens.
    """
    os.environ.setdefault(AUTH_MODE, "token")
    version = metadata.version("ray")
    if _numbers(version) < FIRST_WITH_TOKENS:
        least = ".".join(map(str, FIRST_WITH_TOKENS))
        raise RunFailedError(
            f"cluster.mode: Ray {version} knows no tokens, so that everybody who reaches its ports can run code as "
            f"you. Install Ray {least} or newer here and on all nodes (pip install 'ray[data]>={least}'), or set "
            f"cluster.mode=inline to run without."
        )


def is_token_switched_off() -> bool:
    """Whether the user wants no token of the cluster that is joined."""
    return os.environ.get(AUTH_MODE, "token").lower() != "token"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version)[:2])


def stay_on_loopback() -> str:
    """Keep Ray from listening on network cards and return the address to use.

    Ray listens on loopback only when its node's address is 127.0.0.1, but on Linux replaces that by the address of a
    network card; any other address, 127.0.0.2 too, makes it listen on all of them.
    """
    from ray._private import services

    assert hasattr(services, "resolve_ip_for_localhost"), "this Ray would listen beyond loopback"
    services.resolve_ip_for_localhost = lambda host: host
    return "127.0.0.1"


def is_on_loopback_only(address: str) -> bool:
    """Whether a head node on this machine listens on loopback only, where Ray would look for it at a network card."""
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "::1", "[::1]"):
        return False
    from ray._private import services

    try:
        socket.create_connection((services.get_node_ip_address(), int(port)), timeout=CONNECT_SECONDS).close()
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
    if address == "auto":
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
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        reason = "no such host" if isinstance(error, socket.gaierror) else error.strerror or str(error)
        raise RunFailedError(f"RAY_ADDRESS={address}: no Ray cluster answers there ({reason}). {hint}") from None


def why_no_cluster(address: str | None, error: Exception, version: str) -> str:
    """Return one paragraph on why a cluster cannot be used, and what to set."""
    reason = " ".join(str(error).split())[:400]
    if address is None:
        shorter = " Set RAY_TMPDIR to a short folder, such as /tmp/r." if "AF_UNIX" in reason else ""
        return (
            f"cluster.mode: Ray could not be started on this machine: {reason}{shorter} Set cluster.mode=inline to run "
            f"without."
        )
    words = f"{type(error).__name__} {reason}".lower()
    if "version mismatch" in words:
        hint = f"Install the cluster's versions here, or Ray {version} and Python {sys.version.split()[0]} there."
    elif "auth" in words or "token" in words or "failed to connect" in words:  # Ray does not say which
        hint = (
            "Something listens there, but does not take this process for its own. Put one token into a file that only "
            "you can read, on every node and here (`ray get-auth-token --generate` makes ~/.ray/auth_token; "
            "RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN name another), and export RAY_AUTH_MODE=token before `ray start` "
            "and this command."
        )
    else:
        hint = "Set RAY_ADDRESS to the host:port that `ray start --head` printed, or unset it to run on this machine."
    return f"cluster.mode: the Ray cluster at RAY_ADDRESS={address} cannot be used: {reason} {hint}"


class RayNode(TypedDict):
    """A row of Ray's table of nodes, as far as it is read here."""

    Alive: bool
    Resources: dict[str, float]


def alive_nodes(table: Sequence[RayNode]) -> list[Node]:
    """Return what the living nodes of Ray's table offer."""
    return [node_of_resources(node["Resources"]) for node in table if node["Alive"]]


def node_of_resources(resources: Mapping[str, float]) -> Node:
    """Return what Ray says of a node."""
    kinds = sorted(name.partition(":")[2] for name in resources if name.startswith("accelerator_type:"))
    known = [ACCELERATORS[kind].memory_gib for kind in kinds if kind in ACCELERATORS]
    return Node(
        resources.get("CPU", 0.0),
        resources.get("GPU", 0.0),
        int(resources.get("memory", 0)) or None,
        tuple(kinds),
        int(known[-1] * 2**30) if known else None,
    )
