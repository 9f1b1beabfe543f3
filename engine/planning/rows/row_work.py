"""What a plan does with each row, in this process or in one that helps it: read, encode, count words, write, draw."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine.config import Config
from engine.encoded_samples import SEGMENTS, EncodedSample
from engine.encoding.conversations import sample_reader
from engine.encoding.encoded_files import read_batches, write_batches
from engine.encoding.encoder import Encoder
from engine.encoding.groups.random_groups import empty_censuses
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.random_vocabulary import WordCensus
from engine.encoding.tokenizer import load_tokenizer
from engine.inputs.predictions import sample_again
from engine.inputs.readers.record import Record
from engine.inputs.scanned_rows import ScannedRow, scanned_row
from engine.planning.planned_samples import PlannedSample
from engine.samples import Answer, Reject, RowRejected


class RowWork:
    """Reader, encoder and groups of a run, made once from its config.

    Parameters
    ----------
    config
        The run's config.
    max_tokens
        The model's context length, or None when it has no limit.
    answers
        Generated answers by sample id.
    tokenizer
        The run's tokenizer; loaded when None.
    groups
        The run's key groups and query groups; read from the config when None.
    """

    def __init__(
        self,
        config: Config,
        max_tokens: int | None,
        answers: Mapping[str, Answer] | None = None,
        tokenizer: Any = None,
        groups: TokenGroups | None = None,
    ):
        self.config = config
        self.groups = groups or TokenGroups.from_config(config)
        self.tokenizer: Any = load_tokenizer(config) if tokenizer is None else tokenizer
        self.reader = sample_reader(config, answers, self.tokenizer)
        self.encoder = Encoder(config, self.tokenizer, self.groups, max_tokens)

    def empty_censuses(self) -> dict[str, WordCensus]:
        """Return an empty census for each key group that random groups are like."""
        return empty_censuses(self.groups, self.config.statistics.random_groups)

    def scanned(self, record: Record) -> ScannedRow:
        """Return what a first reading keeps of a row."""
        return scanned_row(self.reader, record)

    def encoded(self, record: Record, censuses: Mapping[str, WordCensus]) -> EncodedSample | Reject:
        """Return a row encoded, its words counted; or why it cannot be.

        Raises
        ------
        InputError
            When its file was changed since it was scanned.
        """
        sample = sample_again(self.reader, record)
        try:
            encoded = self.encoder.encode(sample)
        except RowRejected as rejected:
            return Reject(sample.sample_id, rejected.stage, rejected.reason, str(rejected))
        if censuses:
            text = without_template(encoded)
            for census in censuses.values():
                census.add(text)
        return encoded


def without_template(sample: EncodedSample) -> str:
    """Return the sample's text with the chat template's own characters blanked: its words are no candidates."""
    text = list(sample.text)
    for position in np.flatnonzero(sample.segments == SEGMENTS.index("template")):
        start, end = int(sample.char_starts[position]), int(sample.char_ends[position])
        text[start:end] = " " * (end - start)
    return "".join(text)


def add_drawn_groups(path: Path, drawn: TokenGroups, names: Collection[str]) -> None:
    """Give the encoded samples of a unit's file the groups that could only be drawn once every text was seen."""
    write_batches(path, [[drawn.with_drawn_groups(one, names) for one in batch] for batch in read_batches(path)])


class RowWorkers(Protocol):
    """Who does the work of a plan: this process, or several; what comes out is the same."""

    def scanned(self, records: Iterable[Record]) -> Iterator[ScannedRow]:
        """Yield what a first reading keeps of each record, in order."""
        ...

    def encoded(
        self, records: Iterable[Record], censuses: Mapping[str, WordCensus]
    ) -> Iterator[PlannedSample | Reject]:
        """Yield each record as a sample of the plan or as a reject, in order; the words of all go into the censuses."""
        ...

    def write(self, path: Path, batches: Sequence[Sequence[PlannedSample]]) -> None:
        """Write a unit's packed batches, now or soon."""
        ...

    def finish(self) -> None:
        """Wait for what is being written."""
        ...

    def draw(self, paths: Sequence[Path], drawn: TokenGroups, names: Collection[str]) -> Iterator[Path]:
        """Give the units of these files groups that were drawn; yield each that is done, in order."""
        ...


class ThisProcess:
    """Does everything one after the other, here."""

    def __init__(self, work: RowWork):
        self.work = work

    def scanned(self, records: Iterable[Record]) -> Iterator[ScannedRow]:
        """Yield what a first reading keeps of each record."""
        return map(self.work.scanned, records)

    def encoded(
        self, records: Iterable[Record], censuses: Mapping[str, WordCensus]
    ) -> Iterator[PlannedSample | Reject]:
        """Yield each record as a sample of the plan or as a reject."""
        for record in records:
            done = self.work.encoded(record, censuses)
            yield done if isinstance(done, Reject) else PlannedSample.of(done)

    def write(self, path: Path, batches: Sequence[Sequence[PlannedSample]]) -> None:
        """Write a unit's packed batches."""
        contents = [[sample.content for sample in batch] for batch in batches]
        write_batches(path, [[one for one in batch if isinstance(one, EncodedSample)] for batch in contents])

    def finish(self) -> None:
        """Nothing is left to be waited for."""

    def draw(self, paths: Sequence[Path], drawn: TokenGroups, names: Collection[str]) -> Iterator[Path]:
        """Give the units of these files groups that were drawn."""
        for path in paths:
            add_drawn_groups(path, drawn, names)
            yield path
