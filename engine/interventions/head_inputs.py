"""Queries, keys and values that single heads would have if they read another residual stream than their layer does.

Shape legend: ``T`` tokens up to the decision row, ``H`` query heads, ``KV`` key-value heads, ``K`` chosen query heads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from engine.attention.interface import armed
from engine.attention.masking import KeyBias, Masking
from engine.errors import UnsupportedModelError
from engine.interventions.unchanged_run import Trace, run_layer
from engine.model.decoder import Decoder


@dataclass(frozen=True, slots=True)
class HeadInputs:
    """What attention of a layer is handed for one text.

    Attributes
    ----------
    query
        ``[1, H, T, head_dim]``.
    key, value
        ``[1, KV, T, head_dim]``; values may be of another size.
    masking
        How scores are made.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    masking: Masking

    def of(self, heads: Sequence[int]) -> HeadInputs:
        """Return those of some query heads, each with a key-value head of its own: ``KV`` is then ``K``."""
        chosen = list(heads)
        size = self.query.shape[1] // self.key.shape[1]
        shared = [head // size for head in chosen]
        masking = masking_of(self.masking, chosen)
        return HeadInputs(self.query[:, chosen], self.key[:, shared], self.value[:, shared], masking)

    def with_heads(self, heads: Sequence[int], own: HeadInputs) -> HeadInputs:
        """Return these with those of some query heads in their place; every query head has a key-value head then.

        Parameters
        ----------
        heads
            Query heads, K of them.
        own
            What takes their place, as ``of`` returns it.
        """
        size = self.query.shape[1] // self.key.shape[1]
        places = torch.tensor(list(heads), device=self.query.device)
        pairs = (
            (self.query, own.query),
            (self.key.repeat_interleave(size, 1), own.key),
            (self.value.repeat_interleave(size, 1), own.value),
        )
        query, key, value = (whole.index_copy(1, places, part.to(whole)) for whole, part in pairs)
        return HeadInputs(query, key, value, self.masking)


def masking_of(masking: Masking, heads: Sequence[int]) -> Masking:
    """Return how scores of some query heads are made: sinks and key biases are per head."""
    chosen, bias = list(heads), masking.key_bias
    return replace(
        masking,
        sinks=None if masking.sinks is None else masking.sinks[chosen],
        key_bias=None if bias is None else KeyBias(lambda number: bias.made(number)[chosen]),
    )


class _Taken(Exception):  # noqa: N818 - ends a layer of which only what its attention is handed is wanted
    pass


def head_inputs(decoder: Decoder, kept: Trace, index: int, hidden: torch.Tensor) -> HeadInputs:
    """Return what a layer's attention would be handed for another residual stream; nothing behind it is computed.

    Parameters
    ----------
    decoder, kept
        The model and the sample's unchanged run.
    index
        The layer, which has heads.
    hidden
        Residual stream entering it, ``[1, T, hidden]``; gradients flow back to it where they are on.

    Raises
    ------
    UnsupportedModelError
        When the layer does not call its attention.
    """
    found: list[HeadInputs] = []

    def take(
        _module: nn.Module, _layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, masking: Masking
    ) -> torch.Tensor:
        found.append(HeadInputs(query, key, value, masking))
        raise _Taken

    with armed(decoder.model, take, takes_batches=True), contextlib.suppress(_Taken):
        run_layer(decoder, kept, index, hidden)
    if not found:
        raise UnsupportedModelError(f"{type(decoder.layers[index]).__name__} does not call its attention as is known")
    return found[0]
