"""Every vectorised statistic against SciPy, statsmodels or a slow loop, one test at a time."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analyses.inference import clustered_means, multiplicity, ranks, unadjusted
from analyses.inference.adjusted import design as adjusted_design
from analyses.inference.adjusted import effects as adjusted_effects
from analyses.inference.adjusted import max_t
from analyses.questions.differences import chunks as differences_chunks
from tests.fixtures.max_t_maxima import permutation_maxima


def make_samples(rng, num_samples=90, num_clusters=25, labels=("increase", "decrease")):
    cluster = np.unique(rng.integers(0, num_clusters, num_samples), return_inverse=True)[1]
    is_a = rng.random(num_samples) < 0.6
    predicted = rng.choice(labels, num_samples)
    covariates = {"log_num_tokens": rng.normal(7, 0.4, num_samples)}
    return adjusted_design.ModelSamples(is_a, cluster, predicted, covariates)


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
def test_cr1_errors_equal_statsmodels_clustered_ols(missing, labels):
    rng = np.random.default_rng(3)
    samples = make_samples(rng, labels=labels)
    values = make_values(rng, samples, missing=missing)
    found = adjusted_effects.adjusted_effects(values, samples, errors="CR1")
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


def dense_cr2(columns, target, cluster):
    """Estimate, CR2 error and Satterthwaite's degrees of freedom of the last column, from the definitions.

    Bell and McCaffrey (2002): V = M (sum_g X_g' A_g e_g e_g' A_g X_g) M, A_g the symmetric root of the inverse of
    I - H_gg. With independent errors of equal variance the estimate of the variance is a quadratic form in normal
    numbers; its degrees of freedom are 2 E^2 / Var, with the full n x n matrices.
    """
    num_samples = len(target)
    bread = np.linalg.inv(columns.T @ columns)
    hat = columns @ bread @ columns.T
    maker = np.eye(num_samples) - hat
    residual = maker @ target
    contrast = bread[-1]
    variance, forms = 0.0, np.zeros((num_samples, num_samples))
    for name in np.unique(cluster):
        rows = np.flatnonzero(cluster == name)
        values, vectors = np.linalg.eigh(maker[np.ix_(rows, rows)])
        root = vectors @ np.diag(np.where(values > 1e-8, 1 / np.sqrt(np.maximum(values, 1e-8)), 0)) @ vectors.T
        weights = contrast @ columns[rows].T @ root
        variance += (weights @ residual[rows]) ** 2
        linear = weights @ maker[rows]
        forms += np.outer(linear, linear)
    freedom = np.trace(forms) ** 2 / np.sum(forms**2)
    return bread[-1] @ columns.T @ target, np.sqrt(variance), freedom


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("labels", [("increase", "decrease"), ("increase", "decrease", "flat")])
@pytest.mark.parametrize("num_clusters", [14, 25, 90])
def test_cr2_equals_a_dense_loop_over_the_definition(missing, labels, num_clusters):
    rng = np.random.default_rng(8)
    samples = make_samples(rng, labels=labels, num_clusters=num_clusters)
    values = make_values(rng, samples, num_tests=4, missing=missing)
    found = adjusted_effects.adjusted_effects(values, samples, 0.9)
    for test in range(values.shape[1]):
        rows = ~np.isnan(values[:, test])
        effect, error, freedom = dense_cr2(columns_of(samples, rows), values[rows, test], samples.cluster[rows])
        reach = stats.t.ppf(0.95, freedom) * error
        expected = [
            effect,
            error,
            freedom,
            2 * stats.t.sf(abs(effect / error), freedom),
            effect - reach,
            effect + reach,
        ]
        names = ("effect", "standard_error", "degrees_of_freedom", "pvalue", "ci_low", "ci_high")
        np.testing.assert_allclose([getattr(found, name)[test] for name in names], expected, rtol=1e-7, atol=1e-11)


def test_a_cluster_that_is_fitted_exactly_but_weighs_nothing_does_no_harm():
    """One company is the only one of its label: the label's column fits it, and it says nothing of the group."""
    rng = np.random.default_rng(8)
    samples = make_samples(rng)
    rows = samples.cluster == 3
    samples.labels[rows] = "flat"
    samples.is_a[rows] = True
    values = make_values(rng, samples, num_tests=2)
    found = adjusted_effects.adjusted_effects(values, samples)
    alone = adjusted_effects.adjusted_effects(values[~rows], samples.take(~rows))
    np.testing.assert_allclose(found.effect, alone.effect, rtol=0.1)
    assert abs(found.degrees_of_freedom[0] - alone.degrees_of_freedom[0]) < 1
    assert 'interaction of "flat"' in found.method[0] and "group:predicted_label" in found.method[0]


