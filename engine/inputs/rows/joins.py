"""Fields of a second file beside those of the first: labels, prompts or scores that were written apart.

The second file is read once and kept in a database on disk, so that its size does not matter. Scores of Langfuse are
joined with what they are of, whichever of the two ids is named: the observation, or the only answer of the trace.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from engine.config import JoinSection
from engine.errors import ConfigError
from engine.inputs.answers.recorded import key_text
from engine.inputs.readers.evaluations.langfuse_scores import (
    OBSERVATIONS,
    TRACES,
    UNASSIGNED,
    answers,
    first_of,
    is_score,
    observation_key,
    target_of,
    trace_key,
)
from engine.inputs.readers.record import Record
from engine.inputs.records import read_records
from engine.inputs.rows.paths import MISSING, is_path, value_at

FIRST_JOINED = "first_of_joined_scores"
"""Flag of a row that was joined with scores of several names, of which the first name's count."""
_MOST_NAMES = 20
"""Fields of a second file that a message lists."""


class Join:
    """One second file, looked up row by row.

    Parameters
    ----------
    settings
        The config's entry.
    place
        Where it stands in the config, for messages.

    Raises
    ------
    ConfigError
        When no row of the file has the key or a field that is asked for, or a key stands for several rows.
    InputError
        When the file cannot be read.
    """

    def __init__(self, settings: JoinSection, place: str):
        self.settings, self.place = settings, place
        self.key, self.other_key = settings.keys()
        self.is_first_of_scores = self.names_traces = self._are_scores = False
        self._name_of_scores = ""
        self._folder = tempfile.TemporaryDirectory()
        self._rows = sqlite3.connect(str(Path(self._folder.name) / "rows"))
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Join:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.close()

    def close(self) -> None:
        """Remove what was kept on disk."""
        self._rows.close()
        self._folder.cleanup()

    def joined(self, record: Record) -> Record:
        """Return a record with the fields of its partner; one with a problem where it has none."""
        if record.problem:
            return record
        key = _text(value_at(record.values, self.key))
        if key is None:
            return _apart(record, f"The row has no {self.key!r}, by which {self.place} joins it with {self._path}.")
        told = record.told
        if self._are_scores and told is not None:
            found, is_shared = self._score_of(record, key)
        else:
            found, is_shared = self._row_of(key), False
        if found is None:
            return _apart(record, f"{self._path} has no row whose {self.other_key!r} is {key!r} ({self.place}).")
        if is_shared and told is not None:  # nobody knows of which answer it is
            told = replace(told, flags=(*told.flags, UNASSIGNED))
            found = dict.fromkeys(found)
        elif self.is_first_of_scores and told is not None:
            told = replace(told, flags=(*told.flags, FIRST_JOINED))
        return replace(record, values={**record.values, **found}, told=told)

    def count_answers(self, records: Iterable[Record]) -> None:
        """Count how many answers each trace has, of the rows that are used; a no-op where no score names traces alone.

        Parameters
        ----------
        records
            All rows that ``predictions.filter`` keeps.
        """
        if not self.names_traces:
            return
        for record in records:
            trace = None if record.problem or not answers(record.values) else self._trace_of(record)
            if trace is not None:
                self._rows.execute(
                    "INSERT INTO answers VALUES (?, 1) ON CONFLICT (trace) DO UPDATE SET number = number + 1", (trace,)
                )

    def _row_of(self, key: str) -> dict[str, object] | None:
        found = self._rows.execute("SELECT content FROM rows WHERE key = ? LIMIT 2", (key,)).fetchall()
        if len(found) > 1:
            raise self._several(self.other_key, key)
        return json.loads(found[0][0]) if found else None

    def _score_of(self, record: Record, key: str) -> tuple[dict[str, object] | None, bool]:
        """Return the score of an observation, or else of its trace, and whether the trace has several answers."""
        observation = _text(record.values.get("id")) if self.other_key in TRACES else key
        trace = self._trace_of(record)
        for target in (observation_key(observation or ""), trace_key(trace or "")):
            found = self._rows.execute("SELECT content FROM rows WHERE target = ?", (target,)).fetchone()
            if found is not None:
                number = self._rows.execute("SELECT number FROM answers WHERE trace = ?", (trace,)).fetchone()
                is_shared = target.startswith(trace_key("")) and (number or (0,))[0] > 1
                return json.loads(found[0]), is_shared
        return None, False

    def _trace_of(self, record: Record) -> str | None:
        if self.other_key in TRACES:
            return _text(value_at(record.values, self.key))
        return first_of(record.values, TRACES)

    @property
    def _path(self) -> str:
        return self.settings.path

    def _read(self) -> None:
        self._rows.executescript(
            "CREATE TABLE rows (key TEXT, target TEXT, content TEXT); CREATE INDEX keys ON rows (key);"
            "CREATE UNIQUE INDEX by_key ON rows (key) WHERE target IS NULL;"
            "CREATE UNIQUE INDEX by_target ON rows (target) WHERE target IS NOT NULL;"
            "CREATE TABLE answers (trace TEXT PRIMARY KEY, number INTEGER);"
        )
        wanted = self.settings.names()
        seen: set[str] = set()
        found: set[str] = set()
        for record in read_records(self._path, self.settings.format):
            seen.update(map(str, record.values))
            key = _text(value_at(record.values, self.other_key))
            target = self._target(record.values)
            if record.problem or (key is None and target is None) or not self._counts(record.values):
                continue
            content = dict(record.values) if wanted is None else _chosen(record.values, wanted)
            found.update(content)
            try:
                row = (key, target, json.dumps(content, default=str))
                self._rows.execute("INSERT INTO rows VALUES (?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise self._several(*(target.split(" ", 1) if target else (self.other_key, str(key)))) from None
            self._are_scores |= target is not None
            self.names_traces |= target is not None and target.startswith(trace_key(""))
        if self.settings.filter and not found and seen:
            raise ConfigError(
                f"{self.place}.filter keeps no row of {self._path} ({self.settings.filter}); its rows have "
                f"{', '.join(sorted(seen)[:_MOST_NAMES])}."
            )
        missing = [name for name in wanted or {} if name not in found]
        if not self._rows.execute("SELECT 1 FROM rows LIMIT 1").fetchone() or missing:
            name = wanted[missing[0]] if wanted and missing else self.other_key
            raise ConfigError(
                f"{self.place}: no row of {self._path} has a field {name!r}; its rows have "
                f"{', '.join(sorted(seen)[:_MOST_NAMES])}."
            )

    def _target(self, values: Mapping[str, object]) -> str | None:
        """Return what a row is the score of; None of any other row, or where something else is compared."""
        return target_of(values) if self.other_key in (*OBSERVATIONS, *TRACES) and is_score(values) else None

    def _several(self, name: str, value: str) -> ConfigError:
        return ConfigError(
            f"{self.place}: several rows of {self._path} have the {name!r} {value!r}: which of them belongs to a "
            f"prediction cannot be told. Join by a field with unique values, or name the rows that count in "
            f"{self.place}.filter."
        )

    def _counts(self, values: Mapping[str, object]) -> bool:
        """Whether a row is one of those that are joined: kept by the filter, or, of scores, one of the first name."""
        for name, allowed in self.settings.filter.items():
            options = allowed if isinstance(allowed, list) else [allowed]
            if _text(value_at(values, name)) not in [key_text(option) for option in options]:
                return False
        name = values.get("name")
        if self.settings.filter or not isinstance(name, str) or not is_score(values):
            return True
        self._name_of_scores = self._name_of_scores or name
        self.is_first_of_scores = self.is_first_of_scores or name != self._name_of_scores
        return name == self._name_of_scores


def _apart(record: Record, problem: str) -> Record:
    return replace(record, problem=problem, reason="no_partner")


def _text(value: object) -> str | None:
    return None if value is MISSING or isinstance(value, Mapping | list) else key_text(value)


def _chosen(values: Mapping[str, object], wanted: Mapping[str, str]) -> dict[str, object]:
    found = {
        name: value_at(values, path) if is_path(path) else values.get(path, MISSING) for name, path in wanted.items()
    }
    return {name: value for name, value in found.items() if value is not MISSING}
