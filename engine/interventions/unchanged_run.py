"""One unchanged run of a sample, kept so that parts of it can be recomputed with something changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from engine.attention.interface import armed
from engine.attention.masking import Masking
from engine.attention.visible_keys import VisibleKeys
from engine.errors import UnsupportedModelError
from engine.interventions.recomputed_attention import recomputed
from engine.model.decoder import Contrast, Decoder, is_norm
from engine.model.rotary import forget_longer_inputs

Call = tuple[tuple[Any, ...], dict[str, Any]]


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
    mlp_rows: dict[int, torch.Tensor] = field(default_factory=dict)
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

    forget_longer_inputs(decoder.model)
    leaving: list[torch.Tensor] = []
    last_output: list[torch.Tensor] = []
    hooks = _watching(decoder, seen, decision, leaving, last_output)
    with armed(decoder.model, attend, takes_batches=True), hooks:
        # Without positions: models count them as they do, and some take none.
        decoder.base(input_ids=token_ids[None], use_cache=False)
    _check_last(decoder, leaving, last_output)
    kept = slice(0, decision + 1)
    layers = [_layer_trace(decoder, index, part, kept, len(token_ids)) for index, part in enumerate(seen)]
    last = leaving[0][0, decision]
    return Trace(layers, last, contrast, float(decoder.logit_difference(last, contrast)))


@contextmanager
def _watching(
    decoder: Decoder,
    seen: Sequence[_Seen],
    decision: int,
    leaving: list[torch.Tensor],
    last_output: list[torch.Tensor],
) -> Iterator[None]:
    """Keep what enters and leaves the parts of every layer."""
    with ExitStack() as hooks:
        for index, (layer, part) in enumerate(zip(decoder.layers, seen, strict=True)):
            hooks.enter_context(layer.register_forward_pre_hook(_keep_call(part), with_kwargs=True))
            if not decoder.has_heads(index):
                continue
            hooks.enter_context(decoder.projections[index].register_forward_hook(_keep_projection(part)))
            for place, mlp in enumerate(decoder.mlps[index]):
                hooks.enter_context(mlp.register_forward_hook(_keep_mlp(part, place, decision)))
            for child in layer.children():
                if is_norm(child):
                    hooks.enter_context(child.register_forward_hook(_keep_norm(part)))
        hooks.enter_context(decoder.layers[-1].register_forward_hook(_keep_output(last_output)))
        hooks.enter_context(decoder.final_norm.register_forward_pre_hook(lambda _, args: leaving.append(args[0])))
        yield


def _check_last(decoder: Decoder, leaving: list[torch.Tensor], last_output: list[torch.Tensor]) -> None:
    """Refuse a model in which something stands between the last layer and the final norm.

    Raises
    ------
    UnsupportedModelError
        Naming the norm.
    """
    if len(leaving) != 1 or len(last_output) != 1 or not _is_same(leaving[0], last_output[0]):
        raise UnsupportedModelError(
            f"{type(decoder.base).__name__} does not hand what its last layer leaves to its final norm "
            f"({type(decoder.final_norm).__name__}) as it is, once: residual streams that are mixed or layers that are "
            f"run several times are not covered by interventions and causal methods"
        )


def _is_same(first: torch.Tensor, second: torch.Tensor) -> bool:
    if first.shape != second.shape:
        return False
    return bool(torch.isclose(first, second.to(first.device), rtol=0, atol=0, equal_nan=True).all())


def _keep_call(part: _Seen) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rest = dict(kwargs)
        part.entering = args[0] if args else rest.pop("hidden_states")
        part.call = (args[1:], rest)

    return hook


def _keep_output(outputs: list[torch.Tensor]) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: tuple[object, ...], output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    return hook


def _keep_projection(part: _Seen) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        part.head_outputs, part.projected = args[0], output

    return hook


def _keep_mlp(part: _Seen, place: int, decision: int) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: tuple[object, ...], output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        part.mlp = output[0] if isinstance(output, tuple) else output
        # A copy: Falcon adds what attention gives to it in place.
        part.mlp_rows[place] = part.mlp.reshape(-1, part.mlp.shape[-1])[decision].clone()

    return hook


def _keep_norm(part: _Seen) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[torch.Tensor, ...], _output: torch.Tensor) -> None:
        part.norms.append((module, args[0]))

    return hook


def _layer_trace(decoder: Decoder, index: int, part: _Seen, kept: slice, num_tokens: int) -> LayerTrace:
    name = type(decoder.layers[index]).__name__
    if not decoder.has_heads(index) and part.entering is not None:
        return _without_heads(part.entering[0, kept], part.call, kept, num_tokens)
    if (
        part.entering is None
        or part.head_outputs is None
        or part.projected is None
        or part.mlp is None
        or len(part.mlp_rows) < len(decoder.mlps[index])
        or part.key is None
        or part.value is None
        or part.masking is None
    ):
        raise UnsupportedModelError(f"{name} does not call its attention or MLP as is known")
    row = kept.stop - 1
    args, kwargs = part.call
    return LayerTrace(
        part.entering[0, kept],
        part.head_outputs[0, kept],
        part.key[:, kept],
        part.value[:, kept],
        part.masking,
        (_rows_of(args, num_tokens, kept), _rows_of(kwargs, num_tokens, kept)),
        part.projected[0, row],
        torch.stack(list(part.mlp_rows.values())).sum(dim=0) if len(part.mlp_rows) > 1 else part.mlp_rows[0],
        _norm_of(part, part.projected),
        _norm_of(part, part.mlp),
    )


def _without_heads(entering: torch.Tensor, call: Call, kept: slice, num_tokens: int) -> LayerTrace:
    """Return what is kept of a layer without heads: what enters it, and how it is called."""
    args, kwargs = call
    none, nothing = entering.new_zeros((0, len(entering), 1)), torch.zeros_like(entering[-1])
    return LayerTrace(
        entering,
        entering.new_zeros((len(entering), 0)),
        none,
        none,
        Masking(1.0),
        (_rows_of(args, num_tokens, kept), _rows_of(kwargs, num_tokens, kept)),
        nothing,
        nothing,
    )


def _norm_of(part: _Seen, output: torch.Tensor) -> nn.Module | None:
    """Return the norm that took a part's very output; pre-norms take the residual stream."""
    for norm, taken in part.norms:
        if taken.data_ptr() == output.data_ptr() and taken.numel() == output.numel():
            return norm
    return None


