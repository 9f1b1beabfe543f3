"""How statistics of query rows become means over query groups.

Shape legend: ``T`` tokens of one sequence, ``B`` rows of one block, ``n`` keys visible to a block, ``H`` query heads,
``C`` key groups, ``Q`` query groups, ``K = 12 + C`` statistics in the order ``BASE_STATISTICS`` then masses by key
group (``K = 12 + 2C`` when norm-weighted masses follow).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from engine.attention.layout import INDEX, NUM_BASE, SequenceLayout
from engine.attention.masking import Window, first_visible_of
from engine.attention.readers.received import Received


@dataclass(slots=True)
class LayerStatistics:
    """Statistics of one sequence in one layer.

    Attributes
    ----------
    means
        Float32 ``[H, Q, K]``; NaN where a query group has no row that counts.
    decision_pattern
        The decision row, float32 ``[H, T]``, zero beyond the row itself.
    is_finite
        Whether no row of any query group gave NaN or infinity; a tensor where asking would wait for the device.
    patterns
        Whole patterns of the heads asked for, lower triangles row by row in the layout's ``pattern_dtype``.
    null_mass
        What a sink takes of every row's softmax: means over query groups, float32 ``[H, Q]``, NaN where no row counts,
        and behind them the decision row's, ``[H, Q + 1]`` in all. None without sinks.
    reading
        Centroid, drift and concentration over the answer's rows, float32 ``[H, C, 3]``; None where not measured.
    received
        What keys and sentences receive; None where not measured.
    """

    means: torch.Tensor
    decision_pattern: torch.Tensor
    is_finite: bool | torch.Tensor = True
    patterns: dict[int, torch.Tensor] = field(default_factory=dict)
    null_mass: torch.Tensor | None = None
    reading: torch.Tensor | None = None
    received: Received | None = None


def visible_keys(rows: torch.Tensor, window: Window) -> torch.Tensor:
    """Return how many keys each row sees: ``i + 1``, at most those of its window or chunk."""
    return rows + 1 if window is None else rows + 1 - first_visible_of(rows, window)


class GroupMeans:
    """Accumulates rows into means over query groups, each statistic over the rows where it is defined."""

    def __init__(self, layout: SequenceLayout, num_heads: int, num_statistics: int):
        device = layout.indicators.device
        # Sums of thousands of rows keep all of float32's digits only in float64; MPS has none.
        self.dtype = torch.float32 if device.type == "mps" else torch.float64
        self.layout = layout
        shape = (layout.query_weights.shape[0], num_statistics)
        self.sums = torch.zeros((num_heads, *shape), dtype=self.dtype, device=device)
        self.counts = torch.zeros(shape, dtype=self.dtype, device=device)

    def add(self, first_row: int, end_row: int, rows: torch.Tensor, is_defined: torch.Tensor) -> None:
        """Add a block of rows.

        Parameters
        ----------
        first_row, end_row
            The block.
        rows
            Row statistics ``[H, B, K]``, finite everywhere.
        is_defined
            Where a statistic exists for a row, bool ``[B, K]``.
        """
        weights = self.layout.query_weights[:, first_row:end_row].to(self.dtype)
        defined = is_defined.to(self.dtype)
        # Times 0 instead of taken out: what is undefined is finite and vanishes, but NaN of a broken row stays visible.
        self.sums += weights @ (rows.to(self.dtype) * defined)
        self.counts += weights @ defined

    def continued(self, layout: SequenceLayout | None = None) -> GroupMeans:
        """Return a copy that goes on apart, of another sequence with the same rows so far where one is given."""
        copy = GroupMeans.__new__(GroupMeans)
        copy.dtype, copy.layout = self.dtype, self.layout if layout is None else layout
        copy.sums, copy.counts = self.sums.clone(), self.counts.clone()
        return copy

    def is_finite(self) -> bool:
        """Whether no row added so far gave NaN or infinity."""
        return bool(torch.isfinite(self.sums).all())

    def means(self) -> torch.Tensor:
        """Return float32 means ``[H, Q, K]``, NaN where no row counted."""
        # 0 / 0 is the NaN that stands for no row; nothing is rounded to float32 before the mean is complete.
        return (self.sums / self.counts).to(torch.float32)


def defined_rows(rows: torch.Tensor, counts: torch.Tensor, has_match: torch.Tensor, num_groups: int) -> torch.Tensor:
    """Return where each statistic is defined, bool ``[B, K]``.

    Parameters
    ----------
    rows
        Row positions ``[B]``.
    counts
        Visible keys ``[B]``.
    has_match
        Whether a row has a duplicate and an induction match, bool ``[2, B]``.
    num_groups
        Number of key groups, whose masses are defined in every row.
    """
    defined = torch.ones((rows.shape[0], NUM_BASE + num_groups), dtype=torch.bool, device=rows.device)
    # Row 0 sees itself alone: by construction, its weights on itself and the first token are 1 and none precedes it.
    after_first = rows >= 1
    for name in ("diagonal_excluding_first", "first_token", "previous_token", "mean_relative_distance"):
        defined[:, INDEX[name]] = after_first
    defined[:, INDEX["entropy_normalized"]] = counts > 1
    defined[:, INDEX["duplicate_token"]] = has_match[0]
    defined[:, INDEX["induction"]] = has_match[1]
    return defined
