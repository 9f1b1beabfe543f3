"""Attention knockouts: keys hidden from query rows before softmax, in chosen layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Knockout:
    """Keys that rows must not look at in a window of layers, both ends included.

    Attributes
    ----------
    first_layer, last_layer
        The window.
    keys
        Token positions.
    first_row
        First of the rows that are kept from them.
    """

    first_layer: int
    last_layer: int
    keys: tuple[int, ...]
    first_row: int = 0

    def covers(self, layer: int) -> bool:
        """Whether a layer lies in the window."""
        return self.first_layer <= layer <= self.last_layer


def keys_of_knockouts(knockouts: Sequence[Sequence[Knockout]], num_tokens: int, device: torch.device) -> torch.Tensor:
    """Return the keys that each intervention hides, bool ``[B, T]``."""
    keys = torch.zeros((len(knockouts), num_tokens), dtype=torch.bool, device=device)
    for element, of_element in enumerate(knockouts):
        for knockout in of_element:
            keys[element, [position for position in knockout.keys if position < num_tokens]] = True
    return keys
