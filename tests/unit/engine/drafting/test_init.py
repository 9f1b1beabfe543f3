"""``engine.init``: a config that runs, from a file alone."""

import json

import pytest

from engine.config import load_config
from engine.drafting.draft import UNKNOWN_MODEL
from engine.init import main
from engine.inputs.predictions import read_predictions
from tests.fixtures.evaluation_logs import LOGS, write_log
from tests.fixtures.logged_cases import CASES, MODEL, lines
from tests.fixtures.places import ROOT


def drafted(tmp_path, path, *options):
    output = tmp_path / "config.yaml"
    assert main([str(path), "--output", str(output), "--overwrite", *options]) == 0
    return load_config(output)[0]


@pytest.mark.parametrize("name", LOGS)
def test_a_config_for_every_log(tmp_path, capsys, name):
    path, _ = write_log(name, tmp_path)
    config = drafted(tmp_path, path, "--model", "data/demo-model")
    said = capsys.readouterr().out
    assert "samples to measure       6" in said and "Next: python -m engine.run" in said
    found = read_predictions(config)
    is_unlabelled = name == "batch"  # its labels lie in a file of which only a person knows
    assert [sample.is_correct for sample in found.samples] == [None if is_unlabelled else c.is_right for c in CASES]
    assert ("none in the file: join" in said) == is_unlabelled
    recorded = {"arrow", "batch", "lm-eval", "lm-eval-choices", "lighteval"}
    if name not in recorded:
        assert drafted(tmp_path, path).model.path == MODEL


@pytest.mark.parametrize("name", ["predictions_demo.json", "sentiment/predictions.jsonl"])
def test_the_examples_of_the_project(tmp_path, name):
    config = drafted(tmp_path, ROOT / "data" / name)
    assert config.model.path == UNKNOWN_MODEL
    found = read_predictions(config)
    assert not found.rejects and None not in {sample.is_correct for sample in found.samples}
    assert config.decision.field == ("direction_of_eps_change" if "demo" in name else "sentiment")
    assert (config.vocabulary is None) == ("sentiment" in name)


ROWS = [
    {
        "uid": f"q{number}",
        "meta": {"question": f"What is {number} + 10?", "group": number // 2},
        "model_output": f"We add them. The answer is {number + 10}.",
        "gold": str(number + 10),
        "judge_score": 0.25 * (number % 5),
    }
    for number in range(8)
]


def test_rows_of_ones_own(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(ROWS))
    config = drafted(tmp_path, path)
    fields = config.predictions.fields
    assert (fields.prompt, fields.response, fields.actual) == ("meta.question", "model_output", "gold")
    assert (fields.id, fields.cluster, fields.correct) == ("uid", "meta.group", "judge_score")
    assert (config.decision.span, config.decision.threshold) == ("cue", 0.5)
    found = read_predictions(config)
    assert [sample.is_correct for sample in found.samples] == [row["judge_score"] >= 0.5 for row in ROWS]
    assert [sample.cluster for sample in found.samples] == [str(number // 2) for number in range(8)]
    assert "0.5: judge_score is a number from 0 to 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "names",
    [("input", "actualOutput", "expectedOutput"), ("inputs", "outputs", "targets"), ("Query", "Model Output", "Gold")],
)
def test_names_in_other_spellings_are_found(tmp_path, names):
    rows = [dict(zip(names, (c.question, c.answer, c.target), strict=True)) for c in CASES]
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(rows))
    fields = drafted(tmp_path, path).predictions.fields
    assert (fields.prompt, fields.response, fields.actual) == names


def test_messages_are_found(tmp_path):
    rows = [
        {"conversations": [{"from": "human", "value": c.question}, {"from": "gpt", "value": c.answer}]} for c in CASES
    ]
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([{**row, "label": case.target} for row, case in zip(rows, CASES, strict=True)]))
    config = drafted(tmp_path, path)
    assert (config.prompt.source, config.predictions.fields.messages) == ("messages", "conversations")
    assert len(read_predictions(config).samples) == len(CASES)


def test_what_it_was_not_told_it_asks(tmp_path, capsys, monkeypatch):
    path, _ = write_log("lm-eval", tmp_path)
    assert drafted(tmp_path, path).predictions.filter == {"filter": "strict-match"}
    assert "Took 'strict-match', the first; others: flexible-extract." in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: "2")
    assert drafted(tmp_path, path).predictions.filter == {"filter": "flexible-extract"}


def test_files_that_cannot_be_drafted_from(tmp_path, capsys):
    output = tmp_path / "config.yaml"
    assert main([str(tmp_path / "none.json"), "--output", str(output)]) == 3
    (tmp_path / "bad.jsonl").write_text("{]\n{]\n")
    assert main([str(tmp_path / "bad.jsonl"), "--output", str(output)]) == 3
    assert not output.exists()
    output.write_text("mine")
    path, _ = write_log("promptfoo", tmp_path)
    assert main([str(path), "--output", str(output)]) == 2 and output.read_text() == "mine"
    assert all("\n" not in line for line in capsys.readouterr().err.splitlines())
