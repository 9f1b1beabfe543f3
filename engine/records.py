"""Raw records from a file: JSON list, JSON Lines, Parquet or CSV, one record at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import InputError

_BY_SUFFIX = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".csv": "csv"}


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a file: its number (from 1), its fields, or why it could not be read."""

    number: int
    values: dict[str, Any]
    problem: str = ""


def read_records(path: str, file_format: str = "auto") -> Iterator[Record]:
    """Yield the records of a file.

    Parameters
    ----------
    path
        The file.
    file_format
        ``json``, ``jsonl``, ``parquet``, ``csv``, or ``auto`` to go by the file's suffix.

    Raises
    ------
    InputError
        When the file is missing, of unknown format or broken as a whole.
    """
    file = check_file(path)
    if file_format == "auto":
        if file.suffix.lower() not in _BY_SUFFIX:
            known = ", ".join(sorted(_BY_SUFFIX))
            raise InputError(f"{path}: unknown suffix {file.suffix!r}; known are {known}. Or set predictions.format.")
        file_format = _BY_SUFFIX[file.suffix.lower()]
    readers = {"json": _read_json, "jsonl": _read_jsonl, "parquet": _read_parquet, "csv": _read_csv}
    return readers[file_format](file)


def check_file(path: str) -> Path:
    """Return the path of a predictions file that exists.

    Raises
    ------
    InputError
        When there is no such file.
    """
    file = Path(path)
    if not file.is_file():
        what = "is a folder, not a file" if file.is_dir() else "no such file"
        raise InputError(f"{path}: {what}. predictions.path must name the file of recorded predictions.")
    return file


def _read_json(file: Path) -> Iterator[Record]:
    content = file.read_bytes()
    if not content.strip():
        raise InputError(f"{file}: the file is empty; it must hold a list of predictions.")
    try:
        tree = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 text: byte {error.start} cannot be decoded.") from None
    except ValueError as error:
        raise InputError(
            f"{file}: is not valid JSON: {error}. If it is JSON Lines or a table, set "
            f"predictions.format to jsonl, csv or parquet."
        ) from None
    if isinstance(tree, dict):
        tree = _the_list_inside(tree, file)
    if not isinstance(tree, list):
        raise InputError(f"{file}: must hold a list of predictions, not {type(tree).__name__}.")
    for number, item in enumerate(tree, start=1):
        if isinstance(item, dict):
            yield Record(number, item)
        else:
            yield Record(number, {}, f"Item {number} is {type(item).__name__}, not an object.")


def _the_list_inside(tree: dict[str, Any], file: Path) -> list[Any]:
    """Return the one list of objects of a wrapping object such as ``{"predictions": [...]}``."""
    lists = [value for value in tree.values() if isinstance(value, list)]
    if len(lists) == 1:
        return lists[0]
    raise InputError(f"{file}: must hold a list of predictions; it is one object with {len(lists)} lists inside.")


def _read_jsonl(file: Path) -> Iterator[Record]:
    number = 0
    with file.open("rb") as lines:
        for line_number, line in enumerate(lines, start=1):
            if line_number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            number += 1
            try:
                item = json.loads(line.decode("utf-8"))
            except ValueError as error:
                yield Record(number, {}, f"Line {line_number} is not valid JSON: {error}.")
                continue
            if isinstance(item, dict):
                yield Record(number, item)
            else:
                yield Record(number, {}, f"Line {line_number} is {type(item).__name__}, not an object.")


def _read_parquet(file: Path) -> Iterator[Record]:
    try:
        table = pq.ParquetFile(file)
        number = 0
        for batch in table.iter_batches(batch_size=1024):
            for values in batch.to_pylist():
                number += 1
                yield Record(number, values)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{file}: is not a readable Parquet file: {error}.") from None


def _read_csv(file: Path) -> Iterator[Record]:
    csv.field_size_limit(2**31 - 1)
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            header = text.readline()
            text.seek(0)
            delimiter = max(",;\t|", key=header.count)
            for number, values in enumerate(csv.DictReader(text, strict=True, delimiter=delimiter), start=1):
                if None in values or None in values.values():
                    yield Record(number, {}, f"Row {number} has another number of fields than the header.")
                else:
                    yield Record(number, dict(values))
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 text: {error.reason}.") from None
    except csv.Error as error:
        raise InputError(f"{file}: is not a readable CSV file: {error}.") from None
