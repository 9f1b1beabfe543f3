"""Checks of differences against their definitions: plain loops, SciPy, and simulations in which nothing differs."""

import numpy as np
import pytest
from scipy import stats

from analyses.inference.adjusted import checks, exchange
from analyses.inference.adjusted.coefficients import design_of, fit_last
from analyses.inference.adjusted.design import ModelSamples, build_design
from analyses.inference.adjusted.effects import adjusted_effects
from analyses.inference.adjusted.max_t import max_t_pvalues
from analyses.inference.clustered_means import clustered_mean, clustered_share, intraclass_correlation
from analyses.inference.ranks import normal_scores
from analyses.questions.heads.head_types import head_types
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from tests.fixtures.synthetic_run import edit_table, write_run

SIZES = {
    "even": np.full(60, 5),
    "zipf": np.maximum(1, (160 / np.arange(1, 61)).astype(int)),
    "one giant": np.r_[150, np.full(50, 3)],
    "few": np.full(14, 20),
}


def bell_mccaffrey(values, cluster):
    """Return error and degrees of freedom of a mean by the matrices of the definition (Bell and McCaffrey 2002)."""
    n = len(values)
    hat = np.full((n, n), 1 / n)
    residuals, rows = values - values.mean(), [cluster == one for one in np.unique(cluster)]
    variance, columns = 0.0, []
    for own in rows:
        inner = np.eye(own.sum()) - hat[np.ix_(own, own)]
        weights, axes = np.linalg.eigh(inner)
        root = axes @ np.diag(weights**-0.5) @ axes.T
        score = (np.full(own.sum(), 1 / n) @ root) @ residuals[own]
        variance += score**2
        columns.append((np.eye(n) - hat)[:, own] @ root @ np.full(own.sum(), 1 / n))
    gram = np.array(columns) @ np.array(columns).T
    return np.sqrt(variance), np.trace(gram) ** 2 / (gram**2).sum()


@pytest.mark.parametrize("name", SIZES)
def test_means_have_the_errors_of_bell_and_mccaffrey(name):
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(len(SIZES[name])), SIZES[name])
    values = rng.normal(size=(len(cluster), 2)) + rng.normal(size=len(SIZES[name]))[cluster, None]
    found = clustered_mean(values, cluster)
    for slot in range(2):
        error, freedom = bell_mccaffrey(values[:, slot], cluster)
        np.testing.assert_allclose(found.standard_error[slot], error, rtol=1e-9)
        np.testing.assert_allclose(found.degrees_of_freedom[slot], freedom, rtol=1e-9)
        reach = stats.t.ppf(0.975, freedom) * error
        np.testing.assert_allclose(found.ci_high[slot], values[:, slot].mean() + reach, rtol=1e-9)
    if found.degrees_of_freedom[0] >= 4:
        fit = fit_last(values, design_of([], np.ones(len(cluster))), cluster)
        np.testing.assert_allclose(found.standard_error, fit.standard_error, rtol=1e-9)
    assert found.is_approximate.all() == (name in ("zipf", "one giant"))


@pytest.mark.parametrize("name", SIZES)
def test_intervals_of_means_and_shares_cover(name):
    """The lowest of CR1 with clusters - 1 was 0.69."""
    rng = np.random.default_rng(2)
    sizes = SIZES[name]
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    values = 0.7 * rng.normal(size=(len(sizes), 2000))[cluster] + rng.normal(size=(len(cluster), 2000))
    found = clustered_mean(values, cluster)
    assert np.mean((found.ci_low <= 0) & (found.ci_high >= 0)) > 0.91
    truth = stats.norm.cdf(1.881 / np.sqrt(2))
    covered = []
    for _ in range(300):
        hits = 1.881 + rng.normal(size=len(sizes))[cluster] + rng.normal(size=len(cluster)) > 0
        share = clustered_share(hits, cluster)
        covered.append(share.ci_low <= truth <= share.ci_high)
        assert 0 <= share.ci_low <= share.value <= share.ci_high <= 1
    assert np.mean(covered) > 0.88


def test_the_correlation_within_clusters_is_the_analysis_of_variance():
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(30), 4)
    values = rng.normal(size=(120, 1)) + rng.normal(size=30)[cluster, None]
    centred = values - values.mean()
    means = centred.reshape(30, 4).mean(axis=1)
    between = 4 * (means**2).sum() / 29
    within = ((centred.reshape(30, 4) - means[:, None]) ** 2).sum() / 90
    expected = (between - within) / (between + 3 * within)
    np.testing.assert_allclose(intraclass_correlation(centred, cluster), expected)


