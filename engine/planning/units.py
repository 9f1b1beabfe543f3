"""Fixed, deterministic work units and the packed batches inside them.

How a run is cut depends on inputs and config only, never on free memory or on the machine, so that it is the same
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Generic, Protocol, TypeVar

from engine.schema.layout import MEASURE_UNITS

Regime = Callable[[int], object]


class Packable(Protocol):
    """What has an id and a length: an encoded sample, or what stands for it."""

    @property
    def sample_id(self) -> str:
        """Its id."""
        ...

    @property
    def num_tokens(self) -> int:
        """Tokens of prompt and answer."""
        ...


S = TypeVar("S", bound=Packable)


@dataclass(frozen=True, slots=True)
class Unit(Generic[S]):
    """A unit of work: its name and its packed batches."""

    name: str
    batches: list[list[S]]

    @property
    def sample_ids(self) -> list[str]:
        """Ids in batch order."""
        return [sample.sample_id for batch in self.batches for sample in batch]


def iter_units(
    samples: Iterable[S], samples_per_shard: int, tokens_per_batch: int, regime: Regime | None = None
) -> Iterator[Unit[S]]:
    """Cut samples, in file order, into units, and pack each unit's samples into batches.

    Units are yielded one by one, and the samples of one unit only are held.

    Parameters
    ----------
    samples
        All encoded samples.
    samples_per_shard
        Samples of a unit; the last may hold fewer.
    tokens_per_batch
        Tokens of a packed batch at most; a sample longer than that gets a batch of its own.
    regime
        Which samples may share a batch, by their length; all of them when None.
    """
    rest = iter(samples)
    for number in count():
        part = list(islice(rest, samples_per_shard))
        if not part:
            return
        yield Unit(f"{MEASURE_UNITS}{number:05d}", pack(part, tokens_per_batch, regime))


def pack(samples: Sequence[S], tokens_per_batch: int, regime: Regime | None = None) -> list[list[S]]:
    """Pack samples first-fit, the longest first; equal lengths keep their order."""
    batches: list[list[S]] = []
    free: list[tuple[int, object]] = []
    for sample in sorted(samples, key=lambda sample: -sample.num_tokens):
        kind = regime(sample.num_tokens) if regime else None
        fits = (i for i, (room, other) in enumerate(free) if room >= sample.num_tokens and other == kind)
        fitting = next(fits, None)
        if fitting is None:
            batches.append([])
            free.append((tokens_per_batch, kind))
            fitting = len(batches) - 1
        batches[fitting].append(sample)
        free[fitting] = (free[fitting][0] - sample.num_tokens, kind)
    return batches
