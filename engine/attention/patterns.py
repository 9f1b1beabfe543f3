"""Whole patterns from observed queries and keys: what a notebook looks at; runs never keep them like this.

Shape legend: ``B`` batch, ``H`` query heads, ``KV`` key-value heads, ``n`` query rows, ``m`` keys.
"""

from __future__ import annotations

import torch

from engine.attention.masking import MASKED, Masking, Window, first_visible_of


def whole_patterns(query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, masking: Masking) -> torch.Tensor:
    """Return the patterns of a layer, float32 ``[B, H, n, n]``, on the queries' device; computed head by head.

    Parameters
    ----------
    query
        ``[B, H, n, head_dim]``.
    key
        ``[B, KV, n, head_dim]``.
    mask
        The library's: None (causal), bool or additive ``[B or 1, H or 1, n, >= n]``, or ``[B, n]`` of real tokens.
    masking
        Scaling, sliding window and soft-capping.

    Returns
    -------
    Tensor
        Rows sum to 1; rows that see no key, those of padding, are 0.
    """
    num, num_heads, num_rows, _ = query.shape
    group = num_heads // key.shape[1]
    found = torch.empty((num, num_heads, num_rows, num_rows), dtype=torch.float32, device=query.device)
    hidden = _hidden(mask, num_rows, masking.window, query.device)
    for head in range(num_heads):
        scores = query[:, head].float() @ key[:, head // group].float().mT * masking.scaling
        if masking.softcap is not None:
            scores = torch.tanh(scores / masking.softcap) * masking.softcap
        if mask is not None and mask.dim() == 4 and mask.dtype != torch.bool:
            scores = scores + mask[:, head if mask.shape[1] > 1 else 0, :, :num_rows].float().clamp(min=MASKED)
        own = hidden[:, head if hidden.shape[1] > 1 else 0].expand(num, -1, -1)
        pattern = torch.softmax(scores.masked_fill(own, MASKED), dim=-1)
        found[:, head] = pattern.masked_fill(own, 0.0)
    return found


def _hidden(mask: torch.Tensor | None, num_rows: int, window: Window, device: torch.device) -> torch.Tensor:
    """Return which keys no row may look at, bool ``[B or 1, H or 1, n, n]``."""
    rows = torch.arange(num_rows, device=device)
    hidden = rows[None, :] > rows[:, None]
    if window is not None:
        hidden = hidden | (rows[None, :] < first_visible_of(rows, window)[:, None])
    hidden = hidden[None, None]
    if mask is None:
        return hidden
    if mask.dim() == 2:
        return hidden | ~mask[:, None, None, :num_rows].bool()
    mask = mask[..., :num_rows]
    return hidden | (~mask if mask.dtype == torch.bool else mask <= torch.finfo(mask.dtype).min / 2)
