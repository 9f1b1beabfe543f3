"""A norm as the linear map that it is at one input: its statistics frozen there, its gain applied to a direction."""

from __future__ import annotations

import copy

import torch
from torch import nn

from engine.errors import UnsupportedModelError
from engine.model.placement import present


def wide(device: torch.device) -> torch.dtype:
    """Return the widest floats of a device: float64, or float32 on MPS, which has no wider ones."""
    return torch.float32 if device.type == "mps" else torch.float64


def frozen_norm(norm: nn.Module | None, frozen_at: torch.Tensor, direction: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return ``w`` and ``c`` with ``norm(x) . direction = x . w + c`` at one input, the norm's statistics frozen there.

    Parameters
    ----------
    norm
        RMSNorm or LayerNorm, whatever its gain, or None for the identity.
    frozen_at
        The input at which it is frozen, ``[hidden]``.
    direction
        ``[hidden]``, in the widest floats of its device.

    Raises
    ------
    UnsupportedModelError
        When the norm is neither.
    """
    if norm is None:
        return direction, 0.0
    row = frozen_at.to(wide(frozen_at.device))
    if type(norm) is nn.LayerNorm:
        with present(norm):
            weight, bias = norm.weight, norm.bias
        gained = direction if weight is None else direction * weight.to(direction.device, direction.dtype)
        gained = gained / (row.var(correction=0) + norm.eps).sqrt()
        return gained - gained.mean(), 0.0 if bias is None else _dot(direction, bias)
    eps = _eps(norm)
    if not type(norm).__name__.endswith("RMSNorm"):
        return _frozen_by_effect(norm, frozen_at, direction, eps)
    # The gain as the norm itself applies it: gamma in most models, 1 + gamma in Gemma.
    ones = torch.ones_like(frozen_at, dtype=torch.promote_types(frozen_at.dtype, torch.float32))
    gain = norm(ones).to(direction.device, direction.dtype) * (1 + eps) ** 0.5
    return direction * gain / (row.square().mean() + eps).sqrt(), 0.0


def _eps(norm: nn.Module) -> float:
    """Return what a norm adds under its root; PyTorch's functional default where it does not say."""
    names = ("variance_epsilon", "eps", "epsilon", "norm_eps")
    return float(next((value for name in names if (value := getattr(norm, name, None)) is not None), 1e-5))


def _frozen_by_effect(
    norm: nn.Module, frozen_at: torch.Tensor, direction: torch.Tensor, eps: float
) -> tuple[torch.Tensor, float]:
    """Freeze a norm of another class (OLMo's without gain, Cohere's, Nemotron's), by what it makes of three inputs.

    Zeros give its bias, an alternating row of mean 0 and size 1 its gain, and the input itself tells whether it
    centres.

    Raises
    ------
    UnsupportedModelError
        When no linear map of the (centred) input over its size gives what the norm gives.
    """
    floats = torch.promote_types(frozen_at.dtype, torch.float32)
    given = frozen_at.to(floats)
    with present(norm):
        norm = copy.deepcopy(norm).to(floats)  # some norms take no input wider than their weights
    signs = torch.ones_like(given)
    signs[1::2] = -1
    widest = wide(given.device)
    bias = norm(torch.zeros_like(given)).to(widest)
    gain = (norm(signs).to(widest) - bias) * signs.to(widest) * (1 + eps) ** 0.5
    expected, row = norm(given).to(widest) - bias, given.to(widest)
    for centre in (row.mean(), row.new_zeros(())):
        size = ((row - centre).square().mean() + eps).sqrt()
        gap = (gain * (row - centre) / size - expected).abs().max()
        # The norm may round its result to the weights' dtype.
        if gap <= 4 * torch.finfo(frozen_at.dtype).eps * expected.abs().max() + 1e-5:
            gained = direction * gain.to(direction.device) / size.to(direction.device)
            return gained - gained.mean() if bool(centre) else gained, _dot(direction, bias)
    raise UnsupportedModelError(f"{type(norm).__name__} is neither RMSNorm nor LayerNorm, which is not covered")


def _dot(direction: torch.Tensor, bias: torch.Tensor) -> float:
    return float(direction @ bias.to(direction))
