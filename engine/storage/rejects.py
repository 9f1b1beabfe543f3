"""The table of rejects, of a plan and of every unit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from engine.machine.atomic_files import write_table
from engine.samples import Reject
from engine.schema import REJECTS_SCHEMA


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """Write a ``rejects`` table atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, pa.Table.from_pylist([reject.as_row() for reject in rejects], schema=REJECTS_SCHEMA))
