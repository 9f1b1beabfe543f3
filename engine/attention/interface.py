"""The only file that knows how transformers calls attention: the registered function and its mask function.

Both are registered under one name. Without the mask function transformers would pass no mask at all and drop
causality silently; here the mask function learns which keys rows see (``visible_keys``), and causality, windows, chunks
and soft-capping are applied by the backend itself, sequence by sequence of the packed row.
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

from engine.attention.masking import KeyBias, Masking, Window, first_visible_of
from engine.attention.own_code import answered, own_code
from engine.attention.visible_keys import VisibleKeys, learnt_mask
from engine.errors import UnsupportedModelError

IMPLEMENTATION = "headledger"
OBSERVING = "headledger_observing"
WIDE_EAGER = "headledger_wide_eager"

AttentionHandler = Callable[[nn.Module, int, torch.Tensor, torch.Tensor, torch.Tensor, Masking], torch.Tensor]
"""Receives module, layer, query ``[H, T, d]``, key and value ``[KV, T, d]``, masking; returns output ``[T, H, d]``."""

BatchedHandler = Callable[[nn.Module, int, torch.Tensor, torch.Tensor, torch.Tensor, Masking], torch.Tensor]
"""The same with a batch: query ``[B, H, n, d]``, key and value ``[B, KV, n, d]``; returns output ``[B, n, H, d]``."""

_HARMLESS = {
    "cache",
    "deterministic",
    "output_router_logits",
    "target",
    "position_ids",
    "use_cache",
    "output_attentions",
    "cache_position",
    "is_causal",
    "return_dict",
    "output_hidden_states",
    "position_embeddings",
    "past_key_values",
    "logits_to_keep",
    "cu_seq_lens_q",
    "cu_seq_lens_k",
    "max_length_q",
    "max_length_k",
    "num_items_in_batch",
}


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """One attention call of a model, as transformers makes it, and what was answered.

    Attributes
    ----------
    module
        The attention module.
    layer_idx
        Its layer.
    query
        ``[1, H, T, d]``.
    key, value
        ``[1, KV, T, d]``.
    mask
        The stand-in for the mask, or None where the model passed none.
    masking
        What was made of it.
    options
        All other arguments.
    output
        What was answered, ``[1, T, H, d]``.
    """

    module: nn.Module
    layer_idx: int
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: VisibleKeys | None
    masking: Masking
    options: dict[str, Any]
    output: torch.Tensor

    def own_rows(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Let the model's own eager attention answer some query rows of the same call, in float32.

        Returns
        -------
        tuple of Tensor, or None
            Output ``[R, H, d]``, weights ``[H, R, T]`` and which keys are visible, bool ``[R, T]``; None where the
            model's code has no eager attention.
        """
        eager = getattr(sys.modules[type(self.module).__module__], "eager_attention_forward", None)
        own = own_code(self.module)
        if eager is None and own is None:
            return None
        wide = torch.promote_types(self.query.dtype, torch.float32)
        num_tokens, rows = self.key.shape[2], rows.to(self.query.device)
        if self.mask is not None and self.mask.mask_rows is not None:
            seen = self.mask.mask_rows(rows).to(self.query.device)
        else:
            keys = torch.arange(num_tokens, device=rows.device)
            first = first_visible_of(rows, self.masking.window)
            seen = ((keys[None] <= rows[:, None]) & (keys[None] >= first[:, None]))[None, None]
        if own is not None:
            bias = self.masking.key_bias
            given = (self.query[:, :, rows].to(wide), self.key.to(wide), self.value.to(wide))
            added = None if bias is None else bias.up_to(num_tokens, given[1])
            output, weights = own.rows(self.module, *given, added, seen)
            return output[0].unflatten(-1, (self.query.shape[1], -1)), weights[0], seen[0, 0]
        assert eager is not None
        added = torch.zeros(seen.shape, dtype=wide, device=rows.device).masked_fill(~seen, torch.finfo(wide).min)
        output, weights = eager(
            self.module,
            self.query[:, :, rows].to(wide),
            self.key.to(wide),
            self.value.to(wide),
            added,
            **self.options,
        )
        return output[0], weights[0], seen[0, 0]


