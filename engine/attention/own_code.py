"""Models that compute attention in code of their own and add a score to every key (ALiBi): BLOOM, MPT, Falcon.

Their attention modules ask no registry who answers. While a model is armed, each module's ``forward`` is another one,
which makes queries, keys, values and bias as the module does, has them answered, and projects what comes back as the
module does. The module's own code still answers chosen rows of the same call, for the check before measuring.

Shape legend: ``B`` batch, ``H`` query heads, ``KV`` key-value heads, ``T`` tokens, ``R`` chosen rows.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from engine.attention.masking import KeyBias, Masking

Answered = tuple[torch.Tensor, torch.Tensor]
"""Output and weights."""


class Answer(Protocol):
    """Answers a module's attention call."""

    def __call__(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        *,
        scaling: float,
        key_bias: KeyBias | None,
    ) -> tuple[torch.Tensor, None]:
        """Return output ``[B, T, H, d]``, from query ``[B, H, T, d]``, key and value ``[B, KV, T, d]``."""
        ...


class OwnCode(NamedTuple):
    """How an attention module calls attention, and how its own code answers rows.

    Attributes
    ----------
    forward
        Takes module, who answers, the model's own implementation, and whatever the module's ``forward`` takes.
    rows
        Takes module, query ``[1, H, R, d]``, key and value ``[1, KV, T, d]``, key bias ``[H, T]`` or None, and which
        keys rows see, bool ``[1, 1, R, T]``; returns output ``[1, R, H * d]`` and weights ``[1, H, R, T]``.
    """

    forward: Callable[..., Any]
    rows: Callable[..., Answered]


def _bloom(
    module: Any,
    answer: Answer,
    _own: str,
    hidden_states: torch.Tensor,
    residual: torch.Tensor,
    alibi: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **_options: Any,
) -> tuple[torch.Tensor, None]:
    query, key, value = module._reshape(module.query_key_value(hidden_states))
    # One row per head: batches are of one text, whose elements share it.
    bias = KeyBias(lambda num_keys: alibi[: module.num_heads, 0, :num_keys])
    output, _ = answer(module, query, key, value, attention_mask, scaling=module.inv_norm_factor, key_bias=bias)
    projected = module.dense(output.flatten(2))
    return residual.to(projected.device) + projected, None


def _bloom_rows(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor,
    seen: torch.Tensor,
) -> Answered:
    own = _Instead(module, query_key_value=_same, _reshape=lambda _: (query, key, value), dense=_same, pretraining_tp=1)
    nothing = query.new_zeros((1, query.shape[2], query.shape[1] * query.shape[3]))
    output, weights = type(module).forward(own, nothing, nothing, bias[:, None], _added(seen, query.dtype))
    return output, weights


def _mpt(
    module: Any,
    answer: Answer,
    _own: str,
    hidden_states: torch.Tensor,
    position_bias: torch.Tensor,
    cache: Any = None,
    attention_mask: torch.Tensor | None = None,
    **_options: Any,
) -> tuple[torch.Tensor, None]:
    mixed = module.Wqkv(hidden_states)
    if module.clip_qkv:
        mixed = mixed.clamp(min=-module.clip_qkv, max=module.clip_qkv)
    parts = mixed.chunk(3, dim=2)
    query, key, value = (part.unflatten(2, (module.n_heads, -1)).transpose(1, 2) for part in parts)
    # Its bias ends with 0 at a text's last key. Mirrored, it begins with 0 at the first, whatever the text's length:
    # the same up to one number per row.
    bias = KeyBias(lambda num_keys: -position_bias[:, 0].flip(-1)[:, :num_keys])
    output, _ = answer(module, query, key, value, attention_mask, scaling=module.softmax_scale, key_bias=bias)
    return module.out_proj(output.flatten(2)), None


def _mpt_rows(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor,
    seen: torch.Tensor,
) -> Answered:
    rows = query.transpose(1, 2).flatten(2)
    own = _Instead(module, Wqkv=lambda _: torch.cat((rows, rows, rows), dim=2), clip_qkv=None, out_proj=_same)
    output, weights = type(module).forward(
        own, rows, position_bias=bias[:, None], cache=_Cached(key, value), attention_mask=~seen
    )
    return output, weights


def _falcon(
    module: Any,
    answer: Answer,
    own: str,
    hidden_states: torch.Tensor,
    alibi: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
    **_options: Any,
) -> tuple[torch.Tensor, None]:
    parts = module._split_heads(module.query_key_value(hidden_states))
    query, key, value = (part.transpose(1, 2) for part in parts)
    if module.new_decoder_architecture:  # which repeats keys and values for every query head that reads them
        group = module.num_heads // module.num_kv_heads
        key, value = key[:, ::group], value[:, ::group]
    home: Any = sys.modules[type(module).__module__]
    bias = None
    if module.config.alibi:
        # transformers' eager attention adds it twice: to the scores, and to the mask, which sdpa gets too.
        times = 2 if own == "eager" else 1

        def alibi_of(num_keys: int) -> torch.Tensor:
            real = torch.ones((1, num_keys), dtype=torch.long, device=query.device)
            made = home.build_alibi_tensor(real, module.num_heads, dtype=query.dtype)[:, 0]
            return times * (made / math.sqrt(module.head_dim))

        bias = KeyBias(alibi_of)
    elif position_embeddings is not None:
        query, key = home.apply_rotary_pos_emb(query, key, *position_embeddings)
    scaling = module.inv_norm_factor
    output, _ = answer(module, query, key, value, attention_mask, scaling=scaling, key_bias=bias)
    return module.dense(output.flatten(2)), None


