"""A model's own attention, seen by an observer: its numbers, its batches, its caches and its generation stay.

Where ``interface`` answers attention calls, this shows them, and lets the model's own attention answer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from engine.attention.interface import set_implementation
from engine.attention.masking import Masking
from engine.errors import UnsupportedModelError

OBSERVING = "headledger_observing"

Observer = Callable[[nn.Module, int, torch.Tensor, torch.Tensor, torch.Tensor | None, Masking], None]
"""Receives module, layer, query ``[B, H, n, d]``, key ``[B, KV, m, d]``, the library's mask or None, and masking."""


@dataclass(slots=True)
class _Observed:
    """A model's own attention, and who looks on."""

    own: str
    observers: list[Observer] = field(default_factory=list)


_observed: dict[int, _Observed] = {}
"""By the identity of a config that lives as long as the entry; attention and mask functions are told no more."""


def _observing_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Show queries, keys and mask to the observers, and let the model's own attention answer."""
    state = _observed[id(module.config)]
    scaling = kwargs.get("scaling")
    masking = Masking(
        float(scaling if scaling is not None else query.shape[-1] ** -0.5),
        kwargs.get("sliding_window") if attention_mask is None else None,
        kwargs.get("softcap"),
    )
    layer_idx = getattr(module, "layer_idx", None)
    if layer_idx is None:
        raise UnsupportedModelError(f"{type(module).__name__} does not know its layer index.")
    for observe in state.observers:
        observe(module, int(layer_idx), query, key, attention_mask, masking)
    eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    attend = eager if state.own == "eager" else ALL_ATTENTION_FUNCTIONS[state.own]
    if attend is None:
        raise UnsupportedModelError(f"{type(module).__name__} has no eager attention that is known.")
    return attend(module, query, key, value, attention_mask, **kwargs)


def _observing_mask(*arguments: Any, config: Any, **options: Any) -> Any:
    """Return the mask of the model's own attention."""
    return ALL_MASK_ATTENTION_FUNCTIONS[_observed[id(config)].own](*arguments, config=config, **options)


AttentionInterface.register(OBSERVING, _observing_attention)
AttentionMaskInterface.register(OBSERVING, _observing_mask)


@contextmanager
def observed(model: PreTrainedModel, observer: Observer) -> Iterator[None]:
    """Show every attention call of a model to an observer; the model computes what it always does.

    Batches, padding, caches and generation go on as they are. Attention other than eager and sdpa (flash, flex) is
    answered by sdpa meanwhile, whose numbers differ from theirs by rounding. Nested observers all look on.

    Raises
    ------
    UnsupportedModelError
        When the model does not let its attention be replaced.
    """
    keys = {id(config): config for module in model.modules() if (config := getattr(module, "config", None)) is not None}
    state = _observed.get(id(model.config))
    if state is not None:
        state.observers.append(observer)
        try:
            yield
        finally:
            state.observers.remove(observer)
        return
    previous = str(model.config._attn_implementation)
    state = _Observed(previous if previous in ("eager", "sdpa") else "sdpa", [observer])
    _observed.update(dict.fromkeys(keys, state))
    try:
        set_implementation(model, OBSERVING)
        yield
    finally:
        model.set_attn_implementation(previous)
        for key in keys:
            _observed.pop(key, None)
