"""Verdicts that agree with the charts: "mixed" where a layer, or the share of attention, says the opposite."""

import numpy as np
import pytest

from analyses.questions.hypotheses.answer import CONTRADICTED, MIXED, NOT_DECIDED, SUPPORTED, _verdict
from analyses.questions.hypotheses.chart_scale import beside_chart, is_mixed, mean_estimator

ROW = {"direction": "greater", "effect": 1.0, "pvalue_claim": 0.001}


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({}, SUPPORTED),
        ({"effect": -1.0}, CONTRADICTED),
        ({"effect_share": 0.1, "num_layers_other": 0}, SUPPORTED),
        ({"effect_share": -1e-9}, MIXED),
        ({"effect_share": float("nan")}, SUPPORTED),
        ({"effect_share": 0.1, "num_layers_other": 2}, MIXED),
        ({"effect": -1.0, "effect_share": 0.2}, MIXED),
        ({"effect_share": -0.1, "pvalue_claim": 0.2}, NOT_DECIDED),
    ],
)
def test_verdicts(more, verdict):
    assert _verdict(ROW | more, 0.05) == verdict


def test_layers_are_counted_by_their_own_intervals():
    """Three layers: far above 0, far below, and about 0; the share of attention is worked out by hand."""
    generator = np.random.default_rng(5)
    layers = generator.normal([1.0, -1.0, 0.0], 0.1, size=(40, 3))
    layers[:, 2] -= layers[:, 2].mean()
    cluster = np.arange(40)
    shares = generator.normal(0.02, 0.01, 40)
    columns = beside_chart(mean_estimator(cluster, 0.05), shares, layers, effect=0.3)
    assert (columns["num_layers_same"], columns["num_layers_other"]) == (1, 1)
    assert columns["effect_share"] == pytest.approx(shares.mean())
    half = 2.0227 * shares.std(ddof=1) / np.sqrt(40)  # Student's t with 39 degrees of freedom
    assert columns["share_ci_high"] - columns["share_ci_low"] == pytest.approx(2 * half, rel=1e-3)
    assert is_mixed(columns | {"effect": 0.3})


def test_without_shares_or_layers_nothing_is_said():
    columns = beside_chart(mean_estimator(np.arange(3), 0.05), None, None, effect=1.0)
    assert set(columns.values()) == {None} and not is_mixed(columns | {"effect": 1.0})


def test_a_layer_that_no_sample_has_is_no_layer():
    layers = np.full((10, 2), np.nan)
    layers[:, 0] = np.linspace(1, 2, 10)
    columns = beside_chart(mean_estimator(np.arange(10), 0.05), None, layers, effect=1.0)
    assert (columns["num_layers_same"], columns["num_layers_other"]) == (1, 0)
