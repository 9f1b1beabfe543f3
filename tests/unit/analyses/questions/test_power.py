"""Smallest detectable differences: published sample sizes, the dense variance, and simulated power at that size."""

import warnings

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.power import TTestIndPower

from analyses.inference.adjusted.design import ModelSamples
from analyses.inference.adjusted.detectable import detectable, noncentrality, within_groups
from analyses.inference.adjusted.effects import adjusted_effects
from analyses.questions.power.answer import power
from analyses.questions.power.sentences import power_sentences
from analyses.questions.power.tables import POWER
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from tests.fixtures.synthetic_run import edit_table, write_run

SETTINGS = AnalysisSettings(permutations=0)


@pytest.mark.parametrize(("num", "size"), [(26, 0.8), (64, 0.5), (393, 0.2)])
def test_cohens_sample_sizes(num, size):
    """Cohen (1992, Psychological Bulletin 112, table 2): per group for 80 % power at two-sided 0.05."""

    def smallest(per_group):
        return noncentrality(0.05, 0.8, 2 * per_group - 2) * np.sqrt(2 / per_group)

    # His 393 is rounded from a normal approximation; the exact answer is 393.4.
    assert smallest(num) <= size + 2e-4 and smallest(num - 1) > size
    expected = TTestIndPower().solve_power(nobs1=num, alpha=0.05, power=0.8)
    assert smallest(num) == pytest.approx(expected, rel=1e-6)


def test_without_clusters_or_other_terms_it_is_the_two_sample_t_test():
    rng = np.random.default_rng(0)
    is_a = np.arange(120) < 40
    samples = ModelSamples(is_a, np.arange(120), None, {})
    found = detectable(rng.normal(size=(120, 3)), samples)
    expected = TTestIndPower().solve_power(nobs1=40, ratio=2, alpha=0.05, power=0.8)
    # Satterthwaite's degrees of freedom are those of Welch's test, not n - 2.
    np.testing.assert_allclose(found.effect_size, expected * found.correction, rtol=0.01)
    np.testing.assert_allclose(found.design_effect, 1.0)


def compound(rng, cluster, correlation, num_tests):
    """Errors of variance 1 with this correlation within clusters."""
    between = rng.normal(size=(cluster.max() + 1, num_tests))[cluster]
    return np.sqrt(correlation) * between + np.sqrt(1 - correlation) * rng.normal(size=(len(cluster), num_tests))


def test_the_variance_is_that_of_the_dense_covariance():
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(30), rng.integers(1, 6, 30))
    cluster = np.unique(cluster, return_inverse=True)[1]
    is_a = rng.random(len(cluster)) < 0.4
    samples = ModelSamples(is_a, cluster, None, {"length": rng.normal(size=len(cluster))})
    values = compound(rng, cluster, 0.4, 1)
    found = detectable(values, samples)
    correlation = found.intraclass_correlation[0]
    columns = np.column_stack([np.ones(len(cluster)), samples.covariates["length"], is_a])
    same = cluster[:, None] == cluster
    covariance = (1 - correlation) * np.eye(len(cluster)) + correlation * same
    weights = np.linalg.inv(columns.T @ columns)[-1] @ columns.T
    independent = weights @ weights
    assert found.design_effect[0] == pytest.approx(weights @ covariance @ weights / independent, rel=1e-10)
    shift = noncentrality(0.05, 0.8, found.degrees_of_freedom[0])
    error = np.sqrt(weights @ covariance @ weights)
    assert found.effect_size[0] == pytest.approx(shift * error * found.correction[0], rel=1e-10)


def test_the_intraclass_correlation_is_estimated():
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(200), 4)
    is_a = rng.random(800) < 0.5
    for correlation in (0.0, 0.3, 0.8):
        values = compound(rng, cluster, correlation, 40) + 2.0 * is_a[:, None]
        deviation, found = within_groups(values, is_a, cluster)
        assert found.mean() == pytest.approx(correlation, abs=0.03) and deviation.mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("whole_clusters", [False, True])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_a_difference_of_that_size_is_found_four_times_in_five(whole_clusters, correlation):
    """The quoted test itself on 1,500 simulated heads, with groups that cut through clusters and groups that do not."""
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(60), 4)
    is_a = (cluster < 24) if whole_clusters else rng.random(240) < 0.4
    labels = rng.choice(["increase", "decrease"], 240)
    samples = ModelSamples(is_a, cluster, labels, {"length": rng.normal(size=240)})
    noise = compound(rng, cluster, correlation, 1500)
    found = detectable(noise, samples)
    size = np.median(found.effect_size / found.correction)
    pvalues = adjusted_effects(noise + size * is_a[:, None], samples).pvalue
    assert (pvalues <= 0.05).mean() == pytest.approx(0.8, abs=0.05)
    half = adjusted_effects(noise + size / 2 * is_a[:, None], samples).pvalue
    assert (half <= 0.05).mean() < 0.45
    expected = 1 + correlation * (3 if whole_clusters else -0.2)
    assert np.median(found.design_effect) == pytest.approx(expected, abs=0.3)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return write_run(
        path, num_samples=160, num_layers=2, num_heads=3, num_clusters=80, key_groups=("financial", "number")
    )


def test_the_table_has_a_row_per_query_group_and_statistic(run_dir):
    table = power(open_tables(run_dir), SETTINGS)
    assert table.schema == POWER.schema and len(table) == 3 * 14 and (table["num_heads"] == 6).all()
    assert (table["family_size"] == 3 * 14 * 6).all()
    np.testing.assert_allclose(table["alpha_family"].to_numpy(), 0.05 / 252)
    assert (table["smallest_effect_size_family"] > table["smallest_effect_size"]).all()
    ratio = table["smallest_difference"] / (table["smallest_effect_size"] * table["standard_deviation"])
    np.testing.assert_allclose(ratio.to_numpy(), 1, atol=0.2)
    told = power_sentences(table)
    assert len(told) == 1 and "samples of 68 clusters show a difference of g = 0." in told[0], told


def test_groups_that_are_too_small_are_warned_of(tmp_path):
    path = write_run(tmp_path / "run", num_samples=24, num_layers=1, num_heads=2, num_clusters=24)
    told = power_sentences(power(open_tables(path), SETTINGS))
    assert any(
        sentence.startswith("Warning: the groups of is_correct are too small to say anything") for sentence in told
    )


BAD = ["two samples", "one cluster", "constant", "NaN", "one class", "one incorrect"]


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_a_stated_null(tmp_path, kind):
    num_samples = 2 if kind == "two samples" else 30
    path = write_run(tmp_path / "run", num_samples=num_samples, num_layers=1, num_heads=2, num_shards=1)
    numbers = {"constant": 0.25, "NaN": float("nan")}
    labels = {"one class": pl.lit(True), "one incorrect": pl.col("sample_id") != "s00000"}
    if kind in numbers:
        lit = pl.lit(numbers[kind], dtype=pl.Float32)
        edit_table(path, "head_stats", lambda f: f.with_columns(lit.alias(name) for name in f.columns[4:]))
    elif kind in labels:
        edit_table(path, "samples", lambda f: f.with_columns(is_correct=labels[kind]))
    elif kind == "one cluster":
        edit_table(path, "samples", lambda f: f.with_columns(cluster=pl.lit("only")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = power(open_tables(path), SETTINGS)
        told = power_sentences(table)
    assert table["smallest_effect_size"].is_null().all() and table["note"].is_not_null().all()
    assert len(told) == 1 and "no difference of any size could be found" in told[0]
