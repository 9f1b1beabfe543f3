"""Logs of every tool, as the tool writes them: what was asked, answered and scored is what the samples hold."""

import json

import pytest
import yaml

from analyses.export import main as export
from analyses.query import run_query
from engine.inputs.predictions import read_predictions
from engine.run import main
from tests.fixtures.evaluation_logs import LOGS, write_log
from tests.fixtures.inspect_logs import inspect_json, inspect_sample
from tests.fixtures.logged_cases import CASES
from tests.fixtures.prediction_files import config

IDS = {
    "every-eval-ever": "eps_{}",
    "batch": "request-{}",
    "helm": "id{}",
    "promptfoo": "result-{}",
    "langfuse": "obs-{}",
    "arrow": "F{}",
}
RENDERED = ("lm-eval", "lm-eval-choices", "lighteval")


@pytest.mark.parametrize("name", LOGS)
def test_a_log_is_read_without_naming_its_fields(tmp_path, name):
    path, more = write_log(name, tmp_path)
    prompt = {"source": "fields"} if name == "arrow" else {}
    found = read_predictions(config(path, predictions=more, prompt=prompt))
    assert [sample.sample_id for sample in found.samples] == [IDS.get(name, "{}").format(c.number) for c in CASES]
    assert [sample.is_correct for sample in found.samples] == [case.is_right for case in CASES]
    targets = [None if name == "langfuse" else case.target for case in CASES]  # its scores hold no target
    assert [sample.actual_label for sample in found.samples] == targets
    assert [sample.predicted_label for sample in found.samples] == [case.said for case in CASES]
    for sample, case in zip(found.samples, CASES, strict=True):
        asked = sample.prompt if name in RENDERED else sample.messages[-1].content
        assert asked == (f"Q: {case.question}\nA:" if name in (*RENDERED, "helm") else case.question)
        assert sample.response.strip() == (case.said if name == "lm-eval-choices" else case.answer)
        assert (sample.sequence_source == "rendered") or name not in RENDERED
    assert {reject.reason for reject in found.rejects} == ({"filtered"} if name == "lm-eval" else set())


@pytest.mark.parametrize("name", [name for name in LOGS if name not in ("inspect-chunked", "inspect-json")])
def test_a_log_becomes_a_report(config_file, tmp_path, name):
    path, more = write_log(name, tmp_path)
    tree = yaml.safe_load(config_file.read_text())
    tree |= {"predictions": {"path": str(path), **more}, "prompt": {"source": "fields"} if name == "arrow" else {}}
    tree |= {"vocabulary": {"words": ["sales"]}, "statistics": {"random_groups": 0}, "visualization": {"formats": []}}
    config_file.write_text(yaml.safe_dump(tree))
    assert main([str(config_file)]) == 0
    run = tmp_path / "runs" / "test"
    rows = run_query(run, "SELECT sample_id, is_correct FROM samples ORDER BY sample_id").rows()
    assert rows == [(IDS.get(name, "{}").format(case.number), case.is_right) for case in CASES]
    assert json.loads((run / "plan.json").read_text())["num_samples"] == len(CASES)
    assert (run / "analysis" / "report.html").is_file()


def test_results_go_back_to_the_log(config_file, tmp_path, capsys):
    samples = [inspect_sample(case, epoch) for case in CASES[:3] for epoch in (1, 2)]
    samples[0]["error"] = {"message": "Connection lost"}
    path = tmp_path / "log.json"
    path.write_text(inspect_json(samples, epochs=2))
    tree = yaml.safe_load(config_file.read_text())
    tree |= {"predictions": {"path": str(path)}, "vocabulary": None, "statistics": {"random_groups": 0}}
    config_file.write_text(yaml.safe_dump(tree))
    assert main([str(config_file), "--stage", "collect"]) == 0
    run, output = str(tmp_path / "runs" / "test"), tmp_path / "scores.jsonl"
    arguments = [run, "--output", str(output), "--heads", "1.2", "--statistics", "entropy_nats"]
    assert export([*arguments, "--format", "inspect"]) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    keys = {(str(sample["id"]), sample["epoch"]) for sample in samples}
    assert {(row["id"], row["epoch"]) for row in rows} == keys and len(rows) == len(keys)
    scores = {(row["id"], row["epoch"]): row["scores"]["headledger"] for row in rows}
    assert scores["0", 1]["value"] is None and "Connection lost" in scores["0", 1]["explanation"]
    stated = run_query(tmp_path / "runs" / "test", "SELECT sample_id, logit_difference, label_surprisal FROM samples")
    for sample_id, margin, surprisal in stated.rows():
        name, _, epoch = sample_id.partition("_epoch_")
        value = scores[name, int(epoch)]["value"]
        assert (value["margin"], value["surprisal"]) == (margin, surprisal) and value["L1H2_entropy_nats"] > 0
    assert export([*arguments, "--format", "every-eval-ever"]) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert {row["sample_id"] for row in rows} == {"0", "1", "2"}
    assert sum(row["error"] is not None for row in rows) == 1
    capsys.readouterr()
    assert export([run]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["reject"]["reason"] for row in printed if "reject" in row] == ["sample_error"]
    for wrong in (["--heads", "9.0"], ["--heads", "x"], ["--heads", "1.2", "--statistics", "nothing"]):
        assert export([run, *wrong]) == 2
    assert export([str(tmp_path)]) == 3
