"""Promises of the tests, checked by simulation: 784 correlated heads, clusters that share labels, longer statements."""

import numpy as np
import pytest
from scipy import stats

from analyses.inference import multiplicity, ranks, unadjusted
from analyses.inference.adjusted import design, effects, max_t
from analyses.questions.heads.head_types import random_pvalues
from tests.benchmarks.inference_calibration import simulate
from tests.benchmarks.simulated_heads import World
from tests.fixtures.max_t_maxima import permutation_maxima

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


NUM_COMPANY_SIMULATIONS = 80


def companies(rng, effect=0.0, num_tests=60):
    """Companies that share errors, correctness and statistics; the statistic depends on label and length only."""
    cluster = np.unique(rng.integers(0, 45, 160), return_inverse=True)[1]
    company = rng.normal(size=cluster.max() + 1)[cluster]
    is_a = rng.random(160) < 1 / (1 + np.exp(-0.4 - company))
    labels = np.where(rng.random(160) < np.where(is_a, 0.7, 0.45), "increase", "decrease")
    length = rng.normal(7, 0.3, 160) + 0.3 * is_a
    shared = rng.normal(size=(160, 1)) + rng.normal(size=(cluster.max() + 1, 1))[cluster]
    values = rng.normal(size=(160, num_tests)) + shared + 1.5 * (labels == "increase")[:, None] + length[:, None]
    values[:, 0] += effect * is_a
    return values, design.ModelSamples(is_a, cluster, labels, {"log_num_tokens": length})


def test_false_positives_stay_at_the_nominal_rate_without_any_effect():
    rng = np.random.default_rng(2024)
    alone, welch, any_bh, any_max_t = [], [], 0, 0
    for simulation in range(NUM_COMPANY_SIMULATIONS):
        values, samples = companies(rng)
        found = effects.adjusted_effects(values, samples)
        alone.append(np.mean(found.pvalue < 0.05))
        plain = unadjusted.compare_groups(values, samples.is_a)
        welch.append(np.any(multiplicity.adjust_pvalues(plain.pvalue_welch, "fdr_bh") < 0.05))
        any_bh += bool(np.any(multiplicity.adjust_pvalues(found.pvalue, "fdr_bh") < 0.05))
        signs = max_t.random_signs(199, samples.cluster.max() + 1, simulation)
        maxima = permutation_maxima(values, samples, signs)
        any_max_t += bool(np.any(max_t.max_t_pvalues(found.statistic, maxima) < 0.05))
    limit = stats.binom.ppf(0.999, NUM_COMPANY_SIMULATIONS, 0.05)
    assert 0.01 < np.mean(alone) < 0.09
    assert any_max_t <= limit
    assert any_bh <= limit
    assert np.mean(welch) > 0.25, "the confounding is too weak for this test to mean anything"


def small_cells(rng, num_odd, num_tests=60):
    """Nothing differs. Of 120 samples in 60 clusters, all "increase" are right and all "decrease" wrong but a few."""
    labels = np.repeat(["increase", "decrease"], 60)
    is_a = labels == "increase"
    is_a[:num_odd], is_a[-num_odd:] = False, True
    cluster = rng.permutation(np.arange(120) % 60)
    values = rng.normal(size=(120, num_tests)) + 0.5 * rng.normal(size=(60, num_tests))[cluster]
    return values, design.ModelSamples(is_a, cluster, labels, {"length": rng.normal(size=120)})


def random_minority(rng, num_minority, num_tests=60):
    """Nothing differs between 250 samples and a few others drawn at random."""
    is_a = np.ones(250, bool)
    is_a[rng.choice(250, num_minority, replace=False)] = False
    cluster = np.unique(rng.integers(0, 120, 250), return_inverse=True)[1]
    values = rng.normal(size=(250, num_tests)) + 0.5 * rng.normal(size=(cluster.max() + 1, num_tests))[cluster]
    labels = np.where(rng.random(250) < 0.6, "increase", "decrease")
    return values, design.ModelSamples(is_a, cluster, labels, {"length": rng.normal(size=250)})


