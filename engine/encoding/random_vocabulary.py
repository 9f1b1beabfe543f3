"""Seeded random vocabularies, matched in frequency and position: the null for heads that favour a vocabulary.

A head may favour a vocabulary only because its words are frequent, or stand early or late. Each random vocabulary
replaces every word of the original by another word of the same texts with about as many occurrences at about the same
place, so that what is left of a preference is about the words themselves. They are measured in the same pass, because
they cannot be recovered from the tables later.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from engine.encoding.terms import Terms, Words

WordCounts = dict[str, dict[str, tuple[int, int]]]
"""Count and summed position of each word, ``inside`` and ``outside`` of a vocabulary's matches."""
_WORD = re.compile(r"[^\W\d_](?<!\w.)[^\W\d_]*(?:['’-][^\W\d_]+)*(?!\w)")
"""A word of letters; it begins with one, so that the search passes over all other characters at once."""
_NUM_NEAREST = 5
_POSITION_WEIGHT = 4.0
"""How a distance of the whole text's length compares with a factor of e in frequency."""
_BITS = 96
"""Binary digits of a relative position that are kept: more than a float has, whatever the length of the text."""


@dataclass(slots=True)
class _WordFacts:
    """How often a word occurs, and the sum of its relative positions in units of ``2**-96``.

    Whole numbers: their sum is the same in whatever order texts are counted, so that it may be made in parts.
    """

    count: int = 0
    total: int = 0

    def add(self, count: int, total: int) -> None:
        self.count += count
        self.total += total

    @property
    def position(self) -> float:
        """Mean relative position, from 0 to 1."""
        return self.total / (self.count << _BITS)


class WordCensus:
    """Count and mean relative position of every word, inside and outside a vocabulary's matches.

    Parameters
    ----------
    vocabulary
        The vocabulary's terms.
    """

    def __init__(self, vocabulary: Terms):
        self.vocabulary = vocabulary
        self.inside: dict[str, _WordFacts] = {}
        self.outside: dict[str, _WordFacts] = {}

    def add(self, text: str) -> None:
        """Count the words of what the model saw of one sample."""
        beyond = len(text) + 1
        edges = iter([*self.vocabulary.spans(Words(text)), (beyond, beyond)])
        first, last = next(edges)
        inside: dict[str, list[int]] = {}
        outside: dict[str, list[int]] = {}
        for match in _WORD.finditer(text):
            start, end = match.span()
            while last <= start:
                first, last = next(edges)
            found = inside if first < end else outside
            facts = found.get(match[0])
            if facts is None:
                found[match[0]] = [1, start]
            else:
                facts[0] += 1
                facts[1] += start
        for found, facts_of in ((inside, self.inside), (outside, self.outside)):
            for word, (count, total) in found.items():
                facts_of.setdefault(word.casefold(), _WordFacts()).add(count, (total << _BITS) // len(text))

    def counts(self) -> WordCounts:
        """Return what was counted, to be sent to the census of another process."""
        return {
            place: {word: (facts.count, facts.total) for word, facts in found.items()}
            for place, found in (("inside", self.inside), ("outside", self.outside))
        }

    def merge(self, counts: WordCounts) -> None:
        """Add what another census counted of other texts."""
        for place, found in (("inside", self.inside), ("outside", self.outside)):
            for word, (count, total) in counts[place].items():
                found.setdefault(word, _WordFacts()).add(count, total)

    def draw(self, num_vocabularies: int, seed: int) -> list[list[str]]:
        """Draw random vocabularies.

        Parameters
        ----------
        num_vocabularies
            How many to draw.
        seed
            The run's seed; the same texts, vocabulary and seed give the same words.

        Returns
        -------
        list of list of str
            Words of each random vocabulary, sorted. A vocabulary has as many words as occur of the original, or fewer
            when the texts have too few other words.
        """
        inside, outside = self.inside, self.outside
        names = sorted(word for word in outside if word not in inside and not self.vocabulary.pattern.fullmatch(word))
        counts = np.array([math.log(outside[name].count) for name in names])
        positions = np.array([outside[name].position for name in names])
        originals = sorted(inside, key=lambda word: (-inside[word].count, word))
        return [
            _draw(originals, inside, names, counts, positions, np.random.default_rng([seed, number]))
            for number in range(num_vocabularies)
        ]


def mean_overlap(vocabularies: Sequence[Sequence[str]]) -> float:
    """Return the mean share of words that two vocabularies have in common (Jaccard index), 0 for fewer than two."""
    pairs = [(set(one), set(other)) for one, other in combinations(vocabularies, 2) if one or other]
    return sum(len(one & other) / len(one | other) for one, other in pairs) / len(pairs) if pairs else 0.0


def _draw(
    originals: Iterable[str],
    inside: dict[str, _WordFacts],
    names: list[str],
    counts: np.ndarray,
    positions: np.ndarray,
    random: np.random.Generator,
) -> list[str]:
    free = np.ones(len(names), dtype=bool)
    drawn: list[str] = []
    for word in originals:
        available = np.flatnonzero(free)
        if not len(available):
            break
        facts = inside[word]
        distance = np.abs(counts[available] - math.log(facts.count)) + _POSITION_WEIGHT * np.abs(
            positions[available] - facts.position
        )
        nearest = available[np.argsort(distance, kind="stable")[:_NUM_NEAREST]]
        chosen = int(random.choice(nearest))
        free[chosen] = False
        drawn.append(names[chosen])
    return sorted(drawn)
