"""What answers read and what keys receive, as columns of Arrow tables."""

from __future__ import annotations

import numpy as np
import torch

from engine.attention.reading import answer_rows
from engine.measuring.measured import Measured
from engine.schema import CENTROID_PREFIX, CONCENTRATION_PREFIX, DRIFT_PREFIX


def reading_rows(sample: Measured) -> dict[str, dict[str, object]]:
    """Return a sample's columns of ``reading_focus``; no table where it was not measured or there is no answer."""
    found = [layer.reading for layer in sample.layers]
    if not len(answer_rows(sample.encoded)) or any(reading is None for reading in found):
        return {}
    values = torch.stack([reading for reading in found if reading is not None]).cpu().numpy()
    num_layers, num_heads = values.shape[:2]
    columns: dict[str, object] = _places(sample, num_layers, num_heads)
    for column, name in enumerate(sample.encoded.key_groups):
        for part, prefix in enumerate((CENTROID_PREFIX, DRIFT_PREFIX, CONCENTRATION_PREFIX)):
            columns[f"{prefix}{name}"] = values[:, :, column, part].reshape(-1)
    return {"reading_focus": columns}


def _places(sample: Measured, num_layers: int, num_heads: int) -> dict[str, object]:
    """Return the columns that say which head of which layer of a sample a row is of."""
    layer, head = np.indices((num_layers, num_heads), dtype=np.int32).reshape(2, -1)
    return {
        "sample_id": [sample.encoded.sample_id] * len(layer),
        "layer": np.asarray(sample.layer_numbers, dtype=np.int32)[layer],
        "head": head,
    }
