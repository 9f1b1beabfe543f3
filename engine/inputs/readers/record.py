"""What a reader yields, record by record, and how much of a file it may hold meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.errors import InputError


class EmptyFileError(InputError):
    """A file with nothing in it: refused where it is the only one, passed over among others."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is held at once.

    Attributes
    ----------
    row_bytes
        Bytes that a record may have; a larger one becomes a record with a problem, and is not held.
    chunk_bytes
        Bytes that are read at once.
    """

    row_bytes: int = 16 * 2**20
    chunk_bytes: int = 2**20


@dataclass(frozen=True, slots=True)
class Record:
    """One prediction as its file has it: its fields, or why they cannot be read.

    Attributes
    ----------
    values
        The fields; empty where there is a problem.
    problem
        Why it cannot be read, in a sentence that names its place in the file; empty where it can.
    reason
        The reason of the reject that a record with a problem becomes.
    number
        From 1, through all files of a run; a reader leaves it to ``read_records``, as it does the source.
    source
        The name of its file.
    repeated_keys
        Keys that an object of it holds several times: the last value counts, and the others are gone.
    fields
        Names of fields whose meaning the format tells, by their key of ``predictions.fields`` (``{"correct":
        "is_match"}``); what a config names itself comes first. Prompt, messages and answer stand under the default
        names.
    """

    values: dict[str, object]
    problem: str = ""
    reason: str = "unreadable_row"
    number: int = 0
    source: str = ""
    repeated_keys: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)


def too_large(name: str, size: int, limit: int) -> Record:
    """Return the record that stands for one that is larger than a record may be.

    Parameters
    ----------
    name
        Its place in the file, such as ``Line 3``.
    size, limit
        Its bytes, and how many it may have.
    """
    problem = f"{name} is {size:,} bytes long; rows of more than {limit:,} bytes are not read."
    return Record({}, problem, "row_too_large")


def text_length(value: object) -> int:
    """Return how many characters the texts inside a value have."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(text_length, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(text_length, value))
    return 0
