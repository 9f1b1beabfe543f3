"""Fixed, deterministic work units and the packed batches inside them.

How a run is cut depends on inputs and config only, never on free memory or on the machine, so that it is the same
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Generic, Protocol, TypeVar

from engine.encoded_samples import IntArray
from engine.schema.layout import MEASURE_UNITS
from engine.shared_prefixes import common_prefix, families

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

    @property
    def input_ids(self) -> IntArray:
        """Their ids; asked for only where samples may share what they begin with."""
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
    samples: Iterable[S],
    samples_per_shard: int,
    tokens_per_batch: int,
    regime: Regime | None = None,
    *,
    shares: bool = False,
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
    shares
        Whether samples of a batch that begin with the same tokens share these rows.
    """
    rest = iter(samples)
    for number in count():
        part = list(islice(rest, samples_per_shard))
        if not part:
            return
        yield Unit(f"{MEASURE_UNITS}{number:05d}", pack(part, tokens_per_batch, regime, shares=shares))


def pack(
    samples: Sequence[S], tokens_per_batch: int, regime: Regime | None = None, *, shares: bool = False
) -> list[list[S]]:
    """Pack samples first-fit, the longest first; equal lengths keep their order.

    Samples that share what they begin with are packed together, as one item of the tokens that they have in all, or as
    several where that is more than a batch holds. Without any the batches are those of samples that share nothing.
    """
    batches: list[list[S]] = []
    free: list[tuple[int, object]] = []
    for size, members in sorted(_items(samples, tokens_per_batch, regime, shares=shares), key=lambda item: -item[0]):
        kind = regime(members[0].num_tokens) if regime else None
        fits = (i for i, (room, other) in enumerate(free) if room >= size and other == kind)
        fitting = next(fits, None)
        if fitting is None:
            batches.append([])
            free.append((tokens_per_batch, kind))
            fitting = len(batches) - 1
        batches[fitting] += members
        free[fitting] = (free[fitting][0] - size, kind)
    return batches


def _items(
    samples: Sequence[S], tokens_per_batch: int, regime: Regime | None, *, shares: bool
) -> list[tuple[int, list[S]]]:
    """Return what is packed as one, with its tokens: samples, and parts of families, by their first sample."""
    by_kind: dict[object, list[int]] = {}
    for place, sample in enumerate(samples):
        by_kind.setdefault(regime(sample.num_tokens) if regime else None, []).append(place)
    found: dict[int, tuple[int, list[S]]] = {}
    left = set(range(len(samples)))
    for places in by_kind.values() if shares else ():
        for family in families([samples[place].input_ids for place in places]):
            members = [places[place] for place in family]
            left -= set(members)
            for size, part in _parts(samples, members, tokens_per_batch):
                found[min(part)] = size, [samples[place] for place in part]
    found |= {place: (samples[place].num_tokens, [samples[place]]) for place in left}
    return [found[place] for place in sorted(found)]


def _parts(samples: Sequence[S], family: Sequence[int], tokens_per_batch: int) -> list[tuple[int, list[int]]]:
    """Cut a family, in the order of its tokens, into parts that a batch holds, with the tokens of each."""
    parts: list[tuple[int, list[int]]] = []
    for place in family:
        ids = samples[place].input_ids
        if parts:
            size, part = parts[-1]
            grown = size + len(ids) - common_prefix(samples[part[-1]].input_ids, ids)
            if grown <= tokens_per_batch:
                parts[-1] = grown, [*part, place]
                continue
        parts.append((len(ids), [place]))
    return parts
