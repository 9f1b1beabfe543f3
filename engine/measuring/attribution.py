"""What each key carries through each head towards the first side of the contrast, at the row that decides.

With s the logit difference of the contrast's two tokens at row d and ``w = gamma (W_U[a] - W_U[b]) / rms(x_final)`` the
direction that the frozen final norm hands to the residual stream, key j adds through head h

    a_hj = A_dj (W_O^h (g_d * v_j)) . w        (nats)

with ``g_d`` what the row multiplies heads' outputs with before ``W_O`` (1 without a gate). Over all keys it sums to the
head's direct logit attribution, ``(W_O^h (g_d * z_dh)) . w`` (Elhage et al. 2021); by key it is the direct term of
ALTI-Logit (Ferrando et al. 2023). A norm behind the attention is frozen too.

A contribution needs no contrast's direction: with y the head's output vector at the row, key j's share of it is
``c_j = <A_dj f_j, y> / |y|^2`` with ``f_j = W_O^h (g_d * v_j)``, which sums to 1 over all keys and, other than a norm,
sees where keys cancel each other.

Shape legend: ``T`` tokens of a sequence, ``n`` keys up to its row, ``L`` layers that have heads, ``H`` query heads,
``KV`` key-value heads, ``C`` columns (key groups, then spans), ``k`` top tokens by sign.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn
from transformers import PreTrainedModel

from engine.errors import UnsupportedModelError
from engine.model.decoder import Decoder
from engine.model.frozen_norms import frozen_norm, wide
from engine.model.placement import present
from engine.tolerances import tolerance

_OFFSET = 0.5
"""Mean of the row at which directions are taken before the final norm's input is known; other than 0, so that it shows
whether a norm centres."""


@dataclass(frozen=True, slots=True)
class Target:
    """One row of one sequence and what it decides between.

    Attributes
    ----------
    row
        Position in the sequence.
    token_ids
        Tokens of both sides; None where only the logits tell the second, the likeliest other one: the layers' values
        are then kept until the end.
    columns
        Sets of keys as 0/1 columns, float32 ``[T, C]``.
    """

    row: int
    token_ids: tuple[int, int | None]
    columns: torch.Tensor


@dataclass(frozen=True, slots=True)
class Attribution:
    """What keys carry through each head towards the first side of a contrast; nats, float32.

    Attributes
    ----------
    row, token_ids
        The row, and tokens of both sides.
    heads
        Over all keys: the head's direct logit attribution ``[L, H]``.
    columns
        Over the keys of each column ``[L, H, C]``.
    top_values, top_keys
        The ``k`` largest keys, descending, then the ``k`` smallest, ascending, and where they stand ``[L, H, 2k]``.
    remainder
        What the parts leave of s, keys of their layer's heads and heads of their layer: rounding, or a part that is not
        known.
    scale
        Sum of the parts' sizes, which rounding is proportional to.
    contributions
        Shares of each head's output vector by column, ``[L, H, C]``, without unit; None unless asked for.
    """

    row: int
    token_ids: tuple[int, int]
    heads: torch.Tensor
    columns: torch.Tensor
    top_values: torch.Tensor
    top_keys: torch.Tensor
    remainder: torch.Tensor
    scale: torch.Tensor
    contributions: torch.Tensor | None = None

    def moved(self, move: Callable[[torch.Tensor], torch.Tensor]) -> Attribution:
        """Return the attribution with every tensor moved."""
        names = ("heads", "columns", "top_values", "top_keys", "remainder", "scale")
        shares = None if self.contributions is None else move(self.contributions)
        return replace(self, **{name: move(getattr(self, name)) for name in names}, contributions=shares)

    def is_sound(self, dtype: str) -> bool:
        """Whether the parts sum to s within the table of tolerances; NaN is not sound."""
        allowed = tolerance("attribution sum", dtype)
        return bool(self.remainder <= allowed.atol + allowed.rtol * self.scale)


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What a layer did at a target's row.

    Attributes
    ----------
    weights
        What the row's output gives to each key's value, float32 ``[H, n]``.
    values
        ``[KV, n, head_dim]``.
    answered
        Heads' outputs as attention answers them ``[H, head_dim]``.
    given
        As they reach the projection, ``[H * head_dim]``.
    projected, mlp
        Outputs of the projection and of the MLP ``[hidden]``, before any norm behind them.
    """

    weights: torch.Tensor
    values: torch.Tensor
    answered: torch.Tensor
    given: torch.Tensor
    projected: torch.Tensor
    mlp: torch.Tensor


