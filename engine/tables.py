"""Measured numbers → the Arrow tables of a unit, in the schema's exact columns and types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from engine.attention.reductions import LayerStatistics
from engine.config import StatisticsSection
from engine.decision_tables import decision_head_rows, decision_rows, span_rows, top_key_rows
from engine.probe import SequenceMeasurement
from engine.samples import SEGMENTS, EncodedSample, IntArray
from engine.schema import BASELINE_PREFIX, COUNT_PREFIX, MEASURE_TABLES, OPTIONAL_TABLES, table_schema
from engine.tolerances import tolerance


@dataclass(frozen=True, slots=True)
class Measured:
    """One sample and what the probe found."""

    encoded: EncodedSample
    found: SequenceMeasurement

    @property
    def logits(self) -> torch.Tensor:
        """Decision row over the vocabulary, float32 ``[vocabulary]``."""
        return self.found.logits

    @property
    def layers(self) -> Sequence[LayerStatistics]:
        """Statistics by layer."""
        return self.found.layers

    def is_finite(self) -> bool:
        """Whether logits, decision rows and the sums behind every mean hold neither NaN nor infinity."""
        parts = [self.logits, *(layer.decision_pattern for layer in self.layers)]
        return all(bool(torch.isfinite(part).all()) for part in parts) and all(layer.is_finite for layer in self.layers)

    def row_sum_error(self) -> float:
        """Return how far the decision rows' sums lie from 1 at most, over layers and heads."""
        return max(float((layer.decision_pattern.sum(-1) - 1).abs().max()) for layer in self.layers)

    def future_mass(self) -> float:
        """Return the largest weight that a decision row puts beyond itself, over layers and heads."""
        future = [layer.decision_pattern[:, self.encoded.decision_position + 1 :] for layer in self.layers]
        return max((float(part.max()) for part in future if part.numel()), default=0.0)

    def fault(self) -> tuple[str, str] | None:
        """Return reason and detail of what makes the measurement unusable, or None when it is sound."""
        if not self.is_finite():
            return "not_finite", "The model gives NaN or infinity; try model.dtype=float32."
        if self.row_sum_error() > tolerance("row sum").atol:
            return "rows_not_normalised", f"A decision row sums to 1 only within {self.row_sum_error():.2g}."
        if self.future_mass() > 0:
            return "mass_on_the_future", f"A decision row puts {self.future_mass():.2g} beyond itself."
        return None


def unit_tables(
    measured: Sequence[Measured],
    key_groups: Sequence[str],
    settings: StatisticsSection,
    kept: Mapping[str, str] | None = None,
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
    """

    def schema_of(name: str) -> pa.Schema:
        return table_schema(name, key_groups, settings.norm_weighted, kept)

    parts: dict[str, list[pa.RecordBatch]] = {}
    for sample in measured:
        for name, columns in _sample_columns(sample, settings).items():
            parts.setdefault(name, []).append(record_batch(columns, schema_of(name)))
    return {
        name: pa.Table.from_batches(parts.get(name, []), schema=schema_of(name))
        for name in (*MEASURE_TABLES, *(name for name in OPTIONAL_TABLES if name in parts))
    }


def _sample_columns(sample: Measured, settings: StatisticsSection) -> dict[str, dict[str, object]]:
    key_groups = list(sample.encoded.key_groups)
    encoded, layers = sample.encoded, sample.layers
    rows: dict[str, dict[str, object]] = {
        "samples": _samples_row(sample),
        "tokens": token_rows(sample.encoded),
        "baselines": baseline_rows(sample),
        "head_stats": head_rows(sample, table_schema("head_stats", key_groups, settings.norm_weighted)),
        "decision_top_keys": top_key_rows(encoded, layers, settings.top_keys),
    }
    if encoded.spans:
        rows["span_mass"] = span_rows(encoded, layers, sample.found.windows)
    if any(layer.patterns for layer in sample.layers):
        rows["patterns"] = _pattern_rows(sample)
    if settings.decision_rows or settings.rollout:
        rows["decision_rows"] = decision_rows(encoded, layers, sample.found.rollout)
    if isinstance(settings.decision_rows, list) and sample.encoded.sample_id in settings.decision_rows:
        rows["decision_head_rows"] = decision_head_rows(encoded, layers)
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


def _samples_row(sample: Measured) -> dict[str, object]:
    encoded = sample.encoded
    token = encoded.decision_position + 1
    logits = sample.logits.cpu()  # in float64 now, which Apple's GPUs lack
    first, second = (float(logits[i]) for i in encoded.contrast_token_ids)
    has_contrast = len(set(encoded.contrast_token_ids)) == 2
    surprisal = float(torch.logsumexp(logits.double(), 0) - logits[encoded.decision_token_id].double())
    row: dict[str, object] = {
        **encoded.metadata,
        "sample_id": encoded.sample_id,
        "num_tokens": encoded.num_tokens,
        "num_prompt_tokens": encoded.num_prompt_tokens,
        "decision_position": encoded.decision_position,
        "decision_token": encoded.token_text(token),
        "decision_char_start": int(encoded.char_starts[token]),
        "decision_char_end": int(encoded.char_ends[token]),
        "logit_difference": first - second if has_contrast else None,
        "contrast_probability": 1 / (1 + math.exp(min(second - first, 700.0))) if has_contrast else None,
        "label_surprisal": max(surprisal, 0.0),
    }
    for name, positions in encoded.key_groups.items():
        row[COUNT_PREFIX + name] = len(positions)
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
    }


def head_rows(sample: Measured, schema: pa.Schema) -> dict[str, object]:
    """Return a sample's columns of ``head_stats``."""
    groups = list(sample.encoded.query_groups)
    schema_names = schema.names[4:]
    # [layer, head, query group, statistic] -> rows by query group, then layer, then head
    means = torch.stack([layer.means for layer in sample.layers]).permute(2, 0, 1, 3).cpu().numpy()
    num_groups, num_layers, num_heads, num_statistics = means.shape
    assert num_statistics == len(schema_names) and num_groups == len(groups)
    _clip_rounding(means, schema_names)
    flat = means.reshape(-1, num_statistics)
    layer, head = np.divmod(np.tile(np.arange(num_layers * num_heads, dtype=np.int32), num_groups), num_heads)
    columns: dict[str, object] = {
        "sample_id": [sample.encoded.sample_id] * len(flat),
        "query_group": [name for name in groups for _ in range(num_layers * num_heads)],
        "layer": layer,
        "head": head,
    }
    columns.update({name: flat[:, index] for index, name in enumerate(schema_names)})
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
        for layer_idx, layer in enumerate(sample.layers)
        for head in sorted(layer.patterns)
    ]
    return {
        "sample_id": [sample.encoded.sample_id] * len(kept),
        "layer": np.array([layer for layer, _, _ in kept], dtype=np.int32),
        "head": np.array([head for _, head, _ in kept], dtype=np.int32),
        "num_tokens": np.full(len(kept), sample.encoded.num_tokens, dtype=np.int32),
        "pattern": [pattern.cpu().numpy() for _, _, pattern in kept],
    }


