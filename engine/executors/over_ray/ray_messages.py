"""What the run's driver and the process that talks to Ray tell each other: JSON, one object a line."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from engine.storage.records import Settings


class JobMessage(TypedDict):
    """What the process is given to do, on its stdin."""

    config: Settings
    root: str
    incoming: str
    key_groups: list[str]
    units: list[str]
    is_retry: bool
    """Whether a part of the cluster was lost since the run began."""


class Started(TypedDict):
    """So many replicas are being started."""

    event: Literal["started"]
    size: int


class UnitDone(TypedDict):
    """A unit's ledger row, as ``LedgerRow.to_json`` gives it."""

    event: Literal["row"]
    row: dict[str, Any]


class Alive(TypedDict):
    """The cluster answers, and has room for so many replicas."""

    event: Literal["alive"]
    room: int


class Failed(TypedDict):
    """Nothing goes on: why, and the exit code that this asks for."""

    event: Literal["failed"]
    detail: str
    exit_code: int


class Plain(TypedDict):
    """All units are done, or, in the driver's own words: the process ended, or has said nothing for a while."""

    event: Literal["done", "ended", "nothing"]


Event = Started | UnitDone | Alive | Failed | Plain
"""What the process says, on its stdout."""


class Survey(TypedDict):
    """What a cluster's nodes offer, or why it cannot be asked."""

    nodes: NotRequired[list[dict[str, float]]]
    problem: NotRequired[str]
    is_stranger: NotRequired[bool]
    """Whether the problem is that the cluster asks for another token."""
