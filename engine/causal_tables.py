"""What was found out about one sample, as columns of the causal tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.attribution import DirectAttribution, HeadGradients
from engine.samples import EncodedSample, RowRejected
from engine.schema_causal import ATTENTION_GRADIENT_PREFIX
from engine.sweeps import Effect

Columns = dict[str, Any]


def effect_columns(effect: Effect) -> Columns:
    """Return an effect's columns.

    Raises
    ------
    RowRejected
        When it is NaN or infinite.
    """
    if not np.isfinite(effect.logit_difference):
        raise RowRejected("causal", "not_finite", "An intervention gives NaN or infinity; try model.dtype=float32.")
    return {
        "logit_difference": effect.logit_difference,
        "change": effect.logit_difference - effect.reference,
        "is_flipped": (effect.logit_difference > 0) != (effect.reference > 0),
    }


def row_columns(sample: EncodedSample, rows: Sequence[Columns]) -> Columns:
    """Return rows of one sample as columns."""
    names = rows[0] if rows else ()
    return {"sample_id": [sample.sample_id] * len(rows), **{name: [row[name] for row in rows] for name in names}}


def component_columns(sample: EncodedSample, direct: DirectAttribution) -> Columns:
    """Return the columns of ``sample_attributions``."""
    names, layers, values = zip(*direct.components, strict=True)
    number = len(names)
    return {
        "sample_id": [sample.sample_id] * number,
        "component": names,
        "layer": layers,
        "value": values,
        "logit_difference": [direct.logit_difference] * number,
    }


def head_columns(sample: EncodedSample, num_layers: int, num_heads: int) -> Columns:
    """Return sample, layer and head of every head, layer by layer."""
    layer, head = np.divmod(np.arange(num_layers * num_heads, dtype=np.int32), num_heads)
    return {"sample_id": [sample.sample_id] * len(layer), "layer": layer, "head": head}


def attribution_columns(
    sample: EncodedSample, direct: DirectAttribution | None, gradients: HeadGradients, groups: Sequence[str]
) -> Columns:
    """Return the columns of ``attributions``; dla is null when it was not asked for."""
    number = gradients.heads.numel()
    columns = {
        **head_columns(sample, *gradients.heads.shape),
        "dla": [None] * number if direct is None else direct.heads.flatten().tolist(),
        "head_gradient": gradients.heads.flatten().tolist(),
    }
    if gradients.groups is not None:
        by_group = gradients.groups.flatten(0, 1).cpu()
        columns |= {f"{ATTENTION_GRADIENT_PREFIX}{name}": by_group[:, i].tolist() for i, name in enumerate(groups)}
    return columns
