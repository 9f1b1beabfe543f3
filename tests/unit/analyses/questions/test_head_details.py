"""What the head panel shows: quantiles and lifts against slow oracles, top tokens, and what it weighs."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analyses.questions.comparisons import comparisons_of
from analyses.questions.heads.details import QUANTILES, column_quantiles, head_details
from analyses.questions.heads.top_tokens import NUM_TOP_TOKENS, head_top_tokens
from analyses.questions.profiles.token_weights import heaviest_tokens
from analyses.reporting.analysis import answer_questions
from analyses.reporting.interactive.atlas import MAX_NUMBERS, atlas_content
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.visualization import VisualizationSettings
from tests.fixtures.synthetic_run import add_metadata, edit_table, write_run

SETTINGS = AnalysisSettings(permutations=0, decodability=None, hypotheses=(), correlations=(), strata=())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    groups = ("financial", "profit", "number", "random_financial_1", "random_financial_2", "random_financial_3")
    write_run(path, num_samples=40, num_layers=2, num_heads=3, num_clusters=15, num_shards=2, key_groups=groups)
    hole = pl.when(pl.col("sample_id") < "s00007").then(None).otherwise(pl.col("mass_profit")).alias("mass_profit")
    edit_table(path, "head_stats", lambda frame: frame.with_columns(hole))
    add_metadata(path)
    return path


@pytest.fixture(scope="module")
def details(run):
    tables = open_tables(run)
    return head_details(tables, SETTINGS, comparisons_of(tables, SETTINGS)[0])


def test_quantiles_are_numpys_on_what_is_known():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(31, 5)).astype(np.float32)
    values[:9, 1] = np.nan
    values[1:, 2] = np.nan
    values[:, 3] = np.nan
    found, counts = column_quantiles(values)
    assert counts.tolist() == [31, 22, 1, 0, 31]
    for column in (0, 1, 2, 4):
        known = values[:, column][~np.isnan(values[:, column])].astype(np.float64)
        np.testing.assert_allclose(found[:, column], np.quantile(known, list(QUANTILES.values())), rtol=1e-6)
    assert np.isnan(found[:, 3]).all()


def test_distributions_are_those_of_the_samples(run, details):
    stats = pl.read_parquet(run / "shards" / "*" / "head_stats.parquet")
    samples = pl.read_parquet(run / "shards" / "*" / "samples.parquet").select("sample_id", "is_correct")
    joined = stats.join(samples, "sample_id")
    assert set(details.distributions["group"]) == {"correct", "incorrect"}
    rows = details.distributions.filter(pl.col("statistic").is_in(["mass_profit", "entropy_nats"]))
    for row in rows.sample(12, seed=0).iter_rows(named=True):
        own = joined.filter(
            query_group=row["query_group"], layer=row["layer"], head=row["head"], is_correct=row["group"] == "correct"
        )[row["statistic"]].drop_nulls()
        assert row["num_samples"] == len(own)
        assert row["median"] == pytest.approx(own.median(), rel=1e-5)
        assert row["q05"] == pytest.approx(own.quantile(0.05, "linear"), rel=1e-5)


def test_lifts_are_means_over_samples_of_mass_over_baseline(run, details):
    stats = pl.read_parquet(run / "shards" / "*" / "head_stats.parquet")
    uniform = pl.read_parquet(run / "shards" / "*" / "baselines.parquet").drop("layer")
    joined = stats.join(uniform, ["sample_id", "query_group"])
    assert set(details.lifts["kind"]) == {"union", "category", "structure", "random"}
    for row in details.lifts.sample(15, seed=1).iter_rows(named=True):
        own = joined.filter(query_group=row["query_group"], layer=row["layer"], head=row["head"])
        ratio = (own[f"mass_{row['key_group']}"] / own[f"baseline_{row['key_group']}"]).drop_nulls()
        assert row["num_samples"] == len(ratio) and row["mean"] == pytest.approx(ratio.mean(), rel=1e-4)
        assert row["ci_low"] < row["mean"] < row["ci_high"]


def test_top_tokens_by_hand(run):
    found = head_top_tokens(open_tables(run))
    keys = pl.read_parquet(run / "shards" / "*" / "decision_top_keys.parquet").filter(layer=1, head=2)
    by_hand = {}
    for row in keys.iter_rows(named=True):
        by_hand[row["token"]] = by_hand.get(row["token"], 0.0) + row["weight"] / 40
    strongest = sorted(by_hand.items(), key=lambda item: -item[1])[:NUM_TOP_TOKENS]
    rows = found.filter(layer=1, head=2)
    assert rows["token"].to_list() == [token for token, _ in strongest]
    np.testing.assert_allclose(rows["mean"].to_numpy(), [share for _, share in strongest], rtol=1e-5)


@pytest.mark.parametrize("at_once", [1, 7, 2**25])
@pytest.mark.parametrize("order", ["as written", "samples scattered"])
@pytest.mark.parametrize("rows", [17, 2**18])
def test_top_tokens_hang_on_no_way_of_reading(run, tmp_path, monkeypatch, at_once, order, rows):
    """Few sums or few rows at once, and samples that do not lie together, give what Polars gives for all at once."""
    path = shutil.copytree(run, tmp_path / "run")
    if order == "samples scattered":
        edit_table(path, "decision_top_keys", lambda frame: frame.sample(fraction=1, shuffle=True, seed=1))
    monkeypatch.setattr("analyses.questions.heads.top_tokens.SUMS_AT_ONCE", at_once)
    monkeypatch.setattr("analyses.runs.layouts.ROWS_AT_ONCE", rows)
    keys = pl.read_parquet(path / "shards" / "*" / "decision_top_keys.parquet")
    tables = open_tables(path)
    summed = keys.group_by("layer", "head", "token").agg(
        mean=pl.col("weight").cast(pl.Float64).sum() / len(tables.samples),
        num_samples=pl.col("sample_id").n_unique().cast(pl.Int32),
    )
    ordered = summed.sort("layer", "head", "mean", "token", descending=[False, False, True, False])
    expected = ordered.group_by("layer", "head", maintain_order=True).head(NUM_TOP_TOKENS)
    found = head_top_tokens(tables)
    assert_frame_equal(found.drop("rank"), expected.select(found.drop("rank").columns))
    assert found["rank"].to_list() == [*range(1, NUM_TOP_TOKENS + 1)] * 6
    weights = keys.group_by("sample_id", "token").agg(pl.col("weight").cast(pl.Float64).sum() / 6)
    tokens, values = heaviest_tokens(tables, 5)
    totals = weights.group_by("token").agg(pl.col("weight").sum()).sort("weight", descending=True)
    assert tokens == totals["token"].head(5).to_list()
    by_hand = dict(zip(weights.select("sample_id", "token").iter_rows(), weights["weight"], strict=True))
    for slot, token in enumerate(tokens):
        own = [by_hand.get((sample, token), 0.0) for sample in tables.samples["sample_id"]]
        np.testing.assert_allclose(values[:, slot], own, rtol=1e-12)


def test_the_atlas_holds_every_head_and_no_more_numbers_than_allowed(run, monkeypatch):
    tables = answer_questions(open_tables(run), SETTINGS, VisualizationSettings())
    content = atlas_content(tables)
    assert set(content["heads"]) == {f"{layer}.{head}" for layer in range(2) for head in range(3)}
    assert set(content["distributions"]) == {"all", "decision", "response"}
    assert "Not measured" in content["absent"]["causes"] and "tests" not in content["absent"]
    json.dumps(content, allow_nan=False)
    monkeypatch.setattr("analyses.reporting.interactive.atlas.MAX_NUMBERS", MAX_NUMBERS // 10_000)
    assert set(atlas_content(tables)["distributions"]) == {"decision"}
