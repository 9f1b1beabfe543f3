"""What each part of a model adds to the logit difference, and how it changes with each head: DLA and gradients.

s is the logit difference at the decision row between the tokens of the two contrasted labels, before any final
soft-capping. Shape legend: ``T`` tokens up to the decision row, ``L`` layers, ``H`` query heads, ``C`` key groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine.attention.blocked import Masking
from engine.attention.causal import GroupGradients, differentiable
from engine.attention.interface import UnsupportedModelError, armed
from engine.decoder import Decoder, Trace, run_layer
from engine.dispatched import present


@dataclass(frozen=True, slots=True)
class DirectAttribution:
    """Direct logit attribution of one sample (Elhage et al. 2021).

    Attributes
    ----------
    heads
        What each head adds to s directly, float64 ``[L, H]``.
    components
        The same of every other part: name, layer or None, value.
    logit_difference
        s of the same run.
    """

    heads: torch.Tensor
    components: list[tuple[str, int | None, float]]
    logit_difference: float

    def remainder(self) -> float:
        """Return s minus the sum of all parts: rounding only."""
        return self.logit_difference - float(self.heads.sum()) - sum(value for _, _, value in self.components)

    def scale(self) -> float:
        """Return the sum of the parts' sizes, which their rounding is proportional to."""
        return float(self.heads.abs().sum()) + sum(abs(value) for _, _, value in self.components)


@torch.no_grad()
def direct_attribution(decoder: Decoder, kept: Trace) -> DirectAttribution:
    r"""Split s into what heads, MLPs, embedding and biases add to it directly.

    ``dla_h = (W_O^h z_h) . w`` with ``w = gamma (W_U[a] - W_U[b]) / rms(x_final)``, the final norm frozen at this
    sample; LayerNorm is centred and adds its bias, Gemma's gain is ``1 + gamma``, a norm behind attention or MLP is
    frozen too.

    Raises
    ------
    UnsupportedModelError
        When a norm is of no known kind.
    """
    direction, constant = decoder.direction(kept.contrast)
    direction = direction.double().to(kept.leaving.device)
    final, bias = frozen_norm(decoder.final_norm, kept.leaving, direction)
    parts: list[tuple[str, int | None, float]] = [
        ("embedding", None, _dot(kept.layers[0].entering[-1], final)),
        ("final_norm_bias", None, bias),
        ("head_bias", None, constant),
    ]
    heads = []
    for index, layer in enumerate(kept.layers):
        towards, bias = frozen_norm(layer.attention_norm, layer.projected, final.to(layer.projected.device))
        columns = decoder.head_columns(index).double()
        outputs = layer.head_outputs[-1].double().unflatten(0, columns.shape[1:])
        added = (torch.einsum("ohd,o->hd", columns, towards) * outputs).sum(dim=-1)
        heads.append(added.to(kept.leaving.device))
        with present(decoder.projections[index]):
            projection_bias = getattr(decoder.projections[index], "bias", None)
        if projection_bias is not None:
            bias += _dot(projection_bias, towards)
        parts.append(("attention_bias", index, bias))
        towards, bias = frozen_norm(layer.mlp_norm, layer.mlp, final.to(layer.mlp.device))
        mlp_bias = decoder.mlp_bias(index)
        own = 0.0 if mlp_bias is None else _dot(mlp_bias, towards)
        parts += [("mlp", index, _dot(layer.mlp, towards) - own), ("mlp_bias", index, bias + own)]
    return DirectAttribution(torch.stack(heads), parts, kept.logit_difference)


