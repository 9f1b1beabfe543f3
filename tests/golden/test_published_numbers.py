"""Numbers that others published: R's help pages, papers, the tests of an R package, and statsmodels.

``statsmodels_numbers.py`` beside this file computes what SciPy and statsmodels can, and a test holds that against what
was published. ``published_numbers.R`` has R's calls and where each output was read; R itself is not run here.
"""

import numpy as np
import pytest
from scipy import stats

from analyses.inference import clustered_means, multiplicity, unadjusted
from analyses.inference.adjusted import cluster_errors, design, effects
from tests.golden.statsmodels_numbers import FIVE, SLEEP, grunfeld, numbers


def test_sleep_data_as_in_r():
    """R 4: t.test(extra ~ group, sleep) p = 0.07939; wilcox.test(extra ~ group, sleep) W = 25.5, p = 0.06933."""
    values, is_a = SLEEP.reshape(-1, 1), np.repeat([True, False], 10)
    found = unadjusted.compare_groups(values, is_a)
    assert found.pvalue_welch[0] == pytest.approx(0.07939, abs=5e-6)
    assert found.pvalue_mannwhitney[0] == pytest.approx(0.06933, abs=5e-6)
    assert found.auc[0] * 100 == pytest.approx(25.5)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_of_newcombe_1998(successes, trials, low, high):
    """Newcombe (1998), Statistics in Medicine 17:857, table I, method 3."""
    found = clustered_means.wilson_interval(successes, trials)
    assert found == pytest.approx((low, high), abs=5e-5)


def test_benjamini_hochberg_1995():
    """Benjamini and Hochberg (1995), section 4: 15 p-values, four rejected at 0.05 (Bonferroni: three)."""
    pvalues = np.array(
        [
            0.0001,
            0.0004,
            0.0019,
            0.0095,
            0.0201,
            0.0278,
            0.0298,
            0.0344,
            0.0459,
            0.3240,
            0.4262,
            0.5719,
            0.6528,
            0.7590,
            1,
        ]
    )
    assert (multiplicity.adjust_pvalues(pvalues, "fdr_bh") <= 0.05).sum() == 4
    assert (multiplicity.adjust_pvalues(pvalues, "bonferroni") <= 0.05).sum() == 3


@pytest.mark.parametrize(
    ("correction", "adjusted"),
    [
        ("holm", [0.05, 0.08, 0.09, 0.09, 0.09]),
        ("fdr_by", [0.1141667] * 5),
        ("fdr_bh", [0.05] * 5),
        ("bonferroni", [0.05, 0.1, 0.15, 0.2, 0.25]),
    ],
)
def test_adjustments_as_in_r(correction, adjusted):
    """R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), ...)."""
    found = multiplicity.adjust_pvalues(FIVE, correction)
    np.testing.assert_allclose(found, adjusted, atol=5e-8)


def test_scipy_and_statsmodels_say_what_was_published():
    """The literals of this file against libraries that share no code with ``analyses``."""
    found = numbers()
    published = {
        "sleep, Welch": ((0.07939,), 5e-6),
        "sleep, Mann-Whitney": ((25.5, 0.06933), 5e-6),
        "Newcombe, 81 of 263": ((0.2553, 0.3662), 5e-5),
        "Grunfeld, clustered": (GRUNFELD, 1e-8),
        "five p, holm": ((0.05, 0.08, 0.09, 0.09, 0.09), 5e-8),
        "five p, fdr_by": ((0.1141667,) * 5, 5e-8),
        "five p, fdr_bh": ((0.05,) * 5, 5e-8),
        "five p, bonferroni": ((0.05, 0.1, 0.15, 0.2, 0.25), 5e-8),
    }
    assert set(found) == set(published)
    for name, (values, tolerance) in published.items():
        np.testing.assert_allclose(found[name], values, atol=tolerance, err_msg=name)


GRUNFELD = (32.85603474335571, 16.213862058960256, 0.07022379655975242, -3.270701250959803, 68.98277073767122)
"""Effect, error, p and interval as statsmodels 0.14 prints them (``statsmodels_numbers.py``)."""


