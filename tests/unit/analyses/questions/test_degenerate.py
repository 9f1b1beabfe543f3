"""Degenerate numbers: no warning reaches the user, and every count is of the samples that were used."""

import warnings

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analyses.inference.unadjusted import compare_groups, hedges_standardizer, welch_pvalues
from analyses.questions.differences.answer import group_differences
from analyses.report import main
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from tests.fixtures.synthetic_run import add_metadata, edit_table, write_run


def test_welch_equals_scipy_and_is_silent_where_nothing_varies():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.2, 1, (17, 60)), rng.normal(0, 3, (9, 60))
    np.testing.assert_allclose(welch_pvalues(a, b), stats.ttest_ind(a, b, equal_var=False).pvalue, rtol=1e-10)
    np.testing.assert_allclose(welch_pvalues(a * 1e-170, b * 1e-170), welch_pvalues(a, b), rtol=1e-10)
    b[:, 0] = 0.1
    one_varies = stats.ttest_1samp(a[:, 0], 0.1).pvalue
    assert welch_pvalues(a, b)[0] == pytest.approx(one_varies, rel=1e-10)
    constant = np.full((7, 1), 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(welch_pvalues(constant, constant[:5] + 0.2)).all()
        assert np.isnan(hedges_standardizer(constant, constant[:5] + 0.2)).all()
        assert np.isnan(welch_pvalues(np.zeros((3, 2)), np.zeros((3, 2)))).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e-30, 1e-12, 1.0, 1e30])
def test_columns_that_hardly_vary_give_no_warning(size):
    rng = np.random.default_rng(0)
    is_a = np.arange(20) < 8
    values = np.stack(
        [
            np.full(20, 0.1),
            np.where(is_a, 0.1, 0.3),
            0.1 + 1e-7 * (np.arange(20) == 3),
            0.1 + 1e-9 * rng.normal(size=20),
            np.where(np.arange(20) == 0, 1.0, 0.0),
            np.where(np.arange(20) < 18, np.nan, 0.5),
            np.full(20, np.nan),
        ],
        axis=1,
    )
    found = compare_groups(values * size, is_a)
    assert np.isnan(found.pvalue_welch[[0, 1, 3, 5, 6]]).all()
    assert np.isnan(found.effect_size[[0, 1, 5, 6]]).all()
    assert (found.num_a[5], found.num_b[5], found.num_a[6]) == (0, 2, 0)


DEGENERATE = {
    "constant": lambda f: f.with_columns(pl.lit(0.25, dtype=pl.Float32).alias(n) for n in f.columns[4:]),
    "zero": lambda f: f.with_columns(pl.lit(0.0, dtype=pl.Float32).alias(n) for n in f.columns[4:]),
    "all attention on the first token": lambda f: f.with_columns(first_token=pl.lit(1.0, dtype=pl.Float32)),
    "nearly constant": lambda f: f.with_columns(
        (0.25 + 3e-8 * pl.col(n).cast(pl.Float64)).cast(pl.Float32).alias(n) for n in f.columns[4:]
    ),
    "one value": lambda f: f.with_columns(
        pl.when(pl.col("sample_id") == "s00003").then(pl.col(n)).alias(n) for n in f.columns[4:]
    ),
    "two values": lambda f: f.with_columns(
        pl.when(pl.col("sample_id").is_in(["s00003", "s00004"])).then(pl.col(n)).alias(n) for n in f.columns[4:]
    ),
    "NaN": lambda f: f.with_columns(pl.lit(float("nan"), dtype=pl.Float32).alias(n) for n in f.columns[4:]),
    "tiny": lambda f: f.with_columns((pl.col(n) * 1e-38).cast(pl.Float32).alias(n) for n in f.columns[4:]),
}


def one_kind_each(frame):
    """Return head statistics that are degenerate in turn, each in its own way, the first whole."""
    kinds = [frame, *(edit(frame) for edit in DEGENERATE.values())]
    return frame.with_columns(kinds[place % len(kinds)][name] for place, name in enumerate(frame.columns[4:]))


STATED = ("group_differences", "layer_clusters", "replication_by_stratum")
"""Tables whose note says why there is no p, and nothing else."""


def assert_stated_nulls(run_dir):
    """No test without a p-value lacks its reason, and no p-value has one."""
    for name in (*STATED, "key_group_attention", "decision_top_tokens"):
        table = pl.read_parquet(run_dir / "analysis" / "tables" / f"{name}.parquet")
        assert table.filter(pl.col("pvalue").is_null() & pl.col("note").is_null()).is_empty(), name
        if name in STATED:
            assert table.filter(pl.col("pvalue").is_not_null() & pl.col("note").is_not_null()).is_empty(), name
    for name, number in (("correlations", "pvalue"), ("hypotheses", "pvalue"), ("power", "smallest_effect_size")):
        table = pl.read_parquet(run_dir / "analysis" / "tables" / f"{name}.parquet")
        assert table.filter(pl.col(number).is_null() & pl.col("note").is_null()).is_empty(), name