def baseline_rows(sample: Measured) -> dict[str, object]:
    """Return a sample's columns of ``baselines``."""
    encoded = sample.encoded
    windows = [w if w is not None and w < encoded.num_tokens else None for w in sample.found.windows]
    layers: list[int | None] = [None] if len(set(windows)) == 1 else list(range(len(windows)))
    by_window = {window: baselines(encoded, window) for window in set(windows)}
    names = [*encoded.key_groups, "duplicate", "induction"]
    columns: dict[str, object] = {
        "sample_id": [encoded.sample_id] * (len(layers) * len(encoded.query_groups)),
        "query_group": [group for group in encoded.query_groups for _ in layers],
        "layer": [layer for _ in encoded.query_groups for layer in layers],
    }
    for index, name in enumerate(names):
        columns[BASELINE_PREFIX + name] = np.array(
            [by_window[windows[layer or 0]][row, index] for row in range(len(encoded.query_groups)) for layer in layers]
        )
    return columns


def baselines(encoded: EncodedSample, window: int | None) -> np.ndarray:
    """Return what uniform attention would give, float64 ``[query group, key group + 2]``.

    The last two columns are the duplicate and induction baselines, means over rows with a match; NaN where a query
    group has no row that counts.
    """
    rows = np.arange(encoded.num_tokens)
    lowest = np.zeros_like(rows) if window is None else np.maximum(0, rows - window + 1)
    visible = rows + 1 - lowest
    shares = np.empty((encoded.num_tokens, len(encoded.key_groups) + 2))
    for index, positions in enumerate(encoded.key_groups.values()):
        below = np.zeros(encoded.num_tokens + 1)
        below[1:][positions] = 1
        below = np.cumsum(below)
        shares[:, index] = (below[rows + 1] - below[lowest]) / visible
    duplicates, inductions = _match_counts(encoded.input_ids, lowest)
    shares[:, -2] = np.where(duplicates > 0, duplicates / visible, np.nan)
    shares[:, -1] = np.where(inductions > 0, inductions / visible, np.nan)
    result = np.full((len(encoded.query_groups), shares.shape[1]), np.nan)
    for row, positions in enumerate(encoded.query_groups.values()):
        chosen = shares[positions]
        counted = ~np.isnan(chosen)
        with np.errstate(invalid="ignore"):
            result[row] = np.where(counted, chosen, 0).sum(axis=0) / counted.sum(axis=0)
    return result


def _match_counts(token_ids: IntArray, lowest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, per row, how many visible keys are duplicate and how many are induction matches."""
    _, token = np.unique(token_ids, return_inverse=True)
    first = token.astype(np.int64) * len(token_ids)  # places of one token are neighbours, in the order of the text
    rows = np.arange(len(token_ids))
    places = np.sort(first + rows)
    earlier = np.searchsorted(places, first + rows)
    duplicates = earlier - np.searchsorted(places, first + lowest)
    inductions = earlier - np.searchsorted(places, first + np.maximum(lowest - 1, 0))
    return duplicates, inductions
