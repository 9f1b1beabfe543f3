"""Numbers that others published: R's help pages and textbooks."""

import numpy as np
import pytest

from analyses import significance

SLEEP = np.array(
    [[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]]
)
"""Student's sleep data, R's ``datasets::sleep``: extra hours of sleep in two groups of ten."""


def test_sleep_data_as_in_r():
    """R 4: t.test(extra ~ group, sleep) p = 0.07939; wilcox.test(extra ~ group, sleep) W = 25.5, p = 0.06933."""
    values, is_a = SLEEP.reshape(-1, 1), np.repeat([True, False], 10)
    found = significance.compare_groups(values, is_a)
    assert found.pvalue_welch[0] == pytest.approx(0.07939, abs=5e-6)
    assert found.pvalue_mannwhitney[0] == pytest.approx(0.06933, abs=5e-6)
    assert found.auc[0] * 100 == pytest.approx(25.5)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_of_newcombe_1998(successes, trials, low, high):
    """Newcombe (1998), Statistics in Medicine 17:857, table I, method 3."""
    found = significance.wilson_interval(successes, trials)
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
    assert (significance.adjust_pvalues(pvalues, "fdr_bh") <= 0.05).sum() == 4
    assert (significance.adjust_pvalues(pvalues, "bonferroni") <= 0.05).sum() == 3


def test_hedges_correction():
    """Hedges (1981), exact c(m) for m = 10 degrees of freedom: 0.9228."""
    a, b = np.arange(6.0)[:, None], np.arange(6.0)[:, None] + 1
    pooled = np.sqrt(3.5)
    assert significance.hedges_g(a, b)[0] * -pooled == pytest.approx(0.9228, abs=1e-4)