SAMPLES = {
    "one cluster": lambda f: f.with_columns(cluster=pl.lit("only")),
    "a group of one cluster": lambda f: f.with_columns(
        cluster=pl.when("is_correct").then("cluster").otherwise(pl.lit("one"))
    ),
    "unknown clusters": lambda f: f.with_columns(cluster=pl.lit(None, dtype=pl.String)),
    "one class": lambda f: f.with_columns(is_correct=pl.lit(True), predicted_label=pl.lit("up")),
    "three wrong": lambda f: f.with_columns(is_correct=~pl.col("sample_id").is_in(["s00003", "s00004", "s00005"])),
    "unknown truth": lambda f: f.with_columns(is_correct=pl.lit(None, dtype=pl.Boolean)),
    "unknown lengths": lambda f: f.with_columns(num_tokens=pl.lit(None, dtype=pl.Int32)),
}
OTHERS = ("one sample", "two samples", "three samples", "wild bootstrap", "no random signs")
WORDS = {
    "three wrong": "heads averaged: stretches of layers could not be tested: too few samples to carry",
    "unknown clusters": "24 samples; no cluster is known, and each is taken as a cluster of its own",
    "one cluster": "no test could be made: fewer than two clusters",
}
"""What is told of a run of two layers, which is never that they do not differ."""
LONGER = {*DEGENERATE, "one class", "two samples", "no random signs"} - {"constant", "NaN"}
"""What differs from the others only where it is all that a run holds: with the tests that take longer."""


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.soak] if kind in LONGER else [])
        for kind in (*DEGENERATE, "one kind each", *SAMPLES, *OTHERS)
    ],
)
def test_nothing_but_words_reaches_stderr(tmp_path, capsys, kind):
    num_samples = {"one sample": 1, "two samples": 2, "three samples": 3}.get(kind, 24)
    shape = {"num_layers": 2, "num_heads": 1} if kind in WORDS else {"num_layers": 1, "num_heads": 2}
    run_dir = write_run(tmp_path / "run", num_samples=num_samples, num_shards=1, **shape)
    analysis = {
        "permutations": 9,
        "decodability": {"folds": 3, "repeats": 1, "permutations": 1},
        "groups": ["is_correct", "predicted_label", "certainty", "label_probability"],
    }
    if kind in WORDS:
        analysis |= {"groups": ["is_correct"]}
    if kind == "wild bootstrap":
        analysis |= {"permutations": 99, "errors": "wild_bootstrap"}
    if kind == "no random signs":
        analysis |= {"permutations": 0}
    add_metadata(run_dir, {"analysis": analysis, "visualization": {"formats": ["json"]}})
    if kind in DEGENERATE:
        edit_table(run_dir, "head_stats", DEGENERATE[kind])
    elif kind == "one kind each":
        edit_table(run_dir, "head_stats", one_kind_each)
    elif kind in SAMPLES:
        edit_table(run_dir, "samples", SAMPLES[kind])
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert main([str(run_dir)]) == 0
    assert_stated_nulls(run_dir)
    told = [str(one.message) for one in warned if not issubclass(one.category, DeprecationWarning)]
    assert told == [] and capsys.readouterr().err == ""
    if kind in WORDS:
        text = " ".join((run_dir / "analysis" / "analysis_summary_report.txt").read_text().split())
        assert WORDS[kind] in text
        assert kind == "unknown clusters" or "no stretch of neighbouring layers differs" not in text


def test_counts_are_of_the_samples_that_a_test_used(tmp_path):
    """Three statistics with different holes, one of them only in some heads; checked sample by sample."""
    run_dir = write_run(tmp_path / "run", num_samples=60, num_layers=1, num_heads=2, num_clusters=12)
    number = pl.col("sample_id").str.slice(1).cast(pl.Int32)

    def hole(name, is_missing):
        return pl.when(is_missing).then(None).otherwise(pl.col(name)).alias(name)

    edit_table(
        run_dir,
        "head_stats",
        lambda f: f.with_columns(
            hole("diagonal", number < 25),
            hole("induction", (number % 3 == 0) & (pl.col("head") == 1)),
            hole("mass_profit", (number > 50) & (pl.col("query_group") == "decision")),
        ),
    )
    tables = open_tables(run_dir)
    table, _, _ = group_differences(tables, AnalysisSettings(permutations=9))
    values = tables.head_stats.collect().join(tables.samples.select("sample_id", "is_correct", "cluster"), "sample_id")
    seen = set()
    for row in table.filter(pl.col("statistic").is_in(["diagonal", "induction", "mass_profit"])).iter_rows(named=True):
        used = values.filter(
            (pl.col("query_group") == row["query_group"])
            & (pl.col("head") == row["head"])
            & pl.col(row["statistic"]).is_not_null()
        )
        a, b = used.filter("is_correct"), used.filter(~pl.col("is_correct"))
        assert (row["num_a"], row["num_b"]) == (len(a), len(b))
        assert row["num_clusters"] == used["cluster"].n_unique()
        assert row["mean_a"] == pytest.approx(a[row["statistic"]].mean(), rel=1e-5)
        expected = stats.mannwhitneyu(a[row["statistic"]], b[row["statistic"]], method="asymptotic")
        assert row["pvalue_mannwhitney"] == pytest.approx(expected.pvalue, rel=1e-6)
        seen.add(len(used))
    assert seen == {35, 40, 51, 60}