class TargetSums:
    """What a target has found so far, layer by layer, but for the final norm's scale.

    The room is taken before the forward, as that of ``probe._Sequence`` is, and for the same reason.
    """

    def __init__(self, attributor: Attributor, target: Target):
        self.attributor, self.target = attributor, target
        geometry, self._wide = attributor.decoder.geometry, wide(target.columns.device)
        self._places = {layer: place for place, layer in enumerate(geometry.softmax_layers)}
        shape = len(self._places), geometry.num_heads
        num_top = min(attributor.top_tokens, target.row + 1)
        empty = target.columns.new_empty
        self.heads, self.columns = empty(shape), empty((*shape, target.columns.shape[1]))
        self.top_values = empty((*shape, 2 * num_top))
        self.top_keys = empty((*shape, 2 * num_top), dtype=torch.int64)
        self.parts, self.scale = (target.columns.new_zeros((), dtype=self._wide) for _ in range(2))
        self.remainder = target.columns.new_zeros((), dtype=self._wide)
        self.contributions = empty((*shape, target.columns.shape[1])) if attributor.contribution else None
        first, second = target.token_ids
        self.direction = None if second is None else attributor.direction((first, second))

    def add_headless(self, added: torch.Tensor) -> None:
        """Add a layer without heads: what it adds to the residual stream ``[hidden]``."""
        assert self.direction is not None
        part = added.to(self.direction) @ self.direction
        self.parts += part.to(self.parts)
        self.scale += part.abs().to(self.scale)

    def add(self, layer: int, found: LayerRow, columns: torch.Tensor) -> None:
        """Add a layer with heads; ``columns`` is ``W_O`` by head, ``[hidden, H, head_dim]``."""
        assert self.direction is not None
        decoder, place = self.attributor.decoder, self._places[layer]
        added = self.direction.to(found.projected.device) * decoder.residual_scale
        behind_attention, behind_mlp = self.attributor.norms_behind[layer]
        towards, bias = frozen_norm(behind_attention, found.projected, added)
        reading = torch.einsum("ohd,o->hd", columns, towards.to(columns))
        given = found.given.to(reading).view_as(reading)
        heads = (reading * given).sum(dim=-1)
        by_key = _by_key(found, reading, given)
        self.heads[place] = heads.to(self.heads)
        self.columns[place] = (by_key @ self.target.columns[: by_key.shape[1]].to(by_key)).to(self.columns)
        self._keep_top(place, by_key)
        if self.contributions is not None:
            shares = _shares(found, columns, given)
            within = self.target.columns[: by_key.shape[1]].to(shares)
            self.contributions[place] = (shares @ within).to(self.contributions)
        attention = found.projected.to(towards) @ towards + bias
        mlp, mlp_bias = frozen_norm(behind_mlp, found.mlp, added)
        mlp = found.mlp.to(mlp) @ mlp + mlp_bias
        left = (heads.sum() - by_key.sum()).abs()
        left = left + (attention - bias - self._projection_bias(layer, towards) - heads.sum()).abs()
        self.remainder += left.to(self.remainder)
        self.parts += (attention + mlp).to(self.parts)
        self.scale += (heads.abs().sum() + mlp.abs()).to(self.scale)

    def _keep_top(self, place: int, by_key: torch.Tensor) -> None:
        count = self.top_values.shape[-1] // 2
        for part, sign in ((slice(None, count), 1), (slice(count, None), -1)):
            top = (sign * by_key).topk(count, dim=-1)
            self.top_values[place, :, part] = (sign * top.values).to(self.top_values)
            self.top_keys[place, :, part] = top.indices.to(self.top_keys)

    def _projection_bias(self, layer: int, towards: torch.Tensor) -> torch.Tensor | float:
        projection = self.attributor.decoder.projections[layer]
        with present(projection):
            bias = getattr(projection, "bias", None)
        return 0.0 if bias is None else bias.to(towards) @ towards

    def finished(
        self, leaving: torch.Tensor, first: torch.Tensor, token_ids: tuple[int, int], logits: torch.Tensor
    ) -> Attribution:
        """Return the attribution.

        Parameters
        ----------
        leaving
            The row of the residual stream that the final norm takes, ``[hidden]``.
        first
            What entered the first layer ``[hidden]``.
        token_ids
            Tokens of both sides.
        logits
            Of the row, ``[vocabulary]``.
        """
        assert self.direction is not None
        decoder, direction = self.attributor.decoder, self.direction.to(leaving.device)
        decoder.see_logits(leaving, logits)
        towards, constant = decoder.direction(token_ids)
        frozen, bias = frozen_norm(decoder.final_norm, leaving, towards.to(direction))
        factor = (frozen @ direction) / (direction @ direction)
        size, embedding = leaving.to(frozen), first.to(frozen) @ frozen
        left = ((frozen - factor * direction).abs() * size.abs()).sum()
        left = left + (size @ frozen - embedding - factor * self.parts.to(factor)).abs()
        left = left + _beyond(logits, token_ids, size @ frozen + bias + constant, decoder)
        scale = self.scale.to(factor) * factor.abs() + embedding.abs() + abs(bias) + abs(constant)
        return Attribution(
            self.target.row,
            token_ids,
            self.heads * factor.to(self.heads),
            self.columns * factor.to(self.columns),
            self.top_values * factor.to(self.top_values),
            self.top_keys,
            self.remainder.to(factor) * factor.abs() + left,
            scale,
            self.contributions,
        )


