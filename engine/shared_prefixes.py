"""Which samples begin with the same tokens: those rows are the same in each, and a packed row holds them once.

A row sees what stands before it alone, so that two texts have the same queries, keys and values as far as they have the
same tokens. Planning counts by this what a batch takes, and measuring cuts its packed rows by it: what is found depends
on the token ids of a batch and on nothing else.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from engine.encoded_samples import IntArray

LEAST_SHARED = 256
"""Tokens from which a prefix is shared. Sharing has a price for each sample and layer, a copy of the prefix's keys and
values and products with fewer rows, which is more than what some dozens of tokens cost; and chat templates' own lines
and short system prompts, which nearly all samples begin with, leave the numbers of a run as they were without it."""


@dataclass(frozen=True, slots=True)
class SharedPrefix:
    """The first rows of a sample that are those of another one.

    Attributes
    ----------
    source
        Place of the other one, which is at least as long.
    number
        Tokens that both begin with.
    """

    source: int
    number: int


def longest_first(sequences: Sequence[IntArray]) -> list[int]:
    """Return the places of sequences by length, the longest first; equal ones keep their order."""
    return sorted(range(len(sequences)), key=lambda place: -len(sequences[place]))


def shared_prefixes(sequences: Sequence[IntArray]) -> list[SharedPrefix | None]:
    """Return what each sequence shares with one that comes before it, the longest first; None where nothing.

    Parameters
    ----------
    sequences
        Token ids, ``[T]`` each.
    """
    found: list[SharedPrefix | None] = [None] * len(sequences)
    order = longest_first(sequences)
    for family in families(sequences):
        common = [common_prefix(sequences[one], sequences[other]) for one, other in pairwise(family)]
        rank = {place: number for number, place in enumerate(family)}
        seen: list[int] = []
        for place in (place for place in order if place in rank):
            # Of all that came before, those next to it in the order of their tokens share most with it.
            own = rank[place]
            at = bisect(seen, own)
            near = [(min(common[other:own]), other) for other in seen[max(at - 1, 0) : at]]
            near += [(min(common[own:other]), other) for other in seen[at : at + 1]]
            seen.insert(at, own)
            if near:
                number, other = max(near, key=lambda one: one[0])
                found[place] = SharedPrefix(family[other], number)
    return found


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a sequence lies in a packed row.

    Attributes
    ----------
    start
        Packed position of the first row that is its own.
    number
        Rows that are its own.
    prefix
        Packed position and number of each stretch of the rows before them, which are rows of other sequences.
    """

    start: int
    number: int
    prefix: tuple[tuple[int, int], ...] = ()

    def first_rows(self, number: int) -> tuple[tuple[int, int], ...]:
        """Return packed position and number of each stretch of its first rows."""
        found: list[tuple[int, int]] = []
        for first, length in (*self.prefix, (self.start, self.number)):
            if length and number:
                found.append((first, min(length, number)))
                number -= found[-1][1]
        return tuple(found)


def placements(sequences: Sequence[IntArray], *, shares: bool = True) -> list[Placement]:
    """Return where sequences lie in a packed row: one after the other, or, where they share rows, the longest first."""
    shared = shared_prefixes(sequences) if shares else [None] * len(sequences)
    order = longest_first(sequences) if any(shared) else range(len(sequences))
    found: dict[int, Placement] = {}
    start = 0
    for place in order:
        with_other, number = shared[place], len(sequences[place])
        prefix = () if with_other is None else found[with_other.source].first_rows(with_other.number)
        own = number if with_other is None else number - with_other.number
        found[place] = Placement(start, own, prefix)
        start += own
    return [found[place] for place in range(len(sequences))]


def families(sequences: Sequence[IntArray]) -> list[list[int]]:
    """Return the places of sequences that begin with the same ``LEAST_SHARED`` tokens, two at least.

    Families come by their first member; the members of one in the order of their tokens, so that those that share more
    stand next to each other.
    """
    by_beginning: dict[bytes, list[int]] = {}
    for place, ids in enumerate(sequences):
        if len(ids) >= LEAST_SHARED:
            by_beginning.setdefault(_sortable(ids[:LEAST_SHARED]), []).append(place)
    return [
        sorted(members, key=lambda place: _sortable(sequences[place]))
        for members in by_beginning.values()
        if len(members) > 1
    ]


def beginning(ids: IntArray) -> bytes | None:
    """Return a digest of a sequence's first ``LEAST_SHARED`` tokens; None where it has fewer."""
    if len(ids) < LEAST_SHARED:
        return None
    return blake2b(_sortable(ids[:LEAST_SHARED]), digest_size=12).digest()


def common_prefix(one: IntArray, other: IntArray) -> int:
    """Return how many tokens two sequences begin with alike."""
    number = min(len(one), len(other))
    differs = one[:number] != other[:number]
    first = int(differs.argmax()) if number else 0
    return first if number and differs[first] else number


def _sortable(ids: IntArray) -> bytes:
    """Return bytes whose order is that of the ids, which are not negative."""
    return np.ascontiguousarray(ids, dtype=">u4").tobytes()
