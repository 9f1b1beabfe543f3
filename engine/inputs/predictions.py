"""Predictions in any supported shape → samples, and a reject with its reason for every row that cannot be used.

A row is never dropped silently: it becomes a ``Sample`` or a ``Reject``. Files are read twice, row by row, and never
held: once to know which rows can be used and to choose among them, once more to encode those.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from engine.config import Config, FieldsSection
from engine.errors import ConfigError, InputError
from engine.inputs.advice import advice_on
from engine.inputs.label_values import FieldValues, counted, mapping_line, refuse_places_from_one
from engine.inputs.outcomes.row_labels import label_fields
from engine.inputs.readers.record import Record
from engine.inputs.rows.configured import config_records
from engine.inputs.sample_ids import SampleIds
from engine.inputs.sample_reader import SampleReader
from engine.inputs.scanned_rows import ScannedRow, scanned_row
from engine.inputs.selection import Selection
from engine.samples import Reject, RowRejected, Sample

Progress = Callable[[int, int, int], None]
"""Called with bytes, rows and rejects so far."""

_MOST_VERDICT_BYTES, _PLACE_BYTES = 2**26, 120
"""Bytes of verdicts that are kept, some 200,000 of them; what each takes beside its own bytes."""
_MOST_TEXTS = 1_000
"""Texts of rejects that are held to be shared."""

Rows = Callable[[Iterable[Record]], Iterator[ScannedRow]]
"""Scans records, in their order: one after the other, or in several processes."""


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
    label_values
        What the fields of the actual and the predicted label hold, by the field's name.
    languages
        Usable rows by the language of their answer.
    cut_cells
        Ids of usable rows with a text just as long as a spreadsheet's cell may be, by the program.
    num_split, num_answers_apart
        Rows of the files that hold several answers, and these answers, each of which is a row here.
    verdicts
        What the answers of chosen rows were found to say, by the row's number; of the first rows, as far as there is
        room for them.
    """

    num_rows: int
    chosen: frozenset[int]
    rejects: list[Reject]
    selection: dict[str, object]
    label_values: dict[str, FieldValues]
    languages: Counter[str]
    cut_cells: Mapping[str, Sequence[str]] = field(default_factory=dict)
    num_split: int = 0
    num_answers_apart: int = 0
    verdicts: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a predictions file holds: one sample or one reject for each of its rows."""

    samples: list[Sample]
    rejects: list[Reject]
    num_rows: int


def read_predictions(config: Config, reader: SampleReader | None = None) -> Predictions:
    """Read all configured predictions at once; see ``scan_predictions`` and ``iter_samples`` for large files."""
    reader = reader or SampleReader(config)
    scan = scan_predictions(config, reader)
    return Predictions(list(iter_samples(config, reader, scan)), scan.rejects, scan.num_rows)


def scan_predictions(
    config: Config, reader: SampleReader, progress: Progress | None = None, rows: Rows | None = None
) -> Scan:
    """Read every row once and keep none of them: which can be used, which are chosen, why the others are not.

    Rows left out by ``filter`` and ``max_samples`` are rejects as well (reasons ``filtered`` and ``not_selected``).

    Parameters
    ----------
    config
        The run's config.
    reader
        Its reader of rows.
    progress
        Told how far it is.
    rows
        What scans records; the reader, one after the other, when None.

    Raises
    ------
    InputError
        When a file is missing, broken or empty, ids repeat, or no row can be used.
    """
    scanning = _Scanning(config)
    num_bytes = 0

    def count_bytes(more: int) -> None:
        nonlocal num_bytes
        num_bytes += more

    records = scanning.watched(config_records(config, count_bytes))
    for row in (rows or partial(map, partial(scanned_row, reader)))(records):
        if scanning.add(row) and progress:
            progress(num_bytes, scanning.num_rows, len(scanning.rejects))
    return scanning.scan()


class _Scanning:
    """What a first reading has counted so far."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.selection = Selection(config.predictions, config.run.seed)
        self.rejects: list[Reject] = []
        self.usable: list[str] = []
        self.verdicts: dict[int, bytes] = {}
        self.num_verdict_bytes = 0
        self.filtered, self.filtered_rows = array("q"), array("q")
        """Place among the rejects and row of each that ``filter`` leaves out."""
        self.texts: dict[str, str] = {}
        """What rejects say, held once: a filter may leave millions of rows out with the same words."""
        self.ids = SampleIds()
        self.fields: set[str] = set()
        # Free answers are no labels.
        names = label_fields(config.predictions.fields) if config.decision.span is None else ()
        self.label_values = {name: FieldValues() for name in names}
        self.languages: Counter[str] = Counter()
        self.cut_cells: defaultdict[str, list[str]] = defaultdict(list)
        self.num_rows = self.num_split = self.num_answers_apart = 0

    def watched(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield records, whose fields and answers are counted before they are scanned."""
        for record in records:
            self.fields.update(map(str, record.values))
            self.num_split += record.answer_number == 1
            self.num_answers_apart += record.answer_number > 0
            yield record

    def add(self, row: ScannedRow) -> bool:
        """Count a row; return whether it is one of those that ``filter`` leaves in."""
        self.num_rows += 1
        if row.reject is None:
            self.selection.add(row.number, row.stratum)
            self.usable.append(row.sample_id)
            if row.verdict and self.num_verdict_bytes < _MOST_VERDICT_BYTES:
                self.verdicts[row.number] = row.verdict
                self.num_verdict_bytes += sys.getsizeof(row.verdict) + _PLACE_BYTES
            for program in row.cut_by:
                self.cut_cells[program].append(row.sample_id)
            self.languages[row.language] += 1
        else:
            self.rejects.append(self._shared(row.reject))
            if row.reject.reason == "filtered":
                self.filtered.append(len(self.rejects) - 1)
                self.filtered_rows.append(row.number)
                return False
        self.ids.add(row.sample_id, row.number)
        for name, value in row.label_values.items():
            self.label_values[name].add(value)
        return True

    def _shared(self, reject: Reject) -> Reject:
        """Return a reject whose texts are those of earlier ones where they say the same."""
        if len(self.texts) > _MOST_TEXTS:
            self.texts.clear()
        held = (self.texts.setdefault(text, text) for text in (reject.stage, reject.reason, reject.detail))
        return Reject(reject.sample_id, *held)

    def scan(self) -> Scan:
        """Refuse what cannot be planned, and choose among the rows that can be used."""
        config, rejects = self.config, self.rejects
        _refuse_unknown_fields(config, self.fields)
        for place, number in zip(self.filtered, self.filtered_rows, strict=True):
            rejects[place] = replace(rejects[place], sample_id=self.ids.unlike(rejects[place].sample_id, number))
        refuse_places_from_one(config.predictions.fields, self.label_values)
        _refuse_unusable(config, self.num_rows, self.ids, len(self.usable), rejects, self.label_values)
        chosen = self.selection.chosen()
        detail = f"Not among the {config.predictions.max_samples} samples drawn with seed {config.run.seed}."
        rejects += [
            Reject(sample_id, "read", "not_selected", detail)
            for number, sample_id in zip(self.selection.numbers, self.usable, strict=True)
            if number not in chosen
        ]
        return Scan(
            self.num_rows,
            chosen,
            rejects,
            self.selection.description(chosen),
            self.label_values,
            self.languages,
            dict(self.cut_cells),
            self.num_split,
            self.num_answers_apart,
            {number: verdict for number, verdict in self.verdicts.items() if number in chosen},
        )


def chosen_records(config: Config, scan: Scan) -> Iterator[Record]:
    """Read the predictions again and yield the records of the chosen samples, in file order."""
    return (
        replace(record, verdict=scan.verdicts.get(record.number, b""))
        for record in config_records(config)
        if record.number in scan.chosen
    )


def sample_again(reader: SampleReader, record: Record) -> Sample:
    """Return the sample of a record that could be used when it was read before.

    Raises
    ------
    InputError
        When its file was changed in the meantime.
    """
    try:
        return reader.sample(reader.sample_id(record), record)
    except RowRejected as rejected:
        path = reader.config.predictions.path
        raise InputError(f"{path}: was changed while it was read (row {record.number}: {rejected}).") from None


def iter_samples(config: Config, reader: SampleReader, scan: Scan) -> Iterator[Sample]:
    """Read the predictions again and yield the chosen samples, in file order.

    Raises
    ------
    InputError
        When a file was changed in the meantime.
    """
    for record in chosen_records(config, scan):
        yield sample_again(reader, record)


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


def _refuse_unusable(
    config: Config,
    num_rows: int,
    ids: SampleIds,
    num_samples: int,
    rejects: list[Reject],
    label_values: Mapping[str, FieldValues],
) -> None:
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
        usual = reasons.most_common(1)[0][0]
        first = next(reject for reject in rejects if reject.reason == usual)
        raise InputError(
            f"{path}: none of {num_rows} row(s) has a decision that can be analysed ({shown}). First: "
            f"{first.sample_id}: {first.detail} {advice_on(reasons)}"
            f"{_unknown_predictions(config, label_values)}"
        )


def _unknown_predictions(config: Config, label_values: Mapping[str, FieldValues]) -> str:
    """Return a sentence on recorded predictions that no label is spelled like, when there are any."""
    name = config.predictions.fields.predicted
    unknown = dict(label_values[name].unknown.most_common()) if name in label_values else {}
    if not unknown:
        return ""
    return (
        f" The field {name!r} holds values that no label is spelled like ({counted(unknown, 10)}); give each to its "
        f"label with {mapping_line(config.decision.labels)}."
    )


def _id_rule(config: Config) -> str:
    fields = config.predictions.fields
    return f"the field {fields.id!r}" if fields.id else f"sample_id or id, or else {fields.cluster} and {fields.year}"
