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
class OneOf:
    """A field of a log of which the rows with one value are used, since the others repeat them or are another model's.

    Attributes
    ----------
    name, value
        The field, and the row's value of it.
    scope
        Within what the first value counts: ``run``, ``file``, or ``sample`` (the rows of one id).
    """

    name: str
    value: str
    scope: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the format of a log tells of a row beside its fields.

    Attributes
    ----------
    source
        How the row holds what the model was given: ``fields`` (a prompt for the chat template), ``messages``, or
        ``rendered`` (a prompt as the model saw it).
    sample_id
        The row's id in the log, without what sets it apart from the rows of other files.
    task
        What the rows of its file have in common: put before the ids where several files are read.
    one_of
        Fields of which one value's rows are used.
    flags
        Remarks for ``samples.flags``.
    """

    source: str
    sample_id: str
    task: str = ""
    one_of: tuple[OneOf, ...] = ()
    flags: tuple[str, ...] = ()


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
    told
        What else the format of a log tells of the record; None of a file that is no log.
    has_companions
        Whether the run has several files.
    answer_number
        Which of several answers of one row it is, from 1; 0 of a row with one answer.
    verdict
        What a first reading found its answer to say (``verdicts``); empty where there was none.
    """

    values: dict[str, object]
    problem: str = ""
    reason: str = "unreadable_row"
    number: int = 0
    source: str = ""
    repeated_keys: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    told: Told | None = None
    has_companions: bool = False
    answer_number: int = 0
    verdict: bytes = b""


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