_WHOLE = ("alibi", "position_bias")
"""Arguments that are not cut: they have one entry per head, and per token of any text."""


def _rows_of(value: Any, num_tokens: int, rows: slice) -> Any:
    """Return a layer's arguments with everything that has one entry per token cut to some rows."""
    if isinstance(value, VisibleKeys):
        is_whole = value.ndim == 4 and value.shape[-2:] == (num_tokens, num_tokens)
        return value[:, :, rows, rows] if is_whole else value
    if isinstance(value, torch.Tensor):
        for dim in range(min(2, value.ndim)):
            if value.shape[dim] == num_tokens:
                return value[(slice(None),) * dim + (rows,)]
        return value
    if isinstance(value, tuple | list):
        return type(value)(_rows_of(part, num_tokens, rows) for part in value)
    if isinstance(value, dict):
        return {name: part if name in _WHOLE else _rows_of(part, num_tokens, rows) for name, part in value.items()}
    return value


def run_layer(decoder: Decoder, kept: Trace, index: int, hidden: torch.Tensor) -> torch.Tensor:
    """Run one layer on the last rows of a traced sample, ``[B, n, hidden]``; its attention must be armed."""
    layer, num_tokens = kept.layers[index], kept.num_tokens
    rows = slice(num_tokens - hidden.shape[1], num_tokens)
    args, kwargs = (_rows_of(part, num_tokens, rows) for part in layer.call)
    output = decoder.layers[index](hidden, *args, **kwargs)
    return output[0] if isinstance(output, tuple) else output
