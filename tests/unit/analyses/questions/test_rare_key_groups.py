"""Key groups that no sample, or nearly none, holds: neither tested nor drawn, and a note where a test is missing."""

import polars as pl
import pytest

from analyses.questions.correlations.answer import correlations
from analyses.questions.differences.answer import group_differences
from analyses.questions.differences.strata import replication_by_stratum
from analyses.questions.hypotheses.answer import hypotheses
from analyses.questions.power.answer import power
from analyses.questions.profiles.answer import attention_profiles
from analyses.questions.rare_key_groups import MIN_PRESENT, rare_statistics
from analyses.runs.key_groups import absent_key_groups, declared_statistics
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from tests.fixtures.synthetic_run import add_metadata, edit_table, write_run

SHAPE = {"num_samples": 60, "num_layers": 2, "num_heads": 3, "num_clusters": 25, "num_shards": 2}
PLANTED = {("decision", "mass_number", 0, 1): 0.3}
QUICK = AnalysisSettings(permutations=19, decodability=None)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """No sample holds a time term; every right sample holds a number and two wrong ones do."""
    run_dir = write_run(tmp_path_factory.mktemp("runs") / "rare", **SHAPE)
    add_metadata(run_dir)
    wrong = pl.read_parquet(run_dir / "shards" / "*" / "samples.parquet").filter(~pl.col("is_correct"))["sample_id"]
    holds = ~pl.col("sample_id").is_in(wrong[2:].implode())
    count = pl.when(holds).then("count_number").otherwise(0).cast(pl.Int32).alias("count_number")
    edit_table(run_dir, "samples", lambda f: f.with_columns(count, pl.lit(0, dtype=pl.Int32).alias("count_time")))
    number = pl.when(holds).then("mass_number").otherwise(0.0).cast(pl.Float32).alias("mass_number")
    edit_table(
        run_dir, "head_stats", lambda f: f.with_columns(number, pl.lit(0.0, dtype=pl.Float32).alias("mass_time"))
    )
    return open_tables(run_dir)


def test_what_no_sample_holds_is_neither_tested_nor_drawn(tables):
    assert absent_key_groups(tables) == ("time",)
    assert "mass_time" not in declared_statistics(tables) and "mass_number" in declared_statistics(tables)
    table, layers, comparisons = group_differences(tables, QUICK)
    profiles, kinds, _ = attention_profiles(tables, QUICK, comparisons[0])
    for names in (table["statistic"], layers["statistic"], profiles["statistic"], power(tables, QUICK)["statistic"]):
        assert "mass_time" not in names and "lift_time" not in names and "mass_profit" in names
    assert "time" not in kinds["key_group"] and "profit" in kinds["key_group"]


def test_what_few_wrong_samples_hold_is_not_tested_and_says_why(tables):
    table, layers, (comparison,) = group_differences(tables, QUICK)
    num_wrong = int(comparison.is_b.sum())
    note = f"key group number is present in only 2 of {num_wrong} incorrect samples: not tested"
    assert rare_statistics(tables, comparison)["mass_number"] == note
    rare = table.filter(pl.col("statistic") == "mass_number")
    assert len(rare) == 18 and set(rare["note"]) == {note}
    for name in rare.columns:
        if name.startswith(("pvalue", "ci_")):
            assert rare[name].is_null().all(), name
    assert rare["is_replicated"].is_null().all() and rare["mean_a"].is_not_null().all()
    others = table.filter(pl.col("statistic") != "mass_number")
    assert others["pvalue"].is_not_null().all() and others["pvalue_max_t"].is_not_null().all()
    assert set(others["family_size"]) == {len(others)}
    stretches = layers.filter(pl.col("statistic") == "mass_number")
    assert set(stretches["note"]) == {note} and stretches["pvalue"].is_null().all()
    _, kinds, _ = attention_profiles(tables, QUICK, comparison)
    weights = kinds.filter(pl.col("key_group") == "number")
    assert set(weights["note"]) == {note} and weights["pvalue_adjusted"].is_null().all()
    assert kinds.filter(pl.col("key_group") == "profit")["note"].is_null().all()
    sizes = power(tables, QUICK)
    assert set(sizes.filter(pl.col("statistic") == "mass_number")["note"]) == {note}
    assert set(sizes["family_size"].drop_nulls()) == {len(others)}


