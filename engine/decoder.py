"""A decoder's parts, found without a list of model families, and one unchanged run kept for what is recomputed from it.

Every layer is taken to add the output of its attention and of its MLP to the residual stream, each through a norm of
its own where there is one. Whether that is so is checked on every sample that is explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from engine.attention.blocked import Masking
from engine.attention.causal import recomputed
from engine.attention.interface import UnsupportedModelError, armed, output_projection, projection_columns
from engine.dispatched import input_device, present
from engine.probe import Geometry, forget_longer_inputs

_MLP_NAMES = ("mlp", "feed_forward", "block_sparse_moe", "ffn")
_MLP_PROJECTIONS = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out")

Call = tuple[tuple[Any, ...], dict[str, Any]]

Contrast = tuple[int, int | None]
"""Token ids whose logits' difference is s; with None, s is the logit of the first alone."""


class Decoder:
    """The parts of a causal language model that the causal part works on.

    Parameters
    ----------
    model
        A transformers decoder.

    Raises
    ------
    UnsupportedModelError
        Naming the part that was not found.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self.geometry = Geometry.of(model.config)
        self.base, self.layers = self._stack()
        self.attentions = [self._attention(layer) for layer in self.layers]
        self.projections = [_found(output_projection(attention), attention) for attention in self.attentions]
        self.mlps = [self._mlp(layer) for layer in self.layers]
        norms = [child for child in self.base.children() if _is_norm(child)]
        if len(norms) != 1:
            name = type(self.base).__name__
            raise UnsupportedModelError(f"{name} has {len(norms)} final norms, which is not covered")
        self.final_norm = norms[0]
        head = model.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            raise UnsupportedModelError(f"{type(model).__name__} has no linear output head, which is not covered")
        self.head = head

    @property
    def dtype(self) -> torch.dtype:
        """What small products are computed in: float32, or float64 in a float64 model."""
        return torch.promote_types(self.model.dtype, torch.float32)

    @property
    def device(self) -> torch.device:
        """Where token ids go."""
        return input_device(self.model)

    def _stack(self) -> tuple[nn.Module, nn.ModuleList]:
        for module in self.model.modules():
            for child in module.children():
                if isinstance(child, nn.ModuleList) and len(child) == self.geometry.num_layers:
                    return module, child
        raise UnsupportedModelError(f"{type(self.model).__name__} has no list of its layers that is known")

    def _attention(self, layer: nn.Module) -> nn.Module:
        found = [m for m in layer.modules() if hasattr(m, "layer_idx") and output_projection(m) is not None]
        if len(found) != 1:
            raise UnsupportedModelError(f"{type(layer).__name__} has {len(found)} attentions, which is not covered")
        return found[0]

    def _mlp(self, layer: nn.Module) -> nn.Module:
        return _found(next((getattr(layer, name) for name in _MLP_NAMES if hasattr(layer, name)), None), layer)

    def layer_norms(self) -> list[nn.Module]:
        """Return the norms of all layers."""
        return [child for layer in self.layers for child in layer.children() if _is_norm(child)]

    def mlp_bias(self, layer: int) -> torch.Tensor | None:
        """Return the bias of the MLP's last projection ``[hidden]``, or None."""
        for name, module in self.mlps[layer].named_modules():
            with present(module):
                bias = getattr(module, "bias", None)
            if name.rpartition(".")[2] in _MLP_PROJECTIONS and isinstance(bias, torch.Tensor):
                return bias
        return None

    def head_columns(self, layer: int) -> torch.Tensor:
        """Return ``W_O`` by head, ``[hidden, H, head_dim]``."""
        with present(self.projections[layer]):
            columns = projection_columns(self.projections[layer])
        assert columns is not None
        return columns.to(self.dtype).unflatten(1, (self.geometry.num_heads, -1))

    def direction(self, contrast: Contrast) -> tuple[torch.Tensor, float]:
        """Return ``W_U[a] - W_U[b]``, ``[hidden]``, and the difference of the head's biases; without b, those of a."""
        first, second = contrast
        with present(self.head):
            weight, bias = self.head.weight.detach(), self.head.bias
        if second is None:
            return weight[first].to(self.dtype), 0.0 if bias is None else float(bias[first].to(self.dtype))
        constant = 0.0 if bias is None else float(bias[first].to(self.dtype) - bias[second].to(self.dtype))
        return weight[first].to(self.dtype) - weight[second].to(self.dtype), constant

    def logit_difference(self, hidden: torch.Tensor, contrast: Contrast) -> torch.Tensor:
        """Return s of residual streams ``[..., hidden]`` behind the last layer, before any final soft-capping."""
        direction, constant = self.direction(contrast)
        normed = self.final_norm(hidden).to(self.dtype)
        return (normed * direction.to(normed.device)).sum(dim=-1) + constant


