"""Families: declared by patterns, adjusted apart, named in the table; and the kinds of errors a config may choose."""

import numpy as np
import polars as pl
import pytest

from analyses.inference.multiplicity import adjust_pvalues, adjust_within, family_sizes
from analyses.questions.differences.answer import group_differences
from analyses.questions.families import declared_families
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings, Family, SettingsError
from analyses.settings.checks import check_columns
from engine.schema import samples_schema
from tests.fixtures.synthetic_run import write_run

WORDS = Family(name="words", statistics=("mass_*",), query_groups=("decision",))
SPREAD = Family(name="spread", statistics=("entropy_*", "mass_profit"))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    planted = {("decision", "mass_profit", 1, 1): 0.1}
    path = tmp_path_factory.mktemp("runs") / "run"
    return write_run(path, num_samples=120, num_layers=2, num_heads=2, num_clusters=50, planted=planted)


def test_a_test_is_in_the_first_family_that_it_fits():
    found = declared_families([WORDS, SPREAD], ("all", "decision"), ("mass_profit", "entropy_nats", "diagonal"))
    assert found["decision", "mass_profit"] == "words" and found["all", "mass_profit"] == "spread"
    assert found["all", "diagonal"] == "rest" and found["decision", "entropy_nats"] == "spread"
    assert set(declared_families([], ("all",), ("diagonal",)).values()) == {"every test"}
    with pytest.raises(SettingsError, match=r"families\[0\]: no test fits family 'words'"):
        declared_families([WORDS], ("all",), ("mass_profit",))


def test_p_is_adjusted_within_each_family_and_nan_stays_out():
    pvalues = np.array([0.01, 0.04, np.nan, 0.02, 0.5])
    family = np.array(["a", "a", "a", "b", "b"], dtype=object)
    found = adjust_within(pvalues, family, "bonferroni")
    np.testing.assert_allclose(found, [0.02, 0.08, np.nan, 0.04, 1.0])
    assert family_sizes(pvalues, family).tolist() == [2, 2, 2, 2, 2]


@pytest.mark.parametrize("correction", ["fdr_bh", "fdr_by", "holm", "bonferroni"])
def test_a_run_is_adjusted_as_its_config_declares(run_dir, correction):
    settings = AnalysisSettings(permutations=99, families=(WORDS, SPREAD), correction=correction)
    table, layers, _ = group_differences(open_tables(run_dir), settings)
    assert set(table["family"]) == {"words", "spread", "rest"} == set(layers["family"])
    for (name,), rows in table.group_by("family"):
        expected = adjust_pvalues(rows["pvalue"].to_numpy(), correction)
        np.testing.assert_allclose(rows["pvalue_adjusted"].to_numpy(), expected)
        assert (rows["family_size"] == rows["pvalue"].count()).all(), name
    whole, _, _ = group_differences(open_tables(run_dir), AnalysisSettings(permutations=99))
    keys = ["query_group", "statistic", "layer", "head"]
    both = table.join(whole, on=keys, suffix="_whole")
    assert (both["pvalue_max_t"] <= both["pvalue_max_t_whole"]).all()
    assert both["pvalue"].equals(both["pvalue_whole"])


@pytest.mark.parametrize("errors", ["auto", "cr1", "cr2", "wild_bootstrap"])
def test_every_kind_of_errors_finds_what_is_planted_and_says_what_it_is(run_dir, errors):
    settings = AnalysisSettings(permutations=199, errors=errors)
    table, _, _ = group_differences(open_tables(run_dir), settings)
    row = table.sort("pvalue").row(0, named=True)
    words = {"auto": "CR2", "cr1": "CR1", "cr2": "CR2", "wild_bootstrap": "wild cluster bootstrap-t, 199 draws"}
    assert words[errors] in row["method"] and row["ci_low"] <= row["difference"] <= row["ci_high"]
    planted = table.filter(statistic="mass_profit", query_group="decision", layer=1, head=1).row(0, named=True)
    assert planted["pvalue"] <= 0.005 + 1e-12
    if errors == "wild_bootstrap":
        np.testing.assert_allclose(table["pvalue"] * 200, (table["pvalue"] * 200).round(0))
        is_out = (pl.col("ci_low") > 0) | (pl.col("ci_high") < 0)
        assert table.filter(is_out != (pl.col("pvalue") <= 0.05)).is_empty()


@pytest.mark.parametrize(
    ("analysis", "words"),
    [
        ({"errors": "hc3"}, "analysis.errors: 'hc3' is not allowed; allowed: 'auto', 'cr1', 'cr2' or 'wild_bootstrap'"),
        ({"errors": "wild_bootstrap", "permutations": 50}, "analysis.permutations: 50 is not allowed; allowed: at le"),
        ({"families": [{"statistics": ["mass_*"]}]}, "analysis.families[0].name: is required and missing"),
        ({"families": [{"name": "a"}, {"name": "a"}]}, "analysis.families[1]: there is another family called 'a'"),
        (
            {"families": [{"name": "a", "statistic": []}]},
            "analysis.families[0].statistic: unknown key (did you mean analysis.families[0].statistics?)",
        ),
        ({"families": [{"name": "a", "statistics": "mass_*"}]}, "analysis.families[0].statistics: 'mass_*'"),
        ({"families": ["mass_*"]}, "analysis.families[0]: 'mass_*' is not a mapping"),
        ({"strata": ["yea"]}, "analysis.strata[0]: 'yea' is not a column of samples (did you mean 'year'?)"),
        ({"strata": [{"column": "year", "parts": 1}]}, "analysis.strata[0].parts: 1"),
        (
            {"strata": [{"colum": "year"}]},
            "analysis.strata[0].colum: unknown key (did you mean analysis.strata[0].column?)",
        ),
        ({"strata": ["flags"]}, "analysis.strata[0]: 'flags' is a list"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_path(analysis, words):
    with pytest.raises(SettingsError) as refused:
        check_columns(AnalysisSettings.from_mapping(analysis), samples_schema(["financial"]).names)
    assert words in str(refused.value)
