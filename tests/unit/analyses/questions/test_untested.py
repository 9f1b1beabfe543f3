"""What reports say is held fixed is what was; unknown columns are said, and what was not tested is not ranked."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from analyses.inference.adjusted.design import ModelSamples
from analyses.inference.adjusted.effects import adjusted_effects
from analyses.questions.causes.agreement import head_agreement
from analyses.questions.method_text import at_the_mean, held_names, unknown_text
from analyses.questions.profiles.orders import Ranking, attention_orders, ends
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from tests.fixtures.synthetic_run import add_causes, write_run


def asked(held, covariates=(), **columns):
    settings = AnalysisSettings(held_fixed=held, covariates=covariates)
    return SimpleNamespace(run=SimpleNamespace(samples=pl.DataFrame(columns, strict=False)), settings=settings)


YEARS, QUARTERS, NOTHING = [2001, 2002, None, 2003], ["Q1", "Q2", "Q1", "Q3"], [None] * 4


@pytest.mark.parametrize(
    ("columns", "held", "grouped_by", "named", "unknown"),
    [
        ({"year": YEARS}, ("year",), "", "year", ""),
        ({"year": YEARS, "quarter": QUARTERS}, ("year", "quarter"), "", "year and quarter", ""),
        ({"year": YEARS, "quarter": QUARTERS}, ("year", "quarter"), "year", "quarter", ""),
        ({"year": NOTHING, "quarter": QUARTERS}, ("year", "quarter"), "", "quarter", ""),
        ({"year": [2001] * 4}, ("year",), "", "", ""),
        ({"year": NOTHING}, ("year",), "", "", "Year is known of no sample"),
        (
            {"year": NOTHING, "fiscal_year": NOTHING},
            ("year", "fiscal_year"),
            "",
            "",
            "Year and fiscal year are known of",
        ),
        ({"year": NOTHING}, (), "", "", ""),
        ({"other": YEARS}, ("year",), "", "", ""),
    ],
)
def test_only_what_varies_and_makes_no_groups_is_named(columns, held, grouped_by, named, unknown):
    answers = asked(held, **columns)
    assert held_names(answers, grouped_by) == named
    assert unknown_text(answers).startswith(unknown) and bool(unknown_text(answers)) == bool(unknown)


@pytest.mark.parametrize(
    ("covariates", "columns", "said"),
    [
        ((), {"year": YEARS}, ["year is unknown in 1 of 4 samples"]),
        (("log_size",), {"size": [1, 2, 0, None]}, ["log_size is unknown in 2 of 4 samples"]),
        (("size",), {"size": [1.0, 2.0, 0.0, float("nan")]}, ["size is unknown in 1 of 4 samples"]),
        (("size",), {"size": [1, 2, 0, 3]}, []),
        ((), {"year": NOTHING}, []),
        ((), {"year": QUARTERS}, []),
    ],
)
def test_unknown_values_that_stand_at_the_mean_are_counted(covariates, columns, said):
    found = at_the_mean(asked(("year",), covariates, **columns))
    assert len(found) == len(said) and all(line.startswith(text) for line, text in zip(found, said, strict=True))


@pytest.mark.parametrize(
    ("shift", "noise", "num_clusters", "is_tested", "is_alike"),
    [
        ([0.0, 1.0], 0.1, 40, True, False),
        ([0.0, 0.0], 0.1, 40, True, True),
        ([0.0, 1.0], 0.1, 2, False, True),  # two clusters carry no error
        ([0.0, 1.0], 0.1, 1, False, True),
        ([0.0, 1.0], 0.0, 40, False, True),  # the same difference in every sample
        ([0.0, 0.0], 0.0, 40, True, True),  # equal in every sample
    ],
)
def test_what_cannot_be_compared_is_not_called_about_the_same(shift, noise, num_clusters, is_tested, is_alike):
    values = noise * np.random.default_rng(0).normal(size=(40, 2)) + np.array(shift)
    table = attention_orders([Ranking("words", "mass", ("a", "b"), values)], "decision", np.arange(40) % num_clusters)
    found = ends(table, "words", "mass", 0.05)
    assert found is not None and (found.is_tested, found.is_alike) == (is_tested, is_alike)
    assert (found.pvalue is not None) == is_tested


@pytest.mark.parametrize(
    ("num_b", "num_clusters", "said"),
    [
        (
            16,
            2,
            'too few clusters to carry the difference: 1.0 degrees of freedom (16 in group "wrong", of 2 clusters)',
        ),
        (3, 40, 'too few samples to carry the difference: 2.3 degrees of freedom (3 in group "wrong")'),
        (16, 40, ""),
    ],
)
def test_it_is_said_whether_samples_or_clusters_lack(num_b, num_clusters, said):
    rows = np.arange(40)
    samples = ModelSamples(rows * 7 % 40 >= num_b, rows % num_clusters, None, {}, ("right", "wrong"))
    assert adjusted_effects(np.random.default_rng(0).normal(size=(40, 1)), samples).note[0] == said


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("num_clusters", "has_interval"), [(1, False), (4, False), (20, True)])
def test_too_few_clusters_give_agreements_no_interval(tmp_path, num_clusters, has_interval):
    run_dir = write_run(tmp_path / "run", num_samples=40, num_layers=2, num_clusters=num_clusters, num_shards=1)
    add_causes(run_dir, 2, 4)
    agreement, screening = head_agreement(open_tables(run_dir), AnalysisSettings())
    for table, names in ((agreement, ("rho", "ci_low", "ci_high")), (screening, ("slope", "slope_ci_low"))):
        found = table.drop_nulls(names[0])
        assert len(found) and all(found[name].is_not_null().any() == has_interval for name in names[1:])
