"""What a first reading keeps of one row: whether it can be used, and what the choice and the counts ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.inputs.answers.recorded import RecordedValue
from engine.inputs.readers.record import Record
from engine.inputs.sample_reader import SampleReader
from engine.inputs.selection import Stratum, stratum_of
from engine.samples import Reject, RowRejected

_CELL_LIMITS = {32_767: "Excel", 50_000: "Google Sheets"}
"""Characters that a cell holds at most: longer texts are cut without a word."""


@dataclass(frozen=True, slots=True)
class ScannedRow:
    """What a first reading keeps of one row.

    Attributes
    ----------
    sample_id, number
        The row's id and number.
    reject
        Why it cannot be used; None where it can.
    stratum
        Values of the fields of ``predictions.balance``, of a row that can be used.
    language
        The language of its answer.
    cut_by
        Programs whose cells hold as many characters as one of its texts has.
    label_values
        What its label fields hold, by the field's name; of rows that were read and are not filtered out.
    verdict
        What its answer was found to say, for the second reading of a row that can be used.
    """

    sample_id: str
    number: int
    reject: Reject | None = None
    stratum: Stratum = ()
    language: str = ""
    cut_by: tuple[str, ...] = ()
    label_values: Mapping[str, RecordedValue] = field(default_factory=dict)
    verdict: bytes = b""


def scanned_row(reader: SampleReader, record: Record) -> ScannedRow:
    """Return what a first reading keeps of a row."""
    sample_id = reader.sample_id(record)
    try:
        sample, verdict = reader.read(sample_id, record)
    except RowRejected as rejected:
        row = ScannedRow(sample_id, record.number, Reject(sample_id, rejected.stage, rejected.reason, str(rejected)))
        if rejected.reason == "filtered":
            return row
    else:
        row = ScannedRow(
            sample_id,
            record.number,
            stratum=stratum_of(sample, reader.config.predictions),
            language=str(sample.language),
            cut_by=tuple(sorted(_programs_that_cut(record))),
            verdict=verdict,
        )
    return row if record.problem else replace(row, label_values=reader.recorded_values(record))


def _programs_that_cut(record: Record) -> set[str]:
    """Return the programs whose cells hold as many characters as a text of a record has."""
    texts = (value for value in record.values.values() if isinstance(value, str) and len(value) > 30_000)
    sizes = {size for text in texts for size in (len(text), len(text.encode("utf-16-le", "surrogatepass")) // 2)}
    return {_CELL_LIMITS[size] for size in sizes & _CELL_LIMITS.keys()}