def test_a_difference_that_one_cluster_decides_alone_has_no_p():
    """Of the label that has both groups, group a is one sample: without it there is no difference to estimate."""
    rng = np.random.default_rng(8)
    labels = np.repeat(["increase", "decrease"], 40)
    is_a = (labels == "increase") | (np.arange(80) == 79)
    samples = adjusted_design.ModelSamples(is_a, np.arange(80), labels, {})
    values = rng.normal(size=(80, 3))
    found = adjusted_effects.adjusted_effects(values, samples)
    assert np.isnan(found.pvalue).all() and np.isnan(found.ci_low).all() and np.isfinite(found.effect).all()
    assert all("one cluster alone" in note and '1 sample in group "group a"' in note for note in found.note)
    assert permutation_maxima(values, samples, np.ones((2, 80))).max() == 0


def test_only_the_label_with_an_empty_cell_loses_its_interaction():
    """Then its difference is taken to be the average of the others': a fit with that constraint written out."""
    rng = np.random.default_rng(6)
    samples = make_samples(rng, num_samples=120, labels=("increase", "decrease", "flat"))
    samples.is_a[samples.labels == "flat"] = False
    values = make_values(rng, samples, num_tests=3)
    group = samples.is_a.astype(float)
    is_up, is_down = (samples.labels == label for label in ("increase", "decrease"))
    length = samples.covariates["log_num_tokens"]
    mixed = group * (is_down - is_up * is_down.sum() / is_up.sum())
    columns = np.column_stack([np.ones(len(group)), is_up, is_down, length, mixed, group])
    found = adjusted_effects.adjusted_effects(values, samples)
    for test in range(3):
        effect, error, freedom = dense_cr2(columns, values[:, test], samples.cluster)
        got = found.effect[test], found.standard_error[test], found.degrees_of_freedom[test]
        np.testing.assert_allclose(got, (effect, error, freedom), rtol=1e-8)


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
        found = adjusted_effects.adjusted_effects(values, samples).effect[test]
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("errors", ["CR2", "CR1"])
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_max_t_equals_a_loop_over_refitted_models(missing, errors):
    rng = np.random.default_rng(11)
    samples = make_samples(rng, num_samples=60, num_clusters=18)
    values = make_values(rng, samples, num_tests=4, missing=missing)
    signs = max_t.random_signs(8, samples.cluster.max() + 1, seed=2)
    expected = np.zeros(len(signs))
    for permutation, sign in enumerate(signs):
        for test in range(values.shape[1]):
            rows = ~np.isnan(values[:, test])
            columns, target, cluster = columns_of(samples, rows), values[rows, test], samples.cluster[rows]
            null = sm.OLS(target, columns[:, :-1]).fit()
            flipped = null.fittedvalues + sign[cluster] * null.resid
            if errors == "CR1":
                fit = sm.OLS(flipped, columns).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
                statistic = fit.tvalues[-1]
            else:
                effect, error, _ = dense_cr2(columns, flipped, cluster)
                statistic = effect / error
            expected[permutation] = max(expected[permutation], abs(statistic))
    found = permutation_maxima(values, samples, signs, errors)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def refitted(values, samples, weights):
    """|T*| of each set of cluster weights and test, by refitting the model to the flipped data."""
    result = np.zeros((len(weights), values.shape[1]))
    everyone = np.ones(len(values), dtype=bool)
    columns = columns_of(samples, everyone)
    for draw, weight in enumerate(weights):
        for test in range(values.shape[1]):
            null = sm.OLS(values[:, test], columns[:, :-1]).fit()
            flipped = null.fittedvalues + weight[samples.cluster] * null.resid
            effect, error, _ = dense_cr2(columns, flipped, samples.cluster)
            result[draw, test] = effect / error
    return result


