"""Records from files of any size and of any format in ``READERS``, one at a time and numbered through.

What cannot be read of one record is that record's problem; what cannot be read of a file, so that records would be lost
without a trace, is an ``InputError``.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from engine.inputs.files import input_files
from engine.inputs.formats import AUTO, reader_of
from engine.inputs.readers.reader import OnBytes
from engine.inputs.readers.record import EmptyFileError, Limits, Record


def read_records(
    path: str, file_format: str = AUTO, on_bytes: OnBytes | None = None, limits: Limits | None = None
) -> Generator[Record]:
    """Yield the records of one or more files, without ever holding a file as a whole.

    Parameters
    ----------
    path
        A file, a glob pattern or a folder (see ``input_files``).
    file_format
        A name in ``READERS``, or ``auto`` to go by each file's suffix and content.
    on_bytes
        Called with the number of bytes on disk that were read since the last call; they add up to ``total_bytes``.
    limits
        How large a record may be, and how much is read at once.

    Raises
    ------
    ConfigError
        When there is no such format.
    InputError
        When there is no file, or one is of unknown format or broken as a whole.
    """
    return _records(input_files(path, file_format), file_format, on_bytes, limits or Limits())


def refuse_unreadable(path: str, file_format: str = AUTO) -> None:
    """Refuse files of which the first record cannot be read, before anything that takes seconds is loaded.

    Raises
    ------
    ConfigError, InputError
        As ``read_records`` does.
    """
    records = read_records(path, file_format)
    next(records, None)
    records.close()


def _records(files: list[Path], file_format: str, on_bytes: OnBytes | None, limits: Limits) -> Generator[Record]:
    folder = os.path.commonpath([file.parent for file in files])
    number = 0
    for file in files:
        source = str(file.relative_to(folder))
        try:
            for record in reader_of(file, file_format, limits).read(file, limits, on_bytes):
                number += 1
                yield replace(record, number=number, source=source, has_companions=len(files) > 1)
        except EmptyFileError:
            if len(files) == 1:
                raise
