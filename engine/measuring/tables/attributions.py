"""Which rows of a sample are attributed, to which keys, and the Arrow columns of what came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import torch

from engine.attention.layout import SequenceLayout
from engine.encoded_samples import EncodedSample, IntArray
from engine.measuring.attribution import Attribution, Target
from engine.measuring.contrasts import RUNNER_UP, Contrast, candidates
from engine.measuring.measured import Measured
from engine.schema import ATTRIBUTION_PREFIX, CELL, CELL_PERIODS, CONTRIBUTION_PREFIX

SPAN_STEP = 1e-5
"""Nats that attributions of spans are rounded to: what is less is the model's own rounding, and would take three
quarters of the room on disk."""

Span = tuple[str, str, str | None]
"""Kind, name and, of a cell, its period."""


def spans_of(encoded: EncodedSample) -> dict[Span, IntArray]:
    """Return the token positions of each line item, each period, and of each line item in each of ``CELL_PERIODS``."""
    found: dict[Span, IntArray] = {(span.kind, span.name, None): span.positions for span in encoded.spans}
    for span in encoded.spans if set(CELL_PERIODS) & set(encoded.key_groups) else ():
        for period in CELL_PERIODS if span.kind == "line_item" else ():
            cell = np.intersect1d(span.positions, encoded.key_groups.get(period, ()), assume_unique=True)
            if len(cell):
                found[CELL, span.name, period] = cell.astype(np.int32)
    return found


def targets_of(encoded: EncodedSample, layout: SequenceLayout) -> list[Target]:
    """Return the rows of a sample at which its margin may be decided, with key groups and spans as columns."""
    pairs = [(contrast.row, contrast.token_ids) for contrast in candidates(encoded)]
    wanted: list[tuple[int, tuple[int, int | None]]] = [*dict.fromkeys(pairs)]
    if encoded.contrast.name == RUNNER_UP:
        wanted = [(encoded.decision_position, (encoded.decision_token_id, None))]
    if not wanted:
        return []
    spans = spans_of(encoded)
    inside = np.zeros((encoded.num_tokens, len(spans)), dtype=np.float32)
    for column, positions in enumerate(spans.values()):
        inside[positions, column] = 1
    columns = torch.cat((layout.indicators, torch.from_numpy(inside).to(layout.indicators)), dim=1)
    return [Target(row, token_ids, columns) for row, token_ids in wanted]


def attribution_of(sample: Measured, contrast: Contrast | None, dtype: str) -> Attribution | None:
    """Return the attribution of the contrast that a sample came to; None where its parts do not sum to the margin."""
    if contrast is None:
        return None
    for found in sample.found.attributions:
        if (found.row, found.token_ids) == (contrast.row, contrast.token_ids):
            return found if found.is_sound(dtype) else None
    return None


def attribution_rows(sample: Measured, found: Attribution) -> dict[str, dict[str, object]]:
    """Return a sample's columns of the tables of attributions."""
    encoded, numbers = sample.encoded, np.asarray(sample.layer_numbers, dtype=np.int32)
    heads, columns = found.heads.numpy(), found.columns.numpy()
    num_groups = len(encoded.key_groups)
    layer, head = np.indices(heads.shape, dtype=np.int32).reshape(2, -1)
    places: dict[str, object] = {
        "sample_id": [encoded.sample_id] * heads.size,
        "layer": numbers[layer],
        "head": head,
    }
    groups = _by_group(encoded, ATTRIBUTION_PREFIX, columns)
    if found.contributions is not None:
        groups |= _by_group(encoded, CONTRIBUTION_PREFIX, found.contributions.numpy())
    rows: dict[str, dict[str, object]] = {"head_attributions": {**places, "dla": heads.reshape(-1), **groups}}
    if found.top_keys.shape[-1]:
        rows["top_token_attributions"] = _top_rows(encoded, numbers, found)
    spans = list(spans_of(encoded))
    if spans:
        rows["span_attributions"] = _span_rows(encoded, numbers, spans, columns[..., num_groups:])
    return rows


def _by_group(encoded: EncodedSample, prefix: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Return a column for each key group; NaN where it is not known which keys it holds."""
    return {
        f"{prefix}{name}": np.full(values[..., column].size, np.nan)
        if name in encoded.unknown_groups
        else values[..., column].reshape(-1)
        for column, name in enumerate(encoded.key_groups)
    }


def _top_rows(encoded: EncodedSample, numbers: np.ndarray, found: Attribution) -> dict[str, object]:
    """Return the keys that carry most of each sign; those that carry nothing, or of the other sign, are left out."""
    values, keys = found.top_values.numpy(), found.top_keys.numpy()
    count = values.shape[-1] // 2
    wanted = np.repeat([1.0, -1.0], count)
    layer, head, place = np.nonzero(np.sign(values) == wanted)
    positions = keys[layer, head, place].astype(np.int32)
    return {
        "sample_id": [encoded.sample_id] * len(layer),
        "layer": numbers[layer],
        "head": head.astype(np.int32),
        "rank": (place % count).astype(np.int32),
        "key_position": positions,
        "token": pa.array(encoded.token_texts()).take(pa.array(positions)),
        "attribution": values[layer, head, place],
    }


def _span_rows(
    encoded: EncodedSample, numbers: np.ndarray, spans: Sequence[Span], values: np.ndarray
) -> dict[str, object]:
    num_layers, num_heads = values.shape[:2]
    places = num_layers * num_heads
    layer, head = np.indices((num_layers, num_heads), dtype=np.int32).reshape(2, -1)
    kinds, names, periods = zip(*spans, strict=True)
    return {
        "sample_id": [encoded.sample_id] * (len(spans) * places),
        "kind": [kind for kind in kinds for _ in range(places)],
        "span": [name for name in names for _ in range(places)],
        "period": [period for period in periods for _ in range(places)],
        "layer": np.tile(numbers[layer], len(spans)),
        "head": np.tile(head, len(spans)),
        "attribution": np.round(np.moveaxis(values, -1, 0).reshape(-1) / SPAN_STEP) * SPAN_STEP,
    }


def why_unsummed(samples: Iterable[Measured], dtype: str) -> str:
    """Return why samples have no attributions though parts were found: those do not add up; empty where they do."""
    attributed = (sample.found.attributions for sample in samples if sample.found.attributions)
    if all(any(found.is_sound(dtype) for found in each) for each in attributed):
        return ""
    return "in the others the parts that are known do not add up to the margin"


def num_attributed(tables: Mapping[str, pa.Table]) -> int:
    """Return how many samples of a unit have attributions."""
    table = tables.get("head_attributions")
    return 0 if table is None else len(table["sample_id"].unique())
