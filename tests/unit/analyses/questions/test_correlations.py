"""Rank correlations of every head: exactly SciPy's, honest with clusters, and stated nulls for what cannot be."""

import warnings

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analyses.questions.correlations.answer import correlate, correlations
from analyses.questions.correlations.sentences import correlation_sentences
from analyses.questions.correlations.tables import CORRELATIONS
from analyses.questions.correlations.targets import (
    CERTAINTY_WORDS,
    MAGNITUDE_WORDS,
    target_values,
    text_number,
    word_step,
)
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings, SettingsError
from tests.fixtures.synthetic_run import edit_table, write_run
from tests.oracles.test_significance import dense_cr2

SETTINGS = AnalysisSettings(permutations=0)


def clustered(rng, num_clusters, size, num_tests, share=0.5):
    """Values of which ``share`` of the variance lies between clusters, and their clusters."""
    cluster = np.repeat(np.arange(num_clusters), size)
    shape = len(cluster), num_tests
    between = rng.normal(size=(num_clusters, num_tests))[cluster]
    return np.sqrt(share) * between + np.sqrt(1 - share) * rng.normal(size=shape), cluster


def test_rho_is_scipys_with_ties_and_missing_values():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (80, 12)).astype(float)
    values[rng.random(values.shape) < 0.1] = np.nan
    target = rng.integers(0, 4, 80).astype(float)
    target[:5] = np.nan
    (found,) = correlate(values, [target], np.arange(80) // 2)
    for test in range(12):
        rows = ~np.isnan(values[:, test]) & ~np.isnan(target)
        assert found["rho"][test] == pytest.approx(
            stats.spearmanr(values[rows, test], target[rows]).statistic, abs=1e-13
        )
        assert found["num_samples"][test] == rows.sum()
        assert found["num_clusters"][test] == len(np.unique((np.arange(80) // 2)[rows]))


def test_a_statistic_that_exists_only_where_the_target_is_unknown():
    rng = np.random.default_rng(4)
    target, values = rng.normal(size=60), rng.normal(size=(60, 2))
    target[:30] = np.nan
    values[30:, 1] = np.nan
    (found,) = correlate(values, [target], np.arange(60) // 2)
    assert np.isfinite(found["pvalue"][0])
    assert np.isnan(found["rho"][1]) and found["note"][1] == "no sample has a value of both"


def test_a_published_example():
    """Intelligence and hours of television of ten people: rho = -29/165 (the worked example of the encyclopedias)."""
    intelligence = np.array([106.0, 100, 86, 101, 99, 103, 97, 113, 112, 110])
    hours = np.array([7.0, 27, 2, 50, 28, 29, 20, 12, 6, 17])
    (found,) = correlate(intelligence[:, None], [hours], np.arange(10))
    assert found["rho"][0] == pytest.approx(-29 / 165, abs=1e-14)
    assert found["pvalue"][0] > 0.5


def test_errors_equal_the_dense_definition_of_cr2():
    rng = np.random.default_rng(1)
    values, cluster = clustered(rng, 20, 4, 5)
    target = clustered(rng, 20, 4, 1)[0][:, 0]
    length = rng.normal(size=80)
    (found,) = correlate(values, [target], cluster, [length])

    def unit(column):
        ranks = stats.rankdata(column) - (len(column) + 1) / 2
        return ranks / np.linalg.norm(ranks)

    for test in range(5):
        columns = np.column_stack([np.ones(80), unit(target)])
        rho, error, freedom = dense_cr2(columns, unit(values[:, test]), cluster)
        pvalue = 2 * stats.t.sf(abs(rho / error), freedom)
        np.testing.assert_allclose(
            [found[name][test] for name in ("rho", "pvalue", "degrees_of_freedom")], [rho, pvalue, freedom], rtol=1e-9
        )
        columns = np.column_stack([np.ones(80), unit(length), unit(target)])
        slope, error, freedom = dense_cr2(columns, unit(values[:, test]), cluster)
        assert found["pvalue_partial"][test] == pytest.approx(2 * stats.t.sf(abs(slope / error), freedom), rel=1e-9)
        without = columns[:, :2]
        residual = [
            column - without @ np.linalg.lstsq(without, column, rcond=None)[0]
            for column in (columns[:, 2], unit(values[:, test]))
        ]
        assert found["rho_partial"][test] == pytest.approx(np.corrcoef(residual)[0, 1], abs=1e-12)


@pytest.mark.parametrize("between", [True, False])
def test_the_false_positive_rate_is_nominal_with_clusters(between):
    """2,000 unrelated statistics, half of their variance between companies; the target clustered, or not."""
    rng = np.random.default_rng(2)
    values, cluster = clustered(rng, 60, 4, 2000)
    rates, naive = [], []
    for _ in range(3):
        target = clustered(rng, 60, 4, 1, share=0.9 if between else 0.0)[0][:, 0]
        (found,) = correlate(np.exp(values), [target], cluster)
        rates.append((found["pvalue"] <= 0.05).mean())
        naive.append(
            (2 * stats.t.sf(np.abs(found["rho"]) * np.sqrt(238 / (1 - found["rho"] ** 2)), 238) <= 0.05).mean()
        )
    assert 0.03 <= np.mean(rates) <= 0.065
    if between:
        assert np.mean(naive) > 0.09, "without clusters far too many would pass"


def test_the_interval_covers():
    """Bivariate normal with r = 0.6 and clusters: Spearman's rho of the population is 6/pi asin(r/2)."""
    rng = np.random.default_rng(3)
    rho = 6 / np.pi * np.arcsin(0.3)
    covered = []
    for _ in range(300):
        first, cluster = clustered(rng, 60, 3, 1)
        second = 0.6 * first + 0.8 * clustered(rng, 60, 3, 1)[0]
        (found,) = correlate(second, [first[:, 0]], cluster)
        covered.append(found["ci_low"][0] <= rho <= found["ci_high"][0])
    assert 0.91 <= np.mean(covered) <= 0.985


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return write_run(
        path, num_samples=150, num_layers=2, num_heads=3, num_clusters=50, key_groups=("financial", "number")
    )


def planted(run_dir, column, place):
    """Let one head's entropy at the decision follow a column of samples."""
    samples = open_tables(run_dir).samples.select("sample_id", driver=column)
    layer, head = place
    is_there = (pl.col("query_group") == "decision") & (pl.col("layer") == layer) & (pl.col("head") == head)
    moved = (pl.col("entropy_nats") + 0.5 * pl.col("driver").cast(pl.Float32)).alias("entropy_nats")
    edit_table(
        run_dir,
        "head_stats",
        lambda f: (
            f.join(samples, "sample_id", maintain_order="left")
            .with_columns(pl.when(is_there).then(moved).otherwise("entropy_nats").alias("entropy_nats"))
            .drop("driver")
        ),
    )


def test_a_planted_correlation_is_found_and_told(run_dir):
    planted(run_dir, "year", (1, 2))
    table = correlations(open_tables(run_dir), SETTINGS)
    assert table.schema == CORRELATIONS.schema
    found = table.filter(pl.col("pvalue_adjusted") <= 0.05)
    top = table.sort("pvalue", nulls_last=True).row(0, named=True)
    assert (top["target"], top["query_group"], top["layer"], top["head"]) == ("year", "decision", 1, 2)
    assert top["statistic"] == "entropy_nats" and top["rho"] > 0.5 and len(found) <= 4
    assert abs(top["rho_partial"] - top["rho"]) < 0.05, "length has nothing to do with it"
    assert set(table["target"].unique()) == {"certainty", "probability", "magnitude", "year"}
    assert table.group_by("target").len()["len"].to_list() == [3 * 6 * 14] * 4
    told = correlation_sentences(table)
    assert any("Head 1.2" in sentence and "higher where year is higher" in sentence for sentence in told)
    assert sum(sentence.startswith("Correlation with") for sentence in told) == 4


def test_families_are_those_of_the_config(run_dir):
    families = ({"name": "masses", "statistics": ["mass_*"]},)
    table = correlations(open_tables(run_dir), AnalysisSettings(families=families, permutations=0), ("year",))
    for _, rows in table.group_by("family"):
        expected = stats.false_discovery_control(rows["pvalue"].to_numpy())
        np.testing.assert_allclose(rows["pvalue_adjusted"].to_numpy(), expected)
        assert (rows["family_size"] == len(rows)).all()
    assert set(table["family"]) == {"masses", "rest"}


@pytest.mark.parametrize(
    ("text", "ladder", "step"),
    [
        ("High", CERTAINTY_WORDS, 3),
        (" very HIGH ", CERTAINTY_WORDS, 4),
        ("Medium", CERTAINTY_WORDS, 2),
        ("low", CERTAINTY_WORDS, 1),
        ("not high", CERTAINTY_WORDS, None),
        ("low to high", CERTAINTY_WORDS, None),
        ("banana", CERTAINTY_WORDS, None),
        ("Slight", MAGNITUDE_WORDS, 1),
        ("Moderate Increase", MAGNITUDE_WORDS, 2),
        ("Significant", MAGNITUDE_WORDS, 3),
        ("", MAGNITUDE_WORDS, None),
    ],
    ids=lambda value: {CERTAINTY_WORDS: "certainty", MAGNITUDE_WORDS: "magnitude"}.get(value),
)
def test_words_have_steps(text, ladder, step):
    assert word_step(text, ladder) == step


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12.0),
        ("-1,234.5 %", -1234.5),
        (".5", 0.5),
        ("+3%", 3.0),
        ("", None),
        ("-", None),
        ("12 to 15", None),
        ("1,2", None),
    ],
)
def test_numbers_are_read(text, number):
    assert text_number(text) == number


def test_unknown_words_are_left_out_and_counted(tmp_path):
    path = write_run(tmp_path / "run", num_samples=30, num_layers=1, num_heads=1, key_groups=("financial",))
    word = pl.when(pl.col("sample_id") < "s00003").then(pl.lit("quite")).otherwise("certainty")
    number = pl.when(pl.col("sample_id") < "s00002").then(pl.lit("large")).otherwise(pl.lit("12.5%"))
    edit_table(path, "samples", lambda f: f.with_columns(certainty=word, magnitude=number))
    tables = open_tables(path)
    certainty = target_values(tables, "certainty")
    assert (
        np.isnan(certainty.values).sum() == 3 and "3 samples left out" in certainty.note and "'quite'" in certainty.note
    )
    magnitude = target_values(tables, "magnitude")
    assert np.nanmax(magnitude.values) == 12.5 and "2 samples left out" in magnitude.note
    table = correlations(tables, SETTINGS, ("magnitude",))
    assert len(table) == 1 and "every sample has the same magnitude" in table["note"][0] and table["pvalue"][0] is None


def test_a_target_that_is_no_column_is_refused(run_dir):
    with pytest.raises(SettingsError, match="'yaer'"):
        correlations(open_tables(run_dir), SETTINGS, ("yaer",))


@pytest.mark.parametrize("kind", ["two samples", "one cluster", "constant", "NaN", "no targets known"])
def test_bad_input_is_a_stated_null(tmp_path, kind):
    num_samples = 2 if kind == "two samples" else 30
    path = write_run(tmp_path / "run", num_samples=num_samples, num_layers=1, num_heads=2, num_shards=1)
    numbers = {"constant": 0.25, "NaN": float("nan")}
    if kind in numbers:
        lit = pl.lit(numbers[kind], dtype=pl.Float32)
        edit_table(path, "head_stats", lambda f: f.with_columns(lit.alias(name) for name in f.columns[4:]))
    elif kind == "one cluster":
        edit_table(path, "samples", lambda f: f.with_columns(cluster=pl.lit("only")))
    elif kind == "no targets known":
        names = ("certainty", "magnitude", "year", "label_surprisal", "contrast_probability")
        edit_table(
            path, "samples", lambda f: f.with_columns(pl.lit(None, f.schema[name]).alias(name) for name in names)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = correlations(open_tables(path), SETTINGS)
        told = correlation_sentences(table)
    assert table["pvalue"].is_null().all() and table["ci_low"].is_null().all() and table["note"].is_not_null().all()
    assert len(told) == 4 and all("not tested" in sentence for sentence in told)
