"""The only file that knows how transformers calls attention: the registered function and its mask function.

Both are registered under one name. Without the mask function transformers would pass no mask at all and drop
causality silently; here causality, sliding windows and soft-capping are applied by the backend itself, sequence by
sequence of the packed row.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from engine.attention.blocked import Masking
from engine.dispatched import present

IMPLEMENTATION = "headledger"
OBSERVING = "headledger_observing"

AttentionHandler = Callable[[nn.Module, int, torch.Tensor, torch.Tensor, torch.Tensor, Masking], torch.Tensor]
"""Receives module, layer, query ``[H, T, d]``, key and value ``[KV, T, d]``, masking; returns output ``[T, H, d]``."""

BatchedHandler = Callable[[nn.Module, int, torch.Tensor, torch.Tensor, torch.Tensor, Masking], torch.Tensor]
"""The same with a batch: query ``[B, H, n, d]``, key and value ``[B, KV, n, d]``; returns output ``[B, n, H, d]``."""

_OUTPUT_PROJECTIONS = ("o_proj", "dense", "c_proj", "out_proj", "wo")
"""What model families call the projection of the heads' outputs into the residual stream."""

_HARMLESS = {"position_ids", "use_cache", "output_attentions", "cache_position", "is_causal", "return_dict",
             "output_hidden_states", "position_embeddings", "past_key_values", "logits_to_keep",
             "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "num_items_in_batch"}  # fmt: skip

_handler: ContextVar[tuple[AttentionHandler | BatchedHandler, bool] | None] = ContextVar(
    "headledger_attention_handler", default=None
)


class UnsupportedModelError(ValueError):
    """A model whose attention this engine does not cover; the message names what is not covered."""


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Answer transformers' attention call for ``[1, heads, T, head_dim]`` queries of one packed row."""
    armed_with = _handler.get()
    if armed_with is None:
        raise RuntimeError("the headledger attention was called outside an armed probe")
    handler, takes_batches = armed_with
    unknown = sorted(name for name, given in kwargs.items() if given is not None and name not in _HARMLESS)
    if unknown:
        raise UnsupportedModelError(
            f"{type(module).__name__} passes {', '.join(unknown)} to attention, which is not covered."
        )
    is_batch = query.shape[0] != 1 and not takes_batches
    if attention_mask is not None or is_batch or query.shape[2] != key.shape[2]:
        raise UnsupportedModelError(f"{type(module).__name__} calls attention with a mask, a batch or a cache.")
    masking = Masking(
        scaling=float(scaling if scaling is not None else query.shape[-1] ** -0.5),
        window=sliding_window,
        softcap=softcap,
    )
    layer_idx = getattr(module, "layer_idx", None)
    if layer_idx is None:
        raise UnsupportedModelError(f"{type(module).__name__} does not know its layer index.")
    if takes_batches:
        return handler(module, int(layer_idx), query, key, value, masking).to(query.dtype), None
    output = handler(module, int(layer_idx), query[0], key[0], value[0], masking)
    return output.to(query.dtype).unsqueeze(0), None


def output_projection(module: nn.Module) -> nn.Module | None:
    """Return the projection of an attention module that maps the heads' outputs into the residual stream."""
    return next((getattr(module, name) for name in _OUTPUT_PROJECTIONS if hasattr(module, name)), None)


def projection_columns(projection: nn.Module | None) -> torch.Tensor | None:
    """Return a projection's weight as ``[out, in]``: Linear keeps it so, GPT-2's Conv1D keeps ``[in, out]``."""
    weight = getattr(projection, "weight", None)
    return weight if weight is None or isinstance(projection, nn.Linear) else weight.T


def value_norms(module: nn.Module, value: torch.Tensor, num_heads: int) -> torch.Tensor:
    r"""Return ``||W_O^h v_j||`` per query head and position, float32 ``[H, T]``.

    Computed as ``sqrt(v^T (W_O^T W_O) v)`` (Kobayashi et al. 2020, eq. 4), with the value of the query head's KV group;
    ``v`` holds the bias of the value projection, as it does in the forward pass.

    Parameters
    ----------
    module
        The attention module.
    value
        ``[KV, T, head_dim]``.
    num_heads
        Number of query heads.

    Raises
    ------
    UnsupportedModelError
        When the module's output projection is not found.
    """
    projection = output_projection(module)
    with present(projection):
        columns = projection_columns(projection)
    head_dim = value.shape[-1]
    if columns is None or num_heads * head_dim not in columns.shape:
        raise UnsupportedModelError(f"{type(module).__name__} has no output projection that is known")
    heads = columns.float().reshape(columns.shape[0], num_heads, head_dim).permute(1, 0, 2)
    gram = heads.mT @ heads
    repeated = value.float().repeat_interleave(num_heads // value.shape[0], dim=0)
    return ((repeated @ gram) * repeated).sum(dim=-1).clamp(min=0).sqrt()


def _no_mask(*_arguments: Any, **_options: Any) -> None:
    """Tell transformers that this attention applies causality itself."""
    return


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
        kwargs.get("sliding_window"),
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


AttentionInterface.register(IMPLEMENTATION, _attention)
AttentionMaskInterface.register(IMPLEMENTATION, _no_mask)
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
        _set_implementation(model, OBSERVING)
        yield
    finally:
        model.set_attn_implementation(previous)
        for key in keys:
            _observed.pop(key, None)


@contextmanager
def armed(
    model: PreTrainedModel, handler: AttentionHandler | BatchedHandler, takes_batches: bool = False
) -> Iterator[None]:
    """Route the model's attention through a handler, and restore the model's own implementation afterwards.

    Raises
    ------
    UnsupportedModelError
        When the model cannot use a registered attention function.
    """
    previous = str(model.config._attn_implementation)
    token = _handler.set((handler, takes_batches))
    try:
        _set_implementation(model, IMPLEMENTATION)
        yield
    finally:
        model.set_attn_implementation(previous)
        _handler.reset(token)


def _set_implementation(model: PreTrainedModel, name: str) -> None:
    try:
        model.set_attn_implementation(name)
    except ValueError as error:
        raise UnsupportedModelError(f"{type(model).__name__} cannot use another attention: {error}") from error
    if model.config._attn_implementation != name:
        raise UnsupportedModelError(f"{type(model).__name__} does not let its attention be replaced.")