def _falcon_rows(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor | None,
    seen: torch.Tensor,
) -> Answered:
    group, rows = query.shape[1] // key.shape[1], query.transpose(1, 2)
    if module.new_decoder_architecture:
        key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    nothing = rows[:, :, : key.shape[1]]
    own = _Instead(module, query_key_value=_same, _split_heads=lambda _: (rows, nothing, nothing), dense=_same)
    added, alibi = _added(seen, query.dtype), None
    if bias is not None:
        # Within the mask alone, as sdpa sees it; the bias that eager attention adds once more is 0.
        added = added + bias[None, :, None]
        alibi = torch.zeros_like(bias)[None, :, None]
    unturned = torch.ones_like(rows[:, :, 0]), torch.zeros_like(rows[:, :, 0])
    output, weights = type(module).forward(
        own,
        nothing,
        alibi,
        added,
        layer_past=_Cached(key, value),
        output_attentions=True,
        position_embeddings=unturned,
    )
    return output, weights


_BY_CLASS: dict[str, OwnCode] = {
    "BloomAttention": OwnCode(_bloom, _bloom_rows),
    "MptAttention": OwnCode(_mpt, _mpt_rows),
    "FalconAttention": OwnCode(_falcon, _falcon_rows),
    "FalconFlashAttention2": OwnCode(_falcon, _falcon_rows),
}


def own_code(module: nn.Module) -> OwnCode | None:
    """Return how a module of these classes calls attention; None for any other, and for code that came with a model."""
    kind = type(module)
    return _BY_CLASS.get(kind.__name__) if kind.__module__.startswith("transformers.models.") else None


def has_own_code(model: PreTrainedModel) -> bool:
    """Whether attention modules of a model are of these classes."""
    return any(own_code(module) is not None for module in model.modules())


def by_own_code(
    module: nn.Module, _layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, masking: Masking
) -> torch.Tensor:
    """Answer a call ``[H, T, d]`` by the module's own code in float32, all rows at once: for short texts."""
    known = own_code(module)
    assert known is not None
    wide = torch.promote_types(query.dtype, torch.float32)
    keys, num_tokens = key[None].to(wide), key.shape[1]
    bias = None if masking.key_bias is None else masking.key_bias.up_to(num_tokens, keys)
    seen = torch.ones((1, 1, num_tokens, num_tokens), dtype=torch.bool, device=key.device).tril()
    output, _ = known.rows(module, query[None].to(wide), keys, value[None].to(wide), bias, seen)
    return output[0].unflatten(-1, (query.shape[0], -1))


@contextmanager
def answered(model: PreTrainedModel, answer: Answer, name: str) -> Iterator[bool]:
    """Let the attention modules of a model that are of these classes be answered by somebody else.

    Parameters
    ----------
    model
        Any model.
    answer
        Who answers.
    name
        The registered name under which the model's mask functions are found.

    Yields
    ------
    bool
        Whether there are any.
    """
    found = [(module, known) for module in model.modules() if (known := own_code(module)) is not None]
    if not found:
        yield False
        return
    own = str(model.config._attn_implementation)
    with ExitStack() as stack:
        for part in model.modules():
            if isinstance(part, PreTrainedModel):
                config: Any = part.config
                stack.enter_context(_set(config, "_attn_implementation_internal", name))
            if type(part).__name__ == "FalconModel":
                # Otherwise it adds the bias to a whole mask, [H, T, T].
                stack.enter_context(_set(part, "use_alibi", False))
        for module, known in found:
            stack.enter_context(_set(module, "forward", partial(known.forward, module, answer, own)))
        yield True


@contextmanager
def _set(owner: Any, name: str, value: object) -> Iterator[None]:
    """Set an attribute, and what was there back afterwards."""
    before = dict(vars(owner))
    setattr(owner, name, value)
    try:
        yield
    finally:
        if name in before:
            setattr(owner, name, before[name])
        else:
            delattr(owner, name)


class _Instead:
    """A module with some of its parts replaced, for its class' own ``forward``."""

    def __init__(self, module: nn.Module, **parts: object):
        self.__dict__.update(parts, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _Cached:
    """Keys and values of all tokens, as a cache gives them."""

    def __init__(self, key: torch.Tensor, value: torch.Tensor):
        self.key, self.value = key, value

    def update(self, *_arguments: Any, **_options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return them, whatever is added."""
        return self.key, self.value

    def get_seq_length(self) -> int:
        """Return how many tokens there are."""
        return self.key.shape[2]


def _same(part: torch.Tensor) -> torch.Tensor:
    return part


def _added(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a mask that is added to scores."""
    nothing = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return nothing.masked_fill(~seen, torch.finfo(dtype).min)
