"""Which samples share what they begin with, and how they are packed: against all pairs, one by one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import shared_prefixes as module
from engine.planning.units import iter_units, pack
from engine.shared_prefixes import LEAST_SHARED, common_prefix, families, placements, shared_prefixes


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(module, "LEAST_SHARED", 3)


def ids(text):
    return np.array([ord(letter) for letter in text], dtype=np.int32)


def made(*texts):
    return [SimpleNamespace(sample_id=text, num_tokens=len(text), input_ids=ids(text)) for text in texts]


def common(one, other):
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab", min_size=1, max_size=9), min_size=1, max_size=9))
def test_each_shares_the_most_that_it_can(texts):
    before, module.LEAST_SHARED = module.LEAST_SHARED, 3
    try:
        sequences = [ids(text) for text in texts]
        found, places = shared_prefixes(sequences), placements(sequences)
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        rows = {}
        for rank, place in enumerate(order):
            most = max((common(texts[place], texts[other]) for other in order[:rank]), default=0)
            shared = found[place]
            assert (shared.number if shared else 0) == (most if most >= 3 else 0)
            if shared:
                assert common(texts[place], texts[shared.source]) == shared.number and shared.source in order[:rank]
        for text, place in zip(texts, places, strict=True):
            stretches = [*place.prefix, (place.start, place.number)]
            at = [first + step for first, number in stretches for step in range(number)]
            for letter, row in zip(text, at, strict=True):
                assert rows.setdefault(row, letter) == letter
        # Every beginning is there once: as many rows as there are different beginnings of those that share any.
        assert len(rows) == sum(place.number for place in places) == max(rows) + 1
        assert all(common_prefix(a, b) == common(a.tolist(), b.tolist()) for a in sequences for b in sequences)
    finally:
        module.LEAST_SHARED = before


def test_a_short_common_line_is_not_shared():
    line = np.arange(LEAST_SHARED - 1, dtype=np.int32)
    with_line = [np.concatenate((line, [1000 + number])).astype(np.int32) for number in range(3)]
    assert shared_prefixes(with_line) == [None] * 3 and families(with_line) == []
    longer = [np.concatenate((line, [7, 1000 + number])).astype(np.int32) for number in range(3)]
    assert [one and one.number for one in shared_prefixes(longer)] == [None, LEAST_SHARED, LEAST_SHARED]


def test_samples_that_share_nothing_are_packed_as_before(short):
    samples = made("ab" * 4, "cde", "efg" * 3, "h", "ijklm")
    for budget in (3, 9, 14, 100):
        assert pack(samples, budget, shares=True) == pack(samples, budget)


def names(batches):
    return [[one.sample_id for one in batch] for batch in batches]


def test_samples_that_share_are_packed_together(short):
    samples = made("promptABC", "xyzxyzxyz", "promptDEFG", "uvw", "promptAB")
    # prompt + ABC + DEFG = 13 tokens, in the order of the tokens; the others fill what is left.
    assert names(pack(samples, 16, shares=True)) == [["promptAB", "promptABC", "promptDEFG", "uvw"], ["xyzxyzxyz"]]
    assert names(pack(samples, 100, shares=True)) == [["promptAB", "promptABC", "promptDEFG", "xyzxyzxyz", "uvw"]]
    # A batch of ten tokens holds the prompt with one answer: as many prompts as answers, as without sharing.
    assert names(pack(samples, 10, shares=True)) == [["promptDEFG"], ["promptAB", "promptABC"], ["xyzxyzxyz"], ["uvw"]]
    assert names(pack(samples, 5, shares=True))[0] == ["promptDEFG"]


def test_samples_of_two_regimes_never_share(short):
    samples = made("promptABC", "promptABCDEFGH", "promptAX")
    found = names(pack(samples, 100, lambda length: length > 10, shares=True))
    assert found == [["promptABCDEFGH"], ["promptABC", "promptAX"]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab", min_size=1, max_size=12), min_size=1, max_size=14), st.integers(1, 30))
def test_batches_hold_what_they_may_and_every_sample_once(texts, budget):
    before, module.LEAST_SHARED = module.LEAST_SHARED, 3
    try:
        samples = [SimpleNamespace(sample_id=str(n), num_tokens=len(t), input_ids=ids(t)) for n, t in enumerate(texts)]
        batches = pack(samples, budget, shares=True)
        assert sorted(one.sample_id for batch in batches for one in batch) == sorted(one.sample_id for one in samples)
        for batch in batches:
            rows = sum(place.number for place in placements([one.input_ids for one in batch]))
            assert rows <= budget or len({one.sample_id for one in batch}) == 1
        units = list(iter_units(samples, 5, budget, shares=True))
        assert [unit.batches for unit in units] == [
            pack(samples[first : first + 5], budget, shares=True) for first in range(0, len(samples), 5)
        ]
    finally:
        module.LEAST_SHARED = before
