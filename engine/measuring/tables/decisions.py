"""What is kept of the decision row: top keys, mass by line item and period, the row itself; columns of Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch

from engine.attention.group_means import LayerStatistics
from engine.attention.masking import Window, first_visible
from engine.encoded_samples import EncodedSample

Layers = Sequence[LayerStatistics]
Numbers = Sequence[int]
"""Numbers in the model of the layers that have heads."""


def top_key_rows(encoded: EncodedSample, layers: Layers, numbers: Numbers, top_keys: int) -> dict[str, object]:
    """Return the keys that the decision row weighs most, per layer and head, for ``decision_top_keys``."""
    rows = _decision_patterns(encoded, layers)
    count = min(top_keys, rows.shape[-1])
    weights, positions = (part.numpy() for part in _largest(rows, count))
    num_layers, num_heads, _ = weights.shape
    layer, head, rank = np.indices((num_layers, num_heads, count), dtype=np.int32).reshape(3, -1)
    return {
        "sample_id": [encoded.sample_id] * rank.size,
        "layer": _numbered(layer, numbers),
        "head": head,
        "rank": rank,
        "key_position": positions.reshape(-1),
        "token": pa.array(encoded.token_texts()).take(pa.array(positions.reshape(-1))),
        "weight": np.minimum(weights.reshape(-1), 1),
    }


def _largest(rows: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest weights of every row, descending, and their keys; equal weights in key order."""
    flat = rows.reshape(-1, rows.shape[-1])
    top = flat.topk(count, dim=-1)
    least, positions = top.values[:, -1:], top.indices.sort(dim=-1).values
    is_kept = flat >= least
    if int(is_kept.count_nonzero()) > positions.numel():  # of those that equal the least, the first ones
        is_equal = flat == least
        room = count - (flat > least).sum(dim=-1, keepdim=True)
        positions = (is_kept & (~is_equal | (is_equal.cumsum(dim=-1) <= room))).nonzero()[:, 1].reshape(-1, count)
    weights, order = flat.gather(-1, positions).sort(dim=-1, descending=True, stable=True)
    shape = (*rows.shape[:-1], count)
    return weights.reshape(shape), positions.gather(-1, order).to(torch.int32).reshape(shape)


def span_rows(encoded: EncodedSample, layers: Layers, numbers: Numbers, windows: Sequence[Window]) -> dict[str, object]:
    """Return the decision row's mass on every line item and period of the statement, for ``span_mass``.

    The mass of a span is the sum of the row's weights over the span's tokens; its baseline is the span's share of the
    keys that the row sees in that layer.
    """
    rows = _decision_patterns(encoded, layers).numpy()
    num_layers, num_heads, length = rows.shape
    spans, places = encoded.spans, num_layers * num_heads
    inside = np.zeros((length, len(spans)), dtype=np.float32)
    for column, span in enumerate(spans):
        inside[span.positions, column] = 1
    mass = np.moveaxis(rows @ inside, -1, 0)
    baseline = np.empty((len(spans), num_layers))
    for layer_idx, window in enumerate(windows):
        first = first_visible(length - 1, window)
        baseline[:, layer_idx] = inside[first:].sum(axis=0) / (length - first)
    layer, head = np.indices((num_layers, num_heads), dtype=np.int32).reshape(2, -1)
    return {
        "sample_id": [encoded.sample_id] * (len(spans) * places),
        "kind": [span.kind for span in spans for _ in range(places)],
        "span": [span.name for span in spans for _ in range(places)],
        "layer": np.tile(_numbered(layer, numbers), len(spans)),
        "head": np.tile(head, len(spans)),
        "num_tokens": np.repeat([len(span.positions) for span in spans], places).astype(np.int32),
        "mass": np.clip(mass.reshape(-1), 0, 1),
        "baseline": np.repeat(baseline.reshape(-1), num_heads),
    }


def decision_rows(
    encoded: EncodedSample, layers: Layers, numbers: Numbers, rollout: torch.Tensor | None
) -> dict[str, object]:
    """Return the decision row of each layer averaged over heads, and the rollout with the last layer."""
    end = encoded.decision_position + 1
    num_layers = len(layers)
    rollouts: list[object] = [None] * num_layers
    if rollout is not None:
        rollouts[-1] = rollout[:end].cpu().numpy()
    return {
        "sample_id": [encoded.sample_id] * num_layers,
        "layer": np.asarray(numbers, dtype=np.int32),
        "pattern": [layer.decision_pattern.mean(dim=0)[:end].cpu().numpy() for layer in layers],
        "rollout": rollouts,
    }


def decision_head_rows(encoded: EncodedSample, layers: Layers, numbers: Numbers) -> dict[str, object]:
    """Return the decision row of every layer and head, for ``decision_head_rows``."""
    rows = _decision_patterns(encoded, layers).numpy()
    num_layers, num_heads, length = rows.shape
    layer, head = np.indices((num_layers, num_heads), dtype=np.int32).reshape(2, -1)
    return {
        "sample_id": [encoded.sample_id] * len(layer),
        "layer": _numbered(layer, numbers),
        "head": head,
        "pattern": list(rows.reshape(-1, length)),
    }


def _numbered(places: np.ndarray, numbers: Numbers) -> np.ndarray:
    """Return the layers' numbers in the model from their places among those that have heads."""
    return np.asarray(numbers, dtype=np.int32)[places]


def _decision_patterns(encoded: EncodedSample, layers: Layers) -> torch.Tensor:
    """Return the decision row up to its own position, on the CPU, ``[layer, head, key]``."""
    return torch.stack([layer.decision_pattern for layer in layers])[..., : encoded.decision_position + 1].cpu()
