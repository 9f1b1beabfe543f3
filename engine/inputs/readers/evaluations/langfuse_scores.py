"""Langfuse's scores: of which observation or trace each is, and those of a file beside its generations.

A score that names an observation is that one's. One that names a trace alone is the only generation's that answers in
the trace; where several do, it is nobody's.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

TRACES = ("trace_id", "traceId")
OBSERVATIONS = ("observation_id", "observationId")
UNASSIGNED = "trace_score_unassigned"
"""Flag of a generation whose trace was scored, and has others beside it."""
TRACE_SCORES = "trace_scores"
"""Where such scores stand in its record."""


def is_score(values: Mapping[str, object]) -> bool:
    """Whether a row is a score: what it is called, how much it is, and of what."""
    return {"name", "value"} <= set(values) and any(name in values for name in (*TRACES, *OBSERVATIONS))


def answers(values: Mapping[str, object]) -> bool:
    """Whether a row is an observation that holds an answer."""
    is_failed = str(values.get("level")).upper() == "ERROR"
    return str(values.get("type")).upper() == "GENERATION" and not is_failed


def first_of(values: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    """Return the id that stands under the first of some names that has one; None where none does."""
    return next((str(values[name]) for name in names if values.get(name) not in (None, "")), None)


def target_of(score: Mapping[str, object]) -> str | None:
    """Return what a score is of, as a key; None where it names neither observation nor trace."""
    observation, trace = first_of(score, OBSERVATIONS), first_of(score, TRACES)
    return observation_key(observation) if observation else trace_key(trace) if trace else None


def observation_key(observation: str) -> str:
    """Return the key of an observation."""
    return f"observation {observation}"


def trace_key(trace: str) -> str:
    """Return the key of a trace."""
    return f"trace {trace}"


class FileScores:
    """The scores and generations of one file, in a database on disk, so that their number does not matter."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._rows = sqlite3.connect(str(Path(self._folder.name) / "scores"))
        self._rows.executescript(
            "CREATE TABLE scores (target TEXT, content TEXT); CREATE INDEX targets ON scores (target);"
            "CREATE TABLE answers (target TEXT PRIMARY KEY, number INTEGER);"
        )

    def __enter__(self) -> FileScores:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._rows.close()
        self._folder.cleanup()

    def add(self, values: Mapping[str, object]) -> None:
        """Note a row, if it is a score or a generation that answers."""
        if is_score(values):
            content = json.dumps(dict(values), default=str)
            self._rows.execute("INSERT INTO scores VALUES (?, ?)", (target_of(values), content))
        elif answers(values):
            trace = first_of(values, TRACES)
            for target in (observation_key(str(values.get("id"))), *([trace_key(trace)] if trace else [])):
                self._rows.execute(
                    "INSERT INTO answers VALUES (?, 1) ON CONFLICT (target) DO UPDATE SET number = number + 1",
                    (target,),
                )

    def of_observation(self, values: Mapping[str, object]) -> list[dict[str, object]]:
        """Return the scores that name an observation, in the file's order."""
        return self._of(observation_key(str(values.get("id"))))

    def of_trace(self, values: Mapping[str, object]) -> tuple[list[dict[str, object]], bool]:
        """Return the scores that name an observation's trace alone, and whether it is the trace's only answer."""
        trace = first_of(values, TRACES)
        if trace is None:
            return [], False
        return self._of(trace_key(trace)), self._num_answers(trace_key(trace)) == 1

    def has_partner(self, score: Mapping[str, object]) -> bool:
        """Whether the file holds a generation that a score is of, or may be of."""
        target = target_of(score)
        return target is not None and self._num_answers(target) > 0

    def _of(self, target: str) -> list[dict[str, object]]:
        found = self._rows.execute("SELECT content FROM scores WHERE target = ? ORDER BY rowid", (target,))
        return [json.loads(content) for (content,) in found]

    def _num_answers(self, target: str) -> int:
        found = self._rows.execute("SELECT number FROM answers WHERE target = ?", (target,)).fetchone()
        return found[0] if found else 0
