"""What the fused kernels read of a packed row that does not change from layer to layer.

Shape legend: ``T`` tokens of the packed row, ``S`` sequences, ``Q`` query groups, ``K`` statistics, ``P`` rider columns
(key groups and the offset within the tile, padded).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from engine.attention.backends.fused.tiling import Tiling, padded
from engine.attention.group_means import defined_rows, visible_keys
from engine.attention.layout import NUM_BASE, NUM_LOOKBACK, SequenceLayout
from engine.attention.masking import Window, first_visible_of
from engine.attention.readers.reading import lookback

MEMBERS = 16
"""Rows and keys of a tile of equal tokens: the least that matrix units take, since most come again a few times."""


class RowTables:
    """Tables of the sequences of one packed row, each with all of its own rows.

    Parameters
    ----------
    layouts
        The sequences.
    """

    def __init__(self, layouts: Sequence[SequenceLayout]):
        self.layouts = list(layouts)
        self.device = layouts[0].indicators.device
        self.total = max(layout.start + layout.num_tokens for layout in layouts)
        self.num_groups = max(layout.query_weights.shape[0] for layout in layouts)
        # With the response as one more, whose place lookback ratios take.
        self.num_masses = layouts[0].carried.shape[1]
        self.num_carried = NUM_BASE + self.num_masses
        self.has_lookback = layouts[0].reading is not None
        if self.has_lookback:
            self.num_carried += NUM_LOOKBACK - 1
        self.weights = torch.zeros((self.num_groups, self.total), dtype=torch.float32, device=self.device)
        for layout in layouts:
            rows = slice(layout.start, layout.start + layout.num_tokens)
            self.weights[: layout.query_weights.shape[0], rows] = layout.query_weights
        self.sequences = self._table([(layout.start, layout.num_tokens, layout.decision) for layout in layouts])
        self.longest = max(layout.num_tokens for layout in layouts)
        self._last_same = [_last_same(layout.token_ids) for layout in layouts]
        self.members, self.member_blocks = self._equal_tokens()
        self._blocks: dict[int, torch.Tensor] = {}
        self._riders: dict[tuple[int, int, bool], list[Pass]] = {}
        self._counts: dict[Window, torch.Tensor] = {}

    def row_blocks(self, size: int) -> torch.Tensor:
        """Return start, tokens and first row of every block of rows, those with most keys first."""
        if size not in self._blocks:
            blocks = [
                (layout.start, layout.num_tokens, first)
                for layout in self.layouts
                for first in range(0, layout.num_tokens, size)
            ]
            self._blocks[size] = self._table(sorted(blocks, key=lambda block: -block[2]))
        return self._blocks[size]

    def passes(self, shape: Tiling, dtype: torch.dtype) -> list[Pass]:
        """Cut the key groups into passes that a program has room for; the first also carries offsets within tiles."""
        at = (shape.keys, shape.columns, dtype == torch.float32)
        if at not in self._riders:
            # float16 beside bfloat16 too: weights take part as two numbers of 11 bits (_carry), where bfloat16 has 8.
            kind = torch.float32 if dtype == torch.float32 else torch.float16
            bounds = [0, *range(shape.columns - 1, self.num_masses, shape.columns), self.num_masses]
            passes: list[Pass] = []
            for first, end in pairwise(bounds):
                if first and end == first:
                    continue
                width = end - first + (1 if first == 0 else 0)
                riders = torch.zeros((self.total, padded(width)), dtype=kind, device=self.device)
                for layout in self.layouts:
                    part = riders[layout.start : layout.start + layout.num_tokens]
                    part[:, : end - first] = layout.carried[:, first:end]
                    if first == 0:
                        part[:, end] = torch.arange(layout.num_tokens, device=self.device) % shape.keys
                passes.append(Pass(first, end - first, riders))
            self._riders[at] = passes
        return self._riders[at]

    def counts_of(self, window: Window) -> torch.Tensor:
        """Return how many rows of each query group count, float64 ``[S, 1, Q, K]``."""
        if window not in self._counts:
            counts = torch.zeros(
                (len(self.layouts), 1, self.num_groups, self.num_carried),
                dtype=torch.float64,
                device=self.device,
            )
            for index, (layout, last) in enumerate(zip(self.layouts, self._last_same, strict=True)):
                rows = torch.arange(layout.num_tokens, device=self.device)
                # The key after the row's last equal token is the nearest of all induction matches.
                first = first_visible_of(rows, window)
                has_match = (last >= 0) & torch.stack((last >= first, last + 1 >= first))
                masses = layout.indicators.shape[1]
                defined = defined_rows(rows, visible_keys(rows, window), has_match, masses).double()
                if layout.reading is not None:
                    _, has_both = lookback(rows.new_ones((1, len(rows))), rows, layout.reading.num_prompt, window)
                    defined = torch.cat((defined, has_both.double()[:, None].expand(-1, NUM_LOOKBACK)), dim=1)
                counts[index, 0, : layout.query_weights.shape[0]] = layout.query_weights.double() @ defined
            self._counts[window] = counts
        return self._counts[window]

    def _equal_tokens(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where tokens stand that come again in their sequence, by id, and their blocks (``matches_kernel``)."""
        members: list[torch.Tensor] = []
        blocks: list[tuple[int, int, int, int]] = []
        begin = 0
        for layout in self.layouts:
            # On the host: a launch needs the number of blocks, and they are the same in every layer.
            ids = layout.token_ids.cpu()
            _, of_place, numbers = torch.unique(ids, return_inverse=True, return_counts=True)
            order = torch.argsort(of_place, stable=True)
            members.append(order[numbers[of_place[order]] > 1] + layout.start)
            for number in numbers[numbers > 1].tolist():
                blocks += [(layout.start, begin, number, first) for first in range(0, number, MEMBERS)]
                begin += number
        return torch.cat(members).to(self.device, torch.int32), self._table(sorted(blocks, key=lambda block: -block[3]))

    def _table(self, rows: Sequence[tuple[int, ...]]) -> torch.Tensor:
        return torch.tensor(rows, dtype=torch.int32).to(self.device)


@dataclass(frozen=True, slots=True)
class Pass:
    """Key groups that one launch carries: the first of them, how many, and their columns ``[T, P]``."""

    first: int
    count: int
    riders: torch.Tensor


def _last_same(token_ids: torch.Tensor) -> torch.Tensor:
    """Return for each row the last earlier position with the same token, or -1."""
    order = torch.argsort(token_ids, stable=True)
    last = torch.full_like(token_ids, -1)
    ordered = token_ids[order]
    last[order[1:]] = torch.where(ordered[1:] == ordered[:-1], order[:-1], -1)
    return last
