"""What the tables of an analysis say, computed again from the Parquet files alone, one number at a time."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analyses.reporting.write import analyze
from tests.fixtures.synthetic_run import add_metadata, edit_table, write_run
from tests.oracles.test_significance import dense_cr2

PLANTED = {("decision", "mass_profit", 1, 0): 0.1, ("decision", "mass_profit", 2, 1): 0.1}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    write_run(path, num_samples=150, num_layers=3, num_heads=2, num_clusters=50, planted=PLANTED)
    add_metadata(path, {"analysis": {"permutations": 99, "decodability": False}, "visualization": {"formats": []}})
    hole = pl.col("sample_id").str.slice(-1) == "7"
    edit_table(path, "head_stats", lambda f: f.with_columns(induction=pl.when(~hole).then("induction")))
    analyze(path)
    return path


def table(run_dir, name):
    return pl.read_parquet(run_dir / "analysis" / "tables" / f"{name}.parquet")


def measured(run_dir, query_group, statistic, layer=None, head=None):
    """Samples with a value of one head, its value in column ``y`` and the baseline of its key group in ``uniform``."""
    chosen = pl.col("query_group") == query_group
    for name, place in (("layer", layer), ("head", head)):
        chosen &= True if place is None else pl.col(name) == place
    stats_of = pl.read_parquet(run_dir / "shards/*/head_stats.parquet").filter(chosen)
    found = stats_of.select("sample_id", "layer", "head", y=pl.col(statistic).cast(pl.Float64)).drop_nulls("y")
    if statistic.startswith("mass_"):
        uniform = pl.read_parquet(run_dir / "shards/*/baselines.parquet").filter(pl.col("query_group") == query_group)
        name = f"baseline_{statistic.removeprefix('mass_')}"
        found = found.join(uniform.select("sample_id", uniform=pl.col(name).cast(pl.Float64)), on="sample_id")
    return found.join(pl.read_parquet(run_dir / "shards/*/samples.parquet"), on="sample_id").sort("sample_id")


def fitted(frame, y):
    """Adjusted difference of right minus wrong, CR2 error and degrees of freedom, from the definitions."""
    group = frame["is_correct"].to_numpy().astype(float)
    label = np.where(frame["predicted_label"].to_numpy() == "increase", 1.0, -1.0)
    label = label - label.mean()
    length = np.log(frame["num_tokens"].to_numpy())
    columns = np.column_stack([np.ones(len(y)), length, label, label * group, group])
    return dense_cr2(columns, y, frame["cluster"].to_numpy())


def test_differences_and_lifts(run_dir):
    found = table(run_dir, "group_differences")
    rng = np.random.default_rng(0)
    rows = [found.row(int(slot), named=True) for slot in rng.choice(len(found), 8, replace=False)]
    rows += found.filter(pl.col("statistic") == "induction").head(1).to_dicts()
    rows += found.sort("pvalue").head(1).to_dicts()
    for row in rows:
        frame = measured(run_dir, row["query_group"], row["statistic"], row["layer"], row["head"])
        y, is_a = frame["y"].to_numpy(), frame["is_correct"].to_numpy()
        effect, error, freedom = fitted(frame, y)
        reach = stats.t.ppf(0.975, freedom) * error
        pvalue = 2 * stats.t.sf(abs(effect / error), freedom)
        welch = stats.ttest_ind(y[is_a], y[~is_a], equal_var=False).pvalue
        expected = [effect, error, freedom, effect - reach, effect + reach, pvalue, welch, y[is_a].mean()]
        names = ("difference", "standard_error", "degrees_of_freedom", "ci_low", "ci_high", "pvalue", "pvalue_welch")
        np.testing.assert_allclose([row[name] for name in (*names, "mean_a")], expected, rtol=1e-6)
        assert (row["num_a"], row["num_b"]) == (is_a.sum(), (~is_a).sum())
        assert row["num_clusters"] == frame["cluster"].n_unique()
        if row["lift"] is not None:
            assert row["lift"] == pytest.approx((frame["y"] / frame["uniform"]).mean(), rel=1e-5)
    adjusted = stats.false_discovery_control(found["pvalue"].to_numpy())
    np.testing.assert_allclose(found["pvalue_adjusted"].to_numpy(), adjusted, rtol=1e-12)
    assert found.sort("pvalue").row(0, named=True)["is_replicated"] is True


def test_differences_within_strata(run_dir):
    found = table(run_dir, "replication_by_stratum").filter(pl.col("stratum_column") == "year")
    for row in found.drop_nulls("pvalue").sample(5, seed=1).to_dicts():
        frame = measured(run_dir, row["query_group"], row["statistic"], row["layer"], row["head"])
        frame = frame.filter(pl.col("year") == int(row["stratum"]))
        effect, error, freedom = fitted(frame, frame["y"].to_numpy())
        pvalue = 2 * stats.t.sf(abs(effect / error), freedom)
        np.testing.assert_allclose([row["difference"], row["pvalue"]], [effect, pvalue], rtol=1e-6)
        assert row["num_a"] == frame["is_correct"].sum()


def test_stretches_of_layers(run_dir):
    found = table(run_dir, "layer_clusters").filter(
        (pl.col("query_group") == "decision") & (pl.col("statistic") == "mass_profit")
    )
    (row,) = found.drop_nulls("mass").to_dicts()
    assert (row["first_layer"], row["last_layer"]) == (1, 2) and row["pvalue_adjusted"] <= 0.05
    mass = difference = 0.0
    for layer in (1, 2):
        frame = measured(run_dir, "decision", "mass_profit", layer)
        mean = frame.group_by("sample_id").agg(mean=pl.col("y").mean())
        samples = frame.filter(pl.col("head") == 0).join(mean, on="sample_id").sort("sample_id")
        effect, error, _ = fitted(samples, samples["mean"].to_numpy())
        mass, difference = mass + effect / error, difference + effect / 2
    np.testing.assert_allclose([row["mass"], row["difference"]], [mass, difference], rtol=1e-5)


def test_correlations_and_what_is_left_among_samples_of_one_length(run_dir):
    found = table(run_dir, "correlations").filter(pl.col("target") == "year")
    with_holes = found.filter(pl.col("statistic") == "induction").head(1)
    for row in [*found.sample(4, seed=2).to_dicts(), *with_holes.to_dicts()]:
        frame = measured(run_dir, row["query_group"], row["statistic"], row["layer"], row["head"])
        y, year, length = (stats.rankdata(frame[name]) for name in ("y", "year", "num_tokens"))
        assert row["rho"] == pytest.approx(stats.spearmanr(frame["y"], frame["year"]).statistic, abs=1e-9)
        standard = [(ranks - ranks.mean()) / np.linalg.norm(ranks - ranks.mean()) for ranks in (year, y)]
        ones = np.ones(len(y))
        effect, error, freedom = dense_cr2(
            np.column_stack([ones, standard[0]]), standard[1], frame["cluster"].to_numpy()
        )
        assert row["pvalue"] == pytest.approx(2 * stats.t.sf(abs(effect / error), freedom), rel=1e-6)
        others = np.column_stack([ones, length])
        left = [ranks - others @ np.linalg.lstsq(others, ranks, rcond=None)[0] for ranks in (year, y)]
        assert row["rho_partial"] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)
        assert row["num_samples"] == len(frame)
    adjusted = stats.false_discovery_control(found["pvalue"].to_numpy())
    np.testing.assert_allclose(found["pvalue_adjusted"].to_numpy(), adjusted, rtol=1e-12)


def test_a_slope_over_layers(run_dir):
    row = table(run_dir, "hypotheses").row(0, named=True)
    frame = measured(run_dir, "decision", "mass_financial")
    per_layer = frame.group_by("sample_id", "layer").agg(pl.col("y").mean(), pl.col("uniform").first())
    odds = [(pl.col(name) / (1 - pl.col(name))).log() for name in ("y", "uniform")]
    wide = per_layer.with_columns(value=odds[0] - odds[1]).pivot("layer", index="sample_id", values="value")
    wide = wide.join(frame.select("sample_id", "cluster").unique(), on="sample_id")
    slope = ((wide["2"] - wide["0"]) / 2).to_numpy()
    effect, error, freedom = dense_cr2(np.ones((len(slope), 1)), slope, wide["cluster"].to_numpy())
    reach = stats.t.ppf(0.975, freedom) * error
    np.testing.assert_allclose(
        [row["effect"], row["ci_low"], row["ci_high"]], [effect, effect - reach, effect + reach], rtol=1e-6
    )
