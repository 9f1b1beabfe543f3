"""The top of the report says what the tables say, in every output, and every figure on it leads to its evidence."""

import json
import re

import polars as pl
import pytest

from analyses.questions.chapters import Tile
from analyses.reporting.story import _answer
from analyses.reporting.write import STEPS, analyze
from tests.fixtures.synthetic_run import add_causes, add_metadata, edit_table, write_run

FEWER = {"hypotheses": [], "correlations": [], "strata": []}
GROUPS = ["is_correct", {"name": "certainty", "column": "certainty", "a": "High", "b": "Low"}]


def planted(run_dir, **settings):
    write_run(
        run_dir,
        num_samples=90,
        num_layers=2,
        num_heads=2,
        num_clusters=45,
        planted={("decision", "mass_profit", 1, 1): 0.2},
    )
    analysis = {"permutations": 199, "decodability": False, "groups": GROUPS} | settings
    add_metadata(run_dir, {"analysis": analysis, "visualization": {"formats": ["json"]}})
    return run_dir


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    run_dir = planted(tmp_path_factory.mktemp("story") / "run")
    add_causes(run_dir, 2, 2)
    steps = []
    result = analyze(run_dir, watch=steps.append)
    story = json.loads((result.directory / "comparison_analysis_results.json").read_text())["story"]
    return result, story, steps


def tile(story, label):
    return next(one for one in story["tiles"] if one["label"] == label)


def test_it_has_question_answer_four_tiles_and_lines(told):
    _, story, _ = told
    assert story["question"].endswith("?") and story["answer"].count(".") >= 1
    assert [one["label"] for one in story["tiles"]] == [
        "Accuracy",
        "Heads that differ",
        "Heads that matter",
        "Heads foretell errors",
    ]
    texts = [line["text"] for line in story["lines"]]
    for start in ("Correct against incorrect", "High against low", "Ablation", "Of "):
        assert sum(text.startswith(start) for text in texts) == 1, start


def test_findings_come_first_and_each_by_its_p(told):
    ranks = [(not line["is_finding"], line["pvalue"]) for line in told[1]["lines"]]
    assert ranks == sorted(ranks) and ranks[0][0] is False


def test_the_planted_head_is_on_the_tile_in_the_line_and_in_the_picture(told):
    result, story, _ = told
    differing = tile(story, "Heads that differ")
    assert differing["is_finding"] and differing["figure"].endswith("of 4")
    line = next(one for one in story["lines"] if one["text"].startswith("Correct against"))
    assert "head 1.1" in line["text"] and line["is_finding"] and line["part"] == "difference_map"
    chart = json.loads((result.directory / "visualizations" / "summary_map.json").read_text())
    rows = next(iter(chart["datasets"].values()))
    marked = {(row["layer"], row["head"]) for row in rows if row["finding"]}
    assert (1, 1) in marked and str(len(marked)) == differing["figure"].split()[0]


def test_figures_are_those_of_the_tables(told):
    result, story, _ = told
    tables = result.directory / "tables"
    accuracy = pl.read_parquet(tables / "accuracy.parquet").row(0, named=True)
    assert tile(story, "Accuracy")["figure"] == f"{100 * accuracy['value']:.1f} %"
    tests = pl.read_parquet(tables / "group_differences.parquet").filter(comparison="is_correct").drop_nulls("pvalue")
    line = next(one for one in story["lines"] if one["text"].startswith("Correct against"))
    assert f"of {len(tests):,} tests" in line["text"]
    effects = pl.read_parquet(tables / "causal_effects.parquet").filter(kind="ablation", measure="lead")
    heads = effects.drop_nulls("pvalue").filter(pl.col("head").is_not_null()).select("layer", "head").n_unique()
    assert tile(story, "Heads that matter")["figure"].endswith(f"of {heads}")


def test_every_link_leads_to_a_place_on_the_page(told):
    result, story, _ = told
    page = result.report.read_text()
    anchors = set(re.findall(r'id="([^"]+)"', page))
    assert {one["link"] for one in story["tiles"]} | {one["part"] for one in story["lines"]} <= anchors
    assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors


def test_it_is_in_every_output(told):
    result, story, steps = told
    text, page = " ".join(result.summary.read_text().split()), result.report.read_text()
    for words in (story["question"], story["answer"], story["lines"][0]["text"]):
        assert " ".join(words.split()) in text
    assert result.headlines[0] == story["answer"] and 'class="tiles"' in page and 'data-chart="summary_map"' in page
    assert steps == list(STEPS)


def test_the_answer_tells_what_was_asked_and_further_questions_only_where_something_was_found():
    def one(clause, **more):
        return Tile("label", "1", "beside", "link", clause, **more)

    right, none = one("the model is right"), one("no head is shown to differ")
    tiles = [right, none, one("heads are not shown to foretell errors", is_further=True)]
    assert _answer(tiles) == "The model is right; no head is shown to differ."
    tiles = [right, none, one("heads foretell errors", is_finding=True, is_further=True)]
    assert _answer(tiles) == "The model is right; no head is shown to differ; heads foretell errors."


def test_no_sentence_of_it_points_to_nothing(told):
    for line in [told[1]["answer"], *(one["text"] for one in told[1]["lines"])]:
        assert line.endswith(".") and "elow" not in line.replace("below", "") and "see " not in line


def test_a_finding_of_another_comparison_is_not_passed_over(tmp_path):
    """The first comparison finds nothing, the second does: the tile is of the second, and says both."""
    run_dir = planted(tmp_path / "run", groups=["is_correct", "flag"], permutations=1999, **FEWER)
    edit_table(run_dir, "samples", lambda frame: frame.with_columns(flag=pl.col("is_correct")))
    shuffled = pl.col("is_correct").shuffle(seed=3)
    edit_table(run_dir, "samples", lambda frame: frame.with_columns(is_correct=shuffled))
    result = analyze(run_dir)
    story = json.loads((result.directory / "comparison_analysis_results.json").read_text())["story"]
    differing = tile(story, "Heads that differ")
    assert differing["is_finding"] and "flag and not flag" in differing["beside"]
    assert "Between correct and incorrect samples: none shown" in differing["beside"]
    assert "no head is shown to differ between correct and incorrect" in story["answer"]


def test_nothing_measured_is_said(tmp_path):
    run_dir = write_run(tmp_path / "run", num_samples=1, num_clusters=1, num_layers=1, num_heads=1, num_shards=1)
    add_metadata(run_dir, {"analysis": {"permutations": 0}, "visualization": {"formats": []}})
    edit_table(run_dir, "samples", lambda f: f.with_columns(is_correct=pl.lit(None, dtype=pl.Boolean)))
    result = analyze(run_dir)
    story = json.loads((result.directory / "comparison_analysis_results.json").read_text())["story"]
    assert [one["figure"] for one in story["tiles"]] == ["unknown", "not tested", "not measured", "not tested"]
    assert not any(one["is_finding"] for one in story["tiles"])
