"""The gold passages of a row, as its record names them: texts of the prompt, or stretches of its characters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from engine.samples import Evidence, RowRejected


def evidence_of(value: object, name: str, reference: str | None) -> Evidence:
    """Return what a record's field of evidence holds.

    Parameters
    ----------
    value
        Nothing, a text, a pair ``[start, end]`` of characters (the second one past the last), or a list of texts and
        pairs; a list of them as JSON, as a CSV holds it, is read as one.
    name
        The field's name, for messages to people.
    reference
        The text that pairs count in, or None where there is not one alone.

    Raises
    ------
    RowRejected
        When it is none of these.
    """
    items = _items(value)
    texts: list[str] = []
    spans: list[tuple[int, int]] = []
    for item in items:
        if isinstance(item, str) and item.strip():
            texts.append(item)
        elif (span := _pair(item)) is not None:
            spans.append(span)
        else:
            raise RowRejected(
                "read",
                "bad_evidence",
                f"The field {name!r} (predictions.fields.evidence) holds {str(item)[:60]!r}. Evidence is a text of the "
                f"prompt, a pair [start, end] of its characters (the second one past the last), or a list of these.",
            )
    return Evidence(tuple(texts), tuple(spans), reference)


def reference_of(
    values: Mapping[str, object], source: str, *, field: str, asked: Sequence[str], verbatim: str | None
) -> str | None:
    """Return the text that pairs of characters count in, or None where a row has not one alone.

    Parameters
    ----------
    values
        The record.
    source
        ``prompt.source``, or what a log's format tells in its place.
    field
        Name of the field that holds the prompt or the transcript.
    asked
        Texts of the user's messages.
    verbatim
        A prompt that is measured word for word.
    """
    recorded = values.get(field)
    if source == "fields":
        return recorded if isinstance(recorded, str) else verbatim
    if source == "messages":
        return asked[0] if len(asked) == 1 else None
    # A transcript is taken apart and rendered again, unless it is measured as it stands.
    is_own = verbatim is not None and isinstance(recorded, str) and recorded.startswith(verbatim)
    return verbatim if is_own else None


def _items(value: object) -> list[object]:
    if value is None or (isinstance(value, float) and value != value):
        return []
    if isinstance(value, str):
        return _parsed(value) if value.strip() else []
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [value] if _pair(value) is not None else [item for item in value if item is not None and item != ""]
    return [value]


def _parsed(text: str) -> list[object]:
    """Return a list of texts and pairs that a CSV holds as JSON; the text itself where it is none."""
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return [text]
        if isinstance(found, list) and all(isinstance(item, str | list) for item in found):
            return found
    return [text]


def _pair(item: object) -> tuple[int, int] | None:
    """Return two whole numbers; None for anything else. Parquet may hold them as floats."""
    if not isinstance(item, Sequence) or isinstance(item, str | bytes) or len(item) != 2:
        return None
    whole = [
        int(part) for part in item if isinstance(part, int | float) and not isinstance(part, bool) and part == part // 1
    ]
    return (whole[0], whole[1]) if len(whole) == 2 else None
