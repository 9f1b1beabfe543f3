"""Columns and their ranks beside loops and SciPy, ties and gaps included."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analyses.inference.columns import constant_columns, missing_patterns
from analyses.inference.ranks import normal_scores, rank_columns, signed_scores


def columns_with_ties(dtype=float):
    rng = np.random.default_rng(3)
    values = np.round(rng.normal(size=(41, 6)), 1).astype(dtype)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 0] = rng.permutation(41)  # no tie, no gap
    values[:, 4] = 1.0
    values[:, 5] = np.nan
    return values


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ranks_are_scipys(dtype):
    values = columns_with_ties(dtype)
    found = rank_columns(values)
    for column in range(6):
        known = ~np.isnan(values[:, column])
        expected = stats.rankdata(values[known, column])
        np.testing.assert_array_equal(found.doubled[column, known], 2 * expected - 2)
        assert (found.doubled[column, ~known] == -1).all()
        sizes = np.unique(values[known, column], return_counts=True)[1]
        assert found.ties[column] == (sizes.astype(float) ** 3 - sizes).sum()


def test_normal_scores_of_whole_columns_are_quantiles_of_their_middle_ranks():
    values = columns_with_ties()[:, [0, 4]]
    expected = stats.norm.ppf((stats.rankdata(values, axis=0) - 0.5) / 41)
    np.testing.assert_allclose(normal_scores(values), expected, atol=1e-12)
    np.testing.assert_array_equal(normal_scores(values, rank_columns(values)), normal_scores(values))
    assert normal_scores(np.zeros((0, 2))).shape == (0, 2)


def test_signed_scores_are_those_of_hajek_and_sidak():
    values = np.array([[-3.0], [1.0], [2.0], [-2.0], [0.0]])
    ranks = stats.rankdata(np.abs(values[:, 0]))
    expected = np.sign(values[:, 0]) * stats.norm.ppf(0.5 + ranks / 12)
    np.testing.assert_allclose(signed_scores(values)[:, 0], expected)


def test_columns_with_the_same_gaps_are_gathered():
    values = np.arange(30.0).reshape(5, 6)
    values[[0, 3], 1] = values[[0, 3], 4] = values[2, 5] = np.nan
    found = {tuple(columns.tolist()): rows.tolist() for rows, columns in missing_patterns(values)}
    assert found == {
        (0, 2, 3): [True] * 5,
        (1, 4): [False, True, True, False, True],
        (5,): [True, True, False, True, True],
    }
    ((rows, columns),) = missing_patterns(np.ones((2, 3)))
    assert rows.all() and columns.tolist() == [0, 1, 2]


def test_what_varies_by_float32_rounding_is_constant():
    one = np.float32(0.3)
    values = np.array([[one, 1.0, -5.0, 0.0], [np.nextafter(one, np.float32(1)), 1.00001, -5.0, 0.0]], dtype=float)
    assert constant_columns(values).tolist() == [True, False, True, True]
    assert constant_columns(np.zeros((0, 2))).tolist() == [True, True]
