"""The output projection of an attention layer: found without a list of families, cut by head, and norms through it."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from engine.errors import UnsupportedModelError
from engine.model.placement import present

_PLAIN = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_IN_FEATURES = ("in_features", "input_size", "nx")

_OUTPUT_PROJECTIONS = ("o_proj", "dense", "c_proj", "out_proj", "wo")
"""What model families call the projection of the heads' outputs into the residual stream."""


def output_projection(module: nn.Module) -> nn.Module | None:
    """Return the projection of an attention module that maps the heads' outputs into the residual stream."""
    return next((getattr(module, name) for name in _OUTPUT_PROJECTIONS if hasattr(module, name)), None)


def projection_columns(projection: nn.Module | None) -> torch.Tensor | None:
    """Return what a projection multiplies by, ``[out, in]``, as it takes effect.

    Linear keeps its weight so, GPT-2's Conv1D keeps ``[in, out]``. Whatever else projects (an adapter around a layer,
    quantised weights with scales, multipliers) is asked what it makes of the unit vectors.
    """
    weight = getattr(projection, "weight", None)
    if type(projection) is nn.Linear and _is_plain(weight):
        return weight
    if type(projection) is Conv1D and _is_plain(weight):
        return weight.T
    return None if projection is None else _effective(projection)


def holds_columns(projection: nn.Module) -> bool:
    """Whether a projection's weight says what it multiplies by, so that ``projection_columns`` need not run it."""
    return type(projection) in (nn.Linear, Conv1D) and _is_plain(getattr(projection, "weight", None))


def _is_plain(weight: object) -> TypeGuard[torch.Tensor]:
    """Whether a weight is a tensor of floating numbers that stand for themselves."""
    return isinstance(weight, torch.Tensor) and type(weight) in (torch.Tensor, nn.Parameter) and weight.dtype in _PLAIN


def _effective(projection: nn.Module) -> torch.Tensor | None:
    """Return what a projection makes of the unit vectors, ``[out, in]``; None where it cannot be asked."""
    # Moshi's, for one, holds the projection that it is.
    parts = [projection, *(part for part in projection.modules() if isinstance(part, nn.Linear))]
    sizes = (getattr(part, name) for part in parts for name in _IN_FEATURES if hasattr(part, name))
    size = next(sizes, None)
    parameter = next((part for part in projection.parameters() if part.dtype in _PLAIN), None)
    if size is None:
        return None
    device = None if parameter is None else parameter.device
    units = torch.eye(int(size), device=device, dtype=torch.float32 if parameter is None else parameter.dtype)
    try:
        with torch.no_grad():
            # Not by calling it: who watches the model's own forward is not to see this.
            return (projection.forward(units) - projection.forward(torch.zeros_like(units[:1]))).T
    except (RuntimeError, TypeError, ValueError):  # it takes other arguments, or other shapes
        return None


def value_norms(
    module: nn.Module, value: torch.Tensor, num_heads: int, gate: torch.Tensor | None = None
) -> torch.Tensor:
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
    gate
        What one row multiplies heads' outputs with before the projection, ``[H, head_dim]``, or None.

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
    if gate is not None:
        repeated = repeated * gate[:, None]
    return ((repeated @ gram) * repeated).sum(dim=-1).clamp(min=0).sqrt()
