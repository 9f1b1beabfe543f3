"""Which backends there are, best first: a new one is a file beside this and a row here.

Loads nothing, so that a config knows the names that ``model.attention`` may have.
"""

from __future__ import annotations

from typing import NamedTuple


class BackendRow(NamedTuple):
    """Where a backend lives.

    Attributes
    ----------
    module
        Has ``create(device, is_asked_for) -> Backend``; imported only where the backend may be used.
    has_name
        Whether ``model.attention`` may ask for it; otherwise only ``auto`` takes it.
    """

    module: str
    has_name: bool = True


AUTO = "auto"

REFERENCE = "blocked"
"""Covers every layer on every device: what all others leave over, and what they are compared with."""

BACKENDS: dict[str, BackendRow] = {
    "fused": BackendRow("engine.attention.backends.fused.backend"),
    "tiled": BackendRow("engine.attention.backends.tiled", has_name=False),
    REFERENCE: BackendRow("engine.attention.backends.blocked"),
}
"""By name, in the order in which ``auto`` prefers them."""


def backend_names() -> list[str]:
    """Return what ``model.attention`` may be."""
    return [AUTO, *sorted(name for name, row in BACKENDS.items() if row.has_name)]
