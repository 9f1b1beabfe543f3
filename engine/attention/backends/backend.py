"""What a backend is: one layer's call and one packed row in, the layer's output and its statistics out.

Shape legend: ``T`` tokens of the packed row, ``H`` query heads, ``KV`` key-value heads; query head ``h`` reads KV head
``h // (H / KV)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import torch

from engine.attention.group_means import LayerStatistics
from engine.attention.layout import SequenceLayout
from engine.attention.masking import Masking


class BackendUnavailable(RuntimeError):  # noqa: N818 - not a mistake: another backend takes over
    """A backend cannot run on this machine; the message says why, ``needs`` what it would take."""

    def __init__(self, reason: str, needs: str = ""):
        super().__init__(reason)
        self.needs = needs


@dataclass(frozen=True, slots=True)
class LayerCall:
    """One layer's attention as the model asks for it.

    Attributes
    ----------
    query
        ``[H, T, head_dim]``.
    key, value
        ``[KV, T, head_dim]``; values may have another ``head_dim``.
    masking
        Scaling, sliding window and soft-capping.
    layer_idx
        The layer, for the whole patterns asked for.
    value_norms
        Norm of what each position's value adds to the residual stream through each query head, float32 ``[H, T]``;
        when given, norm-weighted masses follow the masses.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    masking: Masking
    layer_idx: int = 0
    value_norms: torch.Tensor | None = None

    @property
    def needs_grad(self) -> bool:
        """Whether gradients must pass through the layer."""
        parts = (self.query, self.key, self.value)
        return torch.is_grad_enabled() and any(part.requires_grad for part in parts)

    def of_sequence(self, layout: SequenceLayout) -> LayerCall:
        """Return the part of a packed row that is one sequence; sequences see no others beyond what they share."""
        return replace(
            self,
            query=layout.gathered(self.query),
            key=layout.gathered(self.key),
            value=layout.gathered(self.value),
            value_norms=None if self.value_norms is None else layout.gathered(self.value_norms),
        )


class KnownRows(NamedTuple):
    """First rows of a sequence whose statistics another one of the row has found: its place, and their number."""

    source: int
    number: int


@dataclass(frozen=True, eq=False)
class PackedRow:
    """The sequences of one packed row on one device, overlapping in what they share alone: the same for every layer.

    Compared by identity, so that a backend can remember what it worked out for a row as long as the row lives.
    """

    layouts: Sequence[SequenceLayout]

    @cached_property
    def in_order(self) -> list[int]:
        """Places of the sequences, each behind those whose rows it shares."""
        return sorted(range(len(self.layouts)), key=lambda place: self.layouts[place].start)

    @cached_property
    def known_rows(self) -> list[KnownRows | None]:
        """What each sequence need not compute since another one has; None where nothing."""
        found: list[KnownRows | None] = [None] * len(self.layouts)
        owners = {
            layout.start: place for place, layout in enumerate(self.layouts) if layout.own_rows.stop > layout.start
        }
        for place in self.in_order:
            layout, end = self.layouts[place], self.layouts[place].num_shared
            # Whoever owns the last rows knows most; where they part before these, an earlier owner may know enough.
            for first, number in reversed(layout.prefix):
                source = owners[first]
                known = min(layout.agreeing_rows(self.layouts[source]), end)
                begun = found[source]
                if known > (0 if begun is None else begun.number):
                    found[place] = KnownRows(source, known)
                    break
                end -= number
        return found

    @cached_property
    def stops(self) -> list[tuple[int, ...]]:
        """By sequence: numbers of rows, ascending, after which others go on."""
        wanted: list[set[int]] = [set() for _ in self.layouts]
        for known in self.known_rows:
            if known is not None:
                wanted[known.source].add(known.number)
        return [tuple(sorted(numbers)) for numbers in wanted]


class Backend(Protocol):
    """Computes attention together with its statistics."""

    method: str
    """What the facts of a unit call it."""

    def prepare(self, layouts: Sequence[SequenceLayout]) -> None:
        """Find what all layers need to know about a packed row's sequences, before its forward; often nothing."""

    def covers(self, call: LayerCall, row: PackedRow) -> bool:
        """Whether this backend computes such a layer."""
        ...

    def attend(self, call: LayerCall, row: PackedRow, output: torch.Tensor) -> list[LayerStatistics]:
        """Write a layer's output for all sequences and return the statistics of each.

        Parameters
        ----------
        call
            A call that is covered.
        row
            The sequences.
        output
            Receives the output, ``[T, H, head_dim]`` in any floating dtype.

        Raises
        ------
        BackendUnavailable
            When it turns out that the backend cannot run on this machine.
        """
        ...