@dataclass(frozen=True, slots=True)
class _Armed:
    """Who answers attention calls.

    Attributes
    ----------
    handler
        Computes.
    takes_batches
        Whether it takes a batch of rows.
    sequence
        First position and length of the packed row's longest sequence; None where the whole row is one.
    witness
        Is shown every call and its answer.
    """

    handler: AttentionHandler | BatchedHandler
    takes_batches: bool
    sequence: tuple[int, int] | None
    witness: Callable[[AttentionCall], None] | None = None


_handler: ContextVar[_Armed | None] = ContextVar("headledger_attention_handler", default=None)


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
    key_bias: KeyBias | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Answer transformers' attention call for ``[1, heads, T, head_dim]`` queries of one packed row."""
    armed_with = _handler.get()
    if armed_with is None:
        raise RuntimeError("the headledger attention was called outside an armed probe")
    name, takes_batches = type(module).__name__, armed_with.takes_batches
    indices, sinks = kwargs.pop("indices", None), kwargs.pop("s_aux", None)
    unknown = sorted(key for key, given in kwargs.items() if key not in _HARMLESS and _has_effect(given))
    if unknown:
        raise UnsupportedModelError(f"{name} passes {', '.join(unknown)} to attention, which is not covered")
    if query.shape[0] != 1 and not takes_batches:
        raise UnsupportedModelError(f"{name} calls attention with a batch, which is not covered")
    if query.shape[2] != key.shape[2]:
        raise UnsupportedModelError(
            f"{name} calls attention with {query.shape[2]} queries and {key.shape[2]} keys (cross-attention, or keys "
            f"that stand for no token), which is not covered"
        )
    if indices is not None and indices.shape[-1] < key.shape[2]:
        raise UnsupportedModelError(
            f"{name} lets every row look at {indices.shape[-1]} keys that it chooses (indexed attention), and the text "
            f"has {key.shape[2]} tokens; up to {indices.shape[-1]} tokens it is full attention, which is covered"
        )
    if sinks is not None and key_bias is not None:
        raise UnsupportedModelError(f"{name} has sinks and adds biases to its keys, which is not covered together")
    masking = Masking(
        scaling=float(scaling if scaling is not None else query.shape[-1] ** -0.5),
        window=_window(name, attention_mask, sliding_window),
        softcap=softcap or None,
        sinks=_by_head(name, sinks, query.shape[1]),
        key_bias=key_bias,
    )
    layer_idx = getattr(module, "layer_idx", None)
    if layer_idx is None:
        raise UnsupportedModelError(f"{name} does not know its layer index")
    if takes_batches:
        return armed_with.handler(module, int(layer_idx), query, key, value, masking).to(query.dtype), None
    output = armed_with.handler(module, int(layer_idx), query[0], key[0], value[0], masking)
    output = output.to(query.dtype).unsqueeze(0)
    if armed_with.witness is not None:
        mask = attention_mask if isinstance(attention_mask, VisibleKeys) else None
        given = {"scaling": scaling, "dropout": dropout, "sliding_window": sliding_window, "softcap": softcap}
        given |= {"s_aux": sinks, "indices": indices}
        options = {key: value for key, value in (given | kwargs).items() if value is not None}
        armed_with.witness(AttentionCall(module, int(layer_idx), query, key, value, mask, masking, options, output))
    return output, None


def _by_head(name: str, sinks: torch.Tensor | None, num_heads: int) -> torch.Tensor | None:
    """Return the scores of attention sinks, one per query head."""
    if sinks is None:
        return None
    if sinks.numel() != num_heads:
        raise UnsupportedModelError(
            f"{name} has sinks of shape {list(sinks.shape)}; one for each of its {num_heads} heads is covered"
        )
    return sinks.reshape(-1)


