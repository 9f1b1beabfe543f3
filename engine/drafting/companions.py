"""Files beside a log that hold what it lacks: the requests of a batch, the scores of Langfuse's observations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.config import JoinSection
from engine.drafting.sight import Sight
from engine.errors import UserError
from engine.inputs.formats import AUTO, is_readable
from engine.inputs.readers.reader import FileHead
from engine.inputs.readers.record import Limits

_REQUESTS = ("body", "params", "request")
_GIVEN = ("messages", "prompt", "system", "instructions", "tools")
"""Parts of a request that the model was given."""
_MOST_FILES = 50


def companions_of(sight: Sight) -> list[JoinSection]:
    """Return joins with the files of the same folder that a log's rows need."""
    file = Path(sight.path)
    if not file.is_file() or sight.format not in ("batch", "langfuse"):
        return []
    joins: list[JoinSection] = []
    for other in sorted(file.parent.iterdir())[:_MOST_FILES]:
        if other == file or not other.is_file() or not is_readable(other):
            continue
        try:
            first = FileHead(other, Limits()).first_object()
        except UserError:
            continue
        join = _of_batch(sight, other, first) if sight.format == "batch" else _of_langfuse(other, first)
        if join is not None:
            joins.append(join)
    return joins[:1]


def _of_batch(sight: Sight, other: Path, first: Mapping[str, object]) -> JoinSection | None:
    if "custom_id" not in first or any("messages" in record.values for record in sight.records):
        return None
    for name in _REQUESTS:
        body = first.get(name)
        if isinstance(body, Mapping):
            fields = {key: f"{name}.{key}" for key in _GIVEN if key in body}
            if isinstance(body.get("input"), str):
                fields["prompt"] = f"{name}.input"
            elif isinstance(body.get("input"), list):
                fields["messages"] = f"{name}.input"
            if fields:
                return JoinSection(path=str(other), format=AUTO, on="custom_id", fields=fields)
    return None


def _of_langfuse(other: Path, first: Mapping[str, object]) -> JoinSection | None:
    key = next((name for name in ("observation_id", "observationId") if first.get(name)), None)
    if key is None or "value" not in first:
        return None
    return JoinSection(path=str(other), format=AUTO, on={"id": key}, fields={"judged": "value"})