class Attributor:
    """Attributes rows of one model; keeps what it learnt of its layers from forward to forward.

    Parameters
    ----------
    model
        A causal language model.
    top_tokens
        ``k``.
    contribution
        Whether shares of heads' output vectors are worked out too.

    Attributes
    ----------
    norms_behind
        Norms behind attention and MLP by layer, once a forward has shown them.

    Raises
    ------
    UnsupportedModelError
        Naming the part of the model that is not known.
    """

    def __init__(self, model: PreTrainedModel, top_tokens: int, contribution: bool = False):
        self.decoder, self.top_tokens = Decoder(model, allows_headless=True), top_tokens
        self.contribution = contribution
        if getattr(model.config.get_text_config(), "apply_residual_connection_post_layernorm", False):
            raise UnsupportedModelError(
                f"{type(model).__name__} adds to what its norms give, not to the residual stream, so that there is no "
                f"sum of parts"
            )
        self.norms_behind: dict[int, tuple[nn.Module | None, nn.Module | None]] = {}

    def direction(self, token_ids: tuple[int, int]) -> torch.Tensor:
        """Return w of two tokens but for its scale, ``[hidden]``, in the widest floats."""
        towards, _ = self.decoder.direction(token_ids)
        row = torch.full(towards.shape, _OFFSET, dtype=self.decoder.model.dtype, device=towards.device)
        row[::2] += 1
        row[1::2] -= 1
        return frozen_norm(self.decoder.final_norm, row, towards.to(wide(towards.device)))[0]


def _by_key(found: LayerRow, reading: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """Return what each key adds through each head, ``[H, n]``."""
    answered = found.answered.to(reading)
    # A gate, or a norm in its place, as a factor of each component; where nothing came, nothing was multiplied.
    gated = reading * torch.where(answered == 0, 1.0, given / answered)
    by_group = gated.unflatten(0, (found.values.shape[0], -1)) @ found.values.to(reading).mT
    return found.weights.to(reading) * by_group.flatten(0, 1)


def _shares(found: LayerRow, columns: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """Return each key's share of each head's output vector y, ``<A_dj f_j, y> / |y|^2``, ``[H, n]``; 0 where y is 0."""
    output = torch.einsum("ohd,hd->oh", columns, given)
    reading = torch.einsum("ohd,oh->hd", columns, output)
    size = output.square().sum(dim=0)[:, None]
    return torch.where(size > 0, _by_key(found, reading, given) / size, 0.0)


def _beyond(logits: torch.Tensor, token_ids: tuple[int, int], stated: torch.Tensor, decoder: Decoder) -> torch.Tensor:
    """Return how far s lies from the logits' difference, with a final soft-capping undone or as it is."""
    first, second = (logits[token].to(stated) for token in token_ids)
    gaps = [(first - second - stated).abs()]
    cap = getattr(decoder.model.config.get_text_config(), "final_logit_softcapping", None)
    if cap:
        gaps.append(((torch.atanh(first / cap) - torch.atanh(second / cap)) * cap - stated).abs())
    return torch.stack(gaps).nan_to_num(torch.inf).min()
