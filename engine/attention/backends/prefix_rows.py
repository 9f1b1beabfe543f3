"""Rows that several sequences of a packed row begin with: what the first of them found, for the others to go on from.

A statistic of a row depends on the tokens up to it, on which of them key groups hold, and in a mean on which query
groups hold the row. As far as two sequences agree in these, the sums over their rows are the same, and the second one
begins with those of the first. Where they part earlier than their tokens (another key group, another decision row), the
second computes the rows from there on again, in attention alone.

Shape legend: ``T`` tokens of one sequence, ``H`` query heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from engine.attention.backends.backend import LayerCall, PackedRow
from engine.attention.group_means import GroupMeans, LayerStatistics
from engine.attention.layout import SequenceLayout


@dataclass(slots=True)
class KeptRows:
    """What one sequence's rows came to in one layer, for those that begin with the same rows.

    Attributes
    ----------
    log_sum_exp
        Of the scores of each row, ``[H, T]``.
    null_mass
        Of each row, ``[H, T]``; None without sinks.
    means
        Sums and counts of query groups over the first rows, by their number.
    """

    log_sum_exp: torch.Tensor
    null_mass: torch.Tensor | None = None
    means: dict[int, GroupMeans] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where the rows of a sequence begin that a backend computes, and at which rows it keeps what it has.

    Attributes
    ----------
    first
        The first row.
    kept
        What is known of the rows before it; None where there are none.
    stops
        Numbers of rows, ascending, after which others begin.
    """

    first: int = 0
    kept: KeptRows | None = None
    stops: tuple[int, ...] = ()

    def whole(self) -> Beginning:
        """Return the same from the sequence's first row on."""
        return Beginning(stops=self.stops)

    def means(self, layout: SequenceLayout, num_heads: int, num_statistics: int) -> GroupMeans:
        """Return the means so far."""
        if self.kept is None:
            return GroupMeans(layout, num_heads, num_statistics)
        return self.kept.means[self.first].continued(layout)

    def log_sum_exp(self, num_heads: int, num_tokens: int, device: torch.device) -> torch.Tensor:
        """Return room for the log-sum-exp of all rows ``[H, T]``, that of the known ones in it."""
        found = torch.empty((num_heads, num_tokens), device=device)
        if self.kept is not None:
            found[:, : self.first] = self.kept.log_sum_exp[:, : self.first]
        return found

    def null_mass(self) -> list[torch.Tensor]:
        """Return the null mass of the known rows, ``[H, first]``, as the first of a list of blocks."""
        if self.kept is None or self.kept.null_mass is None:
            return []
        return [self.kept.null_mass[:, : self.first]]


AttendOne = Callable[[SequenceLayout, Beginning], tuple[LayerStatistics, KeptRows | None]]
"""Computes one sequence from its beginning on; returns what others go on from where there are stops."""


def sequence_by_sequence(row: PackedRow, attend: AttendOne) -> list[LayerStatistics]:
    """Compute the sequences of a packed row, each behind those whose rows it begins with; return them in its order."""
    found: dict[int, LayerStatistics] = {}
    kept: dict[int, KeptRows | None] = {}
    for place in row.in_order:
        known, stops = row.known_rows[place], row.stops[place]
        beginning = Beginning(stops=stops)
        if known is not None:
            beginning = Beginning(known.number, kept[known.source], stops)
        found[place], kept[place] = attend(row.layouts[place], beginning)
    return [found[place] for place in range(len(row.layouts))]


def write_own(output: torch.Tensor, first: int, rows: torch.Tensor, num_shared: int) -> None:
    """Write rows ``[B, ...]`` of a sequence from one on into the output of its own, but for those that it shares."""
    skipped = min(max(num_shared - first, 0), len(rows))
    begin = first + skipped - num_shared
    output[begin : begin + len(rows) - skipped] = rows[skipped:]


class SequencesApart:
    """A packed row with shared rows as one in which each sequence has all of its rows, for kernels that take no other.

    Shared rows pass through attention once for each sequence, through everything else of the model once.

    Parameters
    ----------
    layouts
        The sequences in the packed row.

    Attributes
    ----------
    layouts
        The same one after the other.
    """

    def __init__(self, layouts: Sequence[SequenceLayout]):
        self.layouts: list[SequenceLayout] = []
        places: list[torch.Tensor] = []
        own: list[torch.Tensor] = []
        start = 0
        for layout in layouts:
            rows = torch.arange(layout.num_tokens, device=layout.indicators.device)
            places.append(layout.packed_rows(rows))
            own.append(rows[layout.num_shared :] + start)
            self.layouts.append(layout.alone(start))
            start += layout.num_tokens
        self.total = start
        self._places, self._own = torch.cat(places), torch.cat(own)

    def call(self, call: LayerCall) -> LayerCall:
        """Return a layer's call for the sequences apart."""
        norms = None if call.value_norms is None else call.value_norms[:, self._places]
        parts = (part[:, self._places] for part in (call.query, call.key, call.value))
        return replace(call, **dict(zip(("query", "key", "value"), parts, strict=True)), value_norms=norms)

    def write(self, output: torch.Tensor, apart: torch.Tensor) -> None:
        """Write what the sequences apart gave, ``[T, H, head_dim]``, into the output of the packed row."""
        output[self._places[self._own]] = apart[self._own].to(output)
