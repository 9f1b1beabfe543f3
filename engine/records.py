"""Raw records from files of any size: JSON lists, JSON Lines, Parquet or CSV, one record at a time.

What cannot be read of one row is that row's problem; what cannot be read of a file, so that rows would be lost without
a trace, is an ``InputError``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.csv_rows import CsvRows
from engine.errors import InputError
from engine.json_list import ListRows
from engine.json_rows import SPACE, SURROGATE, line_rows, parse_row, too_large
from engine.record_files import Row, TextSource, format_of, ignored_files, input_files, total_bytes

__all__ = ["MAX_ROW_BYTES", "Record", "ignored_files", "input_files", "read_records", "total_bytes"]

MAX_ROW_BYTES = 16 * 2**20
CHUNK_BYTES = 2**20
_PARQUET_BATCH_BYTES = 8 * 2**20
_PARQUET_BATCH_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the files: its number (from 1, through all files), its fields, or why it could not be read.

    ``source`` is the name of its file, ``reason`` the reason of the reject that a row with a problem becomes.
    """

    number: int
    values: dict[str, Any]
    problem: str = ""
    source: str = ""
    reason: str = "unreadable_row"


def read_records(
    path: str, file_format: str = "auto", on_bytes: Callable[[int], None] | None = None
) -> Iterator[Record]:
    """Yield the records of one or more files, without ever holding a file as a whole.

    Parameters
    ----------
    path
        A file, a glob pattern or a folder (see ``input_files``).
    file_format
        ``json``, ``jsonl``, ``parquet``, ``csv``, or ``auto`` to go by each file's suffix.
    on_bytes
        Called with the number of bytes on disk that were read since the last call; they add up to ``total_bytes``.

    Raises
    ------
    InputError
        When there is no file, or one is of unknown format or broken as a whole.
    """
    return _records(input_files(path, file_format), file_format, on_bytes)


def _records(files: list[Path], file_format: str, on_bytes: Callable[[int], None] | None) -> Iterator[Record]:
    folder = os.path.commonpath([file.parent for file in files])
    number = 0
    for file in files:
        source = str(file.relative_to(folder))
        kind = format_of(file, file_format)
        if kind == "parquet":
            rows = _parquet_rows(file, on_bytes, is_only=len(files) == 1)
        else:
            rows = _text_rows(file, kind, on_bytes, is_stated=file_format != "auto", is_only=len(files) == 1)
        for row in rows:
            number += 1
            yield Record(number, row.values, row.problem, source, row.reason)


def _text_rows(
    file: Path, kind: str, on_bytes: Callable[[int], None] | None, is_stated: bool, is_only: bool
) -> Iterator[Row]:
    with TextSource(file, CHUNK_BYTES, on_bytes) as source:
        first = _first_byte(source)
        if not first:
            if is_only:
                raise InputError(f"{file}: the file is empty; it must hold a list of predictions.")
            return
        if kind == "csv":
            is_tsv = ".tsv" in (suffix.lower() for suffix in file.suffixes[-2:])
            yield from CsvRows(source, MAX_ROW_BYTES, "\t" if is_tsv else None)
            return
        if not is_stated and (kind, first) in (("json", b"{"), ("jsonl", b"[")):
            kind = "jsonl" if _holds_lines(source) else "json"
        if kind == "jsonl":
            yield from line_rows(source, MAX_ROW_BYTES)
        elif first == b"[":
            yield from ListRows(source, MAX_ROW_BYTES)
        else:
            yield from _wrapped_rows(source)


def _first_byte(source: TextSource) -> bytes:
    """Return the first byte that is not blank, and leave the source before it (and all in its chunk)."""
    while chunk := source.read():
        if text := chunk.lstrip(SPACE):
            source.put_back(chunk)
            return text[:1]
    return b""


