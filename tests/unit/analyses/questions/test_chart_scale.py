"""Verdicts that agree with the charts: "mixed" where a layer, or the share of attention, says the opposite."""

import numpy as np
import pytest

from analyses.questions.hypotheses.answer import CONTRADICTED, MIXED, NOT_DECIDED, SUPPORTED, _verdict
from analyses.questions.hypotheses.chart_scale import beside_chart, is_mixed, mean_estimator
from analyses.questions.hypotheses.numbers import _later_minus_earlier
from analyses.questions.hypotheses.sentences import _on_the_chart

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
        ({"effect_share": 0.1, "effect_halves": -0.02}, MIXED),
        ({"effect": -1.0, "effect_share": -0.1, "effect_halves": -0.02}, CONTRADICTED),
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


@pytest.mark.parametrize("num_layers", [4, 5])
def test_a_trend_whose_halves_fall_is_mixed(num_layers):
    """Layers of 14, 44, 23 and 28 %: a line through them rises, and the later half shows less than the earlier one."""
    means = [0.14, 0.44, 0.23, 0.28] if num_layers == 4 else [0.14, 0.44, 0.9, 0.23, 0.28]
    inside = np.ones(num_layers, dtype=bool)
    halves = _later_minus_earlier(np.random.default_rng(3).normal(means, 0.01, (40, num_layers)), inside)
    columns = beside_chart(mean_estimator(np.arange(40), 0.05), None, None, 0.02, halves)
    assert columns["effect_halves"] == pytest.approx(-0.035, abs=0.005) and is_mixed(columns | {"effect": 0.02})
    told = _on_the_chart(columns | {"effect": 0.02, "unit": "log-odds per layer", "effect_share": 0.02})
    assert "Yet the later half of the layers minus the earlier half is -3." in told
    assert "Yet" not in _on_the_chart(columns | {"effect": -0.02, "unit": "log-odds per layer", "effect_share": -0.02})
