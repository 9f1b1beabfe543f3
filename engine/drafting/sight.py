"""The first rows of a file: its format, its fields by their paths, and what they hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from engine.config import JoinSection
from engine.errors import InputError
from engine.inputs.files import input_files
from engine.inputs.formats import AUTO, READERS, reader_of
from engine.inputs.readers.record import EmptyFileError, Limits, Record
from engine.inputs.records import read_records
from engine.inputs.rows.joins import Join
from engine.inputs.rows.paths import quoted_step

MOST_ROWS = 2_000
"""Rows that are looked at."""
_DEEPEST = 3
_MOST_FIELDS = 200


@dataclass(slots=True)
class Sight:
    """What a file looks like.

    Attributes
    ----------
    path, format
        The file, and the name of its format.
    records
        The first rows that could be read.
    is_whole
        Whether these are all.
    joins
        Files whose fields were put beside the rows.
    """

    path: str
    format: str
    records: list[Record]
    is_whole: bool
    joins: list[JoinSection] = field(default_factory=list)

    @property
    def is_log(self) -> bool:
        """Whether the format itself says what the fields mean."""
        return any(record.told is not None for record in self.records)

    def columns(self) -> dict[str, list[object]]:
        """Return the values of every field, also inside others, by its path."""
        found: dict[str, list[object]] = {}
        for record in self.records:
            for path, value in fields_in(record.values):
                if path in found or len(found) < _MOST_FIELDS:
                    found.setdefault(path, []).append(value)
        return found

    def joined(self, join: JoinSection) -> None:
        """Put the fields of another file beside the rows."""
        with Join(join, "join") as other:
            other.count_answers(self.records)
            self.records = [other.joined(record) for record in self.records]
        self.joins.append(join)


def look(path: str, file_format: str = AUTO) -> Sight:
    """Return what the first rows of a file, a pattern or a folder look like.

    Raises
    ------
    InputError
        When it cannot be read, or holds no row that can.
    """
    files = input_files(path, file_format)
    reader = reader_of(files[0], file_format, Limits())
    name = next(name for name, known in READERS.items() if known is reader)
    rows, is_whole = _first_rows(files, file_format)
    usable = [record for record in rows if record.values]
    if not usable:
        if not rows:
            raise InputError(f"{path}: holds no row, so that there is nothing to draft a config from.")
        raise InputError(f"{path}: none of its first {len(rows):,} row(s) can be read: {rows[0].problem}")
    return Sight(path, name, usable, is_whole)


def _first_rows(files: Sequence[Path], file_format: str) -> tuple[list[Record], bool]:
    """Return the first rows of all files, as many of each, and whether these are all."""
    share = max(MOST_ROWS // len(files), 1)
    folder = os.path.commonpath([file.parent for file in files])
    rows: list[Record] = []
    is_whole = len(files) <= MOST_ROWS
    for file in files[:MOST_ROWS]:
        try:
            part = list(islice(read_records(str(file), file_format), share + 1))
        except EmptyFileError:
            if len(files) == 1:
                raise
            continue
        is_whole &= len(part) <= share
        source = str(file.relative_to(folder))
        rows += [replace(record, source=source, has_companions=len(files) > 1) for record in part[:share]]
    return rows, is_whole


def fields_in(values: Mapping[str, object]) -> list[tuple[str, object]]:
    """Return the fields of a row, also those inside others, by their paths."""
    return _leaves(values, "", _DEEPEST)


def _leaves(values: Mapping[str, object], before: str, depth: int) -> list[tuple[str, object]]:
    """Return the fields of an object and, below it, of the objects in it, each with its path."""
    found: list[tuple[str, object]] = []
    for key, value in values.items():
        path = f"{before}{quoted_step(str(key))}".removeprefix(".") if before else str(key)
        if isinstance(value, Mapping) and value and depth > 1:
            found += _leaves(value, path, depth - 1)
        else:
            found.append((path, value))
    return found
