"""What passes between a plan's driver and the processes that help it, over a private socket: tasks, results, errors."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from engine.config import KeyGroup
from engine.encoding.random_vocabulary import WordCounts
from engine.errors import UserError
from engine.inputs.scanned_rows import ScannedRow
from engine.planning.planned_samples import PlannedSample
from engine.samples import Answer, Reject


@dataclass(frozen=True, slots=True)
class Hello:
    """What a helper makes itself from: config, context length, and a text with the token ids that it must find.

    Attributes
    ----------
    config
        The run's config, as JSON would hold it.
    max_tokens
        The model's context length.
    text, ids
        A text with special tokens and what the driver's tokenizer makes of it.
    """

    config: dict[str, object]
    max_tokens: int | None
    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A helper listens: it dies of what it is asked to do from now on."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Records in a row, each as bytes, with the generated answers of theirs; to be scanned or encoded."""

    records: tuple[bytes, ...]
    answers: Mapping[str, Answer]
    is_scan: bool


@dataclass(frozen=True, slots=True)
class Scanned:
    """What became of rows that were scanned."""

    rows: tuple[ScannedRow, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of rows that were encoded, and the counts of their words by key group."""

    samples: tuple[PlannedSample | Reject, ...]
    counts: Mapping[str, WordCounts]


@dataclass(frozen=True, slots=True)
class UnitToWrite:
    """A unit's file, and its packed samples as bytes."""

    path: Path
    batches: tuple[tuple[bytes, ...], ...]


@dataclass(frozen=True, slots=True)
class UnitToDrawIn:
    """A unit's file that lacks the groups of these names; vocabulary, key groups and query groups define them."""

    path: Path
    names: Collection[str]
    vocabulary: Mapping[str, list[str]]
    key_groups: Mapping[str, KeyGroup]
    query_groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """A unit's file is written."""

    path: Path


Task = Rows | UnitToWrite | UnitToDrawIn
Result = Scanned | Encoded | Done


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of a helper, to be raised by the driver as what it is.

    Attributes
    ----------
    kind
        Its class, of an error for people.
    text
        What it says.
    error
        The error itself, of any other.
    """

    kind: type[UserError] | None
    text: str
    error: BaseException | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return what is sent of an error."""
        if isinstance(error, UserError):
            return cls(type(error), str(error))
        trace = "".join(traceback.format_exception(error))
        try:
            unpacked(packed(error))
        except Exception:  # errors of libraries that cannot be made anew from what they hold
            error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(f"It was raised in a process that helped to plan:\n{trace}")
        return cls(None, trace, error)

    def as_error(self) -> BaseException:
        """Return the error to raise."""
        if self.error is not None:
            return self.error
        assert self.kind is not None
        error = self.kind.__new__(self.kind)  # not made anew: some make their sentence of something else
        error.args = (self.text,)
        return error


def packed(value: object) -> bytes:
    """Return a value as bytes for another process of this run; they are never kept."""
    return bytes(ForkingPickler.dumps(value))


def unpacked(content: bytes) -> Any:
    """Return what ``packed`` made bytes of, in this process or in one that it started."""
    return ForkingPickler.loads(content)  # pyright: ignore[reportAttributeAccessIssue]
