"""Which keys a query row sees: causality, sliding windows, chunks and soft-capping, as every backend applies them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch

    Positions = TypeVar("Positions", torch.Tensor, np.ndarray)

MASKED = -1e30
"""Score of an invisible key: its weight underflows to exactly 0, and 0 x score stays finite."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A row sees the keys of its own chunk of the sequence alone: those from ``i // size * size`` on (Llama 4)."""

    size: int


Window = int | Chunk | None
"""How far back a row sees: a number of keys, itself included (a sliding window), its chunk, or everything."""


def first_visible(row: int, window: Window) -> int:
    """Return the first key that a row sees."""
    if window is None:
        return 0
    if isinstance(window, Chunk):
        return row // window.size * window.size
    return max(0, row - window + 1)


def first_visible_of(rows: Positions, window: Window) -> Positions:
    """Return the first key that each of some rows sees."""
    if window is None:
        return rows * 0
    if isinstance(window, Chunk):
        return rows // window.size * window.size
    return (rows - window + 1).clip(min=0)


def in_words(window: Window) -> str:
    """Return what a window is, for a sentence."""
    if window is None:
        return "all keys before a row"
    return f"chunks of {window.size} keys" if isinstance(window, Chunk) else f"a sliding window of {window} keys"


@dataclass(frozen=True, slots=True)
class KeyBias:
    """A score that a layer adds to every key, by head, whatever the row (ALiBi).

    Softmax of a row does not change with what is added to all of its keys, so that a bias that grows with the key's
    position is one that falls with its distance. Positions count from each sequence's first token, packed or not.

    Attributes
    ----------
    made
        Returns what is added to a sequence's first keys, ``[H, number]``, given their number.
    """

    made: Callable[[int], torch.Tensor]

    def up_to(self, num_keys: int, like: torch.Tensor) -> torch.Tensor:
        """Return what is added to the first keys, ``[H, num_keys]``, in the device and dtype of another tensor."""
        return self.made(num_keys).to(like)

    def beside(self, first_key: int, end: int, like: torch.Tensor) -> torch.Tensor:
        """Return what is added to some keys, counted from that of the last one: near a row it keeps its digits."""
        bias = self.up_to(end, like)
        return bias[:, first_key:] - bias[:, -1:]


@dataclass(frozen=True, slots=True)
class Masking:
    """How a layer turns queries and keys into scores.

    Attributes
    ----------
    scaling
        Factor of ``q . k``.
    window
        How far back a row sees.
    softcap
        Gemma's soft-capping, ``cap * tanh(score / cap)``, or None.
    sinks
        One learnt score per query head ``[H]`` that takes part in softmax and stands for no key (gpt-oss), or None.
        Patterns are those over keys alone; a head's output is what is left of it beside the sink.
    key_bias
        What is added to the score of every key (ALiBi), or None; not beside sinks: it is known but for a number per
        row, which changes nothing among keys and everything beside a score that stands for none.
    """

    scaling: float
    window: Window = None
    softcap: float | None = None
    sinks: torch.Tensor | None = field(default=None, compare=False)
    key_bias: KeyBias | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        assert self.sinks is None or self.key_bias is None, "a bias of keys has no origin that a sink could be held to"
