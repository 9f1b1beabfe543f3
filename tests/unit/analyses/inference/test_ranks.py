"""Ranks of many columns against SciPy's, ties, zeros of both signs, infinities and gaps included."""

import numpy as np
import pytest
from scipy import stats

from analyses.inference import ranks


def drawn(kind, seed, num_samples=37, num_tests=11):
    """Draw columns with everything that may be met: ties, both zeros, infinities and NaN."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(num_samples, num_tests)).astype(kind)
    values[:, ::2] = rng.integers(-3, 4, values[:, ::2].shape)
    for special in (0.0, -0.0, np.inf, -np.inf, np.nan):
        values[rng.random(values.shape) < 0.07] = special
    values[:, 3] = np.nan
    values[:, 4] = 2.5
    return values


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("at_once", [1, 100, 2**16])
def test_ranks_are_scipys(kind, at_once, monkeypatch):
    monkeypatch.setattr(ranks, "VALUES_AT_ONCE", at_once)
    values = drawn(kind, seed=at_once)
    found = ranks.rank_columns(values)
    for test, column in enumerate(values.T):
        known = ~np.isnan(column)
        np.testing.assert_array_equal(found.doubled[test, known], 2 * stats.rankdata(column[known]) - 2)
        assert (found.doubled[test, ~known] == -1).all()
        sizes = np.unique(column[known], return_counts=True)[1].astype(float)
        assert found.ties[test] == (sizes**3 - sizes).sum()


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 0)])
def test_nothing_to_rank(shape):
    found = ranks.rank_columns(np.ones(shape, dtype=np.float32))
    assert found.doubled.shape == shape[::-1] and (found.doubled == 0).all() and (found.ties == 0).all()
