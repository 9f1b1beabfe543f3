"""Weights of a row's own token and of what follows it: gathered pairs, one product, and a slow loop agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.attention import matches as module
from engine.attention.matches import TokenMatches


def slow(weights, ids, first, first_key, window):
    """Return duplicate and induction sums ``[H, B, 2]`` in float64, and whether there is any match ``[2, B]``."""
    heads, size, num_keys = weights.shape
    found, has_match = np.zeros((heads, size, 2)), np.zeros((2, size), bool)
    for row in range(size):
        i = first + row
        for column in range(num_keys):
            j = first_key + column
            if j > i or (window is not None and j <= i - window):
                continue
            for kind, is_match in enumerate((j < i and ids[j] == ids[i], j >= 1 and ids[j - 1] == ids[i])):
                if is_match:
                    found[:, row, kind] += weights[:, row, column]
                    has_match[kind, row] = True
    return found, has_match


@pytest.mark.parametrize("vocabulary", [1, 2, 9, 10**6])
@pytest.mark.parametrize("window", [None, 1, 5, 40])
@pytest.mark.parametrize("share", [0.0, 0.125, 1.0])
def test_gathered_and_dense_sums_equal_a_loop(monkeypatch, vocabulary, window, share):
    monkeypatch.setattr(module, "DENSE_SHARE", share)
    rng = np.random.default_rng(vocabulary)
    ids = rng.integers(0, vocabulary, 40)
    matches = TokenMatches(torch.from_numpy(ids))
    for first, end in ((0, 8), (8, 9), (9, 40)):
        first_key = 0 if window is None else max(0, first - window + 1)
        weights = torch.from_numpy(rng.random((3, end - first, end - first_key))).float()
        expected, has_match = slow(weights.double().numpy(), ids, first, first_key, window)
        for _ in range(2):  # found, then remembered
            block = matches.block(first, end, first_key, window)
            np.testing.assert_allclose(block.weigh(weights).numpy(), expected, atol=2e-6)
            assert (block.has_match.numpy() == has_match).all()


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "PAIRS_PER_TOKEN", 4)
    matches = TokenMatches(torch.zeros(64, dtype=torch.int64))
    weights = torch.rand((2, 8, 64))
    sums = [matches.block(first, first + 8, 0, None).weigh(weights[..., : first + 8]) for first in range(0, 64, 8)]
    assert len(matches._kept) < 8
    again = [matches.block(first, first + 8, 0, None).weigh(weights[..., : first + 8]) for first in range(0, 64, 8)]
    assert all(torch.equal(one, other) for one, other in zip(sums, again, strict=True))
