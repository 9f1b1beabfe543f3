"""The third domain: questions with four choices, their small model, its recorded answers, and a run over them."""

from __future__ import annotations

import json
from collections import Counter

import polars as pl
import pytest
import torch
import yaml

from data.quiz import predict, questions, train
from data.sentiment.tokenizer import prompt_text
from engine.run import main
from tests.fixtures.places import ROOT

FOLDER = ROOT / "data" / "quiz"


@pytest.fixture(scope="module")
def records():
    return [json.loads(line) for line in (FOLDER / "predictions.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def report():
    return json.loads((FOLDER / "report.json").read_text())


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of the shipped config, elsewhere, of fewer rows and causes; one chart format is enough here."""
    output = tmp_path_factory.mktemp("runs")
    config = ROOT / "config" / "quiz.yaml"
    fewer = [
        "predictions.max_samples=60",
        "causal.max_samples=8",
        "analysis.permutations=9",
        "analysis.decodability=false",
    ]
    assert main([str(config), f"run.output={output}", "visualization.formats=[html]", *fewer]) == 0
    return output / "quiz"


@pytest.fixture(scope="module")
def samples(run_folder):
    return pl.read_parquet(run_folder / "shards" / "measure-*" / "samples.parquet")


def test_every_question_has_one_right_choice():
    kind_of = {word: kind for kind, words in questions.KINDS.items() for word in words}
    assert len(kind_of) == sum(map(len, questions.KINDS.values())), "no word is of two kinds"
    for question in questions.heldout_questions():
        is_of = [kind_of[word] == question.kind for word in question.choices]
        assert is_of.count(not question.is_negated) == 1 and is_of.index(not question.is_negated) == question.target
        assert question.prompt.count("\n") == 4 and len(set(question.choices)) == 4


def test_training_never_sees_a_heldout_prompt(report):
    seen = questions.training_questions(3000)
    heldout = questions.heldout_questions()
    assert not {question.prompt for question in seen} & {question.prompt for question in heldout}
    assert not {question.round for question in seen} & {question.round for question in heldout}
    assert report["training"]["questions"] == train.STEPS * train.BATCH


def test_predictions_are_those_of_the_heldout_rounds(records, report):
    expected = questions.heldout_questions()
    assert len(records) == len(expected) == 240
    pairs = enumerate(zip(expected, records, strict=True))
    assert [predict.record(n, question, row["response"]) for n, (question, row) in pairs] == records
    measured = predict.measure(expected, records)
    assert measured == {name: report[name] for name in measured}
    assert report["heldout"]["accuracy"] > 0.4, "a guess is right in a quarter"


def test_the_model_gives_the_recorded_answers_again(records):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = FOLDER / "model"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 1_500_000
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    chosen = questions.heldout_questions()[::48]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert predict.guided_answers(model, tokenizer, chosen) == [row["response"] for row in records[::48]]
    assert prompt_text(tokenizer, chosen[0].prompt).count(chosen[0].prompt) == 1


def test_the_readme_quotes_the_report(report):
    section = (ROOT / "data" / "README.md").read_text().split("## Quiz", 1)[1]
    for name, row in {"all": report["heldout"], **report["by"]}.items():
        low, high = row["interval"]
        quoted = f"| {name} | {row['right']} of {row['questions']} | {row['accuracy']:.3f} ({low:.3f}–{high:.3f}) |"
        assert quoted in section, quoted
    for quoted in (f"{report['parameters']:,} parameters", f"{report['training']['questions']:,} questions"):
        assert quoted in section, quoted


def test_the_vocabulary_holds_the_quizs_words():
    vocabulary = yaml.safe_load((ROOT / "config" / "vocabulary" / "quiz.yaml").read_text())
    assert {kind: tuple(words) for kind, words in vocabulary.items()} == questions.KINDS


def test_rows_are_read_by_their_choices(samples, records):
    by_id = {row["id"]: row for row in records}
    for row in samples.iter_rows(named=True):
        given = by_id[row["sample_id"]]
        said = given["response"].rpartition("Answer: ")[2]
        assert row["predicted_label"] == "ABCD"[given["choices"].index(said)]
        assert row["actual_label"] == "ABCD"[given["target"]] and row["is_correct"] is (given["score"] == "C")
        first, second = row["contrast"].split("|")
        assert first == row["predicted_label"] and second in "ABCD" and second != first
        assert row["cluster"] == given["round"] and row["year"] is None
    assert len(Counter(samples["contrast"])) > 3


def test_the_contrast_is_the_likeliest_other(run_folder, samples):
    found = pl.read_parquet(run_folder / "shards" / "measure-*" / "label_logprobs.parquet")
    assert len(found) == 4 * len(samples)
    for row in samples.iter_rows(named=True):
        labels = {entry["label"]: entry for entry in found.filter(sample_id=row["sample_id"]).to_dicts()}
        first, second = row["contrast"].split("|")
        if len({entry["position"] for entry in labels.values()}) == 1:
            others = {label: entry["logprob"] for label, entry in labels.items() if label != first}
            assert others[second] == max(others.values())
            assert row["logit_difference"] == pytest.approx(labels[first]["logprob"] - others[second], abs=1e-4)


def test_the_thought_is_told_from_the_answer(run_folder):
    stats = pl.read_parquet(run_folder / "shards" / "measure-*" / "head_stats.parquet")
    assert set(stats["query_group"]) == {"all", "decision", "prompt", "thinking", "answer"}
    assert stats.filter(query_group="thinking")["entropy_nats"].is_not_null().all()
    tokens = pl.read_parquet(run_folder / "shards" / "measure-*" / "tokens.parquet")
    assert tokens.filter(segment="thinking")["sentence"].max() == 0


def test_the_report_speaks_of_its_own_domain(run_folder):
    report = " ".join((run_folder / "analysis" / "analysis_summary_report.txt").read_text().split())
    for word in ("financial", "statement", "compan", "period", "EPS"):
        assert word not in report, word
    assert "rounds" in report and "the said label against the likeliest other" in report
    groups = json.loads((run_folder / "plan.json").read_text())["key_groups"]
    assert groups[0] == "quiz" and not {"line_item", "current_period", "statement"} & set(groups)
