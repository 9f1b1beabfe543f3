"""Findings within strata: which parts there are, whether the sign holds, and what cannot be said."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analyses.inference.adjusted.design import ModelSamples
from analyses.inference.adjusted.effects import adjusted_effects
from analyses.questions.differences.sentences_beyond_heads import stratum_sentences
from analyses.questions.differences.strata import NUM_STRONGEST, heterogeneity_pvalues, strata_of
from analyses.questions.differences.tables import REPLICATION_BY_STRATUM
from analyses.reporting.analysis import answer_questions
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings, SettingsError
from analyses.settings.columns import Stratum
from analyses.settings.visualization import VisualizationSettings
from tests.fixtures.synthetic_run import edit_table, write_run

ALONE = {"decodability": None, "correlations": (), "hypotheses": ()}
PLANTED = ("decision", "mass_profit", 1, 1)


def test_words_and_few_whole_numbers_make_a_part_each_and_other_numbers_thirds():
    samples = pl.DataFrame(
        {
            "year": [2014, 2013, None, 2014, 2013, 2013],
            "certainty": ["High", "Low", None, "Medium", "Low", "High"],
            "length": [1.5, 2.5, 3.5, 4.5, 5.5, 6.5],
            "empty": pl.Series([None] * 6, dtype=pl.Float64),
        }
    )
    years = strata_of(samples, "year")
    assert [name for name, _ in years] == ["2013", "2014"] and sum(rows.sum() for _, rows in years) == 5
    assert [name for name, _ in strata_of(samples, "certainty")] == ["Low", "Medium", "High"]
    thirds = strata_of(samples, "length")
    assert [name for name, _ in thirds] == ["1.5 to 2.5", "3.5 to 4.5", "5.5 to 6.5"]
    assert np.sum([rows for _, rows in thirds], axis=0).tolist() == [1] * 6
    halves = strata_of(samples, Stratum(column="length", parts=2))
    assert [int(rows.sum()) for _, rows in halves] == [3, 3]
    assert strata_of(samples, "empty") == []
    constant = samples.with_columns(length=pl.lit(2.5))
    assert [name for name, _ in strata_of(constant, Stratum(column="length", parts=3))] == ["2.5 to 2.5"]
    with pytest.raises(SettingsError, match="no column"):
        strata_of(samples, "size")
    many = pl.DataFrame({"name": [f"n{slot}" for slot in range(20)]})
    with pytest.raises(SettingsError, match="20 values"):
        strata_of(many, "name")


def test_heterogeneity_is_cochrans_q():
    rng = np.random.default_rng(0)
    effects = []
    for shift in (0.0, 0.0, 1.5):
        is_a = rng.random(80) < 0.5
        samples = ModelSamples(is_a, np.arange(80), None, {})
        effects.append(adjusted_effects(rng.normal(size=(80, 2)) + np.array([shift, 0.0]) * is_a[:, None], samples))
    found = heterogeneity_pvalues(effects)
    for test in range(2):
        value = np.array([effect.effect[test] for effect in effects])
        weight = 1 / np.array([effect.standard_error[test] for effect in effects]) ** 2
        statistic = (weight * (value - np.average(value, weights=weight)) ** 2).sum()
        assert found[test] == pytest.approx(stats.chi2.sf(statistic, 2))
    assert found[0] < 0.001 < found[1]
    assert np.isnan(heterogeneity_pvalues(effects[:1])).all() and len(heterogeneity_pvalues([])) == 0


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return write_run(path, num_samples=240, num_layers=2, num_heads=2, num_clusters=80, planted={PLANTED: 0.1})


def test_a_finding_is_looked_for_in_every_year_and_length(run_dir):
    tables = answer_questions(open_tables(run_dir), AnalysisSettings(permutations=99, **ALONE), VisualizationSettings())
    table = tables["replication_by_stratum"]
    assert table.schema == REPLICATION_BY_STRATUM.schema
    assert set(table["stratum_column"]) == {"year", "num_prompt_tokens"}
    planted = table.filter(
        pl.col("is_finding") & (pl.col("statistic") == "mass_profit") & (pl.col("query_group") == "decision")
    )
    assert len(planted) == 6 and planted["keeps_sign"].all() and planted["is_significant"].all()
    assert (planted["pvalue_adjusted"] >= planted["pvalue"]).all()
    years = planted.filter(stratum_column="year")
    assert years["num_a"].sum() + years["num_b"].sum() == 240
    assert len(table.select("query_group", "statistic", "layer", "head").unique()) >= NUM_STRONGEST
    told = stratum_sentences(tables)
    assert any("by year (3 parts): " in sentence and "sign in every part" in sentence for sentence in told)


def test_a_stratum_that_lacks_a_group_has_a_note_and_no_p(run_dir, tmp_path):
    import shutil

    copied = shutil.copytree(run_dir, tmp_path / "copied")
    year = pl.when("is_correct").then(pl.lit(2013)).otherwise(pl.lit(2014)).cast(pl.Int32)
    edit_table(copied, "samples", lambda frame: frame.with_columns(year=year))
    settings = AnalysisSettings(permutations=19, strata=("year",), **ALONE)
    table = answer_questions(open_tables(copied), settings, VisualizationSettings())["replication_by_stratum"]
    assert table["pvalue"].is_null().all() and table["keeps_sign"].is_null().all()
    assert (table["note"] == "only one group has values").all()


def test_what_could_not_be_tested_in_a_part_is_not_told_as_a_changed_sign(run_dir, tmp_path):
    import shutil

    copied = shutil.copytree(run_dir, tmp_path / "copied")
    few = pl.col("sample_id") < "s00012"
    year = pl.when(few).then(pl.lit(2012)).otherwise(pl.lit(2014)).cast(pl.Int32)
    edit_table(copied, "samples", lambda frame: frame.with_columns(year=year))
    settings = AnalysisSettings(permutations=19, strata=("year",), **ALONE)
    tables = answer_questions(open_tables(copied), settings, VisualizationSettings())
    assert tables["replication_by_stratum"]["is_finding"].any()
    (told,) = (sentence for sentence in stratum_sentences(tables) if "by year" in sentence)
    assert "could be tested in every part (only " in told and "sign in every part" not in told


def test_no_strata_and_no_groups_make_an_empty_table(run_dir):
    for settings in (
        AnalysisSettings(permutations=0, strata=(), **ALONE),
        AnalysisSettings(permutations=0, groups=(), **ALONE),
    ):
        table = answer_questions(open_tables(run_dir), settings, VisualizationSettings())["replication_by_stratum"]
        assert table.is_empty() and table.schema == REPLICATION_BY_STRATUM.schema
