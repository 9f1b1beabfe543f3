"""What a replica finds out about one unit: as it goes, and in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import pyarrow as pa

from engine.encoded_samples import EncodedSample
from engine.machine.devices import Watch
from engine.measuring.measured import Measured
from engine.samples import Reject


@dataclass(slots=True)
class UnitResult:
    """What a replica found out about one unit."""

    tables: dict[str, pa.Table]
    rejects: list[Reject]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class UnitProgress:
    """What is found out of a unit while it is measured."""

    watch: Watch
    measured: list[Measured] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    divided: list[str] = field(default_factory=list)
    smallest_budget: int | None = None
    num_shared: int = 0

    def sound(self) -> list[Measured]:
        """Return the samples that can be used and reject the others."""
        faults = [sample.fault() for sample in self.measured]
        self.rejects += [
            Reject(sample.encoded.sample_id, "measure", *fault)
            for sample, fault in zip(self.measured, faults, strict=True)
            if fault is not None
        ]
        return [sample for sample, fault in zip(self.measured, faults, strict=True) if fault is None]

    def divide(self, batch: Sequence[EncodedSample], largest: int) -> None:
        """Note that a batch was measured in parts, the largest of so many tokens: numbers may differ in last bits."""
        self.divided += [sample.sample_id for sample in batch if sample.sample_id not in self.divided]
        self.smallest_budget = min(largest, self.smallest_budget or largest)


def halves_of(batch: Sequence[EncodedSample]) -> tuple[Sequence[EncodedSample], Sequence[EncodedSample]]:
    """Cut a batch of at least two samples where half of its tokens lie on either side, as nearly as samples allow."""
    total = sum(sample.num_tokens for sample in batch)
    before = list(accumulate(sample.num_tokens for sample in batch))[:-1]
    cut = 1 + min(range(len(before)), key=lambda index: abs(2 * before[index] - total))
    return batch[:cut], batch[cut:]
