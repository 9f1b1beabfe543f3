"""Parquet: one record per row, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import InputError
from engine.inputs.readers.json_files.json_text import checked_value
from engine.inputs.readers.reader import OnBytes, Reader
from engine.inputs.readers.record import EmptyFileError, Limits, Record

_PARQUET_BATCH_BYTES = 8 * 2**20
_PARQUET_BATCH_ROWS = 1024


class ParquetReader(Reader):
    """Parquet, which is compressed inside and read by row groups."""

    suffixes = (".parquet",)
    is_compressible = False

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield the rows, in batches of bounded size."""
        try:
            yield from _table_records(file, limits, on_bytes)
        except (pa.ArrowException, OSError) as error:
            kind = InputError if file.stat().st_size else EmptyFileError
            raise kind(
                f"{file}: is not a readable Parquet file: {error}. It may be cut off or damaged; copy or write it "
                f"again."
            ) from None


def _table_records(file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
    size = file.stat().st_size
    table = pq.ParquetFile(file, buffer_size=limits.chunk_bytes)
    names = table.schema_arrow.names
    if repeated := sorted({repr(name) for name in names if names.count(name) > 1}):
        raise InputError(
            f"{file}: several columns are named {', '.join(repeated[:5])}; give every column a name of its own."
        )
    number = reported = 0
    for batch in table.iter_batches(batch_size=_batch_rows(table.metadata)):
        for values, problem in batch_values(batch):
            number += 1
            name = f"Row {number}"
            yield Record({}, f"{name} {problem}") if problem else checked_value(values, name, limits.row_bytes)
        position = size * number // max(table.metadata.num_rows, 1)
        if on_bytes and position > reported:
            on_bytes(position - reported)
            reported = position
    if on_bytes and size > reported:
        on_bytes(size - reported)


def _batch_rows(metadata: pq.FileMetaData) -> int:
    """Return how many rows are read at once, so that large texts take bounded memory."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
    return int(min(max(_PARQUET_BATCH_BYTES // max(row_bytes, 1), 1), _PARQUET_BATCH_ROWS))


def batch_values(batch: pa.RecordBatch) -> Iterator[tuple[object, str]]:
    """Yield the rows of a batch, each with its problem; one by one when the batch cannot be converted as a whole."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = None
    has_bytes = any(_holds_bytes(column) for column in batch.schema.types)
    if rows is not None:
        yield from ((_as_text(values) if has_bytes else values, "") for values in rows)
        return
    for index in range(batch.num_rows):
        try:
            yield _as_text(batch.slice(index, 1).to_pylist()[0]), ""
        except UnicodeDecodeError as error:
            yield None, f"is not UTF-8 text: byte {error.start + 1} of a field cannot be decoded."
        except (ValueError, OverflowError) as error:
            yield None, f"holds a value that cannot be read: {error}."


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column is binary, or has binary parts, as Spark and Impala write texts."""
    if isinstance(kind, pa.DictionaryType):
        return _holds_bytes(kind.value_type)
    inner = [kind.field(number).type for number in range(kind.num_fields)]
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or any(map(_holds_bytes, inner))
    )


def _as_text(value: object) -> object:
    """Return a value with the bytes in it that are UTF-8 as text; others stay what they are, and are no text."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return value
