"""Attention rollout of one row (Abnar & Zuidema 2020), streamed: no pattern exists in full.

Layers arrive in forward order and rollout runs from the last one down, so the queries and keys of all layers are kept
until the forward ends; the head-averaged rows are then recomputed block by block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from engine.attention.backends.blocked import head_averaged_blocks
from engine.attention.masking import Masking


@dataclass(frozen=True, slots=True)
class LayerScores:
    """What a layer's scores are made of, kept until the forward ends.

    Attributes
    ----------
    query
        ``[H, T, head_dim]``.
    key
        ``[KV, T, head_dim]``.
    """

    query: torch.Tensor
    key: torch.Tensor
    masking: Masking


def rollout(layers: Sequence[LayerScores], row: int) -> torch.Tensor:
    """Return the rollout of one row over all positions.

    ``r`` starts at the row itself and becomes ``r (A + I) / 2`` from the last layer down, ``A`` being the pattern
    averaged over heads (Abnar & Zuidema 2020, eq. 1 and section 3.1).

    Parameters
    ----------
    layers
        Queries, keys and masking of every layer, in forward order.
    row
        Query position.

    Returns
    -------
    Tensor
        Float32 ``[T]``, non-negative, sums to 1, zero beyond the row.
    """
    num_tokens = layers[0].query.shape[1]
    share = torch.zeros(num_tokens, dtype=torch.float32, device=layers[0].query.device)
    share[row] = 1.0
    for layer in reversed(layers):
        mixed = torch.zeros_like(share)
        share, mixed = share.to(layer.query.device), mixed.to(layer.query.device)
        for first, end, first_key, pattern in head_averaged_blocks(layer.query, layer.key, layer.masking, row + 1):
            mixed[first_key:end] += share[first:end] @ pattern
        share = (share + mixed) / 2
    return share
