"""What each part of a model adds to the logit difference: direct logit attribution (DLA).

s is the logit difference at the decision row between the tokens of the two contrasted labels, before any final
soft-capping. Shape legend: ``T`` tokens up to the decision row, ``L`` layers, ``H`` query heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from engine.interventions.unchanged_run import Trace
from engine.model.decoder import Decoder
from engine.model.frozen_norms import frozen_norm
from engine.model.placement import present


class Component(NamedTuple):
    """A part of the model beside its heads: its name in ``COMPONENTS``, its layer or None, and what it adds to s."""

    name: str
    layer: int | None
    value: float


@dataclass(frozen=True, slots=True)
class DirectAttribution:
    """Direct logit attribution of one sample (Elhage et al. 2021).

    Attributes
    ----------
    heads
        What each head adds to s directly, float64 ``[L, H]``; of layers that have heads.
    components
        The same of every other part.
    logit_difference
        s of the same run.
    """

    heads: torch.Tensor
    components: list[Component]
    logit_difference: float

    def remainder(self) -> float:
        """Return s minus the sum of all parts: rounding only."""
        return self.logit_difference - float(self.heads.sum()) - sum(part.value for part in self.components)

    def scale(self) -> float:
        """Return the sum of the parts' sizes, which their rounding is proportional to."""
        return float(self.heads.abs().sum()) + sum(abs(part.value) for part in self.components)


@torch.no_grad()
def direct_attribution(decoder: Decoder, unchanged: Trace) -> DirectAttribution:
    r"""Split s into what heads, MLPs, embedding and biases add to it directly.

    ``dla_h = (W_O^h z_h) . w`` with ``w = gamma (W_U[a] - W_U[b]) / rms(x_final)``, the final norm frozen at this
    sample; LayerNorm is centred and adds its bias, Gemma's gain is ``1 + gamma``, a norm behind attention or MLP is
    frozen too. Granite's multipliers scale what is added, and the logits.

    Raises
    ------
    UnsupportedModelError
        When a norm is of no known kind.
    """
    direction, constant = decoder.direction(unchanged.contrast)
    direction = direction.double().to(unchanged.leaving.device)
    final, bias = frozen_norm(decoder.final_norm, unchanged.leaving, direction)
    parts = [
        Component("embedding", None, _dot(unchanged.layers[0].entering[-1], final)),
        Component("final_norm_bias", None, bias),
        Component("head_bias", None, constant),
    ]
    heads = []
    added = final * decoder.residual_scale
    for index, layer in enumerate(unchanged.layers):
        if not decoder.has_heads(index):
            parts.append(Component("layer_without_heads", index, _dot(_added_by(unchanged, index), final)))
            continue
        towards, bias = frozen_norm(layer.attention_norm, layer.projected, added.to(layer.projected.device))
        columns = decoder.head_columns(index).double()
        outputs = layer.head_outputs[-1].double().unflatten(0, columns.shape[1:])
        by_head = (torch.einsum("ohd,o->hd", columns, towards) * outputs).sum(dim=-1)
        heads.append(by_head.to(unchanged.leaving.device))
        with present(decoder.projections[index]):
            projection_bias = getattr(decoder.projections[index], "bias", None)
        if projection_bias is not None:
            bias += _dot(projection_bias, towards)
        parts.append(Component("attention_bias", index, bias))
        towards, bias = frozen_norm(layer.mlp_norm, layer.mlp, added.to(layer.mlp.device))
        mlp_bias = decoder.mlp_bias(index)
        last_bias = 0.0 if mlp_bias is None else _dot(mlp_bias, towards)
        parts.append(Component("mlp", index, _dot(layer.mlp, towards) - last_bias))
        parts.append(Component("mlp_bias", index, bias + last_bias))
    return DirectAttribution(torch.stack(heads), parts, unchanged.logit_difference)


def _added_by(unchanged: Trace, index: int) -> torch.Tensor:
    """Return what a whole layer adds to the decision row of the residual stream, ``[hidden]``."""
    is_last = index == len(unchanged.layers) - 1
    leaving = unchanged.leaving if is_last else unchanged.layers[index + 1].entering[-1]
    entering = unchanged.layers[index].entering[-1].double()
    return leaving.double().to(entering.device) - entering


def _dot(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the product of two vectors, which may lie on different devices, in float64."""
    return float(first.double() @ second.to(first.device))


@torch.no_grad()
def check_norms(decoder: Decoder) -> None:
    """Refuse a model whose norms cannot be frozen, before anything is measured; without weights, nobody can tell.

    Raises
    ------
    UnsupportedModelError
        Naming the norm.
    """
    generator = torch.Generator().manual_seed(0)
    direction = torch.zeros(1, dtype=torch.float64)
    for norm in [decoder.final_norm, *decoder.layer_norms()]:
        weight = next(norm.parameters(), None)
        if (weight is not None and weight.is_meta) or decoder.model.device.type == "meta":
            return
        size = decoder.head.weight.shape[1] if weight is None else weight.shape[-1]
        row = torch.randn(size, generator=generator).to(decoder.model.dtype)
        if weight is not None:
            row = row.to(weight.device)
        frozen_norm(norm, row, direction.to(row.device).expand(size))
