"""The table of rejects, of a plan and of every unit."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pyarrow as pa

from engine.machine.atomic_files import write_table
from engine.samples import Reject
from engine.schema import REJECTS_SCHEMA

_AT_ONCE = 10_000
"""Rejects that are rows at a time: a filter may leave millions out, and as columns they take a fifth of the memory."""


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """Write a ``rejects`` table atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (reject.as_row() for reject in rejects)
    tables = [REJECTS_SCHEMA.empty_table()]
    while part := list(islice(rows, _AT_ONCE)):
        tables.append(pa.Table.from_pylist(part, schema=REJECTS_SCHEMA))
    write_table(path, pa.concat_tables(tables))
