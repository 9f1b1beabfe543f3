"""Every vectorised statistic against SciPy, statsmodels or a slow loop, one test at a time."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analyses import adjusted_model, significance


def make_samples(rng, num_samples=90, num_clusters=25, labels=("increase", "decrease")):
    cluster = np.unique(rng.integers(0, num_clusters, num_samples), return_inverse=True)[1]
    is_a = rng.random(num_samples) < 0.6
    predicted = rng.choice(labels, num_samples)
    covariates = {"log_num_tokens": rng.normal(7, 0.4, num_samples)}
    return adjusted_model.Samples(is_a, cluster, predicted, covariates)


def make_values(rng, samples, num_tests=7, missing=0.0):
    company = rng.normal(size=(samples.cluster.max() + 1, num_tests))[samples.cluster]
    values = rng.normal(size=(len(samples.is_a), num_tests)) + 0.7 * company + 0.3 * samples.is_a[:, None]
    values[rng.random(values.shape) < missing] = np.nan
    return values


def columns_of(samples, rows):
    """The model's columns written out by hand, the group last."""
    labels = samples.labels[rows]
    levels = sorted(set(labels))
    effects = np.array(
        [[(label == level) - float(label == levels[-1]) for level in levels[:-1]] for label in labels]
    ).reshape(len(labels), -1)
    effects = effects - effects.mean(axis=0)
    group = samples.is_a[rows].astype(float)
    covariates = [column[rows] for column in samples.covariates.values()]
    return np.column_stack([np.ones(len(group)), *covariates, effects, effects * group[:, None], group])


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("labels", [("increase", "decrease"), ("increase", "decrease", "flat")])
def test_adjusted_effects_equal_statsmodels_clustered_ols(missing, labels):
    rng = np.random.default_rng(3)
    samples = make_samples(rng, labels=labels)
    values = make_values(rng, samples, missing=missing)
    found = adjusted_model.adjusted_effects(values, samples)
    for test in range(values.shape[1]):
        rows = ~np.isnan(values[:, test])
        fit = sm.OLS(values[rows, test], columns_of(samples, rows)).fit(
            cov_type="cluster", cov_kwds={"groups": samples.cluster[rows]}, use_t=True
        )
        low, high = fit.conf_int()[-1]
        expected = [fit.params[-1], fit.bse[-1], fit.tvalues[-1], fit.pvalues[-1], low, high]
        got = [
            getattr(found, name)[test]
            for name in ("effect", "standard_error", "statistic", "pvalue", "ci_low", "ci_high")
        ]
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-11)
        assert found.num_clusters[test] == len(set(samples.cluster[rows]))


def test_the_effect_is_the_average_marginal_effect():
    """Mean over the samples of prediction(correct) - prediction(incorrect), from a plain uncentred regression."""
    rng = np.random.default_rng(5)
    samples = make_samples(rng)
    values = make_values(rng, samples, num_tests=3)
    label = np.where(samples.labels == "increase", 1.0, -1.0)
    group, length = samples.is_a.astype(float), samples.covariates["log_num_tokens"]

    def design(group):
        return np.column_stack([np.ones(len(label)), group, label, group * label, length])

    for test in range(3):
        fit = sm.OLS(values[:, test], design(group)).fit()
        expected = np.mean(fit.predict(design(np.ones(len(label)))) - fit.predict(design(np.zeros(len(label)))))
        found = adjusted_model.adjusted_effects(values, samples).effect[test]
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_max_t_equals_a_loop_over_refitted_models(missing):
    rng = np.random.default_rng(11)
    samples = make_samples(rng, num_samples=60, num_clusters=18)
    values = make_values(rng, samples, num_tests=4, missing=missing)
    signs = adjusted_model.random_signs(8, samples.cluster.max() + 1, seed=2)
    expected = np.zeros(len(signs))
    for permutation, sign in enumerate(signs):
        for test in range(values.shape[1]):
            rows = ~np.isnan(values[:, test])
            columns, target, cluster = columns_of(samples, rows), values[rows, test], samples.cluster[rows]
            null = sm.OLS(target, columns[:, :-1]).fit()
            flipped = null.fittedvalues + sign[cluster] * null.resid
            fit = sm.OLS(flipped, columns).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
            expected[permutation] = max(expected[permutation], abs(fit.tvalues[-1]))
    found = adjusted_model.permutation_maxima(values, samples, signs)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_max_t_in_parts_is_max_t_of_the_whole(monkeypatch):
    rng = np.random.default_rng(12)
    samples = make_samples(rng)
    values = make_values(rng, samples, num_tests=10)
    signs = adjusted_model.random_signs(20, samples.cluster.max() + 1, seed=0)
    whole = adjusted_model.permutation_maxima(values, samples, signs)
    monkeypatch.setattr(adjusted_model, "PERMUTATION_BLOCK", 3)
    parts = [adjusted_model.permutation_maxima(values[:, part], samples, signs) for part in (slice(0, 4), slice(4, 10))]
    np.testing.assert_allclose(np.maximum(*parts), whole, rtol=1e-10)