def _found(part: nn.Module | None, owner: nn.Module) -> nn.Module:
    if part is None:
        raise UnsupportedModelError(f"{type(owner).__name__} has a part that is not known (output projection or MLP)")
    return part


def _is_norm(module: nn.Module) -> bool:
    return type(module).__name__.lower().endswith("norm")


@dataclass(slots=True)
class LayerTrace:
    """What is kept of one layer of an unchanged run; ``T`` counts tokens up to the decision row.

    Attributes
    ----------
    entering
        Residual stream entering the layer, ``[T, hidden]``.
    head_outputs
        Input of the output projection, ``[T, H * head_dim]``.
    key, value
        ``[KV, T, head_dim]``.
    masking
        How the layer makes scores.
    call
        Its other arguments, rows up to the decision row.
    projected, mlp
        Decision row of the output projection and of the MLP, ``[hidden]``.
    attention_norm, mlp_norm
        Norms that these go through before they are added, or None.
    """

    entering: torch.Tensor
    head_outputs: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    masking: Masking
    call: Call
    projected: torch.Tensor
    mlp: torch.Tensor
    attention_norm: nn.Module | None = None
    mlp_norm: nn.Module | None = None


@dataclass(slots=True)
class Trace:
    """An unchanged run of one sample, up to its decision row.

    Attributes
    ----------
    layers
        What is kept of each layer.
    leaving
        Decision row of the residual stream behind the last layer, ``[hidden]``.
    contrast
        Token ids whose logits make s.
    logit_difference
        s.
    """

    layers: list[LayerTrace]
    leaving: torch.Tensor
    contrast: Contrast
    logit_difference: float

    @property
    def num_tokens(self) -> int:
        """Tokens up to the decision row, itself included."""
        return self.layers[0].entering.shape[0]


@dataclass(slots=True)
class _Seen:
    """What the hooks of one layer saw in one forward."""

    entering: torch.Tensor | None = None
    call: Call = ((), {})
    head_outputs: torch.Tensor | None = None
    projected: torch.Tensor | None = None
    mlp: torch.Tensor | None = None
    key: torch.Tensor | None = None
    value: torch.Tensor | None = None
    masking: Masking | None = None
    norms: list[tuple[nn.Module, torch.Tensor]] = field(default_factory=list)


@torch.no_grad()
def trace(decoder: Decoder, token_ids: torch.Tensor, decision: int, contrast: Contrast) -> Trace:
    """Run one sample unchanged and keep what later recomputation needs.

    The whole text is run, since some rotary scalings look at its length, but only rows up to the decision row are kept:
    later ones cannot change it.

    Parameters
    ----------
    decoder
        The model.
    token_ids
        ``[T]``.
    decision
        The decision row.
    contrast
        Token ids of the two labels.
    """
    seen = [_Seen() for _ in decoder.layers]

    def attend(
        _module: nn.Module, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, masking: Masking
    ) -> torch.Tensor:
        seen[layer].key, seen[layer].value, seen[layer].masking = key[0], value[0], masking
        return recomputed(query, key, value, masking)

    positions = torch.arange(token_ids.shape[0], device=token_ids.device)[None]
    forget_longer_inputs(decoder.model)
    leaving: list[torch.Tensor] = []
    with armed(decoder.model, attend, takes_batches=True), _watching(decoder, seen, leaving):
        decoder.base(input_ids=token_ids[None], position_ids=positions, use_cache=False)
    kept = slice(0, decision + 1)
    layers = [_layer_trace(decoder, index, part, kept, len(token_ids)) for index, part in enumerate(seen)]
    last = leaving[0][0, decision]
    return Trace(layers, last, contrast, float(decoder.logit_difference(last, contrast)))


