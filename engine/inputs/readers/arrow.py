"""Arrow: the files of a dataset that Hugging Face's datasets saved to disk, and tables of their own.

A folder of ``save_to_disk`` names its files in ``state.json``, in order; a folder of several splits names those in
``dataset_dict.json``. A snapshot of a dataset's repository keeps Parquet files, a split's under one beginning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from engine.errors import InputError
from engine.inputs.readers.json_files.json_text import checked_value
from engine.inputs.readers.parquet import batch_values
from engine.inputs.readers.reader import OnBytes, Reader
from engine.inputs.readers.record import EmptyFileError, Limits, Record

_STATE, _SPLITS = "state.json", "dataset_dict.json"
_MAGIC = b"ARROW1"
_ROWS = 256
"""Rows that are converted at once."""
_SHARD = re.compile(r"(.+?)-\d{5}-of-\d{5}")


class ArrowReader(Reader):
    """Arrow tables, as streams or as files."""

    suffixes = (".arrow", ".feather")
    is_compressible = False

    def files_in(self, folder: Path) -> list[Path]:
        """Return the files of a saved dataset with one split, or of a snapshot of one.

        Raises
        ------
        InputError
            When there are several splits, or a file is missing.
        """
        if (folder / _SPLITS).is_file():
            splits = [str(name) for name in _named(folder / _SPLITS, "splits")]
            if len(splits) != 1:
                raise _several(folder, [f"{folder.name}/{name}" for name in splits])
            folder = folder / splits[0]
        if (folder / _STATE).is_file():
            entries = _named(folder / _STATE, "_data_files")
            files = [folder / str(one.get("filename")) for one in entries if isinstance(one, Mapping)]
            missing = [file.name for file in files if not file.is_file()]
            if missing or not files:
                raise InputError(
                    f"{folder}: the saved dataset lacks {', '.join(missing[:3]) or 'its data files'}, which its "
                    f"{_STATE} names. Copy the folder again in full."
                )
            return files
        return _snapshot(folder)

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield the rows, in slices of bounded size."""
        try:
            yield from _rows(file, limits, on_bytes)
        except (pa.ArrowException, OSError) as error:
            kind = InputError if file.stat().st_size else EmptyFileError
            raise kind(
                f"{file}: is not a readable Arrow table: {error}. It may be cut off or damaged; copy or write it again."
            ) from None


def _named(file: Path, name: str) -> list[object]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read, so that the dataset's files are not known: {error}.") from None
    listed = found.get(name) if isinstance(found, dict) else None
    return listed if isinstance(listed, list) else []


def _snapshot(folder: Path) -> list[Path]:
    """Return the Parquet files of a snapshot of a dataset's repository: in ``data``, or in a configuration's folder."""
    if not (folder / "README.md").is_file() and not (folder / ".gitattributes").is_file():
        return []
    files = sorted(folder.glob("data/*.parquet")) or sorted(folder.glob("*/*.parquet"))
    splits = {(file.parent.name, match[1] if (match := _SHARD.match(file.stem)) else file.stem) for file in files}
    if len(splits) > 1:
        raise _several(folder, [f"{folder.name}/{parent}/{name}*.parquet" for parent, name in sorted(splits)])
    return files


def _several(folder: Path, names: list[str]) -> InputError:
    return InputError(
        f"{folder}: the dataset has {len(names)} splits ({', '.join(names[:5])}); rows of several splits are not "
        f"mixed. Name one of them as predictions.path."
    )


def _rows(file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
    size, number, reported = file.stat().st_size, 0, 0
    with pa.memory_map(str(file)) as mapped:
        is_file = mapped.read(len(_MAGIC)) == _MAGIC
        mapped.seek(0)
        if is_file:
            table = pa.ipc.open_file(mapped)
            batches = (table.get_batch(index) for index in range(table.num_record_batches))
        else:
            batches = iter(pa.ipc.open_stream(mapped))
        for batch in batches:
            for start in range(0, batch.num_rows, _ROWS):
                for values, problem in batch_values(batch.slice(start, _ROWS)):
                    number += 1
                    name = f"Row {number}"
                    yield Record({}, f"{name} {problem}") if problem else checked_value(values, name, limits.row_bytes)
            position = mapped.tell()
            if on_bytes and not is_file and position > reported:
                on_bytes(position - reported)
                reported = position
    if on_bytes and size > reported:
        on_bytes(size - reported)
