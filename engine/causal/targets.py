"""Which heads are changed at a time, and which windows of layers are knocked out, as the config says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.config.causes.heads import HeadsSection
from engine.config.causes.method import TopHeads
from engine.errors import UnsupportedModelError

Head = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Target:
    """Heads that are changed together.

    Attributes
    ----------
    unit
        ``head``, ``kv_group``, ``layer`` or ``set``.
    members
        Every layer and query head.
    """

    unit: str
    members: tuple[Head, ...]

    @property
    def layer(self) -> int | None:
        """The layer; None for a set."""
        return None if self.unit == "set" else self.members[0][0]

    @property
    def head(self) -> int | None:
        """The query head, where there is only one."""
        return self.members[0][1] if self.unit == "head" else None

    def by_layer(self) -> dict[int, tuple[int, ...]]:
        """Return the query heads of each layer."""
        layers: dict[int, list[int]] = {}
        for layer, head in self.members:
            layers.setdefault(layer, []).append(head)
        return {layer: tuple(heads) for layer, heads in sorted(layers.items())}


def targets(
    section: HeadsSection,
    num_heads: int,
    num_kv_heads: Mapping[int, int],
    screened: Sequence[Head] = (),
) -> list[Target]:
    """Return what a section changes, one target after the other.

    Parameters
    ----------
    section
        The part of the config.
    num_heads
        Query heads of a layer.
    num_kv_heads
        KV heads of each layer that has heads.
    screened
        Heads that attribution chose, for ``heads: {top: k}``.

    Raises
    ------
    UnsupportedModelError
        When a listed layer has no heads.
    """
    if section.heads == "all":
        chosen: list[Head] = [(layer, head) for layer in num_kv_heads for head in range(num_heads)]
    else:
        chosen = sorted(set(screened if isinstance(section.heads, TopHeads) else section.heads))
    for layer, _ in chosen:
        if layer not in num_kv_heads:
            raise UnsupportedModelError(
                f"layer {layer} has no heads to change (it is recurrent, a convolution, or an MLP alone); those with "
                f"heads are {', '.join(map(str, num_kv_heads))}"
            )
    if section.unit == "head":
        return [Target("head", (head,)) for head in chosen]
    if section.unit == "set":
        return [Target("set", tuple(chosen))]
    if section.unit == "layer":
        return [
            Target("layer", tuple((layer, head) for head in range(num_heads)))
            for layer in sorted({layer for layer, _ in chosen})
        ]
    sizes = {layer: num_heads // number for layer, number in num_kv_heads.items()}
    return [
        Target("kv_group", tuple((layer, head) for head in range(group * sizes[layer], (group + 1) * sizes[layer])))
        for layer, group in sorted({(layer, head // sizes[layer]) for layer, head in chosen})
    ]


def windows(num_layers: int, size: int) -> list[tuple[int, int]]:
    """Return a window of layers around every layer, cut at both ends (Geva et al. 2023), each once."""
    around = [(max(0, layer - size // 2), min(num_layers - 1, layer + (size - 1) // 2)) for layer in range(num_layers)]
    return list(dict.fromkeys(around))