def test_webbs_weights_for_few_clusters_equal_a_loop_over_refitted_models():
    rng = np.random.default_rng(13)
    samples = make_samples(rng, num_samples=60, num_clusters=10)
    values = make_values(rng, samples, num_tests=3)
    weights = max_t.bootstrap_weights(6, 10, seed=1)
    assert set(np.unique(np.round(weights**2, 12))) <= {0.5, 1.0, 1.5}
    ((columns, found),) = max_t.flipped_statistics(values, samples, weights)
    np.testing.assert_allclose(found, refitted(values, samples, weights)[:, columns], rtol=1e-8)
    assert max_t.bootstrap_weights(6, 40, seed=1).dtype == np.int8


def test_the_wild_bootstrap_counts_refitted_models():
    rng = np.random.default_rng(14)
    samples = make_samples(rng, num_samples=60, num_clusters=15)
    values = make_values(rng, samples, num_tests=3).astype(np.float32)
    signs = max_t.random_signs(39, int(samples.cluster.max()) + 1, seed=1)
    chunks = differences_chunks.TestedChunks(samples, "CR2", signs, True, 0.05, None)
    names = {"family": np.full(3, "f", dtype=object), "statistic": np.full(3, "mass_x", dtype=object)}
    chunks.add(chunks.tested(names, values))
    effects = adjusted_effects.adjusted_effects(values.astype(float), samples)
    null = np.abs(refitted(values.astype(float), samples, signs))
    expected = (1 + (null >= np.abs(effects.statistic)).sum(axis=0)) / 40
    np.testing.assert_allclose(chunks.parts[0]["pvalue"], expected)
    reach = np.sort(null, axis=0)[37] * effects.standard_error
    np.testing.assert_allclose(chunks.parts[0]["ci_high"], effects.effect + reach, rtol=1e-6)


def test_single_precision_changes_no_more_than_the_fourth_digit(monkeypatch):
    rng = np.random.default_rng(15)
    samples = make_samples(rng, num_samples=300, num_clusters=120)
    values = 0.3 + 1e-3 * make_values(rng, samples, num_tests=40)
    signs = max_t.random_signs(100, int(samples.cluster.max()) + 1, seed=0)
    quick = np.hstack([part for _, part in max_t.flipped_statistics(values, samples, signs)])
    assert quick.dtype == np.float32
    monkeypatch.setattr(max_t, "SINGLE_PRECISION_CLUSTERS", 10**9)
    exact = np.hstack([part for _, part in max_t.flipped_statistics(values, samples, signs)])
    np.testing.assert_allclose(quick, exact, rtol=1e-4, atol=1e-4)


def test_max_t_in_parts_is_max_t_of_the_whole(monkeypatch):
    rng = np.random.default_rng(12)
    samples = make_samples(rng)
    values = make_values(rng, samples, num_tests=10)
    signs = max_t.random_signs(20, samples.cluster.max() + 1, seed=0)
    whole = permutation_maxima(values, samples, signs)
    monkeypatch.setattr(max_t, "BLOCK_BYTES", 1)
    parts = [permutation_maxima(values[:, part], samples, signs) for part in (slice(0, 4), slice(4, 10))]
    np.testing.assert_allclose(np.maximum(*parts), whole, rtol=1e-10)