@contextmanager
def _watching(decoder: Decoder, seen: Sequence[_Seen], leaving: list[torch.Tensor]) -> Iterator[None]:
    """Keep what enters and leaves the parts of every layer."""
    with ExitStack() as hooks:
        for layer, projection, mlp, part in zip(
            decoder.layers, decoder.projections, decoder.mlps, seen, strict=True
        ):  # fmt: skip
            hooks.enter_context(layer.register_forward_pre_hook(_keep_call(part), with_kwargs=True))
            hooks.enter_context(projection.register_forward_hook(_keep_projection(part)))
            hooks.enter_context(mlp.register_forward_hook(_keep_mlp(part)))
            for child in layer.children():
                if _is_norm(child):
                    hooks.enter_context(child.register_forward_hook(_keep_norm(part)))
        hooks.enter_context(decoder.final_norm.register_forward_pre_hook(lambda _, args: leaving.append(args[0])))
        yield


def _keep_call(part: _Seen) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rest = dict(kwargs)
        part.entering = args[0] if args else rest.pop("hidden_states")
        part.call = (args[1:], rest)

    return hook


def _keep_projection(part: _Seen) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        part.head_outputs, part.projected = args[0], output

    return hook


def _keep_mlp(part: _Seen) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        part.mlp = output[0] if isinstance(output, tuple) else output

    return hook


def _keep_norm(part: _Seen) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...], _output: torch.Tensor) -> None:
        part.norms.append((module, args[0]))

    return hook


def _layer_trace(decoder: Decoder, index: int, part: _Seen, kept: slice, num_tokens: int) -> LayerTrace:
    name = type(decoder.layers[index]).__name__
    if (
        part.entering is None or part.head_outputs is None or part.projected is None or part.mlp is None
        or part.key is None or part.value is None or part.masking is None
    ):  # fmt: skip
        raise UnsupportedModelError(f"{name} does not call its attention or MLP as is known")
    row = kept.stop - 1
    args, kwargs = part.call
    return LayerTrace(
        part.entering[0, kept], part.head_outputs[0, kept], part.key[:, kept], part.value[:, kept], part.masking,
        (_rows_of(args, num_tokens, kept), _rows_of(kwargs, num_tokens, kept)), part.projected[0, row],
        part.mlp.reshape(num_tokens, -1)[row], _norm_of(part, part.projected), _norm_of(part, part.mlp),
    )  # fmt: skip


def _norm_of(part: _Seen, output: torch.Tensor) -> nn.Module | None:
    """Return the norm that took a part's very output; pre-norms take the residual stream."""
    for norm, taken in part.norms:
        if taken.data_ptr() == output.data_ptr() and taken.numel() == output.numel():
            return norm
    return None


def _rows_of(value: Any, num_tokens: int, rows: slice) -> Any:
    """Return a layer's arguments with everything that has one entry per token cut to some rows."""
    if isinstance(value, torch.Tensor):
        for dim in range(min(2, value.ndim)):
            if value.shape[dim] == num_tokens:
                return value[(slice(None),) * dim + (rows,)]
        return value
    if isinstance(value, tuple | list):
        return type(value)(_rows_of(part, num_tokens, rows) for part in value)
    if isinstance(value, dict):
        return {name: _rows_of(part, num_tokens, rows) for name, part in value.items()}
    return value


def run_layer(decoder: Decoder, kept: Trace, index: int, hidden: torch.Tensor) -> torch.Tensor:
    """Run one layer on the last rows of a traced sample, ``[B, n, hidden]``; its attention must be armed."""
    layer, num_tokens = kept.layers[index], kept.num_tokens
    rows = slice(num_tokens - hidden.shape[1], num_tokens)
    args, kwargs = (_rows_of(part, num_tokens, rows) for part in layer.call)
    output = decoder.layers[index](hidden, *args, **kwargs)
    return output[0] if isinstance(output, tuple) else output
