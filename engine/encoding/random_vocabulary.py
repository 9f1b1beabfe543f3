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

_WORD = re.compile(r"(?<!\w)[^\W\d_]+(?:['’-][^\W\d_]+)*(?!\w)")
_NUM_NEAREST = 5
_POSITION_WEIGHT = 4.0
"""How a distance of the whole text's length compares with a factor of e in frequency."""


@dataclass(slots=True)
class _WordFacts:
    count: int = 0
    position: float = 0.0

    def add(self, position: float) -> None:
        self.count += 1
        self.position += (position - self.position) / self.count


class WordCensus:
    """Count and mean relative position of every word, inside and outside a vocabulary's matches.

    Parameters
    ----------
    vocabulary
        Pattern of the vocabulary's terms.
    """

    def __init__(self, vocabulary: re.Pattern[str]):
        self.vocabulary = vocabulary
        self.inside: dict[str, _WordFacts] = {}
        self.outside: dict[str, _WordFacts] = {}

    def add(self, text: str) -> None:
        """Count the words of what the model saw of one sample."""
        spans = [match.span() for match in self.vocabulary.finditer(text)]
        current = 0
        for match in _WORD.finditer(text):
            while current < len(spans) and spans[current][1] <= match.start():
                current += 1
            is_inside = current < len(spans) and spans[current][0] < match.end()
            facts = (self.inside if is_inside else self.outside).setdefault(match.group().casefold(), _WordFacts())
            facts.add(match.start() / len(text))

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
        names = sorted(word for word in outside if word not in inside and not self.vocabulary.fullmatch(word))
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