def _has_effect(given: object) -> bool:
    """Whether an argument that is not known could change attention: whatever is None, False, zero or empty cannot."""
    if isinstance(given, torch.Tensor):
        return bool(given.any())
    return bool(given)


def _window(name: str, mask: torch.Tensor | None, sliding_window: int | None) -> Window:
    """Return how far back rows see: as the mask says, or, where the model asks for none, as the call itself says."""
    if mask is None:
        return sliding_window
    if not isinstance(mask, VisibleKeys):
        raise UnsupportedModelError(f"{name} calls attention with a mask of its own, which is not covered")
    if mask.fault:
        raise UnsupportedModelError(f"{name} {mask.fault}")
    return mask.window


def _learnt_mask(*arguments: Any, **options: Any) -> VisibleKeys:
    """Return a stand-in for the mask: this attention hides keys itself."""
    armed_with = _handler.get()
    if arguments:
        names = ("batch_size", "q_length", "kv_length", "q_offset", "kv_offset")
        options = dict(zip(names, arguments, strict=False)) | options
    return learnt_mask(sequence=None if armed_with is None else armed_with.sequence, **options)


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


def _wide_attention(
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


AttentionInterface.register(IMPLEMENTATION, _attention)
AttentionMaskInterface.register(IMPLEMENTATION, _learnt_mask)
AttentionInterface.register(OBSERVING, _observing_attention)
AttentionMaskInterface.register(OBSERVING, _observing_mask)
AttentionInterface.register(WIDE_EAGER, _wide_attention)
AttentionMaskInterface.register(WIDE_EAGER, ALL_MASK_ATTENTION_FUNCTIONS["eager"])


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
    model: PreTrainedModel,
    handler: AttentionHandler | BatchedHandler,
    takes_batches: bool = False,
    sequence: tuple[int, int] | None = None,
    witness: Callable[[AttentionCall], None] | None = None,
) -> Iterator[None]:
    """Route the model's attention through a handler, and restore the model's own implementation afterwards.

    Parameters
    ----------
    model
        Any transformers model with a registered attention interface.
    handler
        Answers.
    takes_batches
        Whether it takes a batch of rows.
    sequence
        First position and length of the longest sequence of the packed row; None where the whole row is one.
    witness
        Is shown every call and its answer.

    Raises
    ------
    UnsupportedModelError
        When the model cannot use a registered attention function.
    """
    previous = str(model.config._attn_implementation)
    token = _handler.set(_Armed(handler, takes_batches, sequence, witness))
    try:
        with answered(model, _attention, IMPLEMENTATION) as is_answered:
            if is_answered:
                yield
                return
            try:
                _set_implementation(model, IMPLEMENTATION)
                yield
            finally:
                model.set_attn_implementation(previous)
    finally:
        _handler.reset(token)


def _set_implementation(model: PreTrainedModel, name: str) -> None:
    try:
        model.set_attn_implementation(name)
    except ValueError as error:
        raise UnsupportedModelError(f"{type(model).__name__} cannot use another attention: {error}") from error
    if model.config._attn_implementation != name:
        raise UnsupportedModelError(
            f"{type(model).__name__} computes attention in code of its own, which cannot be replaced"
        )


@contextmanager
def wide_eager(model: PreTrainedModel) -> Iterator[None]:
    """Let a model's attention be its own eager one in float32, and restore what it was afterwards.

    A second implementation of models that know eager alone (sinks), in which rounding shows.

    Raises
    ------
    ValueError
        Where the model's attention cannot be replaced.
    """
    previous = str(model.config._attn_implementation)
    model.set_attn_implementation(WIDE_EAGER)
    try:
        yield
    finally:
        model.set_attn_implementation(previous)