def groups(rng, num_clusters=80, per_cluster=1, wrong=0.3):
    """Return samples of clusters in which nothing depends on the group."""
    cluster = np.repeat(np.arange(num_clusters), per_cluster)
    latent = rng.normal(size=num_clusters)[cluster] + rng.normal(size=len(cluster))
    labels = np.where(rng.random(len(cluster)) < 0.6, "increase", "decrease")
    covariates = {"log_num_tokens": rng.normal(size=len(cluster))}
    return ModelSamples(latent > np.quantile(latent, wrong), cluster, labels, covariates)


def test_the_pooled_test_of_independent_samples_is_the_partial_correlation():
    rng = np.random.default_rng(4)
    samples = groups(rng)
    values = rng.normal(size=(80, 3))
    found = exchange.adjusted_pooled(values, samples)
    design = build_design(samples)
    for slot in range(3):
        nuisance, group = design.basis[:, :-1], samples.is_a.astype(float)
        residuals = [one - nuisance @ (nuisance.T @ one) for one in (values[:, slot], group)]
        r = np.corrcoef(*residuals)[0, 1]
        freedom = 80 - design.basis.shape[1]
        expected = 2 * stats.t.sf(abs(r) * np.sqrt(freedom / (1 - r**2)), freedom)
        np.testing.assert_allclose(found[slot], expected, rtol=1e-6)


def test_an_exchange_moves_whole_clusters_of_one_size():
    codes = np.repeat(np.arange(20), np.r_[np.full(10, 2), np.full(10, 3)])
    for order in exchange.exchange_orders(codes, 20, 0):
        assert sorted(order) == list(range(len(codes)))
        for cluster in range(20):
            source = codes[order[codes == cluster]]
            assert len(set(source)) == 1, "a cluster was cut"
            assert (source[0] < 10) == (cluster < 10), "a cluster of another size"


def test_an_exchange_without_covariates_is_the_permutation_test():
    """Its p is that of all orders of the values, as SciPy has it, whatever their distribution."""
    rng = np.random.default_rng(5)
    is_a = np.arange(24) < 16
    values = np.where(rng.random((24, 1)) < 0.6, 0.0, rng.exponential(size=(24, 1)))
    samples = ModelSamples(is_a, np.arange(24), None, {})
    (found,) = exchange.Exchange(samples, 4000, 0).statistics(values)
    own = max_t_pvalues(found.statistic, np.abs(found.drawn).max(axis=1))

    def distance(a, b):
        return abs(a.mean() - b.mean())

    groups_of = values[is_a, 0], values[~is_a, 0]
    expected = stats.permutation_test(groups_of, distance, n_resamples=4000, alternative="greater", rng=1)
    assert own[0] == pytest.approx(expected.pvalue, abs=0.03)


@pytest.mark.parametrize(("wrong", "zeros"), [(0.03, 0.7), (0.08, 0.9)], ids=["few wrong", "mostly zeros"])
def test_piled_up_values_are_found_no_more_often_than_promised(wrong, zeros):
    """Clustered errors of groups apart find something in a third of these runs and more."""
    found, old = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        samples = groups(rng, 300, wrong=wrong)
        values = (rng.random((300, 40)) > zeros) * rng.exponential(size=(300, 40))
        scores = normal_scores(values)
        old.append(adjusted_effects(values, samples).pvalue.min() <= 0.05 / 40)
        (of_seed,) = exchange.Exchange(samples, 199, seed).statistics(scores)
        found.append(max_t_pvalues(of_seed.statistic, np.abs(of_seed.drawn).max(axis=1)).min() <= 0.05)
        assert (checks.why_too_few(values, samples.is_a) != "").all()
    assert np.mean(old) > 0.3 and np.mean(found) <= 0.15


def test_values_are_refused_by_their_pile_alone():
    values = np.column_stack([np.r_[np.zeros(150), np.arange(1, 51)], np.arange(200.0), np.zeros(200)])
    is_a = np.arange(200) % 5 > 0
    told = checks.why_too_few(values, is_a)
    assert told[0] == "" and told[1] == "" and told[2] == ""
    few = checks.why_too_few(values, np.arange(200) >= 20)
    assert "150 of 200 values are the same number" in few[0] and "5.0 others" in few[0] and few[1] == ""
    again = checks.why_too_few(values, np.arange(200) < 180)
    assert few[0] == again[0], "which samples are in which group must not matter"


