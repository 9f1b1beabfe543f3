"""Predictions, hypotheses, correlations and power in every output of an analysis."""

import json

import polars as pl
import pyarrow.parquet as pq
import pytest

from analyses.questions.correlations.answer import correlations
from analyses.questions.correlations.sentences import correlation_sentences
from analyses.reporting.analysis import answer_questions
from analyses.reporting.chapters import parts
from analyses.reporting.write import analyze
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings, SettingsError
from analyses.settings.visualization import VisualizationSettings
from tests.fixtures.synthetic_run import add_metadata, edit_table, write_run

SHAPE = {"num_samples": 60, "num_layers": 2, "num_heads": 3, "num_clusters": 25, "num_shards": 2}
ANSWERS = {part.name: part.title for part in parts().values() if part.has_table}
QUICK = {"folds": 3, "repeats": 1, "permutations": 3, "screened": 5}


def configured(run_dir, **analysis):
    write_run(run_dir, **SHAPE)
    config = {"analysis": {"permutations": 19} | analysis, "visualization": {"formats": ["json"]}}
    add_metadata(run_dir, config)
    return run_dir


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return analyze(configured(tmp_path_factory.mktemp("runs") / "answers", decodability=QUICK))


def test_every_answer_is_a_table_that_explains_itself(result):
    for name in ANSWERS:
        schema = pq.read_schema(result.directory / "tables" / f"{name}.parquet")
        assert {b"grain", b"method"} <= set(schema.metadata), name
        assert all(field.metadata and b"description" in field.metadata for field in schema), name
        assert pl.read_parquet(result.directory / "tables" / f"{name}.parquet").height > 0


def test_every_answer_is_in_the_text_the_page_and_the_json(result):
    text, page = result.summary.read_text(), result.report.read_text()
    compared = json.loads((result.directory / "comparison_analysis_results.json").read_text())
    for name, title in ANSWERS.items():
        assert f"\n{title}\n{'-' * len(title)}\n" in text
        assert f'<section id="{name}">' in page and f"<h3>{title}</h3>" in page
        assert compared[name] and compared["findings"][name]
    told = " ".join(text.split())
    for sentence in compared["findings"]["hypotheses"] + compared["findings"]["decodability"]:
        assert " ".join(sentence.split()) in told
    assert compared["settings"]["decodability"]["folds"] == 3
    assert compared["correlations"]["targets"][0]["target"] == "certainty"


def test_what_is_turned_off_is_said_to_be(tmp_path):
    off = {"decodability": False, "correlations": [], "hypotheses": [], "groups": [], "strata": []}
    run_dir = configured(tmp_path / "off", **off)
    text = " ".join(analyze(run_dir).summary.read_text().split())
    for words in ("decodability is turned off", "correlations is empty", "No hypothesis is configured"):
        assert words in text


def test_a_default_target_without_its_column_is_told_of(tmp_path):
    run_dir = configured(tmp_path / "without")
    edit_table(run_dir, "samples", lambda f: f.drop("magnitude"))
    table = correlations(open_tables(run_dir), AnalysisSettings())
    assert "Correlation with stated magnitude: not tested: 0 samples with a known magnitude" in " ".join(
        correlation_sentences(table)
    )
    with pytest.raises(SettingsError, match=r"analysis\.correlations"):
        correlations(open_tables(run_dir), AnalysisSettings(), ["sector"])


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"statistics": ["entropy_norm"]}, r"statistics\[0\]: 'entropy_norm' is an unknown statistic \(did you mean"),
        ({"query_group": "answer"}, r"query_group: 'answer' is an unknown query group.*known are all, decision"),
    ],
)
def test_names_that_the_run_lacks_are_refused_before_anything_is_computed(tmp_path, choices, words, monkeypatch):
    run = open_tables(configured(tmp_path / "names"))
    monkeypatch.setattr("analyses.reporting.analysis.head_means", None)
    with pytest.raises(SettingsError, match=words):
        answer_questions(run, AnalysisSettings(decodability=choices), VisualizationSettings())
