"""What the readers of logs share: rows as they stand in the file, and a row of a log as a record.

A record of a log holds the row's own fields, so that a config can name any of them by a path, and beside them what was
made of it under the default names of ``predictions.fields``: ``prompt`` or ``messages``, ``response``, ``sample_id``,
``model``.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.inputs.readers.json_files.json_document import JsonReader
from engine.inputs.readers.json_files.json_lines import JsonLinesReader
from engine.inputs.readers.reader import FileHead, OnBytes
from engine.inputs.readers.record import Limits, OneOf, Record, Told

FIRST_OF_SCORES = "first_of_scores"
"""Flag of a row with several scores, of which the first counts."""
FIRST_SCORE_LACKS = "first_score_lacks"
"""Flag of a row without the score that says of its file's first row whether it is right."""
SCORE_OF_SEVERAL = "score_of_several"
"""Flag of an answer that was scored together with others."""
SCORED_CHOICE = "scored_choice"
"""Flag of an answer that the model did not write: of several that were scored, the one it gave the highest score."""
TEMPLATE_UNRECORDED = "template_unrecorded"
"""Flag of a prompt of which the log does not say whether the model was given it inside a chat template."""
UNFINISHED_LOG = "unfinished_log"
"""Flag of a row of an evaluation that did not end as it should."""

THOUGHT = "reasoning_content"
"""Where a thought stands that was recorded apart from the answer."""
_LONGEST_NAME = 20
"""Characters of a choice that is its own name."""


@dataclass(slots=True)
class LogRow:
    """One row of a log, and what its format tells of it.

    Attributes
    ----------
    raw
        The row's own fields.
    sample_id
        Its id in the log.
    source
        ``fields``, ``messages`` or ``rendered`` (see ``Told``).
    given
        What stands under default names: ``prompt``, ``messages``, ``response`` and the like.
    fields
        Paths to what has no default name, by their key of ``predictions.fields``.
    """

    raw: Mapping[str, object]
    sample_id: str
    source: str
    given: dict[str, object] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    one_of: list[OneOf] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    task: str = ""

    def add_scored(self, continuations: Sequence[str], scores: Sequence[float]) -> None:
        """Let the choices of the row be texts that were scored as continuations of one prompt."""
        names = ("choices", "continuations", "choice_scores")
        values = (named_choices(continuations), list(continuations), list(scores))
        self.given |= dict(zip(names, values, strict=True))
        self.fields |= {name: name for name in names}

    def add_thoughts(self, thoughts: Sequence[object]) -> None:
        """Let the thoughts that were recorded apart from the answers be theirs, in the answers' order.

        Those of several answers are told apart with the answers.
        """
        texts = [thought if isinstance(thought, str) else "" for thought in thoughts]
        if any(text.strip() for text in texts):
            self.given[THOUGHT] = texts[0] if len(texts) == 1 else texts

    def record(self, of: Record, problem: str = "", reason: str = "") -> Record:
        """Return the record of the row; with a problem where it cannot be used.

        Parameters
        ----------
        of
            The row as it was read.
        problem, reason
            Why it cannot be used.
        """
        told = Told(self.source, self.sample_id, self.task, tuple(self.one_of), tuple(dict.fromkeys(self.flags)))
        values = {**self.raw, "sample_id": self.sample_id, **self.given}
        return replace(
            of, values=values, fields=self.fields, told=told, problem=problem, reason=reason if problem else of.reason
        )


def raw_records(file: Path, limits: Limits, on_bytes: OnBytes | None) -> Iterator[Record]:
    """Yield the objects of a JSON list, of JSON Lines, or of an object around them, as they stand there."""
    lines = JsonLinesReader()
    reader = lines if lines.recognises(FileHead(file, limits)) else JsonReader()
    yield from reader.read(file, limits, on_bytes)


def holds(head: FileHead, *names: str) -> bool:
    """Whether the first record of a file has all these fields."""
    found = head.first_object()
    return all(name in found for name in names)


def inner(values: object, *steps: str) -> object:
    """Return what lies inside objects, by their keys; None where there is nothing."""
    for step in steps:
        values = values.get(step) if isinstance(values, Mapping) else None
    return values


def items_of(value: object) -> list[object]:
    """Return a list, also one of another kind; a value alone as a list of it, and none as an empty one."""
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]


def texts_of(value: object) -> list[str]:
    """Return the texts of a list, or a text alone as a list of it; other items are left out."""
    return [item for item in items_of(value) if isinstance(item, str)]


def written_list(text: object) -> object:
    """Return the list or object that a text is the written form of, by JSON or Python; else the value itself."""
    if not isinstance(text, str) or text.strip()[:1] not in ("[", "{") or text.strip()[-1:] not in ("]", "}"):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
    return text


def chat_messages(value: object) -> list[object] | None:
    """Return a list of chat messages, also one that was written as JSON; None where a value is none."""
    value = written_list(value) if isinstance(value, str) else value
    if isinstance(value, Mapping) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if not isinstance(value, list) or not value:
        return None
    return value if all(isinstance(item, Mapping) and ("role" in item or "from" in item) for item in value) else None


def named_choices(texts: Sequence[str]) -> object:
    """Return choices by their names: each its own where all are words, else a list, whose names are letters."""
    names = [text.strip() for text in texts]
    are_words = all(name and len(name) <= _LONGEST_NAME and len(name.split()) == 1 for name in names)
    return dict(zip(names, texts, strict=True)) if are_words and len(set(names)) == len(names) else list(texts)


def number_of(value: object) -> float | None:
    """Return a number, also one that was written as text; None where it is none."""
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None
