"""Files beside a log that hold what it lacks: the requests and labels of a batch, the scores of Langfuse's rows.

Those of its folder are looked through, or those that a person names. Of several that fit, nobody knows which is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config import JoinSection
from engine.drafting.label_files import Choose, Keys, label_join, overlap_of
from engine.drafting.sight import Sight, look
from engine.errors import ConfigError, UserError
from engine.inputs.formats import AUTO, is_readable
from engine.inputs.readers.evaluations.langfuse_scores import OBSERVATIONS, TRACES, first_of, is_score

_REQUESTS = ("body", "params", "request")
_GIVEN = ("messages", "prompt", "system", "instructions", "tools")
"""Parts of a request that the model was given."""
_MOST_FILES = 50
_PROMPTS, _LABELS, _SCORES = "prompts", "labels", "scores"


@dataclass(frozen=True, slots=True)
class Companion:
    """A file that is joined with a log.

    Attributes
    ----------
    kind
        What it holds: prompts, labels or scores.
    join
        How it is joined.
    said
        What it is joined by, and what either file lacks, in words.
    """

    kind: str
    join: JoinSection
    said: str


def companions_of(sight: Sight, named: Sequence[str], choose: Choose) -> list[Companion]:
    """Return what the rows of a file are joined with.

    Parameters
    ----------
    sight
        The file.
    named
        Files that a person names; where there are none, the log's folder is looked through.
    choose
        Asked where two fields are equally likely.

    Raises
    ------
    ConfigError
        When two files hold the same, or a named one holds nothing of the rows.
    InputError
        When a named file cannot be read.
    """
    keys = Keys(sight)
    found: list[Companion] = []
    for path in named or _beside(sight)[:_MOST_FILES]:
        try:
            other = look(path)
        except UserError:
            if named:
                raise
            continue
        companion = _companion(sight, other, keys, choose, is_named=bool(named))
        if companion is not None:
            found.append(companion)
        elif named:
            raise ConfigError(
                f"--join {path}: holds nothing that belongs to {sight.path}: no field of it has the values of "
                f"{' or '.join(map(repr, keys.names()[:5])) or 'an id'}, or none holds prompts, labels or scores; it "
                f"has {', '.join(sorted(other.columns())[:20])}. Write predictions.join by hand."
            )
    for kind in (_PROMPTS, _LABELS, _SCORES):
        alike = [one.join.path for one in found if one.kind == kind]
        if len(alike) > 1:
            raise ConfigError(
                f"{sight.path}: {' and '.join(alike)} both hold {kind} of its rows: which is meant cannot be told. "
                f"Name the files that count with --join, such as --join {alike[0]} (with it, no others are looked "
                f"for); if each holds a part of the rows, write them into one."
            )
    return found


def num_unseen(sight: Sight) -> int:
    """Return how many files beside a log are too many to be looked through."""
    return max(len(_beside(sight)) - _MOST_FILES, 0)


def _beside(sight: Sight) -> list[str]:
    """Return files that may hold what a log lacks: those of its folder, and of the folder of Langfuse's scores."""
    place = Path(sight.path)
    if sight.format not in ("batch", "langfuse") or not place.exists():
        return []
    folder = place if place.is_dir() else place.parent
    scores = folder.parent / "scores"
    if sight.format == "langfuse" and folder.name.startswith("observations") and scores.is_dir():
        return [str(scores)]
    if place.is_dir():
        return []
    return [str(file) for file in sorted(folder.iterdir()) if file != place and file.is_file() and is_readable(file)]


def _companion(sight: Sight, other: Sight, keys: Keys, choose: Choose, *, is_named: bool) -> Companion | None:
    if sight.format == "langfuse" and (scores := _of_langfuse(sight, other)):
        return scores
    if sight.format == "batch" and (requests := _of_batch(sight, other, keys)):
        return requests
    labels = label_join(keys, other, choose, is_named=is_named)
    return None if labels is None else Companion(_LABELS, *labels)


def _of_batch(sight: Sight, other: Sight, keys: Keys) -> Companion | None:
    first = other.records[0].values
    if "custom_id" not in first or other.is_log:
        return None
    for fields in _requested(first):
        if any("messages" in record.values for record in sight.records):
            return None
        if not overlap_of(keys, "custom_id", other, "custom_id").fits:
            return None
        join = JoinSection(path=other.path, format=AUTO, on="custom_id", fields=fields)
        return Companion(_PROMPTS, join, f"{other.path}, by custom_id: {', '.join(fields)}")
    return None


def _requested(first: Mapping[str, object]) -> Iterator[dict[str, str]]:
    """Yield where a row holds what the model was given, if it is a request."""
    for name in _REQUESTS:
        body = first.get(name)
        if isinstance(body, Mapping):
            fields = {key: f"{name}.{key}" for key in _GIVEN if key in body}
            if isinstance(body.get("input"), str):
                fields["prompt"] = f"{name}.input"
            elif isinstance(body.get("input"), list):
                fields["messages"] = f"{name}.input"
            if fields:
                yield fields


def _of_langfuse(sight: Sight, other: Sight) -> Companion | None:
    first = other.records[0].values
    if other.is_log or not is_score(first):
        return None
    names = OBSERVATIONS if first_of(first, OBSERVATIONS) else TRACES
    key = next((name for name in names if first.get(name)), None)
    if key is None:
        return None
    values = sight.records[0].values
    own = "id" if names is OBSERVATIONS else next((name for name in TRACES if name in values), TRACES[0])
    is_named = first.get("value") is None
    value = next((name for name in ("string_value", "stringValue") if is_named and first.get(name)), "value")
    on = own if own == key else {own: key}
    join = JoinSection(path=other.path, format=AUTO, on=on, fields={"judged": value})
    return Companion(_SCORES, join, f"{other.path}, by {own} = {key}: {value} as judged")