def _holds_lines(source: TextSource) -> bool:
    """Return whether the first line is a JSON value of its own and others follow, whatever the suffix says."""
    head = b""
    while len(head) <= MAX_ROW_BYTES and (chunk := source.read()):
        head += chunk
        first, _, after = head.lstrip(SPACE).partition(b"\n")
        if after.strip(SPACE):
            break
    source.put_back(head)
    first, _, after = (part.strip(SPACE) for part in head.lstrip(SPACE).partition(b"\n"))
    if not after:
        return False
    if (first[-1:], after[:1]) == (b"}", b"{"):
        return True  # two objects with nothing between them, even if the first one is damaged
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _wrapped_rows(source: TextSource) -> Iterator[Row]:
    """Yield the rows of a wrapping object such as ``{"predictions": [...]}``, which is read as a whole."""
    file = source.file
    content = bytearray()
    while chunk := source.read():
        content += chunk
    try:
        tree = json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 text: byte {error.start} cannot be decoded.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file}: is not valid JSON: {error}. If it is JSON Lines or a table, set predictions.format to jsonl, csv "
            f"or parquet."
        ) from None
    if not isinstance(tree, dict):
        raise InputError(f"{file}: must hold a list of predictions, not {type(tree).__name__}.")
    lists = [value for value in tree.values() if isinstance(value, list)]
    if len(lists) != 1:
        raise InputError(f"{file}: must hold a list of predictions; it is one object with {len(lists)} lists inside.")
    has_halves = SURROGATE.search(content) is not None
    for number, item in enumerate(lists[0], start=1):
        yield _checked(item, f"Item {number}", has_halves)


def _parquet_rows(file: Path, on_bytes: Callable[[int], None] | None, is_only: bool) -> Iterator[Row]:
    try:
        size = file.stat().st_size
        if size == 0 and not is_only:
            return
        table = pq.ParquetFile(file, buffer_size=CHUNK_BYTES)
        names = table.schema_arrow.names
        if repeated := sorted({repr(name) for name in names if names.count(name) > 1}):
            raise InputError(
                f"{file}: several columns are named {', '.join(repeated[:5])}; give every column a name of its own."
            )
        number = reported = 0
        for batch in table.iter_batches(batch_size=_batch_rows(table.metadata)):
            for values, problem in _batch_values(batch):
                number += 1
                yield Row({}, f"Row {number} {problem}") if problem else _checked(values, f"Row {number}")
            position = size * number // max(table.metadata.num_rows, 1)
            if on_bytes and position > reported:
                on_bytes(position - reported)
                reported = position
        if on_bytes and size > reported:
            on_bytes(size - reported)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{file}: is not a readable Parquet file: {error}. It may be cut off or damaged; copy or write it again."
        ) from None


def _batch_rows(metadata: Any) -> int:
    """Return how many rows are read at once, so that large texts take bounded memory."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
    return int(min(max(_PARQUET_BATCH_BYTES // max(row_bytes, 1), 1), _PARQUET_BATCH_ROWS))


def _batch_values(batch: pa.RecordBatch) -> Iterator[tuple[Any, str]]:
    """Yield the rows of a batch, each with its problem; one by one when the batch cannot be converted as a whole."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = None
    if rows is not None:
        yield from ((values, "") for values in rows)
        return
    for index in range(batch.num_rows):
        try:
            yield batch.slice(index, 1).to_pylist()[0], ""
        except UnicodeDecodeError as error:
            yield None, f"is not UTF-8 text: byte {error.start + 1} of a field cannot be decoded."
        except (ValueError, OverflowError) as error:
            yield None, f"holds a value that cannot be read: {error}."


def _checked(values: Any, name: str, has_halves: bool = False) -> Row:
    """Return as a row what was parsed as a part of something larger; ``has_halves``: surrogates may be among it."""
    if not isinstance(values, dict):
        return Row({}, f"{name} is {type(values).__name__}, not an object.")
    size = _text_length(values)
    if size > MAX_ROW_BYTES:
        return too_large(name, size, MAX_ROW_BYTES)
    return parse_row(json.dumps(values).encode(), name) if has_halves else Row(values)


def _text_length(value: Any) -> int:
    """Return how many characters the texts inside a value have."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_text_length, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_text_length, value))
    return 0
