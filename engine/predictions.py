"""Predictions in any supported shape → samples, and a reject with its reason for every row that cannot be used.

A row is never dropped silently: it becomes a ``Sample`` or a ``Reject``. Files are read twice, row by row, and never
held: once to know which rows can be used and to choose among them, once more to encode those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from engine.config import Config, FieldsSection
from engine.errors import ConfigError, InputError
from engine.records import read_records
from engine.rows import RowReader
from engine.samples import Reject, RowRejected, Sample
from engine.selection import Selection

Progress = Callable[[int, int, int], None]
"""Called with bytes, rows and rejects so far."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a first reading of the predictions found: which rows are used, and why the others are not.

    Attributes
    ----------
    num_rows
        Rows of all files.
    chosen
        Numbers of the rows that become samples.
    rejects
        One for every other row, in file order, those left out by ``max_samples`` last.
    selection
        How the samples were chosen, for ``plan.json``.
    """

    num_rows: int
    chosen: frozenset[int]
    rejects: list[Reject]
    selection: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a predictions file holds: one sample or one reject for each of its rows."""

    samples: list[Sample]
    rejects: list[Reject]
    num_rows: int


def read_predictions(config: Config, reader: RowReader | None = None) -> Predictions:
    """Read all configured predictions at once; see ``scan_predictions`` and ``iter_samples`` for large files."""
    reader = reader or RowReader(config)
    scan = scan_predictions(config, reader)
    return Predictions(list(iter_samples(config, reader, scan)), scan.rejects, scan.num_rows)


def scan_predictions(config: Config, reader: RowReader, progress: Progress | None = None) -> Scan:
    """Read every row once and keep none of them: which can be used, which are chosen, why the others are not.

    Rows left out by ``filter`` and ``max_samples`` are rejects as well (reasons ``filtered`` and ``not_selected``).

    Raises
    ------
    InputError
        When a file is missing, broken or empty, ids repeat, or no row can be used.
    """
    settings = config.predictions
    selection = Selection(settings, config.run.seed)
    rejects: list[Reject] = []
    usable: list[str] = []
    filtered: list[tuple[int, int]] = []
    ids = _Ids()
    seen: set[str] = set()
    num_rows = num_bytes = 0

    def count_bytes(more: int) -> None:
        nonlocal num_bytes
        num_bytes += more

    for record in read_records(settings.path, settings.format, on_bytes=count_bytes):
        num_rows += 1
        seen.update(map(str, record.values))
        sample_id = reader.sample_id(record)
        try:
            selection.add(record.number, reader.sample(sample_id, record))
            usable.append(sample_id)
        except RowRejected as rejected:
            rejects.append(Reject(sample_id, rejected.stage, rejected.reason, str(rejected)))
            if rejected.reason == "filtered":
                filtered.append((len(rejects) - 1, record.number))
                continue
        ids.add(sample_id, record.number)
        if progress:
            progress(num_bytes, num_rows, len(rejects))
    _refuse_unknown_fields(config, seen)
    for place, number in filtered:
        rejects[place] = replace(rejects[place], sample_id=ids.unlike(rejects[place].sample_id, number))
    _refuse_unusable(config, num_rows, ids, len(usable), rejects)
    chosen = selection.chosen()
    detail = f"Not among the {settings.max_samples} samples drawn with seed {config.run.seed}."
    rejects += [
        Reject(sample_id, "read", "not_selected", detail)
        for number, sample_id in zip(selection.numbers, usable, strict=True)
        if number not in chosen
    ]
    return Scan(num_rows, frozenset(chosen), rejects, selection.stated(chosen))


def iter_samples(config: Config, reader: RowReader, scan: Scan) -> Iterator[Sample]:
    """Read the predictions again and yield the chosen samples, in file order.

    Raises
    ------
    InputError
        When a file was changed in the meantime.
    """
    path = config.predictions.path
    for record in read_records(path, config.predictions.format):
        if record.number in scan.chosen:
            try:
                yield reader.sample(reader.sample_id(record), record)
            except RowRejected as rejected:
                raise InputError(f"{path}: was changed while it was read (row {record.number}: {rejected}).") from None


class _Ids:
    """Ids seen so far, and those that stand for several rows."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}
        self.repeated: dict[str, list[int]] = {}

    def add(self, sample_id: str, number: int) -> None:
        first = self._first.setdefault(sample_id, number)
        if first != number:
            self.repeated.setdefault(sample_id, [first]).append(number)

    def unlike(self, sample_id: str, number: int) -> str:
        """Return an id that no other row has: rows that a filter leaves out may repeat the ids of others."""
        if sample_id in self._first:
            sample_id = f"{sample_id} (row {number})"
        self._first[sample_id] = number
        return sample_id


def _refuse_unknown_fields(config: Config, seen: set[str]) -> None:
    """Refuse a field that the config renames to something no record has; defaults may be absent."""
    for key, default in FieldsSection().model_dump().items():
        name = getattr(config.predictions.fields, key)
        if name and name != default and seen and name not in seen:
            raise ConfigError(
                f"predictions.fields.{key}: no record of {config.predictions.path} has a field {name!r}; the records "
                f"have {', '.join(sorted(seen)[:20])}."
            )
    for name in config.predictions.keep:
        if seen and name not in seen:
            raise ConfigError(
                f"predictions.keep: no record of {config.predictions.path} has a field {name!r}; the records have "
                f"{', '.join(sorted(seen)[:20])}."
            )


def _refuse_unusable(config: Config, num_rows: int, ids: _Ids, num_samples: int, rejects: list[Reject]) -> None:
    path = config.predictions.path
    if num_rows == 0:
        raise InputError(f"{path}: holds no prediction (an empty list). Nothing was planned.")
    if ids.repeated:
        shown = "; ".join(
            f"{sample_id!r} (rows {', '.join(map(str, rows[:5]))})"
            for sample_id, rows in list(ids.repeated.items())[:5]
        )
        raise InputError(
            f"{path}: {len(ids.repeated)} sample id(s) stand for several rows, such as {shown}. Ids are text, so that "
            f"7, 7.0 and '7' are one, and are made of {_id_rule(config)}; name a field with unique values in "
            f"predictions.fields.id, or remove repeated rows."
        )
    reasons = Counter(reject.reason for reject in rejects)
    if not num_samples and "awaits_generation" not in reasons:
        shown = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise InputError(
            f"{path}: none of {num_rows} row(s) has a decision that can be analysed ({shown}). First: "
            f"{rejects[0].sample_id}: {rejects[0].detail} Check "
            f"predictions.fields, predictions.filter, prompt.source and decision.labels."
        )


def _id_rule(config: Config) -> str:
    fields = config.predictions.fields
    return f"the field {fields.id!r}" if fields.id else f"sample_id or id, or else {fields.cluster} and {fields.year}"
