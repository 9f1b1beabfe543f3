"""Associations of noisy means: the interval holds that of the true means where percentiles do not."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.inference.attenuation import attenuated, reliability
from tests.benchmarks.interval_coverage import agreement_intervals


@pytest.mark.parametrize(("clusters", "noise"), [(40, 0.1), (40, 0.5), (12, 0.5)], ids=["little", "much", "few"])
def test_intervals_of_agreement_hold_the_true_one(clusters, noise):
    """Percentiles alone hold it in a quarter of the runs at this noise."""
    truth, found = agreement_intervals(clusters, noise, 40)
    held = (found[:, 1] <= truth) & (truth <= found[:, 2])
    assert held.sum() >= 34 and found[:, 0].mean() <= truth + 0.02


def test_the_ceiling_is_what_noise_leaves_of_a_perfect_agreement():
    rng = np.random.default_rng(2)
    true = rng.normal(size=400)
    means = true + 0.5 * rng.normal(size=400)
    drawn = means + 0.5 * rng.normal(size=(500, 400))
    assert reliability(np.vstack([means, drawn])) == pytest.approx(0.8, abs=0.05)
    assert reliability(np.ones((3, 4))) == 0.04


def test_without_noise_the_interval_is_that_of_the_resamples():
    values = np.array([0.5, *np.linspace(0.4, 0.6, 101)])
    found = attenuated(values, 1.0, 0.05, span=(-1.0, 1.0))
    assert (found.ci_low, found.ci_high) == (pytest.approx(0.405), pytest.approx(0.595))
    unknown = attenuated(np.array([0.5, *[np.nan] * 60, *[0.5] * 40]), 1.0, 0.05, span=(-1.0, 1.0))
    assert np.isnan(unknown.ci_low) and unknown.value == 0.5
