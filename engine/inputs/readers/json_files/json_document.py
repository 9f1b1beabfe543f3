"""A file that is one JSON value: a list of records, or an object that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from engine.errors import InputError
from engine.inputs.readers.encodings import why_not_utf8
from engine.inputs.readers.json_files.json_list import ListRecords
from engine.inputs.readers.json_files.json_text import SURROGATE, KeyedObjects, checked_value
from engine.inputs.readers.json_files.json_tree import records_of_tree
from engine.inputs.readers.reader import OnBytes, Reader
from engine.inputs.readers.record import Limits, Record
from engine.inputs.readers.text_source import TextSource


class JsonReader(Reader):
    """A JSON list of records, of any size; or an object around records, which is read as a whole."""

    suffixes = (".json", ".jsonl", ".ndjson")

    def read(self, file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
        """Yield the items of the list."""
        with TextSource(file, limits.chunk_bytes, on_bytes) as source:
            if source.first_byte() == b"[":
                yield from _listed_records(ListRecords(source, limits.row_bytes), file)
            else:
                yield from _wrapped_records(source, limits.row_bytes)


def _listed_records(records: Iterable[Record], file: Path) -> Iterator[Record]:
    """Yield the items of a list, and refuse one that holds lists only, whose values have no names."""
    num_lists = num_others = 0
    for record in records:
        is_list = record.problem.endswith(" is list, not an object.")
        num_lists, num_others = num_lists + is_list, num_others + (not is_list)
        yield record
    if num_lists and not num_others:
        raise InputError(
            f"{file}: is a list of {num_lists} lists, whose values have no names (pandas: orient='values'). Write "
            f"objects with their fields instead (pandas: to_json(path, orient='records'))."
        )


def _wrapped_records(source: TextSource, limit: int) -> Iterator[Record]:
    """Yield the records of an object that holds all of them, such as ``{"predictions": [...]}``."""
    file = source.file
    content = bytearray()
    while chunk := source.read():
        content += chunk
    made = KeyedObjects()
    try:
        tree = json.loads(content.decode(), object_pairs_hook=made)
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 text: {why_not_utf8(content, error.start)}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file}: is not valid JSON: {error}. If it is JSON Lines or a table, set predictions.format to jsonl, csv "
            f"or parquet."
        ) from None
    if not isinstance(tree, dict):
        raise InputError(f"{file}: must hold a list of predictions, not {type(tree).__name__}.")
    if repeated := made.repeated_by(tree):
        raise InputError(
            f"{file}: is one object in which the name(s) {', '.join(map(repr, repeated[:5]))} stand several times; "
            f"which record is meant cannot be told. Write a list, or give every record a name of its own."
        )
    has_halves = SURROGATE.search(content) is not None
    for name, item in records_of_tree(file, tree):
        record = checked_value(item, name, limit, has_halves=has_halves)
        yield replace(record, repeated_keys=made.repeated_in(item))
