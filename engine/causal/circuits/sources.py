"""What key groups hand heads: how a head's output changes where a group's values give way to the baseline's.

A head's output is linear in its values, so the change is exact: ``sum_{j in F} A_ij (v'_j - v_j)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from engine.causal.circuits.senders import Baseline
from engine.causal.targets import Head
from engine.interventions.head_inputs import head_inputs
from engine.interventions.recomputed_attention import recomputed
from engine.interventions.unchanged_run import Trace
from engine.model.decoder import Decoder


@torch.no_grad()
def source_changes(
    decoder: Decoder,
    kept: Trace,
    layers: Mapping[int, Sequence[int]],
    groups: Mapping[str, torch.Tensor],
    baseline: Baseline,
) -> dict[tuple[str, Head], torch.Tensor]:
    """Return the change of every head's output for every key group, ``[T, head_dim]``.

    Parameters
    ----------
    decoder, kept
        The model and the sample's unchanged run.
    layers
        Query heads by layer.
    groups
        Token positions of key groups by name; those behind the decision row count for nothing.
    baseline
        What takes the values' place.
    """
    found: dict[tuple[str, Head], torch.Tensor] = {}
    if not groups:
        return found
    for layer, heads in layers.items():
        own = head_inputs(decoder, kept, layer, kept.layers[layer].entering[None]).of(heads)
        size = decoder.geometry.num_heads // kept.layers[layer].value.shape[0]
        shared = [head // size for head in heads]
        moved = baseline.values[layer][shared].to(own.value) - own.value[0]
        columns = []
        for positions in groups.values():
            is_member = torch.zeros(kept.num_tokens, dtype=torch.bool, device=moved.device)
            is_member[positions[positions < kept.num_tokens].to(moved.device)] = True
            columns.append(moved * is_member[:, None])
        # One pattern for all groups: their changes stand side by side as one wide value.
        outputs = recomputed(own.query, own.key, torch.cat(columns, dim=-1)[None], own.masking)[0]
        parts = outputs.unflatten(-1, (len(groups), -1))
        for place, head in enumerate(heads):
            for number, name in enumerate(groups):
                found[name, (layer, head)] = parts[:, place, number]
    return found
