"""What must hold for any data: ranges, symmetries, and a stated reason instead of a crash."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analyses import wording
from analyses.charts.files import as_json
from analyses.charts.parts import quoted
from analyses.inference import clustered_means, multiplicity, unadjusted
from analyses.inference.adjusted import design, effects, max_t
from tests.fixtures.max_t_maxima import permutation_maxima

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed, num_samples, num_clusters, num_tests=4):
    rng = np.random.default_rng(seed)
    cluster = np.unique(rng.integers(0, num_clusters, num_samples), return_inverse=True)[1]
    labels = rng.choice(["increase", "decrease"], num_samples)
    samples = design.ModelSamples(
        rng.random(num_samples) < 0.5, cluster, labels, {"length": rng.normal(size=num_samples)}
    )
    values = rng.normal(size=(num_samples, num_tests))
    values[:, 1] = 1.0
    values[rng.random(num_samples) < 0.3, 2] = np.nan
    return values, samples


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(1, 15))
def test_any_sample_gives_numbers_in_range_or_a_reason(seed, num_samples, num_clusters):
    values, samples = draw(seed, num_samples, num_clusters)
    found = effects.adjusted_effects(values, samples)
    for test in range(values.shape[1]):
        if np.isnan(found.pvalue[test]):
            assert found.note[test]
        else:
            assert 0 <= found.pvalue[test] <= 1
            assert found.ci_low[test] <= found.effect[test] <= found.ci_high[test]
            assert not found.note[test]
    plain = unadjusted.compare_groups(values, samples.is_a)
    for name in ("pvalue_welch", "pvalue_mannwhitney", "auc"):
        known = getattr(plain, name)[~np.isnan(getattr(plain, name))]
        assert ((known >= 0) & (known <= 1)).all()
    signs = max_t.random_signs(5, samples.cluster.max() + 1, 0)
    assert np.isfinite(permutation_maxima(values, samples, signs)).all()


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.01, 100), st.floats(-50, 50))
def test_unit_and_origin_of_a_statistic_do_not_change_its_p(seed, scale, shift):
    values, samples = draw(seed, 40, 12)
    values[:, 1] = values[:, 0] ** 2
    first = effects.adjusted_effects(values, samples)
    second = effects.adjusted_effects(scale * values + shift, samples)
    np.testing.assert_allclose(second.pvalue, first.pvalue, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(second.effect, scale * first.effect, rtol=1e-6, atol=1e-9 * scale)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_exchanging_the_groups_changes_signs_only(seed):
    values, samples = draw(seed, 40, 12)
    other = design.ModelSamples(~samples.is_a, samples.cluster, samples.labels, samples.covariates)
    first, second = effects.adjusted_effects(values, samples), effects.adjusted_effects(values, other)
    np.testing.assert_allclose(second.effect, -first.effect, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(second.pvalue, first.pvalue, rtol=1e-7, atol=1e-12)
    a, b = unadjusted.compare_groups(values, samples.is_a), unadjusted.compare_groups(values, other.is_a)
    np.testing.assert_allclose(a.auc, 1 - b.auc, rtol=1e-12)
    np.testing.assert_allclose(a.effect_size, -b.effect_size, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_the_order_of_samples_does_not_matter(seed):
    values, samples = draw(seed, 35, 10)
    order = np.random.default_rng(seed).permutation(35)
    first = effects.adjusted_effects(values, samples)
    second = effects.adjusted_effects(values[order], samples.take(order))
    np.testing.assert_allclose(second.pvalue, first.pvalue, rtol=1e-7, atol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.sampled_from(["fdr_bh", "fdr_by", "holm", "bonferroni"]))
def test_adjusted_p_is_never_below_raw_and_keeps_the_order(pvalues, correction):
    raw = np.array(pvalues)
    adjusted = multiplicity.adjust_pvalues(raw, correction)
    assert (adjusted >= raw - 1e-12).all() and (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= -1e-12).all()


@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_interval_holds_the_proportion(successes, trials):
    successes = min(successes, trials)
    low, high = clustered_means.wilson_interval(successes, trials)
    assert -1e-12 <= low <= successes / trials + 1e-12 and successes / trials - 1e-12 <= high <= 1 + 1e-12


@given(st.text())
def test_no_text_escapes_its_place(text):
    assert "<" not in as_json({"token": text})
    assert wording.visible_token(text).isprintable() or not text
    literal = quoted(text)
    assert literal[0] == literal[-1] == "'"
