"""Measured numbers → the Arrow tables of a unit, in the schema's exact columns and types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import torch

from engine.config import StatisticsSection
from engine.encoded_samples import SEGMENTS, EncodedSample
from engine.measuring.contrasts import Contrast, Decode, Logits, contrast_of, label_logprob_rows
from engine.measuring.fetching.retrieval import Retrieval
from engine.measuring.measured import Measured
from engine.measuring.tables.attributions import attribution_of, attribution_rows
from engine.measuring.tables.baselines import baseline_rows
from engine.measuring.tables.decisions import decision_head_rows, decision_rows, span_rows, top_key_rows
from engine.measuring.tables.reading import reading_rows, received_tables
from engine.schema import (
    COUNT_PREFIX,
    MASS_PREFIX,
    MEASURE_TABLES,
    NORM_MASS_PREFIX,
    OPTIONAL_TABLES,
    head_stats_schema,
    table_schema,
)


def unit_tables(
    measured: Sequence[Measured],
    key_groups: Sequence[str],
    settings: StatisticsSection,
    kept: Mapping[str, str] | None = None,
    decode: Decode | None = None,
    dtype: str = "float32",
) -> dict[str, pa.Table]:
    """Return every measure table of a unit; tables are empty, with their schema, when nothing was measured.

    Parameters
    ----------
    measured
        The unit's samples.
    key_groups
        Names of the key groups.
    settings
        The config's section.
    kept
        Fields of ``predictions.keep`` and their kinds.
    decode
        Names tokens that are no label's (``said_vs_runner_up``).
    dtype
        The model's, as tolerances name it: how far parts may lie from their sum.
    """

    def schema_of(name: str) -> pa.Schema:
        return table_schema(
            name, key_groups, settings.norm_weighted, kept, settings.contribution, settings.reading_focus
        )

    parts: dict[str, list[pa.RecordBatch]] = {}
    for sample in measured:
        for name, columns in _sample_columns(sample, settings, decode, dtype).items():
            parts.setdefault(name, []).append(record_batch(columns, schema_of(name)))
    return {
        name: pa.Table.from_batches(parts.get(name, []), schema=schema_of(name))
        for name in (*MEASURE_TABLES, *(name for name in OPTIONAL_TABLES if name in parts))
    }


def _sample_columns(
    sample: Measured, settings: StatisticsSection, decode: Decode | None, dtype: str
) -> dict[str, dict[str, object]]:
    key_groups = list(sample.encoded.key_groups)
    encoded, layers, numbers = sample.encoded, sample.layers, sample.layer_numbers
    logits = {row: values.cpu() for row, values in sample.logits_by_row.items()}  # in float64 soon, which MPS lacks
    contrast = contrast_of(encoded, logits, decode)
    rows: dict[str, dict[str, object]] = {
        "samples": _samples_row(sample, contrast, logits),
        "tokens": token_rows(sample.encoded),
        "baselines": baseline_rows(sample),
        "head_stats": head_rows(sample, head_stats_schema(key_groups, settings.norm_weighted, settings.reading_focus)),
        "decision_top_keys": top_key_rows(encoded, layers, numbers, settings.top_keys),
    }
    if encoded.label_tokens or contrast is not None:
        rows["label_logprobs"] = dict(label_logprob_rows(encoded, logits, contrast))
    if encoded.spans:
        rows["span_mass"] = span_rows(encoded, layers, numbers, sample.found.windows)
    if any(layer.null_mass is not None for layer in layers):
        rows["null_mass"] = null_mass_rows(sample)
    if any(layer.patterns for layer in sample.layers):
        rows["patterns"] = _pattern_rows(sample)
    if (found := attribution_of(sample, contrast, dtype)) is not None:
        rows |= attribution_rows(sample, found)
    if sample.found.retrieval is not None:
        rows["retrieval"] = retrieval_rows(sample, sample.found.retrieval)
    rows |= reading_rows(sample) | received_tables(sample)
    if settings.decision_rows or settings.rollout:
        rows["decision_rows"] = decision_rows(encoded, layers, numbers, sample.found.rollout)
    if isinstance(settings.decision_rows, list) and sample.encoded.sample_id in settings.decision_rows:
        rows["decision_head_rows"] = decision_head_rows(encoded, layers, numbers)
    return rows


def record_batch(columns: dict[str, object], schema: pa.Schema) -> pa.RecordBatch:
    """Return columns in a schema's order and types; NaN becomes null."""
    arrays = []
    for field in schema:
        values = columns[field.name]
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            arrays.append(pa.array(values.astype(np.float32), type=field.type, mask=np.isnan(values)))
        else:
            arrays.append(values if isinstance(values, pa.Array) else pa.array(values, type=field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _samples_row(sample: Measured, contrast: Contrast | None, by_row: Logits) -> dict[str, object]:
    encoded = sample.encoded
    token = encoded.decision_position + 1
    logits = by_row[encoded.decision_position]
    margin = None if contrast is None else contrast.margin(by_row)
    surprisal = float(torch.logsumexp(logits.double(), 0) - logits[encoded.decision_token_id].double())
    row: dict[str, object] = {
        **encoded.metadata,
        "sample_id": encoded.sample_id,
        "num_tokens": encoded.num_tokens,
        "num_prompt_tokens": encoded.num_prompt_tokens,
        "sequence_source": encoded.sequence_source,
        "decision_position": encoded.decision_position,
        "decision_token": encoded.token_text(token),
        "decision_char_start": int(encoded.char_starts[token]),
        "decision_char_end": int(encoded.char_ends[token]),
        "contrast": None if contrast is None else contrast.name,
        "contrast_position": None if contrast is None else contrast.row,
        "logit_difference": margin,
        "contrast_probability": None if margin is None else 1 / (1 + math.exp(min(-margin, 700.0))),
        "label_surprisal": max(surprisal, 0.0),
    }
    for name, positions in encoded.key_groups.items():
        row[COUNT_PREFIX + name] = None if name in encoded.unknown_groups else len(positions)
    return {name: [value] for name, value in row.items()}


def token_rows(encoded: EncodedSample) -> dict[str, object]:
    """Return a sample's columns of ``tokens``."""
    return {
        "sample_id": [encoded.sample_id] * encoded.num_tokens,
        "position": np.arange(encoded.num_tokens, dtype=np.int32),
        "token": encoded.token_texts(),
        "char_start": encoded.char_starts,
        "char_end": encoded.char_ends,
        "segment": [SEGMENTS[code] for code in encoded.segments],
        "sentence": _sentences(encoded),
    }


def _sentences(encoded: EncodedSample) -> pa.Array:
    numbers = np.full(encoded.num_tokens, -1, dtype=np.int32) if encoded.sentences is None else encoded.sentences
    return pa.array(numbers, type=pa.int32(), mask=numbers < 0)


def head_rows(sample: Measured, schema: pa.Schema) -> dict[str, object]:
    """Return a sample's columns of ``head_stats``."""
    groups = list(sample.encoded.query_groups)
    schema_names = schema.names[4:]
    # [layer, head, query group, statistic] -> rows by query group, then layer, then head
    means = torch.stack([layer.means for layer in sample.layers]).permute(2, 0, 1, 3).cpu().numpy()
    num_groups, num_layers, num_heads, num_statistics = means.shape
    assert num_statistics == len(schema_names) and num_groups == len(groups)
    _clip_rounding(means, schema_names)
    if unknown := sample.encoded.unknown_groups:
        lacking = {f"{prefix}{name}" for prefix in (MASS_PREFIX, NORM_MASS_PREFIX) for name in unknown}
        means[..., [name in lacking for name in schema_names]] = np.nan
    flat = means.reshape(-1, num_statistics)
    layer, head = np.divmod(np.tile(np.arange(num_layers * num_heads, dtype=np.int32), num_groups), num_heads)
    columns: dict[str, object] = {
        "sample_id": [sample.encoded.sample_id] * len(flat),
        "query_group": [name for name in groups for _ in range(num_layers * num_heads)],
        "layer": np.asarray(sample.layer_numbers, dtype=np.int32)[layer],
        "head": head,
    }
    columns.update({name: flat[:, index] for index, name in enumerate(schema_names)})
    return columns


def null_mass_rows(sample: Measured) -> dict[str, object]:
    """Return a sample's columns of ``null_mass``: layers with sinks, query groups and the decision row."""
    found = [
        (number, layer.null_mass)
        for number, layer in zip(sample.layer_numbers, sample.layers, strict=True)
        if layer.null_mass is not None
    ]
    values = torch.stack([null for _, null in found]).cpu().numpy()  # [layer, head, query group]
    groups = np.array([*sample.encoded.query_groups, "decision_row"])
    layer, head, group = np.indices(values.shape).reshape(3, -1)
    return {
        "sample_id": [sample.encoded.sample_id] * values.size,
        "query_group": groups[group].tolist(),
        "layer": np.array([number for number, _ in found], dtype=np.int32)[layer],
        "head": head.astype(np.int32),
        "null_mass": values.reshape(-1),
    }


def retrieval_rows(sample: Measured, found: Retrieval) -> dict[str, object]:
    """Return a sample's columns of ``retrieval``."""
    layer, head = np.indices(found.scores.shape[1:], dtype=np.int32).reshape(2, -1)
    unknown = np.full(layer.size, np.nan)
    columns: dict[str, object] = {
        "sample_id": [sample.encoded.sample_id] * layer.size,
        "layer": np.asarray(sample.layer_numbers, dtype=np.int32)[layer],
        "head": head,
        "num_rows": np.full(layer.size, found.num_rows, dtype=np.int32),
        "copy_score": unknown if found.copies is None else found.copies.numpy().reshape(-1),
    }
    for number, prefix in enumerate(("", "evidence_")):
        is_known = number < len(found.scores)
        columns[f"{prefix}retrieval"] = found.scores[number].numpy().reshape(-1) if is_known else unknown
        columns[f"{prefix}retrieval_chance"] = found.chances[number].numpy().reshape(-1) if is_known else unknown
        columns[f"num_{prefix}copyable"] = [found.num_copyable[number] if is_known else None] * layer.size
    return columns


def _clip_rounding(means: np.ndarray, names: list[str]) -> None:
    """Take the last-digit excess over 1 from shares; anything larger is a broken invariant."""
    shares = [i for i, name in enumerate(names) if name not in ("entropy_nats", "mean_distance")]
    part = means[..., shares]
    assert not np.nanmax(part, initial=0) > 1 + 1e-4, "a share of attention exceeds 1"
    assert not np.nanmin(part, initial=0) < -1e-4, "a share of attention is negative"
    means[..., shares] = np.clip(part, 0, 1)


def _pattern_rows(sample: Measured) -> dict[str, object]:
    kept = [
        (layer_idx, head, layer.patterns[head])
        for layer_idx, layer in zip(sample.layer_numbers, sample.layers, strict=True)
        for head in sorted(layer.patterns)
    ]
    return {
        "sample_id": [sample.encoded.sample_id] * len(kept),
        "layer": np.array([layer for layer, _, _ in kept], dtype=np.int32),
        "head": np.array([head for _, head, _ in kept], dtype=np.int32),
        "num_tokens": np.full(len(kept), sample.encoded.num_tokens, dtype=np.int32),
        "pattern": [pattern.cpu().numpy() for _, _, pattern in kept],
    }
