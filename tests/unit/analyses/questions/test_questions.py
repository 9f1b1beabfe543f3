"""A question that is new: one class and one row of the registry, and it is in everything that an analysis writes."""

from __future__ import annotations

import json
from collections.abc import Mapping

import altair as alt
import polars as pl
import pyarrow.parquet as pq
import pytest

from analyses.charts.parts import specification
from analyses.questions import registry
from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Answers, Asked
from analyses.questions.chapters import Chapter, Part
from analyses.questions.columns import NUM_SAMPLES
from analyses.questions.figure import Absent, Figure
from analyses.questions.question import Question
from analyses.reporting.write import analyze
from tests.fixtures.synthetic_run import add_metadata, write_run

LENGTHS = AnswerTable(
    "lengths",
    "one row per label",
    (
        Column("label", pl.String, "What the model said"),
        Column("longest", pl.Int64, "Longest text of a sample with that answer", unit="tokens", span="1.."),
        NUM_SAMPLES,
    ),
    method=lambda asked: f"largest number of tokens, by label; {len(asked.run.samples)} samples",
)
CHAPTER = Chapter("length", "Length", "Are texts of one answer longer?")


class Lengths(Question):
    """How long texts are, by answer."""

    name = "lengths"
    tables = (LENGTHS,)
    parts = (Part("lengths", "Lengths", CHAPTER, has_table=True), Part("length_trend", "Trend of lengths", CHAPTER))

    def answer(self, asked: Asked) -> Mapping[str, pl.DataFrame]:
        grouped = asked.run.samples.group_by(label=pl.col("predicted_label")).agg(
            num_samples=pl.len(), longest=pl.col("num_tokens").max()
        )
        return {"lengths": grouped.sort("label")}

    def method(self, answers: Answers) -> list[str]:
        return ["Lengths are compared without a test."]

    def sentences(self, answers: Answers) -> Mapping[str, list[str]]:
        longest = answers["lengths"].sort("longest").row(-1, named=True)
        return {"lengths": [f"The longest text is of answer {longest['label']}."]}

    def figures(self, answers: Answers) -> list[Figure | Absent]:
        chart = alt.Chart(answers["lengths"]).mark_bar().encode(x="longest:Q", y="label:N")
        guide = "Each bar is the longest text with that answer."
        return [
            Figure("lengths", "Lengths drawn", guide, specification(chart), ("lengths",)),
            Absent("length_trend", "Nobody recorded an order of the texts."),
        ]

    def results(self, answers: Answers) -> Mapping[str, object]:
        return {"lengths": answers["lengths"].to_dicts()}


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    run_dir = write_run(tmp_path_factory.mktemp("runs") / "run", num_samples=40, num_layers=2, num_heads=2)
    quick = {"permutations": 9, "decodability": False, "hypotheses": [], "correlations": []}
    add_metadata(run_dir, {"analysis": quick, "visualization": {"formats": ["json"]}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "QUESTIONS", (*registry.QUESTIONS, Lengths()))
        return analyze(run_dir)


def test_its_table_explains_itself(analysed):
    path = analysed.directory / "tables" / "lengths.parquet"
    schema = pq.read_schema(path)
    assert schema.names == ["label", "longest", "num_samples"] and pl.read_parquet(path)["num_samples"].sum() == 40
    assert schema.metadata[b"grain"] == b"one row per label"
    assert schema.metadata[b"method"] == b"largest number of tokens, by label; 40 samples"
    longest = {"description": "Longest text of a sample with that answer", "unit": "tokens", "range": "1.."}
    assert {key.decode(): value.decode() for key, value in schema.field("longest").metadata.items()} == longest
    assert pl.read_parquet_schema(path)["num_samples"] == pl.Int32


def test_its_words_are_in_the_text_and_in_the_json(analysed):
    text = " ".join(analysed.summary.read_text().split())
    assert "=== Length: Are texts of one answer longer? Lengths drawn ------------- * The longest text is of" in text
    assert "Trend of lengths: not in this report. Nobody recorded an order of the texts." in text
    assert "* Lengths are compared without a test." in text
    results = json.loads((analysed.directory / "comparison_analysis_results.json").read_text())
    assert results["findings"]["lengths"][0].startswith("The longest text is of answer")
    assert sum(row["num_samples"] for row in results["lengths"]) == 40


def test_its_chart_has_a_chapter_of_the_page(analysed):
    page = analysed.report.read_text()
    assert '<div class="chapter" id="length">' in page and "<h2>Length</h2>" in page
    assert '<section id="lengths">' in page and "<h3>Lengths drawn</h3>" in page
    assert 'data-specification="lengths"' in page and "rows of tables/lengths.parquet" in page
    assert "<strong>Trend of lengths</strong> Not in this report: Nobody recorded" in page
    chart = json.loads((analysed.directory / "visualizations" / "lengths.json").read_text())
    assert chart["encoding"]["x"]["field"] == "longest"


def test_every_question_declares_what_it_gives():
    names = [table.name for question in registry.QUESTIONS for table in question.tables]
    parts = [part.name for question in registry.QUESTIONS for part in question.parts]
    assert len(set(names)) == len(names) and len(set(parts)) == len(parts)
    assert len({question.name for question in registry.QUESTIONS}) == len(registry.QUESTIONS)
    for question in registry.QUESTIONS:
        for part in question.parts:
            assert not part.has_table or part.name in {table.name for table in question.tables}
        for table in question.tables:
            assert all(column.meaning and column.meaning[0] == column.meaning[0].strip() for column in table.columns)


def test_a_column_that_nobody_declared_is_a_mistake():
    frame = LENGTHS.empty().with_columns(more=pl.lit(1))
    with pytest.raises(AssertionError, match="declared nowhere"):
        LENGTHS.declared(frame)
    with pytest.raises(AssertionError, match="declared and not there"):
        LENGTHS.declared(LENGTHS.empty().drop("longest"))
