"""Where the sequences, query groups and key groups of one packed row lie, and the order of the statistics."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from engine.attention.matches import TokenMatches
from engine.attention.readers.reading import AnswerReading
from engine.attention.readers.received import ReceivedRows
from engine.samples import EncodedSample
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
    more_logits
        Rows beside the decision row whose logits are kept.
    pattern_dtype
        What whole patterns are kept in: float16 in tables, float32 in a notebook.
    reading
        What its answer's reading is measured of, or None.
    received
        What is asked of what its keys receive, or None.
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
    )
