"""Where the sequences, query groups and key groups of one packed row lie, and the order of the statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from engine.attention.matches import TokenMatches
from engine.attention.readers.reading import AnswerReading
from engine.attention.readers.received import ReceivedRows
from engine.encoded_samples import EncodedSample
from engine.schema import BASE_STATISTICS, LOOKBACK_STATISTICS

NUM_BASE = len(BASE_STATISTICS)
NUM_LOOKBACK = len(LOOKBACK_STATISTICS)
INDEX = {name: position for position, name in enumerate(BASE_STATISTICS)}


@dataclass(frozen=True, slots=True)
class SequenceLayout:
    """What the probe knows about one packed sequence; the same for every layer.

    Attributes
    ----------
    start
        Packed position of the first row that is the sequence's own: of all its rows where it shares none.
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
    more_logits
        Rows beside the decision row whose logits are kept.
    pattern_dtype
        What whole patterns are kept in: float16 in tables, float32 in a notebook.
    reading
        What its answer's reading is measured of, or None.
    received
        What is asked of what its keys receive, or None.
    prefix
        Where its first rows lie that are rows of sequences before it in the packed row, since these begin with the same
        tokens: packed position and number of each stretch, in order. Empty where all rows are its own.
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
    more_logits: tuple[int, ...] = ()
    reading: AnswerReading | None = None
    received: ReceivedRows | None = None
    prefix: tuple[tuple[int, int], ...] = ()
    matches: TokenMatches = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matches", TokenMatches(self.token_ids))

    @property
    def num_tokens(self) -> int:
        """Length of the sequence."""
        return self.token_ids.shape[0]

    @property
    def num_shared(self) -> int:
        """How many of its first rows are rows of other sequences."""
        return sum(number for _, number in self.prefix)

    @property
    def own_rows(self) -> slice:
        """Where the rows behind them lie in the packed row."""
        return slice(self.start, self.start + self.num_tokens - self.num_shared)

    @property
    def stretches(self) -> tuple[tuple[int, int], ...]:
        """Packed position and number of each stretch of its rows, in order; the last one is its own."""
        return (*self.prefix, (self.start, self.num_tokens - self.num_shared))

    def packed_row(self, row: int) -> int:
        """Return where one of its rows lies in the packed row."""
        before = 0
        for first, number in self.prefix:
            if row < before + number:
                return first + row - before
            before += number
        return self.start + row - before

    def packed_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Return where some of its rows lie in the packed row."""
        if not self.prefix:
            return rows + self.start
        places = [torch.arange(first, first + number, device=rows.device) for first, number in self.stretches]
        return torch.cat(places)[rows]

    def gathered(self, packed: torch.Tensor, dim: int = 1) -> torch.Tensor:
        """Return its rows of a tensor of the packed row: a view, or a copy where it shares rows."""
        parts = [packed.narrow(dim, first, number) for first, number in self.stretches]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)

    def agreeing_rows(self, other: SequenceLayout) -> int:
        """Return from which row on another sequence of the same first tokens counts to other groups, or in others."""
        mine, others = (self.carried, self.query_weights), (other.carried, other.query_weights)
        if mine[0].shape[1] != others[0].shape[1] or len(mine[1]) != len(others[1]):
            return 0
        number = min(self.num_tokens, other.num_tokens)
        differs = (mine[0][:number] != others[0][:number]).any(dim=1)
        differs |= (mine[1][:, :number] != others[1][:, :number]).any(dim=0)
        return int(differs.int().argmax()) if bool(differs.any()) else number

    def alone(self, start: int = 0) -> SequenceLayout:
        """Return the same sequence with all rows its own, from a packed position on."""
        return replace(self, start=start, prefix=())

    def to(self, device: torch.device) -> SequenceLayout:
        """Return the layout on a device, itself when it is there."""
        if self.indicators.device == device:
            return self
        parts = {name: getattr(self, name).to(device) for name in ("token_ids", "indicators", "query_weights")}
        reading = None if self.reading is None else self.reading.to(device)
        return replace(self, **parts, reading=reading)

    @property
    def carried(self) -> torch.Tensor:
        """Key groups and, where reading is measured, the response as one more, float32 ``[T, C or C + 1]``."""
        return self.indicators if self.reading is None else torch.cat((self.indicators, self.reading.response), dim=1)

    def num_statistics(self, norm_weighted: bool) -> int:
        """Return ``K``: base statistics, a mass per key group and, when asked, lookbacks and norm-weighted masses."""
        more = 0 if self.reading is None else NUM_LOOKBACK
        return NUM_BASE + more + self.indicators.shape[1] * (2 if norm_weighted else 1)


def sequence_layout(
    encoded: EncodedSample,
    start: int,
    device: torch.device,
    pattern_heads: dict[int, tuple[int, ...]] | None = None,
    with_reading: bool = False,
    received: ReceivedRows | None = None,
    prefix: tuple[tuple[int, int], ...] = (),
) -> SequenceLayout:
    """Lay out one encoded sample at a position of the packed row; with what else is read of patterns, when asked."""
    indicators = np.zeros((encoded.num_tokens, len(encoded.key_groups)), dtype=np.float32)
    for column, positions in enumerate(encoded.key_groups.values()):
        indicators[positions, column] = 1.0
    weights = np.zeros((len(encoded.query_groups), encoded.num_tokens), dtype=np.float32)
    for row, positions in enumerate(encoded.query_groups.values()):
        weights[row, positions] = 1.0
    groups = torch.from_numpy(indicators).to(device)
    return SequenceLayout(
        start=start,
        token_ids=torch.from_numpy(encoded.input_ids.astype(np.int64)).to(device),
        indicators=groups,
        query_weights=torch.from_numpy(weights).to(device),
        decision=encoded.decision_position,
        pattern_heads=pattern_heads or {},
        more_logits=encoded.logit_rows[1:],
        reading=AnswerReading.of(encoded, groups) if with_reading else None,
        received=received,
        prefix=prefix,
    )


def packed_ids(layouts: Sequence[SequenceLayout]) -> torch.Tensor:
    """Return the token ids of a packed row ``[T_total]``: of each sequence those that are its own."""
    return torch.cat([layout.token_ids[layout.num_shared :] for layout in in_row_order(layouts)])


def packed_positions(layouts: Sequence[SequenceLayout]) -> torch.Tensor:
    """Return each packed row's position in its sequence, ``[T_total]``, on the host."""
    return torch.cat([torch.arange(layout.num_shared, layout.num_tokens) for layout in in_row_order(layouts)])


def in_row_order(layouts: Sequence[SequenceLayout]) -> list[SequenceLayout]:
    """Return layouts by where their own rows lie."""
    return sorted(layouts, key=lambda layout: layout.start)
