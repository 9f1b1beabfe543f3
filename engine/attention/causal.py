"""Attention for the causal part: recomputed for batches of interventions, and differentiated by key group.

Shape legend: ``B`` interventions of one sample, ``H`` query heads, ``KV`` key-value heads, ``n`` recomputed rows (the
last ones of the sequence), ``P`` rows before them whose keys and values are those of the unchanged run, ``C`` key
groups. No pattern ever exists in full: rows go block by block, as in ``blocked.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from engine.attention.blocked import ACCELERATOR_BLOCK_ELEMENTS, BLOCK_ELEMENTS, MASKED, Masking, row_blocks


@dataclass(frozen=True, slots=True)
class Blocked:
    """What must not be looked at (attention knockout, Geva et al. 2023).

    Attributes
    ----------
    rows
        Recomputed rows that are kept from it, bool ``[m]``.
    keys
        Keys that each intervention's rows must not look at, bool ``[B, P + n]``.
    """

    rows: torch.Tensor
    keys: torch.Tensor


Prefix = tuple[torch.Tensor, torch.Tensor]
"""Keys and values ``[KV, P, head_dim]`` of the rows that are not recomputed, the same for every intervention."""


def recomputed(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    masking: Masking,
    prefix: Prefix | None = None,
    blocked: Blocked | None = None,
) -> torch.Tensor:
    """Return the attention output of the last rows for a batch of interventions on one sequence.

    Parameters
    ----------
    query
        ``[B, H, m, head_dim]``, the last ``m`` rows.
    key, value
        ``[B, KV, n, head_dim]``, ``n >= m``.
    masking
        Scaling, sliding window and soft-capping.
    prefix
        Keys and values of the rows before, or None when there are none.
    blocked
        What must not be looked at; a row all of whose keys are blocked adds nothing.

    Returns
    -------
    Tensor
        ``[B, m, H, head_dim]``.
    """
    num, num_heads, num_rows, _ = query.shape
    skipped = key.shape[2] - num_rows
    is_plain = prefix is None and blocked is None and masking.window is None and masking.softcap is None
    if is_plain and (not skipped or num_rows == 1):
        output = scaled_dot_product_attention(
            query, key, value, is_causal=num_rows > 1, scale=masking.scaling, enable_gqa=num_heads != key.shape[1]
        )
        return output.transpose(1, 2)
    wide = torch.promote_types(query.dtype, torch.float32)  # float32 scores whatever the model's dtype, as everywhere
    before, after = (None, None) if prefix is None else (prefix[0].to(wide), prefix[1].to(wide))
    keys, values = key.to(wide), value.to(wide)
    grouped = query.to(wide).reshape(num, keys.shape[1], -1, num_rows, query.shape[-1]) * masking.scaling
    output = query.new_empty((num, num_rows, num_heads, value.shape[-1]), dtype=wide)
    start = 0 if before is None else before.shape[1]
    position = start + skipped  # of the first row
    budget = BLOCK_ELEMENTS if query.device.type == "cpu" else ACCELERATOR_BLOCK_ELEMENTS
    size = max(1, min(num_rows, 8 * budget // (num * num_heads * (position + num_rows))))
    for first in range(0, num_rows, size):
        end = min(first + size, num_rows)
        rows = grouped[:, :, :, first:end]
        own = rows.flatten(2, 3) @ keys[:, :, : skipped + end].mT
        scores = own.unflatten(2, rows.shape[2:4])
        if before is not None:
            shared = torch.einsum("bkgnd,kpd->bkgnp", rows, before)
            scores = torch.cat((shared, scores), dim=-1)
        hidden = _hidden(position + first, end - first, 0, position + end, masking.window, query.device)
        if blocked is not None:
            keys_of = blocked.keys[:, None, None, None, : position + end]
            hidden = hidden | (blocked.rows[first:end, None] & keys_of)
        weights = _weights(scores, masking, hidden)
        part = (weights[..., start:].flatten(2, 3) @ values[:, :, : skipped + end]).unflatten(2, rows.shape[2:4])
        if after is not None:
            part = part + torch.einsum("bkgnp,kpd->bkgnd", weights[..., :start], after)
        output[:, first:end] = part.flatten(1, 2).transpose(1, 2)
    return output


def _weights(scores: torch.Tensor, masking: Masking, hidden: torch.Tensor) -> torch.Tensor:
    """Return the pattern of scores ``[B, KV, G, rows, keys]``; rows whose keys are all hidden are 0."""
    if masking.softcap is not None:
        scores = torch.tanh(scores / masking.softcap) * masking.softcap
    return torch.softmax(scores.masked_fill(hidden, MASKED), dim=-1).masked_fill(hidden, 0.0)


def _hidden(
    first: int, num_rows: int, first_key: int, end_key: int, window: int | None, device: torch.device
) -> torch.Tensor:
    query = torch.arange(first, first + num_rows, device=device)[:, None]
    key = torch.arange(first_key, end_key, device=device)[None, :]
    hidden = key > query
    return hidden if window is None else hidden | (key <= query - window)


class GroupGradients:
    """Collects ``sum_i sum_{j in F} A[i,j] ds/dA[i,j]`` per head and key group while a layer is differentiated.

    Parameters
    ----------
    indicators
        Key groups as 0/1 columns, ``[T, C]``.
    """

    def __init__(self, indicators: torch.Tensor):
        self.indicators = indicators.double()
        self.sums: torch.Tensor | None = None

    def add(self, products: torch.Tensor, first_key: int) -> None:
        """Add ``A * ds/dA`` of a block, summed over its rows: ``[H, keys]`` from ``first_key`` on."""
        part = products.double() @ self.indicators[first_key : first_key + products.shape[1]]
        self.sums = part if self.sums is None else self.sums + part


def differentiable(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    masking: Masking,
    gradients: GroupGradients | None = None,
) -> torch.Tensor:
    """Return one sequence's attention output ``[T, H, head_dim]``, differentiable with memory O(block x T).

    Parameters
    ----------
    query
        ``[H, T, head_dim]``.
    key, value
        ``[KV, T, head_dim]``.
    masking
        Scaling, sliding window and soft-capping.
    gradients
        Takes the attention gradients by key group in the backward pass.
    """
    return _Streamed.apply(query, key, value, masking, gradients)  # type: ignore[no-any-return]


class _Streamed(torch.autograd.Function):
    """Attention whose backward pass recomputes the pattern block by block (as FlashAttention does, Dao et al. 2022).

    With ``Z = A V`` and ``G = ds/dZ``: ``ds/dA[i,j] = <G_i, V_j>``, ``ds/dV = A^T G``, and through softmax
    ``ds/dS[i,j] = A[i,j] (<G_i, V_j> - <G_i, Z_i>)``.
    """

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, masking: Masking,
                gradients: GroupGradients | None) -> torch.Tensor:  # fmt: skip
        ctx.save_for_backward(query, key, value)
        ctx.masking, ctx.gradients = masking, gradients
        output = torch.empty((query.shape[1], query.shape[0], value.shape[-1]), dtype=query.dtype, device=query.device)
        for first, end, first_key, pattern, _, _ in _pattern_blocks(query, key, masking):
            part = pattern @ value[:, first_key:end].to(pattern.dtype)
            output[first:end] = part.reshape(query.shape[0], end - first, -1).transpose(0, 1).to(output.dtype)
        return output

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value = ctx.saved_tensors
        wide = torch.promote_types(query.dtype, torch.float32)
        num_heads, num_kv, masking = query.shape[0], key.shape[0], ctx.masking
        outer = upstream[0].to(wide)
        keys, values = key.to(wide), value.to(wide)
        d_query = torch.empty_like(query, dtype=wide)
        d_key, d_value = torch.zeros_like(keys), torch.zeros_like(values)
        for first, end, first_key, pattern, slope, rows in _pattern_blocks(query, key, masking):
            outer_rows = outer[first:end].transpose(0, 1).reshape(num_kv, -1, outer.shape[-1])
            # Weight times its gradient: what the attention gradients sum, and all that softmax needs.
            products = pattern * (outer_rows @ values[:, first_key:end].mT)
            if ctx.gradients is not None:
                ctx.gradients.add(products.reshape(num_heads, end - first, -1).sum(1), first_key)
            d_scores = products - pattern * products.sum(dim=-1, keepdim=True)
            d_scores = d_scores * masking.scaling if slope is None else d_scores * slope * masking.scaling
            d_value[:, first_key:end] += pattern.mT @ outer_rows
            d_key[:, first_key:end] += d_scores.mT @ rows
            d_query[:, first:end] = (d_scores @ keys[:, first_key:end]).reshape(num_heads, end - first, -1)
        return d_query.to(query.dtype), d_key.to(key.dtype), d_value.to(value.dtype), None, None


def _pattern_blocks(query: torch.Tensor, key: torch.Tensor, masking: Masking) -> Any:
    """Yield first row, end, first key, pattern ``[KV, G B, n]``, slope of soft-capping or None, and queries per block.

    The queries are ``[KV, G B, head_dim]``, before scaling.
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    num_heads, num_tokens, head_dim = query.shape
    num_kv = key.shape[0]
    keys = key.to(wide)
    for first, end in row_blocks(num_tokens, num_heads, masking.window, query.device):
        first_key = 0 if masking.window is None else max(0, first - masking.window + 1)
        rows = query[:, first:end].to(wide).reshape(num_kv, -1, head_dim)
        scores = (rows * masking.scaling) @ keys[:, first_key:end].mT
        slope = None
        if masking.softcap is not None:
            capped = torch.tanh(scores / masking.softcap)
            scores, slope = capped * masking.softcap, 1 - capped.square()
        hidden = _hidden(first, end - first, first_key, end, masking.window, query.device)
        shaped = scores.reshape(num_kv, -1, end - first, end - first_key).masked_fill(hidden, MASKED)
        yield first, end, first_key, torch.softmax(shaped, dim=-1).flatten(1, 2), slope, rows
