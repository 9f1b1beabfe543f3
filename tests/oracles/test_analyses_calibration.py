"""Promises of the tests, checked by simulation: 784 correlated heads, clusters that share labels, longer statements."""

import numpy as np
import pytest

from tests.benchmarks.inference_calibration import simulate
from tests.benchmarks.simulated_heads import World

NUM_SIMULATIONS = 60


def error_of(shares):
    return shares.std(ddof=1) / np.sqrt(len(shares))


@pytest.fixture(scope="module")
def null():
    return simulate(World(), NUM_SIMULATIONS)


def limit(rate, count=NUM_SIMULATIONS):
    return rate + 3 * np.sqrt(rate * (1 - rate) / count)


def test_false_positives_of_single_tests_are_at_the_nominal_rate(null):
    """Heads of one simulation are correlated, so the error is that over simulations."""
    assert abs(null.alone.mean() - 0.05) < 3 * error_of(null.alone) + 0.005


@pytest.mark.parametrize("correction", ["fdr_bh", "fdr_by", "holm", "bonferroni"])
def test_without_any_effect_discoveries_are_as_rare_as_promised(null, correction):
    assert null.discoveries[correction].mean() <= limit(0.05)


def test_max_t_and_cluster_mass_keep_the_family_wise_rate(null):
    assert null.family_wise.mean() <= limit(0.05) and null.layers.mean() <= limit(0.05)
    assert null.naive.mean() > 0.3, "the confounding is too weak for this simulation to mean anything"


def test_false_discoveries_among_true_ones_and_the_power_are_as_promised():
    planted = simulate(World(num_planted=40, effect=0.6), 40, seed=1, permutations=19)
    for correction, shares in planted.discoveries.items():
        assert shares.mean() <= 0.05 + 3 * error_of(shares), correction
    assert planted.power.mean() == pytest.approx(planted.expected.mean(), abs=3 * error_of(planted.power) + 0.02)
    assert 0.5 < planted.expected.mean() < 0.99


def test_few_clusters_find_no_more_than_many():
    few = simulate(World(num_samples=60, num_clusters=14), NUM_SIMULATIONS, seed=2, permutations=99)
    assert few.alone.mean() < 0.05 + 3 * error_of(few.alone) + 0.01
    assert few.family_wise.mean() <= limit(0.05) and few.discoveries["fdr_bh"].mean() <= limit(0.05)