def test_a_drift_is_gone_where_time_is_held_fixed():
    rng = np.random.default_rng(6)
    samples = groups(rng, 300)
    year = rng.normal(size=300)
    drifting = ModelSamples(year + rng.normal(size=300) > -0.5, samples.cluster, samples.labels, samples.covariates)
    fixed = ModelSamples(drifting.is_a, drifting.cluster, drifting.labels, {**drifting.covariates, "year": year})
    values = year[:, None] + rng.normal(size=(300, 20))
    effects = adjusted_effects(values, drifting)
    found = checks.check_differences(values, effects, drifting, fixed)
    assert (effects.pvalue < 0.001).all() and (found.pvalue_ranks < 0.001).all()
    assert np.median(found.pvalue_fixed) > 0.05 and np.median(found.pvalue_pooled) > 0.05
    expected = adjusted_effects(values, fixed)
    np.testing.assert_allclose(found.difference_fixed, expected.effect)
    assert (found.worst >= np.maximum(found.pvalue_fixed, effects.pvalue)).all()


def test_what_is_held_fixed_and_equals_the_group_leaves_no_p():
    rng = np.random.default_rng(7)
    samples = groups(rng, 100)
    fixed = ModelSamples(
        samples.is_a, samples.cluster, samples.labels, {**samples.covariates, "year": samples.is_a.astype(float)}
    )
    values = rng.normal(size=(100, 2)) + samples.is_a[:, None]
    found = checks.check_differences(values, adjusted_effects(values, samples), samples, fixed)
    assert (found.worst <= 1).all()


def test_opposite_effects_by_label_are_an_interaction_and_equal_ones_are_none():
    rng = np.random.default_rng(8)
    samples = groups(rng, 400)
    sign = np.where(samples.labels == "increase", 1, -1)
    noise = rng.normal(size=(400, 2))
    values = noise + np.column_stack([samples.is_a * sign, samples.is_a * 1.0])
    found = checks.interactions(values, normal_scores(values), samples)
    assert found.labels == ("increase", "decrease")
    assert found.pvalue[0] < 1e-6 and found.effect[0] == pytest.approx(2, abs=0.6) and found.pvalue[1] > 0.05
    means = [
        values[(samples.labels == label) & (samples.is_a == a), 0].mean()
        for label in ("increase", "decrease")
        for a in (True, False)
    ]
    assert found.effect[0] == pytest.approx(means[0] - means[1] - means[2] + means[3], abs=0.1)


@pytest.mark.parametrize(("wrong", "shape", "is_skewed"), [(0.08, 1.2, True), (0.4, 0.0, False)], ids=["few", "many"])
def test_intervals_that_cover_too_seldom_are_marked(wrong, shape, is_skewed):
    covered, marked = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        samples = groups(rng, 300, wrong=wrong)
        noise = rng.normal(size=(300, 200))
        values = np.exp(shape * noise) if shape else noise
        effects = adjusted_effects(values, samples)
        covered.append((effects.ci_low <= 0) & (effects.ci_high >= 0))
        marked.append(checks.check_differences(values, effects, samples).is_skewed)
    assert np.mean(marked) > 0.9 if is_skewed else np.mean(marked) < 0.1
    assert (np.mean(covered) < 0.93) == is_skewed


def test_a_cluster_that_carries_most_of_a_difference_leaves_no_p():
    rng = np.random.default_rng(9)
    cluster = np.repeat(np.arange(61), np.r_[120, np.full(60, 3)])
    samples = ModelSamples(rng.random(300) < 0.6, cluster, None, {})
    found = adjusted_effects(rng.normal(size=(300, 2)), samples)
    assert np.isnan(found.pvalue).all() and "one cluster carries 4" in found.note[0]
    assert np.isfinite(found.effect).all()


def test_heads_without_any_column_of_the_types_are_mixed(tmp_path):
    """It was a TypeError."""
    run_dir = write_run(tmp_path / "run", num_samples=30, num_layers=1, num_heads=2, key_groups=("number",))
    kept = ["sample_id", "query_group", "layer", "head", "mass_number"]
    edit_table(run_dir, "head_stats", lambda frame: frame.select(kept))
    types = head_types(open_tables(run_dir), AnalysisSettings())
    assert types["head_type"].to_list() == ["mixed", "mixed"] and types["num_samples"].to_list() == [0, 0]
