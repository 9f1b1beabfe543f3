"""A mistake in the analysis or its charts is told before the predictions are opened: here there are none to open."""

from __future__ import annotations

import pytest
import yaml

from engine.run import main

VOCABULARY = {"money": ["cash"], "growth": ["growth"]}


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    """Return a config without predictions and model: whoever looks for the predictions exits with 3."""
    folder = tmp_path_factory.mktemp("settings")
    tree = {
        "run": {"name": "run", "output": str(folder / "runs")},
        "predictions": {"path": str(folder / "predictions.jsonl"), "keep": {"sector": "text", "size": "number"}},
        "model": {"path": str(folder / "model")},
        "vocabulary": VOCABULARY,
        "statistics": {"query_groups": ["all", "decision", "money"], "random_groups": 2},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("analysis.alhpa=0.1", "analysis.alhpa: unknown key (did you mean analysis.alpha?)"),
        ("analysis.alpha=2", "analysis.alpha: 2 is not allowed; allowed: a number above 0 and below 1"),
        ("analysis.alpha=true", "analysis.alpha: True is not allowed; allowed: a number"),
        ("analysis.correction=fdr", "did you mean 'fdr_by'?); allowed: 'fdr_bh', 'fdr_by', 'holm' or 'bonferroni'"),
        ("analysis.permutations=some", "analysis.permutations: 'some' is not allowed; allowed: a whole number from 0"),
        ("analysis.errors=wild", "analysis.errors: 'wild' is not allowed"),
        ("analysis.confirmation_fraction=1", "a number from 0 and below 1"),
        ("analysis.groups=is_correct", "analysis.groups: 'is_correct' is not a list"),
        ("analysis.groups=[is_corect]", "analysis.groups[0]: 'is_corect' is not a column of samples (did you mean"),
        (
            "analysis.groups=[{colum: year}]",
            "analysis.groups[0].colum: unknown key (did you mean analysis.groups[0].co",
        ),
        ("analysis.groups=[{column: field_sectr}]", "analysis.groups[0].column: 'field_sectr' is not a column of samp"),
        ("analysis.groups=[{column: year, a: 1}]", "analysis.groups[0]: give both a and b"),
        ("analysis.groups=[year, year]", "analysis.groups[1]: there is another comparison called 'year'"),
        ("analysis.families=[{name: a, statistic: []}]", "(did you mean analysis.families[0].statistics?)"),
        ("analysis.families=[{name: a, statistics: [mas_*]}]", "analysis.families[0]: no test fits family 'a'; statis"),
        ("analysis.families=[{name: a, query_groups: [response]}]", "query groups are all, decision, money"),
        ("analysis.covariates=[log_sise]", "analysis.covariates[0]: 'log_sise' is not a column of samples"),
        ("analysis.covariates=[field_sector]", "analysis.covariates[0]: 'field_sector' is not a number; numbers are"),
        ("analysis.covariates=[count_mony]", "(did you mean 'count_money'?)"),
        ("analysis.cluster_by=company", "analysis.cluster_by: 'company' is not a column of samples"),
        ("analysis.strata=[{column: year, parts: 13}]", "analysis.strata[0].parts: 13 is not allowed; allowed: a who"),
        ("analysis.strata=[flags]", "analysis.strata[0]: 'flags' is a list, and samples cannot be cut by it"),
        ("analysis.correlations=[certanty]", "analysis.correlations[0]: 'certanty' is not a column"),
        ("analysis.decodability={fold: 4}", "(did you mean analysis.decodability.folds?)"),
        ("analysis.decodability={folds: 2}", "analysis.decodability.folds: 2 is not allowed; allowed: a whole number"),
        ("analysis.decodability={query_group: response}", "'response' is an unknown query group"),
        (
            "analysis.decodability={statistics: [mass_mony]}",
            "'mass_mony' is an unknown statistic (did you mean 'mass_m",
        ),
        ("analysis.decodability={targets: [sector]}", "analysis.decodability.targets[0]: 'sector' is not a column"),
        ("analysis.hypotheses=[{name: x, key_grup: a}]", "(did you mean analysis.hypotheses[0].key_group?)"),
        ("analysis.hypotheses=[{name: x, key_group: a, direction: up}]", "'greater', 'less' or 'two-sided'"),
        ("analysis.hypotheses=[{name: x, key_group: a, group: yaer}]", "(did you mean 'year'?)"),
        ("analysis.head_types={begining_mass: 1}", "(did you mean analysis.head_types.beginning_mass?)"),
        ("analysis.head_types={beginning_mass: much}", "analysis.head_types.beginning_mass: 'much' is not allowed"),
        ("visualization.formats=[gif]", "visualization.formats[0]: 'gif' is not allowed; allowed: 'html', 'png', "),
        ("visualization.theme=drak", "visualization.theme: 'drak' is not allowed (did you mean 'dark'?)"),
        (
            "visualization.color_schemes={sequential: viridi}",
            "'viridi' is an unknown colour scheme (did you mean 'virid",
        ),
        ("visualization.figure_sizes={width: 5}", "visualization.figure_sizes.width: 5 is not allowed; allowed: a who"),
        ("visualization.max_tokens=0", "visualization.max_tokens: 0 is not allowed; allowed: a whole number from 1"),
    ],
)
def test_it_is_told_before_the_predictions_are_opened(config_file, capsys, override, words):
    assert main([str(config_file), override]) == 2
    message = capsys.readouterr().err.strip()
    assert words in message and "\n" not in message
    assert not (config_file.parent / "runs").exists()


def test_the_file_is_the_next_mistake(config_file, capsys):
    assert main([str(config_file), "model.device=cpu"]) == 3
    assert "no such file" in capsys.readouterr().err


def test_names_that_the_run_will_have_are_known(config_file, capsys):
    names = "[field_sector, count_money, {column: count_random_financial_1}, certainty_level]"
    random = "{statistics: [mass_money], query_group: money}"
    assert main([str(config_file), f"analysis.groups={names}", f"analysis.decodability={random}"]) == 2
    message = capsys.readouterr().err
    assert "analysis.groups[2].column: 'count_random_financial_1'" in message
    assert "count_random_vocabulary_1, count_random_vocabulary_2" in message