def test_untested_statistics_do_not_change_the_others(tables, tmp_path):
    """Their |T*| would raise everybody's max-T p-value."""
    run_dir = write_run(tmp_path / "without", **SHAPE)
    add_metadata(run_dir)
    edit_table(run_dir, "head_stats", lambda f: f.drop("mass_number", "mass_time"))
    edit_table(run_dir, "samples", lambda f: f.drop("count_number", "count_time"))
    keys = ["query_group", "statistic", "layer", "head"]
    columns = [*keys, "pvalue_adjusted", "pvalue_max_t", "pvalue_ranks_adjusted", "is_replicated"]
    found = [
        group_differences(run, QUICK)[0].filter(pl.col("statistic") != "mass_number")
        for run in (tables, open_tables(run_dir))
    ]
    assert found[0].select(columns).sort(keys).equals(found[1].select(columns).sort(keys))


def test_what_few_samples_of_a_half_hold_is_not_correlated(tables):
    found = correlations(tables, QUICK, ("is_correct", "year"))
    num_wrong = int((~tables.samples["is_correct"]).sum())
    note = f"key group number is present in only 2 of {num_wrong} lower half samples: not tested"
    rare = found.filter((pl.col("target") == "is_correct") & (pl.col("statistic") == "mass_number"))
    assert len(rare) == 18 and set(rare["note"]) == {note} and rare["rho"].is_not_null().all()
    for name in ("ci_low", "ci_high", "pvalue", "pvalue_adjusted", "pvalue_partial"):
        assert rare[name].is_null().all(), name
    others = found.filter((pl.col("target") == "is_correct") & (pl.col("statistic") != "mass_number"))
    assert others["pvalue"].is_not_null().all() and set(others["family_size"]) == {len(others)}
    assert found.filter((pl.col("target") == "year") & (pl.col("statistic") == "mass_number"))["pvalue"].count() == 18


def test_a_part_that_holds_too_few_is_not_tested(tmp_path):
    """Every sample of the run's years but one holds a number often enough; in 2013 three right samples do."""
    run_dir = write_run(tmp_path / "run", **SHAPE | {"num_samples": 240, "num_clusters": 80}, planted=PLANTED)
    add_metadata(run_dir)
    of_2013 = pl.col("year") == 2013
    samples = pl.read_parquet(run_dir / "shards" / "*" / "samples.parquet")
    lacking = samples.filter(of_2013 & pl.col("is_correct"))["sample_id"][3:]
    lacks = pl.col("sample_id").is_in(lacking.implode())
    count = pl.when(lacks).then(0).otherwise("count_number").cast(pl.Int32).alias("count_number")
    few_wrong = samples.filter((pl.col("year") == 2014) & ~pl.col("is_correct"))["sample_id"][:9]
    other_year = (pl.col("year") == 2014) & ~pl.col("is_correct") & ~pl.col("sample_id").is_in(few_wrong.implode())
    year = pl.when(other_year).then(2015).otherwise("year").cast(pl.Int32).alias("year")
    edit_table(run_dir, "samples", lambda f: f.with_columns(count, year))
    run = open_tables(run_dir)
    settings = AnalysisSettings(permutations=0, decodability=None, strata=("year",))
    table, _, comparisons = group_differences(run, settings)
    found = replication_by_stratum(run, settings, comparisons, table).filter(pl.col("statistic") == "mass_number")
    whole = table.filter(pl.col("statistic") == "mass_number")
    assert whole["pvalue"].is_not_null().all() and not found.is_empty()
    notes = {row["stratum"]: row for row in found.iter_rows(named=True)}
    assert notes["2013"]["note"].startswith("key group number is present in only 3 of ")
    assert notes["2014"]["note"] == "only 9 incorrect samples in this part: not tested" and notes["2014"]["num_b"] == 9
    for year_of in ("2013", "2014"):
        for name in ("ci_low", "pvalue", "pvalue_adjusted", "keeps_sign", "is_significant"):
            assert notes[year_of][name] is None, (year_of, name)
    assert notes["2015"]["pvalue"] is not None and notes["2015"]["keeps_sign"] is True and notes["2015"]["note"] is None


def test_a_hypothesis_on_attention_itself_is_not_tested_either(tables):
    entry = {"name": "numbers", "key_group": "number", "group": "is_correct", "scale": "value"}
    row = hypotheses(tables, QUICK, [entry]).row(0, named=True)
    assert row["verdict"] == "cannot be tested" and "present in only 2 of" in row["note"]


def test_small_groups_that_all_hold_it_are_tested(tmp_path):
    run_dir = write_run(tmp_path / "few", **SHAPE | {"num_samples": 2 * MIN_PRESENT, "accuracy": 0.7})
    add_metadata(run_dir)
    run = open_tables(run_dir)
    _, _, (comparison,) = group_differences(run, QUICK)
    assert comparison.is_b.sum() < MIN_PRESENT and rare_statistics(run, comparison) == {}
    edit_table(run_dir, "samples", lambda f: f.drop("count_number"))
    assert absent_key_groups(open_tables(run_dir)) == ()
