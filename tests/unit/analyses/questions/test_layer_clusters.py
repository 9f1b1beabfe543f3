"""Stretches of neighbouring layers: formed by sign and threshold, tested by the largest one, never across heads."""

import numpy as np
import polars as pl
import pytest

from analyses.inference.adjusted.design import ModelSamples
from analyses.inference.adjusted.max_t import random_signs
from analyses.questions.differences.answer import group_differences
from analyses.questions.differences.layer_clusters import LayerClusters, largest_masses, stretches
from analyses.questions.differences.tables import LAYER_CLUSTERS
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from tests.fixtures.synthetic_run import write_run


def slow_masses(statistic, limit):
    masses = [0.0]
    for first in range(len(statistic)):
        for last in range(first, len(statistic)):
            part, limits = statistic[first : last + 1], limit[first : last + 1]
            if (np.abs(part) >= limits).all() and len(set(np.sign(part))) == 1:
                masses.append(abs(part.sum()))
    return max(masses)


def test_the_largest_mass_equals_a_loop_over_all_stretches():
    rng = np.random.default_rng(0)
    statistic, limit = rng.normal(0, 2, (200, 9)), rng.uniform(0.5, 2.5, 9)
    expected = [slow_masses(row, limit) for row in statistic]
    np.testing.assert_allclose(largest_masses(statistic, limit), expected)


def test_a_stretch_ends_where_the_sign_changes_or_a_layer_misses_the_threshold():
    statistic = np.array([3.0, 2.5, -4.0, -2.5, 1.0, 3.0])
    assert list(stretches(statistic, np.full(6, 2.0))) == [(0, 1), (2, 3), (5, 5)]
    assert list(stretches(np.array([]), np.array([]))) == []


def model_of(rng, num_samples=120):
    cluster = np.unique(rng.integers(0, 40, num_samples), return_inverse=True)[1]
    return ModelSamples(rng.random(num_samples) < 0.5, cluster, None, {})


def test_a_weak_effect_over_neighbouring_layers_is_found_where_single_layers_say_little():
    rng = np.random.default_rng(3)
    samples = model_of(rng)
    values = rng.normal(size=(120, 2, 12))
    values[:, 0, 4:9] += 0.8 * samples.is_a[:, None]
    layers = LayerClusters(samples, random_signs(499, 40, 0))
    layers.add("all", ["spread", "nothing"], values)
    table = layers.table("c", {("all", "spread"): "f", ("all", "nothing"): "f"})
    assert table.schema == LAYER_CLUSTERS.schema
    best = table.sort("pvalue_adjusted").row(0, named=True)
    assert best["statistic"] == "spread" and best["pvalue_adjusted"] < 0.05
    assert best["first_layer"] <= 5 and best["last_layer"] >= 7 and 4 <= best["peak_layer"] <= 8
    assert best["num_a"] + best["num_b"] == 120 and best["difference"] == pytest.approx(0.8, abs=0.35)
    known = table.drop_nulls("pvalue")
    assert (known["pvalue_adjusted"] >= known["pvalue"]).all()


def test_families_have_their_own_largest_mass():
    rng = np.random.default_rng(4)
    samples = model_of(rng)
    values = rng.normal(size=(120, 3, 8))
    values[:, 0] += 0.6 * samples.is_a[:, None]
    layers = LayerClusters(samples, random_signs(199, 40, 0))
    layers.add("all", ["a", "b", "c"], values)
    apart = layers.table("x", {("all", "a"): "one", ("all", "b"): "two", ("all", "c"): "two"})
    row = apart.filter(pl.col("statistic") == "a").sort("pvalue").row(0, named=True)
    assert row["pvalue"] == row["pvalue_adjusted"] and row["family"] == "one"


@pytest.mark.parametrize("kind", ["constant", "missing", "one cluster"])
def test_what_cannot_be_tested_has_a_note_and_no_p(kind):
    rng = np.random.default_rng(5)
    samples = model_of(rng)
    values = rng.normal(size=(120, 1, 4))
    if kind == "constant":
        values[:] = 0.5
    elif kind == "missing":
        values[:] = np.nan
    else:
        samples = ModelSamples(samples.is_a, np.zeros(120, int), None, {})
    layers = LayerClusters(samples, random_signs(19, int(samples.cluster.max()) + 1, 0))
    layers.add("all", ["statistic"], values)
    row = layers.table("c", {("all", "statistic"): "f"}).row(0, named=True)
    assert row["pvalue"] is None and row["note"]


def test_the_table_of_a_run_names_the_planted_layers(tmp_path):
    planted = {("decision", "mass_profit", layer, head): 0.03 for layer in (1, 2) for head in range(3)}
    run_dir = write_run(tmp_path / "run", num_samples=150, num_layers=4, num_heads=3, planted=planted)
    _, table, _ = group_differences(open_tables(run_dir), AnalysisSettings(permutations=199))
    best = table.sort("pvalue_adjusted", nulls_last=True).row(0, named=True)
    assert (best["query_group"], best["statistic"]) == ("decision", "mass_profit")
    assert (best["first_layer"], best["last_layer"]) == (1, 2) and best["mass"] > 0
    assert len(table.select("query_group", "statistic").unique()) == 3 * 26
