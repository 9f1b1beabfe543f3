"""Attention recomputed for batches of interventions on one sample, beside keys and values of the unchanged run.

Shape legend: ``B`` interventions of one sample, ``H`` query heads, ``KV`` key-value heads, ``n`` recomputed rows (the
last ones of the sequence), ``P`` rows before them whose keys and values are those of the unchanged run. No pattern ever
exists in full: rows go block by block, as in ``attention/backends/blocked.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention

from engine.attention.blocks import ACCELERATOR_BLOCK_ELEMENTS, BLOCK_ELEMENTS
from engine.attention.masking import MASKED, Masking, Window, first_visible_of


@dataclass(frozen=True, slots=True)
class HiddenKeys:
    """Keys hidden from rows before softmax (attention knockout, Geva et al. 2023).

    Attributes
    ----------
    rows
        Recomputed rows that do not see them, bool ``[m]``.
    keys
        Keys that each intervention hides, bool ``[B, P + n]``.
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
    knockout: HiddenKeys | None = None,
) -> torch.Tensor:
    """Return the attention output of the last rows for a batch of interventions on one sequence.

    Parameters
    ----------
    query
        ``[B, H, m, head_dim]``, the last ``m`` rows.
    key, value
        ``[B, KV, n, head_dim]``, ``n >= m``.
    masking
        Scaling, window, soft-capping, biases and sinks, which take their share of rows that keys are hidden from too.
    prefix
        Keys and values of the rows before, or None when there are none.
    knockout
        Keys hidden beyond masking; a row all of whose keys are hidden adds nothing.

    Returns
    -------
    Tensor
        ``[B, m, H, head_dim]``.
    """
    num, num_heads, num_rows, _ = query.shape
    skipped = key.shape[2] - num_rows
    is_plain = prefix is None and knockout is None and masking.window is None
    is_plain = is_plain and masking.softcap is None and masking.sinks is None and masking.key_bias is None
    # is_causal counts rows from the first key on: right when all rows are there, and not needed by the last one alone.
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
        scores = _capped(scores, masking)
        if masking.key_bias is not None:
            bias = masking.key_bias.beside(0, position + end, scores)
            scores = scores + bias.unflatten(0, scores.shape[1:3])[:, :, None]
        hidden = hidden_keys(position + first, end - first, 0, position + end, masking.window, query.device)
        if knockout is not None:
            keys_of = knockout.keys[:, None, None, None, : position + end]
            hidden = hidden | (knockout.rows[first:end, None] & keys_of)
        # A finite MASKED gives equal weights, not NaN, to a row that sees no key; the second fill makes them 0.
        weights = softmax_beside_sinks(scores.masked_fill(hidden, MASKED), masking.sinks).masked_fill(hidden, 0.0)
        part = (weights[..., start:].flatten(2, 3) @ values[:, :, : skipped + end]).unflatten(2, rows.shape[2:4])
        if after is not None:
            part = part + torch.einsum("bkgnp,kpd->bkgnd", weights[..., :start], after)
        output[:, first:end] = part.flatten(1, 2).transpose(1, 2)
    return output


def _capped(scores: torch.Tensor, masking: Masking) -> torch.Tensor:
    return scores if masking.softcap is None else torch.tanh(scores / masking.softcap) * masking.softcap


def softmax_beside_sinks(scores: torch.Tensor, sinks: torch.Tensor | None) -> torch.Tensor:
    """Return what reaches the output of each key: softmax over keys and the head's sink, the sink left out.

    Parameters
    ----------
    scores
        ``[..., KV, G, rows, keys]``.
    sinks
        Score of each query head's sink ``[KV * G]``, or None: rows then sum to 1.
    """
    if sinks is None:
        return torch.softmax(scores, dim=-1)
    column = sinks.to(scores).reshape(scores.shape[-4:-2])[..., None, None]
    column = column.expand(*scores.shape[:-1], 1)
    return torch.softmax(torch.cat((scores, column), dim=-1), dim=-1)[..., :-1]


def hidden_keys(
    first: int, num_rows: int, first_key: int, end_key: int, window: Window, device: torch.device
) -> torch.Tensor:
    """Return which keys are hidden from rows by causality and window or chunk, ``[rows, keys]``."""
    query = torch.arange(first, first + num_rows, device=device)[:, None]
    key = torch.arange(first_key, end_key, device=device)[None, :]
    hidden = key > query
    return hidden if window is None else hidden | (key < first_visible_of(query, window))
