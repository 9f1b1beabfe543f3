"""The key that a row weighs most, for some rows of a sequence: from queries and keys, beside whichever backend ran.

Softmax keeps the order of scores, and a sink stands for no key, so that scores alone tell it.

Shape legend: ``R`` rows asked for, ``H`` query heads, ``KV`` key-value heads, ``T`` tokens of the sequence.
"""

from __future__ import annotations

import torch

from engine.attention.blocks import ACCELERATOR_BLOCK_ELEMENTS, BLOCK_ELEMENTS
from engine.attention.masking import MASKED, Masking, first_visible_of


def strongest_keys(query: torch.Tensor, key: torch.Tensor, rows: torch.Tensor, masking: Masking) -> torch.Tensor:
    """Return the position of each row's largest weight, int64 ``[H, R]``; of equal weights the first.

    Parameters
    ----------
    query
        ``[H, T, head_dim]``.
    key
        ``[KV, T, head_dim]``.
    rows
        Positions in the sequence, ascending, ``[R]``.
    masking
        Scaling, window, soft-capping and biases, as the layer applies them; scores are float32.
    """
    num_heads, num_kv = query.shape[0], key.shape[0]
    found = torch.empty((num_heads, len(rows)), dtype=torch.int64, device=query.device)
    budget = BLOCK_ELEMENTS if query.device.type == "cpu" else ACCELERATOR_BLOCK_ELEMENTS
    keys = key.float()
    first = 0
    while first < len(rows):
        # Rows ascend: those that share a block see at most the keys up to the last of them.
        size = max(1, budget // (num_heads * (int(rows[min(first + 512, len(rows)) - 1]) + 1)))
        part = rows[first : first + min(size, 512)]
        end = int(part[-1]) + 1
        grouped = query[:, part].float().reshape(num_kv, -1, query.shape[-1]) * masking.scaling
        scores = (grouped @ keys[:, :end].mT).view(num_heads, len(part), end)
        if masking.softcap is not None:
            scores = torch.tanh(scores / masking.softcap) * masking.softcap
        if masking.key_bias is not None:
            scores = scores + masking.key_bias.beside(0, end, scores)[:, None]
        places = torch.arange(end, device=query.device)[None]
        hidden = (places > part[:, None]) | (places < first_visible_of(part, masking.window)[:, None])
        # The first of equals, on every device, as torch.argmax says of itself.
        found[:, first : first + len(part)] = scores.masked_fill(hidden, MASKED).argmax(dim=-1)
        first += len(part)
    return found