@pytest.mark.parametrize(
    ("draw", "size"),
    [(small_cells, 1), (small_cells, 2), (small_cells, 6), (random_minority, 9), (random_minority, 20)],
)
def test_small_groups_and_cells_make_no_findings(draw, size):
    """With CR1 errors and clusters - 1 degrees of freedom nearly every run of such data has a finding."""
    rng = np.random.default_rng(size)
    alone, found_any, found_any_max_t, found_any_cr1 = [], 0, 0, 0
    for simulation in range(40):
        values, samples = draw(rng, size)
        naive = effects.adjusted_effects(values, samples, errors="CR1")
        found_any_cr1 += bool(np.any(multiplicity.adjust_pvalues(naive.pvalue, "fdr_bh") < 0.05))
        found = effects.adjusted_effects(values, samples)
        if np.isnan(found.pvalue).all():
            assert all("degrees of freedom" in note and "predicted" in note for note in found.note)
            continue
        alone.append(np.mean(found.pvalue < 0.05))
        found_any += bool(np.any(multiplicity.adjust_pvalues(found.pvalue, "fdr_bh") < 0.05))
        signs = max_t.random_signs(99, samples.cluster.max() + 1, simulation)
        maxima = permutation_maxima(values, samples, signs)
        found_any_max_t += bool(np.any(max_t.max_t_pvalues(found.statistic, maxima) < 0.05))
    limit = stats.binom.ppf(0.999, 40, 0.05)
    assert found_any <= limit and found_any_max_t <= limit
    assert found_any_cr1 > limit, "the old errors pass too, so this test shows nothing"
    assert not alone or np.mean(alone) < 0.08
    assert (len(alone) == 0) == (draw is small_cells and size < 3)


def test_skewed_values_of_a_small_group_make_no_findings_on_ranks():
    """Log-normal weights, 20 of 250: t-tests are liberal whatever their errors, max-T too; ranks are not."""
    rng = np.random.default_rng(3)
    on_values, on_both = 0, 0
    for _ in range(40):
        values, samples = random_minority(rng, 20)
        values = np.exp(values)
        found = effects.adjusted_effects(values, samples).pvalue
        ranked = effects.adjusted_effects(ranks.normal_scores(values), samples).pvalue
        passes = [multiplicity.adjust_pvalues(pvalues, "fdr_bh") < 0.05 for pvalues in (found, ranked)]
        on_values += bool(passes[0].any())
        on_both += bool((passes[0] & passes[1]).any())
    assert on_both <= stats.binom.ppf(0.999, 40, 0.05) < on_values


@pytest.mark.parametrize("num_random", [3, 5, 20])
def test_a_random_vocabulary_is_no_finding_among_random_vocabularies(num_random):
    """Every vocabulary has its own lift on every head; the next one drawn differs no more than the others do."""
    rng = np.random.default_rng(num_random)
    spread, error = 0.3, 0.02
    lifts = 1 + spread * rng.normal(size=(num_random + 1, 40_000))
    measured = lifts + error * rng.normal(size=lifts.shape)
    known = np.full(40_000, error * np.sqrt(1 + 1 / num_random))
    pvalues = random_pvalues(measured[0], measured[1:], known)
    assert np.mean(pvalues <= 0.05) == pytest.approx(0.05, abs=0.005)
    naive = stats.norm.sf((measured[0] - measured[1:].mean(axis=0)) / known)
    assert np.mean(naive <= 0.05) > 0.3
    assert np.isnan(random_pvalues(measured[0], measured[1:3], known)).all()
    expected = stats.ttest_1samp(measured[1:, 0], measured[0, 0], alternative="less").statistic
    no_error = stats.t.isf(random_pvalues(measured[0], measured[1:], np.zeros(40_000))[0], num_random - 1)
    assert no_error == pytest.approx(-expected / np.sqrt(num_random + 1), rel=1e-6)


def test_a_planted_effect_is_found():
    rng = np.random.default_rng(7)
    hits = 0
    for simulation in range(10):
        values, samples = companies(rng, effect=1.6)
        found = effects.adjusted_effects(values, samples)
        signs = max_t.random_signs(199, samples.cluster.max() + 1, simulation)
        maxima = permutation_maxima(values, samples, signs)
        hits += max_t.max_t_pvalues(found.statistic, maxima)[0] < 0.05
    assert hits >= 8
