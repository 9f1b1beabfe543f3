"""What is accumulated per query row, and how rows become means over query groups.

Shape legend: ``T`` tokens of one sequence, ``B`` rows of one block, ``n`` keys visible to a block, ``H`` query heads,
``C`` key groups, ``Q`` query groups, ``K = 12 + C`` statistics in the order ``BASE_STATISTICS`` then masses by key
group (``K = 12 + 2C`` when norm-weighted masses follow).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from engine.attention.matches import TokenMatches
from engine.samples import EncodedSample
from engine.schema import BASE_STATISTICS

NUM_BASE = len(BASE_STATISTICS)
INDEX = {name: position for position, name in enumerate(BASE_STATISTICS)}


@dataclass(frozen=True, slots=True)
class SequenceLayout:
    """What the probe knows about one packed sequence; the same for every layer.

    Attributes
    ----------
    start
        First position of the sequence in the packed row.
    token_ids
        Shape ``[T]``.
    indicators
        Key groups as 0/1 columns, float32 ``[T, C]``.
    query_weights
        Query groups as 0/1 rows, float32 ``[Q, T]``.
    decision
        The decision row.
    pattern_heads
        Heads of which the whole pattern is kept, by layer.
    pattern_dtype
        What whole patterns are kept in: float16 in tables, float32 in a notebook.
    matches
        Where rows see their own token again, found once for all layers.
    """

    start: int
    token_ids: torch.Tensor
    indicators: torch.Tensor
    query_weights: torch.Tensor
    decision: int
    pattern_heads: dict[int, tuple[int, ...]] = field(default_factory=dict)
    pattern_dtype: torch.dtype = torch.float16
    matches: TokenMatches = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matches", TokenMatches(self.token_ids))

    @property
    def num_tokens(self) -> int:
        """Length of the sequence."""
        return self.token_ids.shape[0]

    def to(self, device: torch.device) -> SequenceLayout:
        """Return the layout on a device, itself when it is there."""
        if self.indicators.device == device:
            return self
        parts = {name: getattr(self, name).to(device) for name in ("token_ids", "indicators", "query_weights")}
        return replace(self, **parts)

    def num_statistics(self, norm_weighted: bool) -> int:
        """Return ``K``: the base statistics, a mass per key group and, when asked, a norm-weighted mass each."""
        return NUM_BASE + self.indicators.shape[1] * (2 if norm_weighted else 1)


def sequence_layout(
    encoded: EncodedSample,
    start: int,
    device: torch.device,
    pattern_heads: dict[int, tuple[int, ...]] | None = None,
) -> SequenceLayout:
    """Lay out one encoded sample at a position of the packed row."""
    indicators = np.zeros((encoded.num_tokens, len(encoded.key_groups)), dtype=np.float32)
    for column, positions in enumerate(encoded.key_groups.values()):
        indicators[positions, column] = 1.0
    weights = np.zeros((len(encoded.query_groups), encoded.num_tokens), dtype=np.float32)
    for row, positions in enumerate(encoded.query_groups.values()):
        weights[row, positions] = 1.0
    return SequenceLayout(
        start=start,
        token_ids=torch.from_numpy(encoded.input_ids.astype(np.int64)).to(device),
        indicators=torch.from_numpy(indicators).to(device),
        query_weights=torch.from_numpy(weights).to(device),
        decision=encoded.decision_position,
        pattern_heads=pattern_heads or {},
    )


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
    """

    means: torch.Tensor
    decision_pattern: torch.Tensor
    is_finite: bool | torch.Tensor = True
    patterns: dict[int, torch.Tensor] = field(default_factory=dict)


def visible_keys(rows: torch.Tensor, window: int | None) -> torch.Tensor:
    """Return how many keys each row sees: ``i + 1``, at most the sliding window."""
    counts = rows + 1
    return counts if window is None else counts.clamp(max=window)


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
        self.sums += weights @ (rows.to(self.dtype) * defined)
        self.counts += weights @ defined

    def is_finite(self) -> bool:
        """Whether no row added so far gave NaN or infinity."""
        return bool(torch.isfinite(self.sums).all())

    def means(self) -> torch.Tensor:
        """Return float32 means ``[H, Q, K]``, NaN where no row counted."""
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
    after_first = rows >= 1
    for name in ("diagonal_excluding_first", "first_token", "previous_token", "mean_relative_distance"):
        defined[:, INDEX[name]] = after_first
    defined[:, INDEX["entropy_normalized"]] = counts > 1
    defined[:, INDEX["duplicate_token"]] = has_match[0]
    defined[:, INDEX["induction"]] = has_match[1]
    return defined
