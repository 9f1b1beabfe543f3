"""How firm a head's type is: resamples of whole clusters, in one pass over the tables."""

import shutil

import numpy as np
import polars as pl
import pytest

from analyses.inference.clustered_means import clustered_mean
from analyses.questions.heads import scores
from analyses.questions.heads.head_types import head_types
from analyses.runs import layouts
from analyses.runs.lifts import over_baseline
from analyses.runs.run import open_tables
from analyses.runs.values import baseline_values, statistic_blocks
from analyses.settings.analysis import AnalysisSettings
from tests.fixtures.synthetic_run import edit_table, write_run

SETTINGS = AnalysisSettings()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return write_run(path, num_samples=90, num_layers=2, num_heads=3, num_clusters=30)


@pytest.fixture
def copied(run_dir, tmp_path):
    return shutil.copytree(run_dir, tmp_path / "copied")


def test_a_clear_head_keeps_its_type_and_one_on_the_threshold_does_not(copied):
    number = pl.col("sample_id").str.slice(1).cast(pl.Int32)
    near = 0.4 + 0.2 * ((number % 2) - 0.5)
    value = pl.when(pl.col("head") == 0).then(0.9).when(pl.col("head") == 1).then(near).otherwise(0.0)
    edit_table(copied, "head_stats", lambda f: f.with_columns(diagonal_excluding_first=value.cast(pl.Float32)))
    found = head_types(open_tables(copied), SETTINGS)
    clear, unsure = found.row(0, named=True), found.row(1, named=True)
    assert clear["head_type"] == "self-attention" and clear["type_stability"] == 1.0
    assert clear["type_runner_up"] is None
    assert 0.2 < unsure["type_stability"] < 0.8
    assert "self-attention" in (unsure["head_type"], unsure["type_runner_up"])


def test_resamples_are_of_clusters_and_repeatable(run_dir):
    first, second = (head_types(open_tables(run_dir), SETTINGS) for _ in range(2))
    assert first.equals(second)
    weights = scores._resample_weights(30, 0)
    assert weights.shape == (scores.NUM_RESAMPLES + 1, 30)
    assert (weights[0] == 1).all() and (weights.sum(axis=1) == 30).all()


def test_few_clusters_have_no_stability_and_say_so(copied):
    edit_table(
        copied,
        "samples",
        lambda f: f.with_columns(cluster=pl.col("cluster").str.slice(1, 1).replace({"8": "0", "9": "0"})),
    )
    found = head_types(open_tables(copied), SETTINGS)
    assert found["type_stability"].is_null().all() and found["type_runner_up"].is_null().all()
    assert found["note"].str.contains("fewer than 10 clusters").all()


@pytest.mark.parametrize("pieces", ["whole files", "small pieces"])
def test_sums_over_pieces_are_the_means_and_errors_of_all_samples(copied, monkeypatch, pieces):
    if pieces == "small pieces":
        monkeypatch.setattr(layouts, "ROWS_AT_ONCE", 40)
    is_gap = (pl.col("sample_id") < "s00020") & (pl.col("head") == 1)
    gap = pl.when(is_gap).then(None).otherwise(pl.col("mass_financial")).alias("mass_financial")
    edit_table(copied, "head_stats", lambda f: f.with_columns(gap))
    tables = open_tables(copied)
    found = head_types(tables, SETTINGS)
    cluster = tables.samples["cluster"].to_numpy()
    ((_, mass),) = statistic_blocks(tables, "all", ("mass_financial",))
    shaped = mass.reshape(len(mass), tables.num_layers, tables.num_heads)
    lifts = over_baseline(shaped, baseline_values(tables, "all", "financial")).reshape(len(mass), -1)
    expected = clustered_mean(lifts.astype(float), cluster)
    np.testing.assert_allclose(found["vocabulary_lift"], expected.mean, rtol=1e-5)
    np.testing.assert_allclose(found["vocabulary_lift_ci_low"][[0, 2, 3, 5]], expected.ci_low[[0, 2, 3, 5]], rtol=1e-4)
    rows = (
        tables.head_stats.filter(pl.col("query_group") == "all")
        .group_by("layer", "head")
        .agg(pl.col("diagonal_excluding_first").mean())
    )
    means = rows.sort("layer", "head").collect()["diagonal_excluding_first"]
    np.testing.assert_allclose(found["diagonal"], means, rtol=1e-5)
