"""docs/reference/results.md names every key of both JSON files, and none that is not there."""

import json
import re

import pytest

from analyses.reporting.write import analyze
from tests.fixtures.places import ROOT
from tests.fixtures.synthetic_run import add_causes, add_metadata, write_run

PAGE = (ROOT / "docs" / "reference" / "results.md").read_text()
FILES = ("attention_analysis_results", "comparison_analysis_results")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    run_dir = write_run(tmp_path_factory.mktemp("json") / "run", num_samples=40, num_layers=2, num_heads=2)
    add_causes(run_dir, 2, 2)
    fits = {"folds": 3, "repeats": 1, "permutations": 2, "screened": 5}
    settings = {"analysis": {"permutations": 19, "decodability": fits}, "visualization": {"formats": []}}
    add_metadata(run_dir, settings)
    folder = analyze(run_dir).directory
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in FILES}


def documented(name: str) -> set[str]:
    section = PAGE.split(f"## {name}.json")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE))


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_documented(results, name):
    assert set(results[name]) == documented(name)


def test_keys_below_are_documented(results):
    compared = results["comparison_analysis_results"]
    below = {
        *results["attention_analysis_results"]["attention_patterns"],
        *compared["story"],
        *compared["story"]["tiles"][0],
        *compared["story"]["lines"][0],
        *compared["claims"][0],
        *compared["settings"],
        *compared["statistical_differences"]["is_correct"],
        *compared["causes"],
        *compared["levels"],
        *compared["correlations"],
        *compared["head_specialization_differences"],
    }
    assert {key for key in below if f"`{key}`" not in PAGE} == set()


def test_keys_of_the_old_script_are_kept(results):
    assert {"correct_predictions", "incorrect_predictions", "attention_patterns"} <= set(results[FILES[0]])
    old = {"financial_attention_differences", "head_specialization_differences", "statistical_differences"}
    assert old <= set(results[FILES[1]])
