"""Attention in whose scores gradients flow: what each key group of a pattern adds to the logit difference.

Shape legend as in ``interventions/recomputed_attention.py``. Rows go block by block; no pattern ever exists in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.autograd.function import FunctionCtx

from engine.attention.blocks import row_blocks
from engine.attention.masking import MASKED, Masking, first_visible
from engine.interventions.recomputed_attention import hidden_keys, softmax_beside_sinks


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


class _Context(FunctionCtx):
    """What the forward pass leaves for the backward pass; autograd makes the object, this only names its parts."""

    saved_tensors: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    masking: Masking
    gradients: GroupGradients | None


class _Streamed(torch.autograd.Function):
    """Attention whose backward pass recomputes the pattern block by block (as FlashAttention does, Dao et al. 2022).

    With ``Z = A V`` and ``G = ds/dZ``: ``ds/dA[i,j] = <G_i, V_j>``, ``ds/dV = A^T G``, and through softmax
    ``ds/dS[i,j] = A[i,j] (<G_i, V_j> - <G_i, Z_i>)``; beside a sink, whose value is 0, rows of A sum to less than 1.
    """

    @staticmethod
    def forward(
        ctx: _Context,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        masking: Masking,
        gradients: GroupGradients | None,
    ) -> torch.Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.masking, ctx.gradients = masking, gradients
        output = torch.empty((query.shape[1], query.shape[0], value.shape[-1]), dtype=query.dtype, device=query.device)
        for block in _pattern_blocks(query, key, masking):
            part = block.pattern @ value[:, block.first_key : block.end].to(block.pattern.dtype)
            by_head = part.reshape(query.shape[0], block.end - block.first, -1)
            output[block.first : block.end] = by_head.transpose(0, 1).to(output.dtype)
        return output

    @staticmethod
    def backward(ctx: _Context, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
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


class _Block(NamedTuple):
    """Some rows of the pattern, ``B`` of each of a KV head's ``G`` query heads.

    Attributes
    ----------
    first, end
        The rows; the keys are ``first_key`` to ``end``, ``n`` of them.
    first_key
        First key that any of the rows sees.
    pattern
        ``[KV, G B, n]``.
    slope
        Derivative of soft-capping, or None without it.
    queries
        ``[KV, G B, head_dim]``, before scaling.
    """

    first: int
    end: int
    first_key: int
    pattern: torch.Tensor
    slope: torch.Tensor | None
    queries: torch.Tensor


def _pattern_blocks(query: torch.Tensor, key: torch.Tensor, masking: Masking) -> Iterator[_Block]:
    """Yield the pattern block by block, recomputed from queries and keys; one block exists at a time."""
    wide = torch.promote_types(query.dtype, torch.float32)
    num_heads, num_tokens, head_dim = query.shape
    num_kv = key.shape[0]
    keys = key.to(wide)
    for first, end in row_blocks(num_tokens, num_heads, masking.window, query.device):
        first_key = first_visible(first, masking.window)
        rows = query[:, first:end].to(wide).reshape(num_kv, -1, head_dim)
        scores = (rows * masking.scaling) @ keys[:, first_key:end].mT
        slope = None
        if masking.softcap is not None:
            capped = torch.tanh(scores / masking.softcap)
            scores, slope = capped * masking.softcap, 1 - capped.square()
        if masking.key_bias is not None:
            bias = masking.key_bias.beside(first_key, end, scores).unflatten(0, (num_kv, -1, 1))
            scores = (scores.unflatten(1, (-1, end - first)) + bias).flatten(1, 2)
        hidden = hidden_keys(first, end - first, first_key, end, masking.window, query.device)
        shaped = scores.reshape(num_kv, -1, end - first, end - first_key).masked_fill(hidden, MASKED)
        pattern = softmax_beside_sinks(shaped, masking.sinks)
        yield _Block(first, end, first_key, pattern.flatten(1, 2), slope, rows)
