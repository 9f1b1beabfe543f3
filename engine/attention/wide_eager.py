"""A model's own eager attention in float32, whatever its dtype: a second implementation of models that know one alone.

Sinks (gpt-oss) leave a model with eager attention and nothing else, so that how far rounding takes its logits cannot be
seen from eager beside sdpa.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

_IMPLEMENTATION = "headledger_wide_eager"


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Answer a call by the module's own eager attention, queries, keys and values in float32."""
    eager = sys.modules[type(module).__module__].eager_attention_forward
    floats = torch.promote_types(query.dtype, torch.float32)
    added = attention_mask
    if attention_mask is not None:
        added = torch.zeros_like(attention_mask, dtype=floats)
        added.masked_fill_(attention_mask < 0, torch.finfo(floats).min)
    output, weights = eager(module, query.to(floats), key.to(floats), value.to(floats), added, **options)
    return output.to(query.dtype), weights


AttentionInterface.register(_IMPLEMENTATION, _attention)
AttentionMaskInterface.register(_IMPLEMENTATION, ALL_MASK_ATTENTION_FUNCTIONS["eager"])


@contextmanager
def wide_eager(model: PreTrainedModel) -> Iterator[None]:
    """Let a model's attention be its own eager one in float32, and restore what it was afterwards.

    Raises
    ------
    ValueError
        Where the model's attention cannot be replaced.
    """
    previous = str(model.config._attn_implementation)
    model.set_attn_implementation(_IMPLEMENTATION)
    try:
        yield
    finally:
        model.set_attn_implementation(previous)
