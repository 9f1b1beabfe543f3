"""What is read of patterns beside a row's own statistics, block by block: an answer's reading, what keys receive.

A backend that holds weights anyway hands them over in its one pass; others in a second one over the rows that are asked
for, with the log-sum-exp of each row from the first.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from engine.attention.blocks import row_blocks
from engine.attention.group_means import LayerStatistics
from engine.attention.layout import SequenceLayout
from engine.attention.masking import Window
from engine.attention.readers.reading import ReadingSums, ReadRows
from engine.attention.readers.received import ReceivedSums


class RowReaders:
    """What reads the rows of one sequence in one layer.

    Parameters
    ----------
    layout
        Says what is asked for.
    num_heads
        Query heads.
    window
        How far back rows see.
    """

    def __init__(self, layout: SequenceLayout, num_heads: int, window: Window):
        self.layout, self.num_heads, self.window = layout, num_heads, window
        self.reading = None if layout.reading is None else ReadingSums(layout.reading, num_heads)
        device, asked = layout.indicators.device, layout.received
        self.received = None if asked is None else ReceivedSums(asked, num_heads, window, device)

    def add(self, first: int, end: int, first_key: int, weights: torch.Tensor, total: torch.Tensor | None) -> None:
        """Hand over a block of rows; arguments as in ``ReadingSums.add``."""
        if self.reading is not None:
            self.reading.add(first, end, first_key, weights, total)
        if self.received is not None:
            self.received.add(first, end, first_key, weights, total)

    def add_read(self, rows: torch.Tensor, read: ReadRows, total: torch.Tensor) -> None:
        """Hand over what rows of the answer read; arguments as in ``ReadingSums.add_rows``."""
        if self.reading is not None:
            self.reading.add_rows(rows, read, total)

    def reads_before(self, row: int) -> bool:
        """Whether rows before one are asked for."""
        return any(first < row for first, _ in self._stretches())

    def blocks(self, device: torch.device) -> list[tuple[int, int]]:
        """Return the blocks of rows that a second pass has to hand over."""
        found: list[tuple[int, int]] = []
        for first, end in self._stretches():
            found += row_blocks(end, self.num_heads, self.window, device, first)
        return found

    def end_key(self, end: int) -> int:
        """Return one past the last key that a block of rows up to ``end`` has to hand over in a second pass."""
        if self.received is not None or self.reading is None:
            return end
        return min(end, self.reading.reading.first_row)

    def _stretches(self) -> list[tuple[int, int]]:
        """Return first row and one past the last of each stretch of rows that is asked for."""
        if self.received is not None:
            return [(0, self.layout.num_tokens)]
        if self.reading is None:
            return []
        rows = self.reading.reading.rows
        if not len(rows):
            return []
        parts = torch.tensor_split(rows, (torch.nonzero(rows.diff() > 1)[:, 0] + 1).tolist())
        return [(int(part[0]), int(part[-1]) + 1) for part in parts]

    def added_to(self, statistics: LayerStatistics) -> LayerStatistics:
        """Return a layer's statistics with what was read."""
        return replace(
            statistics,
            reading=None if self.reading is None else self.reading.means(),
            received=None if self.received is None else self.received.found(),
        )