def test_max_t_pvalues_count_themselves():
    maxima = np.array([1.0, 2.0, 3.0, 4.0])
    found = max_t.max_t_pvalues(np.array([-3.5, 0.5, 9.0, 2.0, np.nan]), maxima)
    np.testing.assert_allclose(found, [2 / 5, 1.0, 1 / 5, 4 / 5, np.nan])


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_plain_comparisons_equal_scipy_one_test_at_a_time(missing):
    rng = np.random.default_rng(4)
    samples = make_samples(rng)
    values = np.round(make_values(rng, samples, missing=missing), 1)
    found = unadjusted.compare_groups(values, samples.is_a)
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
    assert unadjusted.hedges_g(a, b).mean() == pytest.approx(0.8, abs=0.015)
    assert cohen.mean() > 0.87


@pytest.mark.parametrize("correction", ["fdr_bh", "fdr_by", "holm", "bonferroni"])
def test_adjustments_equal_statsmodels_and_skip_nan(correction):
    pvalues = np.random.default_rng(1).random(50) ** 3
    with_gaps = np.insert(pvalues, [0, 20], np.nan)
    found = multiplicity.adjust_pvalues(with_gaps, correction)
    assert np.isnan(found[[0, 21]]).all()
    np.testing.assert_allclose(found[~np.isnan(found)], multipletests(pvalues, method=correction)[1], rtol=1e-12)


def test_clustered_mean_leaves_out_what_is_missing():
    rng = np.random.default_rng(9)
    samples = make_samples(rng)
    values = make_values(rng, samples, num_tests=4, missing=0.1)
    found = clustered_means.clustered_mean(values, samples.cluster.astype(str), 0.9)
    for test in range(4):
        rows = ~np.isnan(values[:, test])
        alone = clustered_means.clustered_mean(values[rows][:, [test]], samples.cluster[rows], 0.9)
        got = [found.mean[test], found.standard_error[test], found.ci_low[test], found.ci_high[test]]
        want = [alone.mean[0], alone.standard_error[0], alone.ci_low[0], alone.ci_high[0]]
        np.testing.assert_allclose(got, want, rtol=1e-9)
        assert found.num_samples[test] == rows.sum()


def test_normal_scores_equal_scipy_one_column_at_a_time():
    rng = np.random.default_rng(2)
    values = np.round(rng.normal(size=(40, 6)), 1)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 5] = np.nan
    found = ranks.normal_scores(values)
    for test in range(5):
        known = ~np.isnan(values[:, test])
        expected = stats.norm.ppf((stats.rankdata(values[known, test]) - 0.5) / known.sum())
        np.testing.assert_allclose(found[known, test], expected)
        assert np.isnan(found[~known, test]).all()
    assert np.isnan(found[:, 5]).all()


def test_values_that_the_model_nearly_explains_keep_their_errors():
    """Scores are differences of sums; where little is left of the values they must be those of the residuals."""
    rng = np.random.default_rng(16)
    samples = make_samples(rng)
    noise = make_values(rng, samples, num_tests=3)
    large = 1e6 * np.column_stack([samples.covariates["log_num_tokens"]] * 3) + noise
    found, alone = (adjusted_effects.adjusted_effects(values, samples) for values in (large, noise))
    np.testing.assert_allclose(found.pvalue, alone.pvalue, rtol=1e-5)


def test_two_clusters_are_tested_and_one_is_not():
    rng = np.random.default_rng(2)
    samples = make_samples(rng, num_samples=40, num_clusters=2)
    design = adjusted_design.build_design(samples)
    assert adjusted_effects.why_untestable(samples, design, 2) == ""
    assert adjusted_effects.why_untestable(samples, design, 1) == "fewer than two clusters"


def test_a_term_that_only_the_group_explains_is_told_from_one_that_other_terms_explain():
    rng = np.random.default_rng(4)
    samples = make_samples(rng)
    length = samples.covariates["log_num_tokens"]
    twice = {"log_num_tokens": length, "year": 2 * length + 1, "shift": samples.is_a + 3.0, "one": np.ones(len(length))}
    design = adjusted_design.build_design(
        adjusted_design.ModelSamples(samples.is_a, samples.cluster, samples.labels, twice)
    )
    assert design.left_out == (
        "year (collinear)",
        f"shift ({adjusted_design.INSEPARABLE})",
        "one (constant)",
    )
