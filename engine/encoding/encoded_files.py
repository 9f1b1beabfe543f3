"""Encoded samples of a unit as Parquet: what the driver plans is what replicas read, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.encoded_samples import ContrastRule, EncodedSample, LabelToken, StatementSpan
from engine.samples import Prompt

_POSITIONS = pa.list_(pa.int32())
_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string()),
        pa.field("batch", pa.int32()),
        pa.field("text", pa.string()),
        pa.field("metadata", pa.string()),
        pa.field("input_ids", _POSITIONS),
        pa.field("char_starts", _POSITIONS),
        pa.field("char_ends", _POSITIONS),
        pa.field("segments", _POSITIONS),
        pa.field("num_prompt_tokens", pa.int32()),
        pa.field("decision_position", pa.int32()),
        pa.field("contrast_token_ids", _POSITIONS),
        pa.field("key_groups", pa.map_(pa.string(), _POSITIONS)),
        pa.field("query_groups", pa.map_(pa.string(), _POSITIONS)),
        pa.field("spans", pa.list_(pa.struct({"kind": pa.string(), "name": pa.string(), "positions": _POSITIONS}))),
        pa.field("sequence_source", pa.string()),
        pa.field(
            "label_tokens", pa.list_(pa.struct({"label": pa.string(), "row": pa.int32(), "token_id": pa.int32()}))
        ),
        pa.field("contrast", pa.list_(pa.string())),
        pa.field("sentences", _POSITIONS),
        pa.field("companion", pa.string()),
        pa.field("unknown_groups", pa.list_(pa.string())),
    ]
)
_PLAIN = (
    "sample_id",
    "text",
    "input_ids",
    "char_starts",
    "char_ends",
    "segments",
    "num_prompt_tokens",
    "decision_position",
    "sequence_source",
)
_LONG = ("input_ids", "char_starts", "char_ends", "segments", "sentences")
"""Columns with a value for every token."""


def write_batches(path: Path, batches: Sequence[Sequence[EncodedSample]]) -> None:
    """Write a unit's packed batches."""
    rows = [{**_row(sample), "batch": number} for number, batch in enumerate(batches) for sample in batch]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path, compression="zstd")


def read_batches(path: Path) -> list[list[EncodedSample]]:
    """Read a unit's packed batches, in the order in which they were planned."""
    batches: list[list[EncodedSample]] = []
    table = pq.read_table(path)
    long = [name for name in _LONG if name in table.column_names]  # plans of older schemas lack some
    arrays = [_arrays(table[name]) for name in long]
    rows = table.drop_columns(long).to_pylist()
    for row, *positions in zip(rows, *arrays, strict=True):
        row |= zip(long, positions, strict=True)
        while len(batches) <= row["batch"]:
            batches.append([])
        batches[row["batch"]].append(_sample(row))
    return batches


def _arrays(column: pa.ChunkedArray) -> list[np.ndarray | None]:
    """Return the values of a column of positions row by row, without making a Python number of each."""
    lists = column.combine_chunks()
    values, offsets = lists.values.to_numpy(), lists.offsets.to_pylist()
    return [
        values[first:last].copy() if is_known else None
        for first, last, is_known in zip(offsets, offsets[1:], lists.is_valid().to_pylist(), strict=False)
    ]


def _row(sample: EncodedSample) -> dict[str, object]:
    companion = None if sample.companion is None else json.dumps(_row(sample.companion), default=_listed)
    return {
        **{name: getattr(sample, name) for name in _PLAIN},
        "metadata": json.dumps(sample.metadata),
        "contrast_token_ids": list(sample.contrast_token_ids),
        "key_groups": list(sample.key_groups.items()),
        "query_groups": list(sample.query_groups.items()),
        "label_tokens": [{"label": t.label, "row": t.row, "token_id": t.token_id} for t in sample.label_tokens],
        "sentences": sample.sentences,
        "contrast": [sample.contrast.name, sample.contrast.first, sample.contrast.second],
        "spans": [{"kind": s.kind, "name": s.name, "positions": s.positions} for s in sample.spans],
        "companion": companion,
        "unknown_groups": list(sample.unknown_groups),
    }


def _listed(values: object) -> object:
    assert isinstance(values, np.ndarray), "positions alone are arrays"
    return values.tolist()


def write_prompts(path: Path, prompts: Sequence[Prompt]) -> None:
    """Write the prompts of a unit that waits for answers."""
    rows = [{"sample_id": prompt.sample_id, "text": prompt.text} for prompt in prompts]
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


def read_prompts(path: Path) -> list[Prompt]:
    """Read the prompts of a unit."""
    return [Prompt(row["sample_id"], row["text"]) for row in pq.read_table(path).to_pylist()]


def _sample(row: dict) -> EncodedSample:
    first, second = row["contrast_token_ids"]
    return EncodedSample(
        sample_id=row["sample_id"],
        metadata=json.loads(row["metadata"]),
        text=row["text"],
        input_ids=_array(row["input_ids"]),
        char_starts=_array(row["char_starts"]),
        char_ends=_array(row["char_ends"]),
        segments=_array(row["segments"]),
        num_prompt_tokens=row["num_prompt_tokens"],
        decision_position=row["decision_position"],
        contrast_token_ids=(first, second),
        key_groups={name: _array(positions) for name, positions in row["key_groups"]},
        query_groups={name: _array(positions) for name, positions in row["query_groups"]},
        spans=tuple(StatementSpan(s["kind"], s["name"], _array(s["positions"])) for s in row["spans"]),
        sequence_source=row.get("sequence_source", "template"),  # plans of schema 1.0 have none …
        label_tokens=tuple(LabelToken(**token) for token in row.get("label_tokens") or ()),  # … nor of 1.1 these
        sentences=None if row.get("sentences") is None else _array(row["sentences"]),
        companion=None if row.get("companion") is None else _sample(json.loads(row["companion"])),
        contrast=ContrastRule(*row.get("contrast") or ()),
        unknown_groups=tuple(row.get("unknown_groups") or ()),
    )


def _array(values: list[int] | np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=np.int32)
