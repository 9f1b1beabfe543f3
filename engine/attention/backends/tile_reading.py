"""What an answer's rows read, added up tile by tile beside the rest: no second pass over their scores.

Products of unnormalised weights with key groups, and with positions in them, are scaled down as everything else is when
a tile holds a larger score; those of squared weights by the square of it.
"""

from __future__ import annotations

import torch

from engine.attention.backends.tile_kernel import STATE
from engine.attention.layout import SequenceLayout
from engine.attention.readers.reading import AnswerReading, ReadRows
from engine.attention.readers.row_readers import RowReaders

LARGEST, TOTAL = (STATE.index(name) for name in ("largest", "total"))


class TileReading:
    """The keys that the answer's rows of one sequence read.

    Parameters
    ----------
    reading
        The rows, and the groups of keys before them.
    group
        Heads of a KV head: rows of tiles are pairs of a position and a head.
    """

    def __init__(self, reading: AnswerReading, group: int):
        self.reading, self.group = reading, group
        number = reading.first_row
        groups = reading.groups[:number]
        position = torch.arange(number, dtype=torch.float32)
        self._columns = torch.cat((groups, groups * (position[:, None] - reading.centres)), dim=1)
        self._num_groups = groups.shape[1]
        self._first, self._sums = 0, torch.empty(0)

    @classmethod
    def of(cls, layout: SequenceLayout, group: int, first: int) -> TileReading | None:
        """Return what rows from one on read; None where rows before it read too, or all weights are needed again."""
        reading = layout.reading
        if reading is None or layout.received is not None or not len(reading.rows) or reading.first_row < first:
            return None
        return cls(reading, group)

    def rows(self, first: int, end: int) -> torch.Tensor:
        """Return the answer's rows among those of a block."""
        rows = self.reading.rows
        low, high = torch.searchsorted(rows, rows.new_tensor([first, end])).tolist()
        return rows[low:high]

    def begin(self, first: int, end: int, num_kv: int) -> None:
        """Take room for some blocks: masses, moments and squares, ``[KV, B x G, 3 C]``; none where nothing is read."""
        num_rows = (end - first) * self.group if len(self.rows(first, end)) else 0
        self._first, self._sums = first, torch.zeros((num_kv, num_rows, 3 * self._num_groups))

    def add(
        self, kv: int, first: int, first_key: int, weights: torch.Tensor, before: torch.Tensor, state: torch.Tensor
    ) -> None:
        """Add a tile of one KV head.

        Parameters
        ----------
        kv, first, first_key
            The KV head, first position and first key.
        weights
            Unnormalised, ``[B x G, n]``.
        before, state
            The rows' state before the tile and with it, ``[B x G, len(STATE)]``.
        """
        place = (first - self._first) * self.group
        sums = self._sums[kv, place : place + len(weights)]
        masses, squares = sums.split((2 * self._num_groups, self._num_groups), dim=1)
        factor = torch.where(before[:, TOTAL] > 0, torch.exp(before[:, LARGEST] - state[:, LARGEST]), 1.0)[:, None]
        masses.mul_(factor)
        squares.mul_(factor.square())
        reached = min(self.reading.first_row - first_key, weights.shape[1])
        if reached > 0:
            keys = slice(first_key, first_key + reached)
            masses.addmm_(weights[:, :reached], self._columns[keys])
            squares.addmm_(weights[:, :reached].square(), self._columns[keys, : self._num_groups])

    def hand_over(self, readers: RowReaders, end: int, total: torch.Tensor) -> None:
        """Hand over what the blocks up to one read; ``total`` normalises their weights, ``[H, B]``."""
        rows = self.rows(self._first, end)
        if len(rows):
            chosen = rows - self._first
            found = self._sums.unflatten(1, (-1, self.group)).index_select(1, chosen).transpose(1, 2).flatten(0, 1)
            readers.add_read(rows, ReadRows(*found.chunk(3, dim=-1)), total.index_select(1, chosen))