def test_max_t_pvalues_count_themselves():
    maxima = np.array([1.0, 2.0, 3.0, 4.0])
    found = adjusted_model.max_t_pvalues(np.array([-3.5, 0.5, 9.0, 2.0, np.nan]), maxima)
    np.testing.assert_allclose(found, [2 / 5, 1.0, 1 / 5, 4 / 5, np.nan])


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_plain_comparisons_equal_scipy_one_test_at_a_time(missing):
    rng = np.random.default_rng(4)
    samples = make_samples(rng)
    values = np.round(make_values(rng, samples, missing=missing), 1)
    found = significance.compare_groups(values, samples.is_a)
    for test in range(values.shape[1]):
        here = ~np.isnan(values[:, test])
        a, b = values[here & samples.is_a, test], values[here & ~samples.is_a, test]
        welch = stats.ttest_ind(a, b, equal_var=False)
        ranked = stats.mannwhitneyu(a, b, method="asymptotic")
        pairs = [(x > y) + 0.5 * (x == y) for x in a for y in b]
        assert found.pvalue_welch[test] == pytest.approx(welch.pvalue, rel=1e-10)
        assert found.pvalue_mannwhitney[test] == pytest.approx(ranked.pvalue, rel=1e-10)
        assert found.auc[test] == pytest.approx(np.mean(pairs), rel=1e-12)
        assert (found.num_a[test], found.num_b[test]) == (len(a), len(b))
        assert found.mean_a[test] - found.mean_b[test] == pytest.approx(a.mean() - b.mean())


def test_hedges_g_is_unbiased_where_cohens_d_is_not():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 1, (4, 40_000)), rng.normal(0, 1, (5, 40_000))
    pooled = np.sqrt((3 * a.var(axis=0, ddof=1) + 4 * b.var(axis=0, ddof=1)) / 7)
    cohen = (a.mean(axis=0) - b.mean(axis=0)) / pooled
    assert significance.hedges_g(a, b).mean() == pytest.approx(0.8, abs=0.015)
    assert cohen.mean() > 0.87


@pytest.mark.parametrize("correction", ["fdr_bh", "fdr_by", "holm", "bonferroni"])
def test_adjustments_equal_statsmodels_and_skip_nan(correction):
    pvalues = np.random.default_rng(1).random(50) ** 3
    with_gaps = np.insert(pvalues, [0, 20], np.nan)
    found = significance.adjust_pvalues(with_gaps, correction)
    assert np.isnan(found[[0, 21]]).all()
    np.testing.assert_allclose(found[~np.isnan(found)], multipletests(pvalues, method=correction)[1], rtol=1e-12)


def test_clustered_mean_equals_statsmodels_intercept_only():
    rng = np.random.default_rng(9)
    samples = make_samples(rng)
    values = make_values(rng, samples, num_tests=4, missing=0.1)
    found = significance.clustered_mean(values, samples.cluster.astype(str), 0.9)
    for test in range(4):
        rows = ~np.isnan(values[:, test])
        fit = sm.OLS(values[rows, test], np.ones(rows.sum())).fit(
            cov_type="cluster", cov_kwds={"groups": samples.cluster[rows]}, use_t=True
        )
        low, high = fit.conf_int(alpha=0.1)[0]
        got = [found.mean[test], found.standard_error[test], found.ci_low[test], found.ci_high[test]]
        np.testing.assert_allclose(got, [fit.params[0], fit.bse[0], low, high], rtol=1e-9)


NUM_SIMULATIONS = 80


def simulate(rng, effect=0.0, num_tests=60):
    """Companies that share errors, correctness and statistics; the statistic depends on label and length only."""
    cluster = np.unique(rng.integers(0, 45, 160), return_inverse=True)[1]
    company = rng.normal(size=cluster.max() + 1)[cluster]
    is_a = rng.random(160) < 1 / (1 + np.exp(-0.4 - company))
    labels = np.where(rng.random(160) < np.where(is_a, 0.7, 0.45), "increase", "decrease")
    length = rng.normal(7, 0.3, 160) + 0.3 * is_a
    shared = rng.normal(size=(160, 1)) + rng.normal(size=(cluster.max() + 1, 1))[cluster]
    values = rng.normal(size=(160, num_tests)) + shared + 1.5 * (labels == "increase")[:, None] + length[:, None]
    values[:, 0] += effect * is_a
    return values, adjusted_model.Samples(is_a, cluster, labels, {"log_num_tokens": length})


def test_false_positives_stay_at_the_nominal_rate_without_any_effect():
    rng = np.random.default_rng(2024)
    alone, welch, any_bh, any_max_t = [], [], 0, 0
    for simulation in range(NUM_SIMULATIONS):
        values, samples = simulate(rng)
        found = adjusted_model.adjusted_effects(values, samples)
        alone.append(np.mean(found.pvalue < 0.05))
        plain = significance.compare_groups(values, samples.is_a)
        welch.append(np.any(significance.adjust_pvalues(plain.pvalue_welch, "fdr_bh") < 0.05))
        any_bh += bool(np.any(significance.adjust_pvalues(found.pvalue, "fdr_bh") < 0.05))
        signs = adjusted_model.random_signs(199, samples.cluster.max() + 1, simulation)
        maxima = adjusted_model.permutation_maxima(values, samples, signs)
        any_max_t += bool(np.any(adjusted_model.max_t_pvalues(found.statistic, maxima) < 0.05))
    limit = stats.binom.ppf(0.999, NUM_SIMULATIONS, 0.05)
    assert 0.01 < np.mean(alone) < 0.09
    assert any_max_t <= limit
    assert any_bh <= limit
    assert np.mean(welch) > 0.25, "the confounding is too weak for this test to mean anything"


def test_a_planted_effect_is_found():
    rng = np.random.default_rng(7)
    hits = 0
    for simulation in range(10):
        values, samples = simulate(rng, effect=1.6)
        found = adjusted_model.adjusted_effects(values, samples)
        signs = adjusted_model.random_signs(199, samples.cluster.max() + 1, simulation)
        maxima = adjusted_model.permutation_maxima(values, samples, signs)
        hits += adjusted_model.max_t_pvalues(found.statistic, maxima)[0] < 0.05
    assert hits >= 8
