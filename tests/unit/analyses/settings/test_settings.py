"""What a config may say about the analysis: refused early, by its path, with the nearest name."""

import subprocess
import sys

import pytest

from analyses.settings.analysis import AnalysisSettings
from analyses.settings.checks import check_columns
from analyses.settings.color_schemes import SCHEMES
from analyses.settings.columns import SettingsError
from analyses.settings.decodability import DecodabilitySettings
from analyses.settings.visualization import VisualizationSettings
from engine.schema import samples_schema

COLUMNS = samples_schema(["financial"]).names


def check(analysis, visualization=None, columns=COLUMNS):
    settings = AnalysisSettings.from_mapping(analysis)
    VisualizationSettings.from_mapping(visualization)
    check_columns(settings, columns)


@pytest.mark.parametrize(
    ("analysis", "visualization", "words"),
    [
        ({"alpa": 0.1}, {}, "analysis.alpa: unknown key (did you mean analysis.alpha?)"),
        ({"alpha": "x"}, {}, "analysis.alpha: 'x' is not allowed"),
        ({"alpha": True}, {}, "analysis.alpha: True is not allowed"),
        ({"permutations": 2.5}, {}, "analysis.permutations: 2.5"),
        ({"correction": "fdr"}, {}, "did you mean 'fdr_by'?"),
        (
            {"head_types": {"beginning_mas": 1}},
            {},
            "analysis.head_types.beginning_mas: unknown key (did you mean analysis.head_types.beginning_mass?)",
        ),
        ({"head_types": {"beginning_mass": "much"}}, {}, "analysis.head_types.beginning_mass: 'much'"),
        ({"head_types": 3}, {}, "analysis.head_types: 3 is not a mapping"),
        ({"groups": "is_correct"}, {}, "analysis.groups: 'is_correct' is not a list"),
        ({"groups": [7]}, {}, "analysis.groups[0]: 7 is not allowed; allowed: text or a mapping {name, column, a, b}"),
        ({"groups": ["is_corect"]}, {}, "analysis.groups[0]: 'is_corect' is not a column of samples (did you mean"),
        ({"groups": ["flags"]}, {}, "analysis.groups[0]: 'flags' is a list"),
        (
            {"groups": ["is_correct", {"colum": "year"}]},
            {},
            "analysis.groups[1].colum: unknown key (did you mean analysis.groups[1].column?)",
        ),
        ({"groups": [{"a": 1, "b": 2}]}, {}, "analysis.groups[0]: 'column' is missing"),
        ({"groups": [{"column": "certainty", "a": "High"}]}, {}, "analysis.groups[0]: give both a and b"),
        ({"groups": [{"name": "x", "column": "sector"}]}, {}, "analysis.groups[0].column: 'sector' is not a column"),
        ({"groups": ["year", {"name": "year", "column": "magnitude"}]}, {}, "another comparison called 'year'"),
        ({"covariates": ["nope"]}, {}, "analysis.covariates[0]: 'nope' is not a column of samples; known are year"),
        ({"covariates": ["year", "log_num_token"]}, {}, "analysis.covariates[1]: 'log_num_token' is not a column"),
        ({"covariates": ["log_certainty"]}, {}, "analysis.covariates[0]: 'certainty' is not a number"),
        ({"cluster_by": "company"}, {}, "analysis.cluster_by: 'company' is not a column of samples"),
        ({}, {"color_schemes": {"sequential": "viridi"}}, "sequential: 'viridi' is an unknown colour scheme (did you"),
        ({}, {"color_schemes": {"sequential": ["viridis"]}}, "visualization.color_schemes.sequential: ['viridis']"),
        ({}, {"color_schemes": {"sequentia": "viridis"}}, "(did you mean visualization.color_schemes.sequential?)"),
        (
            {},
            {"figure_sizes": {"widht": 300}},
            "visualization.figure_sizes.widht: unknown key (did you mean visualization.figure_sizes.width?)",
        ),
        (
            {},
            {"figure_sizes": {"width": 0}},
            "visualization.figure_sizes.width: 0 is not allowed; allowed: a whole number from 50 and up to 10000",
        ),
        ({}, {"figure_sizes": {"width": "wide"}}, "visualization.figure_sizes.width: 'wide'"),
        (
            {},
            {"formats": ["gif"]},
            "visualization.formats[0]: 'gif' is not allowed; allowed: 'html', 'png', 'svg', 'pdf' or 'json'",
        ),
        ({}, {"formats": "svg"}, "visualization.formats: 'svg' is not a list"),
        ({}, {"theme": ["light"]}, "visualization.theme: ['light']"),
        ({}, {"max_tokens": 0}, "visualization.max_tokens: 0"),
        ([1], {}, "analysis: [1] is not a mapping"),
        ({"correlations": "year"}, {}, "analysis.correlations: 'year' is not a list"),
        ({"correlations": [3]}, {}, "analysis.correlations[0]: 3 is not allowed"),
        (
            {"correlations": ["year", "certanty"]},
            {},
            "analysis.correlations[1]: 'certanty' is not a column of samples (",
        ),
        ({"correlations": ["flags"]}, {}, "analysis.correlations[0]: 'flags' is a list"),
        ({"decodability": True}, {}, "analysis.decodability: True is not allowed; allowed: a mapping {targets, "),
        (
            {"decodability": {"fold": 5}},
            {},
            "analysis.decodability.fold: unknown key (did you mean analysis.decodability.folds?)",
        ),
        ({"decodability": {"folds": 2}}, {}, "analysis.decodability.folds: 2 is not allowed"),
        (
            {"decodability": {"targets": [7]}},
            {},
            "analysis.decodability.targets[0]: 7 is not allowed; allowed: text or a mapping",
        ),
        (
            {"decodability": {"targets": ["certanty"]}},
            {},
            "analysis.decodability.targets[0]: 'certanty' is not a column",
        ),
        ({"hypotheses": "all"}, {}, "analysis.hypotheses: 'all' is not a list"),
        (
            {"hypotheses": [3]},
            {},
            "analysis.hypotheses[0]: 3 is not allowed; allowed: text or a mapping {name, key_group, statistic, ",
        ),
        (
            {"hypotheses": [{"name": "x", "key_grup": "y"}]},
            {},
            "analysis.hypotheses[0].key_grup: unknown key (did you mean analysis.hypotheses[0].key_group?)",
        ),
        (
            {"hypotheses": [{"name": "x", "key_group": "number", "group": "is_corect"}]},
            {},
            "analysis.hypotheses[0].group: 'is_corect' is not a column of samples (did you mean 'is_correct'?)",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_path(analysis, visualization, words):
    with pytest.raises(SettingsError) as refused:
        check(analysis, visualization)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_what_is_right_passes():
    check({})
    check(None, None)
    groups = ["is_correct", {"name": "sure", "column": "certainty", "a": "High", "b": ["Low"]}, "logit_difference"]
    analysis = {"groups": groups, "covariates": ["log_num_tokens", "year", "count_financial"], "cluster_by": "year"}
    schemes = {"sequential": "plasma", "diverging": "redblue-5", "categorical": "tableau10"}
    check(analysis, {"color_schemes": schemes, "figure_sizes": {"width": 900}})
    check(AnalysisSettings().model_dump(), VisualizationSettings().model_dump())
    check({"decodability": {"targets": ["certainty"]}, "correlations": ["num_tokens"]})
    check({"covariates": ["log_mine"], "groups": ["mine"]}, columns=[*COLUMNS, "mine"])


def test_the_schemes_are_those_of_vega_lite():
    from altair.vegalite.v6.schema.core import load_schema

    known = load_schema()["definitions"]
    kinds = [entry["$ref"].rpartition("/")[2] for entry in known["ColorScheme"]["anyOf"]]
    assert {name for kind in kinds for name in known[kind]["enum"]} | {"okabe_ito"} == SCHEMES


@pytest.mark.parametrize("value", [None, False])
def test_prediction_can_be_turned_off(value):
    settings = AnalysisSettings.from_mapping({"decodability": value})
    assert settings.predicted is None
    assert AnalysisSettings.from_mapping(settings.model_dump()) == settings
    assert AnalysisSettings.from_mapping({}).predicted == DecodabilitySettings()


def test_columns_of_default_targets_may_be_missing():
    columns = [name for name in COLUMNS if name not in ("certainty", "magnitude", "year", "actual_label")]
    check(AnalysisSettings(strata=["num_tokens"]).model_dump(), columns=columns)


def test_the_check_is_light():
    code = (
        "import sys; from analyses.settings.analysis import AnalysisSettings; "
        "from analyses.settings.checks import check_columns; "
        "check_columns(AnalysisSettings(groups=()), ['num_tokens', 'cluster']); "
        "print(sorted({'polars', 'altair', 'scipy', 'sklearn', 'torch', 'vl_convert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
