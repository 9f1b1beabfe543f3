"""The edges that a circuit of some heads can have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.causal.targets import Head

Input = Literal["q", "k", "v", "logits"]
"""What an edge ends in: the query, key or value input of a head, or the final norm in front of the logits."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A way of what one head writes, or of what stands at some keys, into one input of another head or to the logits.

    Attributes
    ----------
    source
        Layer and query head, or the name of a key group.
    target
        Layer and query head, or None for the logits.
    input
        Which input of the target.
    """

    source: Head | str
    target: Head | None
    input: Input

    @property
    def head(self) -> Head | None:
        """The head that it starts from; None for a key group."""
        return None if isinstance(self.source, str) else self.source

    @property
    def is_between_heads(self) -> bool:
        """Whether it can be cut: from a head, to a head or to the logits."""
        return not isinstance(self.source, str)

    def to_json(self) -> list[object]:
        """Return it as a plan holds it."""
        return [self.source, self.target, self.input]

    @classmethod
    def from_json(cls, entry: Sequence[object]) -> Edge:
        """Return the edge of an entry."""
        source, target, name = entry
        first = source if isinstance(source, str) else _head(source)
        return cls(first, None if target is None else _head(target), name)  # type: ignore[arg-type]


def _head(entry: object) -> Head:
    assert isinstance(entry, list | tuple)
    layer, head = entry
    return int(layer), int(head)


def candidate_edges(heads: Iterable[Head], key_groups: Collection[str]) -> list[Edge]:
    """Return every edge that heads can have: what they read of key groups, from heads below them, and to the logits.

    Parameters
    ----------
    heads
        Layer and query head of each.
    key_groups
        Names of key groups, each a source of every head's values.
    """
    ordered = sorted(set(heads))
    edges = [Edge(name, target, "v") for target in ordered for name in key_groups]
    inputs: tuple[Input, ...] = ("q", "k", "v")
    edges += [
        Edge(source, target, name)
        for target in ordered
        for source in ordered
        if source[0] < target[0]
        for name in inputs
    ]
    return edges + [Edge(source, None, "logits") for source in ordered]