def _dot(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the product of two vectors, which may lie on different devices, in float64."""
    return float(first.double() @ second.to(first.device))


def frozen_norm(norm: nn.Module | None, taken: torch.Tensor, direction: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return ``w`` and ``c`` with ``norm(x) . direction = x . w + c`` at one input, the norm's statistics frozen there.

    Parameters
    ----------
    norm
        RMSNorm (whatever its gain), LayerNorm, or None for the identity.
    taken
        The input at which it is frozen, ``[hidden]``.
    direction
        ``[hidden]``, float64.

    Raises
    ------
    UnsupportedModelError
        When the norm is neither.
    """
    if norm is None:
        return direction, 0.0
    row = taken.double()
    if isinstance(norm, nn.LayerNorm):
        with present(norm):
            weight, bias = norm.weight, norm.bias
        gained = direction if weight is None else direction * weight.double().to(direction.device)
        gained = gained / (row.var(correction=0) + norm.eps).sqrt()
        return gained - gained.mean(), 0.0 if bias is None else _dot(bias, direction)
    _refuse_unknown(norm)
    eps = float(getattr(norm, "variance_epsilon", getattr(norm, "eps", 0.0)))
    # The gain as the norm itself applies it: gamma in most models, 1 + gamma in Gemma.
    ones = torch.ones_like(taken, dtype=torch.promote_types(taken.dtype, torch.float32))
    gain = norm(ones).double().to(direction.device) * (1 + eps) ** 0.5
    return direction * gain / (row.square().mean() + eps).sqrt(), 0.0


def check_norms(decoder: Decoder) -> None:
    """Refuse a model whose norms cannot be frozen, before anything is measured.

    Raises
    ------
    UnsupportedModelError
        Naming the norm.
    """
    for norm in [decoder.final_norm, *decoder.layer_norms()]:
        _refuse_unknown(norm)


def _refuse_unknown(norm: nn.Module) -> None:
    if not isinstance(norm, nn.LayerNorm) and not type(norm).__name__.endswith("RMSNorm"):
        raise UnsupportedModelError(f"{type(norm).__name__} is neither RMSNorm nor LayerNorm, which is not covered")


@dataclass(frozen=True, slots=True)
class HeadGradients:
    """Gradients of s of one sample.

    Attributes
    ----------
    heads
        ``sum_i <z_h,i, ds/dz_h,i>``, float64 ``[L, H]`` (Michel et al. 2019).
    groups
        ``sum_i sum_{j in F} A[i,j] ds/dA[i,j]``, float64 ``[L, H, C]``, or None when not asked for.
    outputs
        ``ds/dz`` by layer, ``[T, H * head_dim]``, or None when not asked for.
    """

    heads: torch.Tensor
    groups: torch.Tensor | None
    outputs: list[torch.Tensor] | None


def head_gradients(
    decoder: Decoder, kept: Trace, indicators: torch.Tensor | None = None, keeps_outputs: bool = False
) -> HeadGradients:
    """Differentiate s by every head's output and, summed by key group, by every pattern.

    Layer after layer from the last one down, each recomputed from the residual stream that entered it, so that the
    memory is that of one layer; no pattern is ever kept.

    Parameters
    ----------
    decoder
        The model.
    kept
        The sample's unchanged run.
    indicators
        Key groups as 0/1 columns ``[T, C]``, when attention gradients are wanted.
    keeps_outputs
        Whether ``ds/dz`` of every layer is returned.
    """
    heads: list[torch.Tensor] = []
    groups: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    upstream = _last_gradient(decoder, kept)
    for index in reversed(range(len(kept.layers))):
        device = kept.layers[index].key.device
        collector = None if indicators is None else GroupGradients(indicators.to(device))
        upstream, outer = _through_layer(decoder, kept, index, upstream, collector)
        products = outer.double() * kept.layers[index].head_outputs.double()
        by_head = products.unflatten(1, (decoder.geometry.num_heads, -1)).sum(dim=(0, 2))
        heads.append(by_head.to(kept.leaving.device))
        if collector is not None:
            assert collector.sums is not None
            groups.append(collector.sums.to(kept.leaving.device))
        if keeps_outputs:
            outputs.append(outer)
    return HeadGradients(
        torch.stack(heads[::-1]),
        torch.stack(groups[::-1]) if groups else None,
        outputs[::-1] if keeps_outputs else None,
    )


def _last_gradient(decoder: Decoder, kept: Trace) -> torch.Tensor:
    """Return ds/dx behind the last layer, ``[T, hidden]``: only the decision row counts."""
    with torch.enable_grad():
        row = kept.leaving.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(decoder.logit_difference(row, kept.contrast), row)
    upstream = torch.zeros_like(kept.layers[0].entering)
    upstream[-1] = gradient
    return upstream


def _through_layer(
    decoder: Decoder, kept: Trace, index: int, upstream: torch.Tensor, collector: GroupGradients | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ds/dx entering a layer ``[T, hidden]`` and ds/dz of its heads ``[T, H * head_dim]``."""
    taken: list[torch.Tensor] = []

    def attend(
        _module: nn.Module, _layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, masking: Masking
    ) -> torch.Tensor:
        return differentiable(query[0], key[0], value[0], masking, collector)[None]

    def keep(_module: nn.Module, args: tuple[Any, ...]) -> None:
        taken.append(args[0])

    with (
        torch.enable_grad(),
        armed(decoder.model, attend, takes_batches=True),
        decoder.projections[index].register_forward_pre_hook(keep),
    ):
        entering = kept.layers[index].entering.detach().requires_grad_()
        leaving = run_layer(decoder, kept, index, entering[None])
        inner, outer = torch.autograd.grad(leaving, (entering, taken[0]), upstream[None].to(leaving))
    return inner, outer[0]


def patching_effects(
    kept: Trace, other: Trace, gradients: Sequence[torch.Tensor], num_heads: int
) -> torch.Tensor:  # fmt: skip
    """Return what putting another run's head outputs in place would change s by, to first order, float64 ``[L, H]``.

    ``sum_i <z'_h,i - z_h,i, ds/dz_h,i>`` at the unchanged run (attribution patching, Nanda 2023; Syed et al. 2023).

    Parameters
    ----------
    kept, other
        The unchanged run and one of as many tokens.
    gradients
        ``ds/dz`` by layer, ``[T, H * head_dim]``.
    num_heads
        Query heads.
    """
    effects = [
        ((b.head_outputs.double() - a.head_outputs.double()) * gradient.double())
        .unflatten(1, (num_heads, -1))
        .sum(dim=(0, 2))
        .to(kept.leaving.device)
        for a, b, gradient in zip(kept.layers, other.layers, gradients, strict=True)
    ]
    return torch.stack(effects)