def test_clustered_errors_of_grunfelds_firms_as_in_statsmodels():
    invest, group, covariates, firm = grunfeld()
    samples = design.ModelSamples(group, firm, None, {"value": covariates[:, 0], "year": covariates[:, 1]})
    found = effects.adjusted_effects(invest[:, None], samples, errors="CR1")
    names = ("effect", "standard_error", "pvalue", "ci_low", "ci_high")
    np.testing.assert_allclose([getattr(found, name)[0] for name in names], GRUNFELD, rtol=1e-8)


def test_hedges_correction():
    """Hedges (1981), exact c(m) for m = 10 degrees of freedom: 0.9228."""
    a, b = np.arange(6.0)[:, None], np.arange(6.0)[:, None] + 1
    pooled = np.sqrt(3.5)
    assert unadjusted.hedges_g(a, b)[0] * -pooled == pytest.approx(0.9228, abs=1e-4)


def last_coefficient(columns, target, cluster):
    """Estimate, CR2 error and degrees of freedom of the last column."""
    basis, triangle = np.linalg.qr(columns)
    basis[:, -1] *= np.sign(triangle[-1, -1])
    scale = abs(triangle[-1, -1])
    robust = cluster_errors.cluster_errors(design.Design(basis, scale, (), ()), cluster)
    residuals = target - basis @ (basis.T @ target)
    scores = clustered_means.cluster_sums(robust.weights * residuals, cluster)
    return basis[:, -1] @ target / scale, np.sqrt((scores**2).sum()) / scale, robust.degrees_of_freedom


def test_degrees_of_freedom_of_dfadjust():
    """Kolesár, R's dfadjust, tests/testthat/test-hc2-check.R: lm(y ~ cbind(sin(1:10), sin(2:11))), no clusters."""
    rows = np.arange(1, 11)
    columns = np.column_stack([np.ones(10), np.sin(rows), np.sin(rows + 1)])
    for last, expected in enumerate((4.94624731, 3.90754737, 4.77265484)):
        order = [*(column for column in range(3) if column != last), last]
        found = last_coefficient(columns[:, order], rows.astype(float), np.arange(10))[2]
        assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("has_dummy", "published"),
    [(False, (188.164883779, 109.636001038, 3.371563406)), (True, (188.97371028, 107.8865573, 3.36194461))],
)
def test_adjusted_errors_of_dfadjust(has_dummy, published):
    """The same file, "Noninvertible cases": the dummy of one sample is fitted exactly. Error x t(0.975) / z(0.975)."""
    rows = np.arange(1, 101)
    target = rows**2.0 + np.repeat([1, 2, 3], [60, 20, 20])
    columns = [np.ones(100), np.sin(rows), rows.astype(float)] + [(rows == 1).astype(float)] * has_dummy
    for last, expected in enumerate(published):
        order = [*(column for column in range(len(columns)) if column != last), last]
        _, error, freedom = last_coefficient(np.column_stack([columns[i] for i in order]), target, rows - 1)
        assert error * stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975) == pytest.approx(expected, abs=1e-7)


def test_clustered_errors_of_dfadjust_with_fixed_effects():
    """The same file, "Fixed effects": x has estimate 1.71, HC2 error 0.3705, 1 degree of freedom and p 0.1362."""
    cluster = np.repeat([0, 1, 2], [6, 2, 2])
    columns = np.column_stack([np.eye(3)[cluster], [1, 1, 1, 1, 0, 0, 0, 0, 0, 1]])
    effect, error, freedom = last_coefficient(columns, np.tan(np.arange(1, 11)), cluster)
    assert (effect, error, freedom) == (
        pytest.approx(1.71, abs=5e-3),
        pytest.approx(0.3705, abs=5e-5),
        pytest.approx(1),
    )
    assert 2 * stats.t.sf(effect / error, freedom) == pytest.approx(0.1362, abs=5e-5)


def test_three_treated_of_thirty_as_in_imbens_and_kolesar_2016():
    """Section II of that paper: the Behrens-Fisher design with 3 and 27 units has 2.5 degrees of freedom, not 28."""
    columns = np.column_stack([np.ones(30), np.arange(30) < 3])
    found = last_coefficient(columns, np.zeros(30), np.arange(30))[2]
    assert found == pytest.approx(2.5, abs=0.05)
    exact = (1 / 3 + 1 / 27) ** 2 / (1 / (3**2 * 2) + 1 / (27**2 * 26))
    assert found == pytest.approx(exact, rel=1e-10)
