"""One JSON object that holds all records: around a list, by ids, or as data frames are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.config import FieldsSection
from engine.errors import InputError

KNOWN_FIELDS = frozenset(name for name in FieldsSection().model_dump().values() if name) | {"sample_id", "id"}
"""Names that records have for their fields unless a config says otherwise: they tell fields from ids."""
_REMEDY = (
    "Write a list of records, one object each (pandas: to_json(path, orient='records')), or JSON Lines "
    "(orient='records', lines=True)."
)


def records_of_tree(file: Path, tree: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield the records of an object, each with its name in it.

    One list inside, whatever else there is (``to_json(orient="table")`` too); records by their ids, which they then
    hold as ``id`` unless they have one; ``to_json`` with the orients ``columns``, ``index`` and ``split``; or one
    record alone.

    Raises
    ------
    InputError
        When it cannot be told which of them it is.
    """
    if _is_record(tree):
        yield "Item 1", dict(tree)
        return
    if _is_split(tree):
        yield from _split_records(file, tree)
        return
    lists = {name: value for name, value in tree.items() if isinstance(value, list)}
    if _are_lists_of_columns(tree):
        yield from _listed_columns(lists)
        return
    if len(lists) > 1:  # beside the records there may be lists of something else, such as errors
        filled = {name: value for name, value in lists.items() if any(isinstance(item, dict) for item in value)}
        lists = filled if len(filled) == 1 else lists
    if len(lists) == 1:
        yield from ((f"Item {number}", item) for number, item in enumerate(next(iter(lists.values())), start=1))
        return
    nested = {name: value for name, value in tree.items() if isinstance(value, dict)}
    if lists or not nested:
        names = f" ({', '.join(map(repr, list(lists)[:5]))})" if lists else ""
        raise InputError(
            f"{file}: must hold a list of predictions; it is one object with {len(lists)} lists inside{names}. "
            f"{_REMEDY}"
        )
    inner = next(iter(nested.values()))
    # Records by their ids, with a name around them all and perhaps something beside it.
    records = inner if len(nested) == 1 and inner and all(isinstance(value, dict) for value in inner.values()) else tree
    if _are_columns(file, records):
        yield from _column_records(file, records)
    else:
        yield from _keyed_records(records)


def _is_record(tree: Mapping[str, Any]) -> bool:
    """Whether an object is one record: a text, or chat messages, under a name that fields have."""
    fields = FieldsSection()
    texts = (fields.prompt, fields.response, fields.transcript)
    return any(isinstance(tree.get(name), str) for name in texts) or isinstance(tree.get(fields.messages), list)


def _is_split(tree: Mapping[str, Any]) -> bool:
    """Whether an object is a table by rows, as pandas (``orient="split"``) and Weights & Biases write it."""
    columns, rows = tree.get("columns"), tree.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return False
    is_named = all(isinstance(name, str) for name in columns) and len(set(columns)) == len(columns)
    is_whole = bool(rows) and all(isinstance(row, list) and len(row) == len(columns) for row in rows)
    return set(tree) <= {"columns", "data", "index"} or (is_named and is_whole)


def _are_lists_of_columns(tree: Mapping[str, Any]) -> bool:
    """Whether an object holds nothing but columns as lists of one length (``to_dict(orient="list")``)."""
    columns = list(tree.values())
    return (
        len(columns) > 1
        and all(isinstance(column, list) for column in columns)
        and len({len(column) for column in columns}) == 1
        and bool(columns[0])
        and bool(set(tree) & KNOWN_FIELDS)
    )


def _listed_columns(columns: Mapping[str, Sequence[object]]) -> Iterator[tuple[str, object]]:
    for number, values in enumerate(zip(*columns.values(), strict=True), start=1):
        yield f"Row {number}", dict(zip(columns, values, strict=True))


def _split_records(file: Path, tree: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    columns, rows, index = tree["columns"], tree["data"], tree.get("index")
    if not isinstance(rows, list) or len(set(map(str, columns))) < len(columns):
        raise InputError(f"{file}: its columns and data are no table. {_REMEDY}")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != len(columns):
            yield f"Row {number}", row
            continue
        record = dict(zip(map(str, columns), row, strict=True))
        key = index[number - 1] if isinstance(index, list) and len(index) == len(rows) else None
        yield f"Row {number}", _with_id(record, key, number)


def _with_id(record: dict[str, object], key: object, number: int) -> dict[str, object]:
    """Return a record with what it is called as its id, unless it has one or is only numbered."""
    if key is None or str(key) == str(number - 1) or "id" in record or "sample_id" in record:
        return record
    return {"id": key, **record}


def _are_columns(file: Path, tree: Mapping[str, Any]) -> bool:
    """Whether the objects in an object are columns, with a value for every row, and not records.

    Raises
    ------
    InputError
        When their names do not tell.
    """
    inner = [value for value in tree.values() if isinstance(value, dict)]
    names = {name for value in inner[:100] for name in value}
    if names & KNOWN_FIELDS:
        return False
    are_alike = len(inner) == len(tree) and all(value.keys() == inner[0].keys() for value in inner)
    if set(tree) & KNOWN_FIELDS and are_alike:
        return True
    if are_alike and _are_numbers(inner[0]) and not _are_numbers(tree):
        return True
    if _are_numbers(tree) and not _are_numbers(names):
        return False
    raise InputError(
        f"{file}: holds {len(inner)} objects in one, and whether those are records or columns cannot be told by their "
        f"names ({', '.join(map(repr, list(tree)[:3]))}; inside: {', '.join(map(repr, sorted(names)[:3]))}). {_REMEDY}"
    )


def _are_numbers(names: Mapping[str, object] | Sequence[str] | set[str]) -> bool:
    return all(name.isdigit() for name in names)


def _column_records(file: Path, columns: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, object]]:
    keys = next(iter(columns.values()), {})
    for number, key in enumerate(keys, start=1):
        record = {name: values[key] for name, values in columns.items()}
        yield f"Row {number}", _with_id(record, key, number)


def _keyed_records(tree: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for number, (key, value) in enumerate(tree.items(), start=1):
        yield f"Item {key!r}", _with_id(value, key, number) if isinstance(value, dict) else value
