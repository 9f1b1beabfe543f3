"""Rankings, joined clusters, replication, exchanges and Webb's weights beside loops over their definitions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analyses.inference.adjusted import checks, exchange, max_t
from analyses.inference.adjusted.coefficients import design_of, fit_last
from analyses.inference.adjusted.design import ModelSamples
from analyses.inference.joined_clusters import joined_clusters
from analyses.inference.multiplicity import adjust_pvalues, adjust_within, family_sizes
from analyses.inference.orders import Pairs, compare_pairs
from analyses.inference.replication import HalfEffects, is_discovered, is_replicated, split_clusters
from analyses.inference.unadjusted import hedges_standardizer, welch_pvalues


def test_pairs_are_compared_within_samples_and_by_ranks():
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(20), 3)
    values = rng.normal(size=(60, 4)) + np.array([0, 0.3, 0.6, 0])
    values[:9, 2] = np.nan
    values[:, 0] = rng.integers(-3, 4, 60)
    values[:, 3] = values[:, 0] + (rng.random(60) < 0.5)  # differs by 0 or by exactly 1
    found = compare_pairs(values, cluster).pvalue
    for one, other in combinations(range(4), 2):
        change = values[:, one] - values[:, other]
        known = ~np.isnan(change)
        ranks = stats.rankdata(np.abs(change[known]))
        scores = np.sign(change[known]) * stats.norm.ppf(0.5 + ranks / (2 * (known.sum() + 1)))
        both = np.column_stack([change[known], scores])
        expected = fit_last(both, design_of([], np.ones(known.sum())), cluster[known]).pvalue.max()
        assert found[one, other] == found[other, one] == pytest.approx(expected, rel=1e-9)
    assert np.isnan(np.diag(found)).all() and found[0, 3] < 0.05


def test_pairs_that_cannot_be_compared_are_adjusted_with_the_others_left():
    values = np.random.default_rng(2).normal(size=(30, 4))
    values[:, 3] = values[:, 0] + 2.0  # the same change in every sample
    values[1:, 1] = np.nan
    found = compare_pairs(values, np.arange(30))
    assert np.isnan(found.pvalue[0, 3]) and np.isnan(found.pvalue[:, 1]).all()
    adjusted = found.adjusted()
    above = np.triu_indices(4, 1)
    own = found.pvalue[above]
    expected = np.full(6, np.nan)
    expected[~np.isnan(own)] = multipletests(own[~np.isnan(own)], method="holm")[1]
    np.testing.assert_allclose(adjusted[above], expected)
    np.testing.assert_array_equal(adjusted, adjusted.T)
    assert Pairs(np.full((1, 1), np.nan)).adjusted().tolist() == [[1.0]]


def test_clusters_are_joined_as_a_loop_joins_them():
    rng = np.random.default_rng(3)
    for _ in range(20):
        cluster = np.unique(rng.integers(0, 12, 30), return_inverse=True)[1]
        others = np.where(rng.random(30) < 0.2, rng.integers(0, 30, 30), -1)
        others[5] = 0  # the first row is a row like every other
        joint = list(range(cluster.max() + 1))
        for row, other in enumerate(others):
            if other >= 0:
                one, two = joint[cluster[row]], joint[cluster[other]]
                joint = [min(one, two) if code in (one, two) else code for code in joint]
        expected = np.array(joint)[cluster]
        found = joined_clusters(cluster, others)
        assert found.dtype == np.int64 and set(found) == set(range(len(set(expected))))
        assert (found[:, None] == found).tolist() == (expected[:, None] == expected).tolist()


def test_replication_is_found_and_confirmed_with_the_same_sign():
    def half(effect, pvalue):
        return HalfEffects(np.array(effect), np.array(pvalue))

    halves = [
        (half([1.0, 1.0, -1.0], [0.01, 0.01, 0.01]), half([2.0, -2.0, -2.0], [0.05, 0.01, 0.06])),
        (half([1.0, 1.0, 1.0], [0.04, np.nan, 0.01]), half([1.0, 1.0, 1.0], [0.01, 0.01, np.nan])),
    ]
    family = np.array(["a", "a", "a", "b", "b", "b"])
    assert is_replicated(halves, family, 0.05, "bonferroni").tolist() == [True, False, False, False, None, None]
    assert is_discovered(halves, family, 0.05, "bonferroni").tolist() == [True, True, True, False, None, True]


def test_whole_clusters_are_split_once_and_few_are_not():
    cluster = np.repeat(np.arange(5, 25), 3)
    chosen = split_clusters(cluster, 0.3, 1)
    assert chosen is not None and chosen.sum() == 6 * 3
    assert all(len(set(chosen[cluster == code])) == 1 for code in range(5, 25))
    again, other = split_clusters(cluster, 0.3, 1), split_clusters(cluster, 0.3, 2)
    assert (chosen == again).all() and (chosen != other).any()
    assert split_clusters(cluster[:27], 0.3, 1) is None, "nine clusters"
    assert split_clusters(cluster[:30], 0.3, 1) is not None and split_clusters(cluster[:30], 0.15, 1) is not None
    assert split_clusters(cluster[:30], 0.1, 1) is None and split_clusters(cluster, 0.0, 1) is None


def test_families_are_counted_and_adjusted_apart():
    pvalues, family = np.array([0.01, 0.02, np.nan, 0.03]), np.array(["a", "b", "a", "a"])
    assert family_sizes(pvalues, family).tolist() == [2, 1, 2, 2]
    np.testing.assert_allclose(adjust_within(pvalues, family, "bonferroni"), [0.02, 0.02, np.nan, 0.06])
    with pytest.raises(ValueError, match=r"correction 'none' is unknown; known: fdr_bh, fdr_by, holm, bonferroni"):
        adjust_pvalues(pvalues, "none")
    assert np.isnan(adjust_pvalues(np.full(3, np.nan), "holm")).all()


def test_sizes_that_few_clusters_have_are_exchanged_with_the_size_before():
    codes = np.repeat(np.arange(12), np.r_[np.full(10, 2), 7, 7])
    orders = exchange.exchange_orders(codes, 40, 1)
    from_small = [(codes[order[codes >= 10]] < 10).any() for order in orders]
    assert all(sorted(order) == list(range(len(codes))) for order in orders) and np.mean(from_small) > 0.8
    assert len({order.tobytes() for order in orders}) == 40
    again = exchange.exchange_orders(codes, 40, 1)
    assert (orders == again).all() and (orders != exchange.exchange_orders(codes, 40, 2)).any()


def test_few_exchanges_are_kept_in_memory():
    """Draws of thousands of samples are large, and each pattern of missing values has its own."""
    rng = np.random.default_rng(4)
    samples = ModelSamples(rng.random(60) < 0.5, np.arange(60), None, {})
    values = rng.normal(size=(60, 5))
    for column in range(5):
        values[column, column] = np.nan
    drawn = exchange.Exchange(samples, 30, 0)
    blocks = list(drawn.statistics(values))
    assert len(drawn.drawn) <= 2 and len(blocks) == 5
    pooled = exchange.adjusted_pooled(values, samples)
    for found in exchange.Exchange(samples, 30, 0).statistics(values[:, ::-1]):
        (twin,) = (block for block in blocks if block.columns[0] == 4 - found.columns[0])
        np.testing.assert_allclose(found.statistic, twin.statistic)
        np.testing.assert_allclose(found.pooled, pooled[twin.columns])
    assert not list(exchange.Exchange(samples, 0, 0).statistics(values))


def test_pooled_p_of_what_cannot_be_tested_is_none():
    rng = np.random.default_rng(5)
    values = np.column_stack([np.ones(6), rng.normal(size=6)])
    design = design_of([np.ones(6)], np.arange(6.0))
    found = exchange.pooled_pvalues(values, design, np.arange(6))
    assert np.isnan(found[0]) and 0 < found[1] < 1
    full = design_of([rng.normal(size=3), rng.normal(size=3)], rng.normal(size=3))
    assert np.isnan(exchange.pooled_pvalues(values[:3], full, np.arange(3))).all(), "no sample is left over"


def test_webbs_weights_and_signs_are_drawn_alike_often():
    signs = max_t.bootstrap_weights(4000, max_t.FEW_CLUSTERS, 1)
    assert signs.dtype == np.int8 and set(signs.ravel()) == {-1, 1} and abs(signs.mean()) < 0.02
    weights = max_t.bootstrap_weights(4000, max_t.FEW_CLUSTERS - 1, 1)
    values, counts = np.unique(np.round(weights, 12), return_counts=True)
    np.testing.assert_allclose(values, [-np.sqrt(1.5), -1, -np.sqrt(0.5), np.sqrt(0.5), 1, np.sqrt(1.5)])
    np.testing.assert_allclose(counts / weights.size, 1 / 6, atol=0.01)


def test_a_group_whose_values_are_alike_has_no_variance_of_its_own():
    rng = np.random.default_rng(6)
    a, b = np.full((4, 2), 0.1), rng.normal(size=(9, 2))
    statistic = (b.mean(axis=0) - 0.1) / np.sqrt(b.var(axis=0, ddof=1) / 9)
    np.testing.assert_allclose(welch_pvalues(a, b), 2 * stats.t.sf(np.abs(statistic), 8), rtol=1e-9)
    pooled = np.sqrt(b.var(axis=0, ddof=1) * 8 / 11)
    correction = 1 - 3 / (4 * 11 - 1)  # Hedges' own approximation of it
    np.testing.assert_allclose(hedges_standardizer(a, b), pooled / correction, rtol=1e-3)


def test_a_skewed_difference_is_that_of_independent_skewed_errors():
    """With a mean alone beside the group: the skewness of weighted sums of the residuals."""
    rng = np.random.default_rng(7)
    is_a = np.arange(50) < 8
    samples = ModelSamples(is_a, np.arange(50), None, {})
    values = rng.exponential(size=(50, 2))
    own = np.where(is_a, 1 / 8, -1 / 42)
    own = own / np.linalg.norm(own)
    found = checks.skewness_of_difference(values, samples)
    np.testing.assert_allclose(found, stats.skew(values) * (own**3).sum(), rtol=1e-9)
    assert checks.skewness_of_difference(np.ones((50, 1)), samples).tolist() == [0.0]


def test_an_interaction_needs_samples_of_both_groups_on_both_sides():
    rng = np.random.default_rng(8)
    labels = np.array(["up"] * 30 + ["down"] * 12 + ["level"] * 10)
    is_a = rng.random(52) < 0.5
    values = rng.normal(size=(52, 2))
    samples = ModelSamples(is_a, np.arange(52), labels, {})
    found = checks.interactions(values, values, samples)
    assert found.labels == ("up", "the other labels") and np.isfinite(found.pvalue).all()
    lone = np.where((labels != "up") & (np.cumsum(labels != "up") > 4), True, is_a)
    lone[30:34] = False  # four samples of the group beside the first label: one too few
    few = checks.interactions(values, values, ModelSamples(lone, np.arange(52), labels, {}))
    assert np.isnan(few.pvalue).all() and np.isnan(few.effect).all()
    lone[34] = False
    assert np.isfinite(checks.interactions(values, values, ModelSamples(lone, np.arange(52), labels, {})).pvalue).all()
    nothing = checks.interactions(values, values, ModelSamples(is_a, np.arange(52), None, {}))
    assert nothing.labels == ("", "") and np.isnan(nothing.pvalue).all()
