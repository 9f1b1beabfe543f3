"""What a config may say about the analysis: refused early, by its path, with the nearest name."""

import subprocess
import sys

import pytest

from analyses.color_schemes import SCHEMES
from analyses.decodability_settings import DecodabilitySettings
from analyses.settings import AnalysisSettings, SettingsError, check_settings
from analyses.visualization_settings import VisualizationSettings
from engine.config import AnalysisSection, VisualizationSection
from engine.schema import samples_schema

COLUMNS = samples_schema(["financial"]).names


@pytest.mark.parametrize(
    ("analysis", "visualization", "words"),
    [
        ({"alpa": 0.1}, {}, "analysis: 'alpa' is an unknown key (did you mean 'alpha'?)"),
        ({"alpha": "x"}, {}, "analysis.alpha: 'x' is not allowed"),
        ({"alpha": True}, {}, "analysis.alpha: True is not allowed"),
        ({"permutations": 2.5}, {}, "analysis.permutations: 2.5"),
        ({"correction": "fdr"}, {}, "did you mean 'fdr_by'?"),
        ({"head_types": {"beginning_mas": 1}}, {}, "analysis.head_types: 'beginning_mas' is an unknown key (did you"),
        ({"head_types": {"beginning_mass": "much"}}, {}, "analysis.head_types.beginning_mass: 'much'"),
        ({"head_types": 3}, {}, "analysis.head_types: 3 is not a mapping"),
        ({"groups": "is_correct"}, {}, "analysis.groups: 'is_correct' is not a list"),
        ({"groups": [7]}, {}, "analysis.groups[0]: 7 is neither a column nor a mapping"),
        ({"groups": ["is_corect"]}, {}, "analysis.groups[0]: 'is_corect' is not a column of samples (did you mean"),
        ({"groups": ["flags"]}, {}, "analysis.groups[0]: 'flags' is a list"),
        ({"groups": ["is_correct", {"colum": "year"}]}, {}, "analysis.groups[1]: 'colum' is an unknown key (did you"),
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
        ({}, {"color_schemes": {"sequentia": "viridis"}}, "(did you mean 'sequential'?)"),
        (
            {},
            {"figure_sizes": {"widht": 300}},
            "visualization.figure_sizes: 'widht' is an unknown key (did you mean 'w",
        ),
        ({}, {"figure_sizes": {"width": 0}}, "visualization.figure_sizes.width: 0 is not allowed"),
        ({}, {"figure_sizes": {"width": "wide"}}, "visualization.figure_sizes.width: 'wide'"),
        ({}, {"formats": ["gif"]}, "visualization.formats[0]: 'gif' is an unknown value"),
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
        ({"decodability": True}, {}, "analysis.decodability: True is not a mapping"),
        ({"decodability": {"fold": 5}}, {}, "analysis.decodability: 'fold' is an unknown key"),
        ({"decodability": {"folds": 2}}, {}, "analysis.decodability.folds: 2 is not allowed"),
        ({"decodability": {"targets": [7]}}, {}, "analysis.decodability.targets[0]: 7 is neither"),
        (
            {"decodability": {"targets": ["certanty"]}},
            {},
            "analysis.decodability.targets[0]: 'certanty' is not a column",
        ),
        ({"hypotheses": "all"}, {}, "analysis.hypotheses: 'all' is not a list"),
        ({"hypotheses": [3]}, {}, "analysis.hypotheses[0]: 3 is neither text nor a mapping"),
        (
            {"hypotheses": [{"name": "x", "key_grup": "y"}]},
            {},
            "analysis.hypotheses[0]: 'key_grup' is an unknown key (did",
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
        check_settings(analysis, visualization, COLUMNS)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_what_is_right_passes():
    check_settings({}, {}, COLUMNS)
    groups = ["is_correct", {"name": "sure", "column": "certainty", "a": "High", "b": ["Low"]}, "logit_difference"]
    analysis = {"groups": groups, "covariates": ["log_num_tokens", "year", "count_financial"], "cluster_by": "year"}
    schemes = {"sequential": "plasma", "diverging": "redblue-5", "categorical": "tableau10"}
    check_settings(analysis, {"color_schemes": schemes, "figure_sizes": {"width": 900}}, COLUMNS)
    check_settings(AnalysisSection().model_dump(), VisualizationSection().model_dump(), COLUMNS)
    check_settings({"decodability": {"targets": ["certainty"]}, "correlations": ["num_tokens"]}, {}, COLUMNS)
    check_settings({"covariates": ["log_mine"], "groups": ["mine"]}, {}, [*COLUMNS, "mine"])


def test_the_schemes_are_those_of_vega_lite():
    from altair.vegalite.v6.schema.core import load_schema

    known = load_schema()["definitions"]
    kinds = [entry["$ref"].rpartition("/")[2] for entry in known["ColorScheme"]["anyOf"]]
    assert {name for kind in kinds for name in known[kind]["enum"]} | {"okabe_ito"} == SCHEMES


def test_the_sections_of_the_config_have_the_same_keys():
    for section, settings in ((AnalysisSection, AnalysisSettings), (VisualizationSection, VisualizationSettings)):
        assert set(section.model_fields) == set(settings.__dataclass_fields__)


@pytest.mark.parametrize("value", [None, False])
def test_prediction_can_be_turned_off(value):
    settings = AnalysisSettings.from_mapping({"decodability": value})
    assert settings.predicted is None
    assert AnalysisSettings.from_mapping(AnalysisSection(decodability=value).model_dump()) == settings
    assert AnalysisSettings.from_mapping({}).predicted == DecodabilitySettings()


def test_columns_of_default_targets_may_be_missing():
    columns = [name for name in COLUMNS if name not in ("certainty", "magnitude", "year", "actual_label")]
    check_settings(AnalysisSection(strata=["num_tokens"]).model_dump(), {}, columns)


def test_the_check_is_light():
    code = (
        "import sys; from analyses.settings import check_settings; check_settings({'groups': []}, {}, ['num_tokens', "
        "'cluster']); print(sorted({'polars', 'altair', 'scipy', 'sklearn', 'torch', 'vl_convert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
