"""Patterns from queries and keys: whole ones, which a notebook looks at, and single rows; runs keep neither like this.

Shape legend: ``B`` batch, ``H`` query heads, ``KV`` key-value heads, ``n`` query rows, ``m`` keys.
"""

from __future__ import annotations

import torch

from engine.attention.masking import MASKED, Masking, Window, first_visible, first_visible_of


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


def row_weights(query: torch.Tensor, key: torch.Tensor, row: int, masking: Masking) -> torch.Tensor:
    """Return what one row's output gives to the value of each key up to its own, float32 ``[H, row + 1]``.

    It is the row of the pattern; beside attention sinks, times what they leave (``1 - null_mass``).

    Parameters
    ----------
    query
        ``[H, T, head_dim]``.
    key
        ``[KV, T, head_dim]``.
    row
        The row's position in the sequence.
    masking
        Scaling, window, soft-capping, biases and sinks.
    """
    num_heads, num_kv, end = query.shape[0], key.shape[0], row + 1
    grouped = query[:, row].float().unflatten(0, (num_kv, -1)) * masking.scaling
    scores = (grouped @ key[:, :end].float().mT).flatten(0, 1)
    if masking.softcap is not None:
        scores = torch.tanh(scores / masking.softcap) * masking.softcap
    if masking.key_bias is not None:
        scores = scores + masking.key_bias.beside(0, end, scores)
    if first := first_visible(row, masking.window):
        scores[:, :first] = MASKED
    if masking.sinks is not None:
        scores = torch.cat((scores, masking.sinks.to(scores).reshape(num_heads, 1)), dim=-1)
    return torch.softmax(scores, dim=-1)[:, :end]


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
