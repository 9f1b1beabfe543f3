"""Processes that a driver starts: what they must know to run this very code."""

from __future__ import annotations

import os
from pathlib import Path

import engine


def environment_of_child() -> dict[str, str]:
    """Return the environment of a process that imports this very package."""
    source = str(Path(engine.__file__).parent.parent)
    path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path}
