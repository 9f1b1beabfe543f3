"""Knockouts in forwards of whole sequences: the slow way that sweeps and generation are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn

from engine.attention.interface import armed
from engine.attention.masking import Masking
from engine.interventions.knockouts import Knockout, keys_of_knockouts
from engine.interventions.recomputed_attention import HiddenKeys, recomputed
from engine.model.decoder import Decoder

_hidden: ContextVar[tuple[Knockout, ...]] = ContextVar("headledger_knockouts", default=())


@contextmanager
def keys_hidden(decoder: Decoder, knockouts: Sequence[Knockout]) -> Iterator[None]:
    """Hide keys before softmax in every forward of one whole sequence inside; nested ones add up."""
    token = _hidden.set((*_hidden.get(), *knockouts))
    try:
        with armed(decoder.model, _attend, takes_batches=True):
            yield
    finally:
        _hidden.reset(token)


def _attend(
    _module: nn.Module, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, masking: Masking
) -> torch.Tensor:
    output = recomputed(query, key, value, masking)
    num_tokens = key.shape[2]
    # Row by row of who is kept from what: knockouts that begin at different rows share no rectangle.
    for first_row in sorted({knockout.first_row for knockout in _hidden.get() if knockout.covers(layer)}):
        keys = keys_of_knockouts(
            [[k for k in _hidden.get() if k.covers(layer) and k.first_row <= first_row]], num_tokens, query.device
        )
        rows = torch.arange(num_tokens, device=query.device) >= first_row
        changed = recomputed(query, key, value, masking, knockout=HiddenKeys(rows, keys.expand(query.shape[0], -1)))
        output[:, first_row:] = changed[:, first_row:].to(output.dtype)
    return output
