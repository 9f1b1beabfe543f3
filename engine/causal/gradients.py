"""How the logit difference changes with each head: head gradients, attention gradients, attribution patching.

Shape legend: ``T`` tokens up to the decision row, ``L`` layers, ``H`` query heads, ``C`` key groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from engine.attention.interface import armed
from engine.attention.masking import Masking
from engine.causal.differentiable_attention import GroupGradients, differentiable
from engine.interventions.unchanged_run import Trace, run_layer
from engine.model.decoder import Decoder


@dataclass(frozen=True, slots=True)
class HeadGradients:
    """Gradients of s of one sample.

    Attributes
    ----------
    heads
        ``sum_i <z_h,i, ds/dz_h,i>``, float64 ``[L, H]``, of layers that have heads (Michel et al. 2019).
    groups
        ``sum_i sum_{j in F} A[i,j] ds/dA[i,j]``, float64 ``[L, H, C]``, or None when not asked for.
    outputs
        ``ds/dz`` by layer, ``[T, H * head_dim]``, or None when not asked for.
    """

    heads: torch.Tensor
    groups: torch.Tensor | None
    outputs: list[torch.Tensor] | None


def head_gradients(
    decoder: Decoder, unchanged: Trace, indicators: torch.Tensor | None = None, keeps_outputs: bool = False
) -> HeadGradients:
    """Differentiate s by every head's output and, summed by key group, by every pattern.

    Layer after layer from the last one down, each recomputed from the residual stream that entered it, so that the
    memory is that of one layer; no pattern is ever unchanged.

    Parameters
    ----------
    decoder
        The model.
    unchanged
        The sample's unchanged run.
    indicators
        Key groups as 0/1 columns ``[T, C]``, when attention gradients are wanted.
    keeps_outputs
        Whether ``ds/dz`` of every layer is returned.
    """
    heads: list[torch.Tensor] = []
    groups: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    upstream = _last_gradient(decoder, unchanged)
    for index in reversed(range(len(unchanged.layers))):
        device = unchanged.layers[index].key.device
        collector = None if indicators is None else GroupGradients(indicators.to(device))
        if not decoder.has_heads(index):
            upstream = _through_other(decoder, unchanged, index, upstream)
            continue
        upstream, outer = _through_layer(decoder, unchanged, index, upstream, collector)
        products = outer.double() * unchanged.layers[index].head_outputs.double()
        by_head = products.unflatten(1, (decoder.geometry.num_heads, -1)).sum(dim=(0, 2))
        heads.append(by_head.to(unchanged.leaving.device))
        if collector is not None:
            assert collector.sums is not None
            groups.append(collector.sums.to(unchanged.leaving.device))
        if keeps_outputs:
            outputs.append(outer)
    return HeadGradients(
        torch.stack(heads[::-1]),
        torch.stack(groups[::-1]) if groups else None,
        outputs[::-1] if keeps_outputs else None,
    )


def _last_gradient(decoder: Decoder, unchanged: Trace) -> torch.Tensor:
    """Return ds/dx behind the last layer, ``[T, hidden]``: only the decision row counts."""
    with torch.enable_grad():
        row = unchanged.leaving.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(decoder.logit_difference(row, unchanged.contrast), row)
    upstream = torch.zeros_like(unchanged.layers[0].entering)
    upstream[-1] = gradient
    return upstream


def _through_layer(
    decoder: Decoder, unchanged: Trace, index: int, upstream: torch.Tensor, collector: GroupGradients | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ds/dx entering a layer ``[T, hidden]`` and ds/dz of its heads ``[T, H * head_dim]``."""
    head_outputs: list[torch.Tensor] = []

    def attend(
        _module: nn.Module, _layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, masking: Masking
    ) -> torch.Tensor:
        return differentiable(query[0], key[0], value[0], masking, collector)[None]

    def remember(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        head_outputs.append(args[0])

    with (
        torch.enable_grad(),
        armed(decoder.model, attend, takes_batches=True),
        decoder.projections[index].register_forward_pre_hook(remember),
    ):
        entering = unchanged.layers[index].entering.detach().requires_grad_()
        leaving = run_layer(decoder, unchanged, index, entering[None])
        inner, outer = torch.autograd.grad(leaving, (entering, head_outputs[0]), upstream[None].to(leaving))
    return inner, outer[0]


def _through_other(decoder: Decoder, unchanged: Trace, index: int, upstream: torch.Tensor) -> torch.Tensor:
    """Return ds/dx entering a layer without heads, ``[T, hidden]``."""
    with torch.enable_grad():
        entering = unchanged.layers[index].entering.detach().requires_grad_()
        leaving = run_layer(decoder, unchanged, index, entering[None])
        (inner,) = torch.autograd.grad(leaving, entering, upstream[None].to(leaving))
    return inner


def patching_effects(
    decoder: Decoder, unchanged: Trace, other: Trace, gradients: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return what putting another run's head outputs in place would change s by, to first order, float64 ``[L, H]``.

    ``sum_i <z'_h,i - z_h,i, ds/dz_h,i>`` at the unchanged run (attribution patching, Nanda 2023; Syed et al. 2023).

    Parameters
    ----------
    decoder
        The model.
    unchanged, other
        The unchanged run and one of as many tokens.
    gradients
        ``ds/dz`` by layer that has heads, ``[T, H * head_dim]``.
    """
    layers = decoder.geometry.softmax_layers
    pairs = [(unchanged.layers[layer], other.layers[layer]) for layer in layers]
    effects = [
        ((b.head_outputs.double() - a.head_outputs.double()) * gradient.double())
        .unflatten(1, (decoder.geometry.num_heads, -1))
        .sum(dim=(0, 2))
        .to(unchanged.leaving.device)
        for (a, b), gradient in zip(pairs, gradients, strict=True)
    ]
    return torch.stack(effects)
