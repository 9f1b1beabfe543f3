"""Rows of logs that hold no answer, several questions, other versions' fields, or lie in folders of their own."""

from __future__ import annotations

import json
import zipfile

import pytest

from engine.config import Config, load_config
from engine.errors import InputError
from engine.init import main
from engine.inputs.files import input_files
from engine.inputs.predictions import read_predictions
from tests.fixtures.logged_cases import lines


def config_of(path, **sections):
    predictions = {"path": str(path), **sections.pop("predictions", {})}
    return Config.model_validate(
        {
            "predictions": predictions,
            "model": {"path": "m"},
            "decision": {"field": None, "span": "last_line"},
            **sections,
        }
    )


def drafted(tmp_path, path):
    output = tmp_path / "config.yaml"
    code = main([str(path), "--output", str(output), "--overwrite"])
    return code, load_config(output)[0]


def harness_row(number, **fields):
    row = {
        "doc_id": number,
        "doc": {"question": "x"},
        "target": "72",
        "arguments": {"gen_args_0": {"arg_0": f"{number}?\nAnswer:", "arg_1": {"until": ["Q:"]}}},
        "resps": [["So\n#### 72"]],
        "filtered_resps": ["72"],
        "filter": "none",
        "metrics": ["exact_match"],
        "exact_match": 1.0,
    }
    return {**row, **fields}


def samples_file(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "samples_task_2026-01-02T03-04-05.678901.jsonl"
    path.write_text(lines(rows))
    return path


@pytest.mark.parametrize("score", ["-123.4", -123.4])
def test_likelihoods_of_whole_texts_are_no_answers(tmp_path, score):
    rolling = {"arguments": {"gen_args_0": {"arg_0": "A whole text."}}, "resps": [[score]], "filtered_resps": [score]}
    rows = [harness_row(0, **rolling), harness_row(1, resps=[]), harness_row(2, resps=[["-123.4"]])]
    found = read_predictions(config_of(samples_file(tmp_path, rows)))
    assert [(reject.sample_id, reject.reason) for reject in found.rejects] == [
        ("0", "no_response"),
        ("1", "no_response"),
    ]
    assert "likelihood of a whole text" in found.rejects[0].detail and "'resps'" in found.rejects[1].detail
    assert [sample.response for sample in found.samples] == ["-123.4"]  # a number that was generated


def test_what_a_filter_did_not_find_is_no_label(tmp_path):
    rows = [
        harness_row(n, target="ABCD"[n % 4], filtered_resps=["[invalid]"], resps=[["The answer is B."]])
        for n in range(8)
    ]
    code, config = drafted(tmp_path, samples_file(tmp_path, rows))
    assert code == 0 and sorted(config.decision.labels) == ["A", "B", "C", "D"]
    found = read_predictions(config)
    assert {sample.predicted_label for sample in found.samples} == {"B"}
    assert all("contradiction" not in sample.flags for sample in found.samples)


def test_questions_that_differ_before_one_answer_are_right_as_the_log_says(tmp_path):
    def row(number):
        names = ("Sarah", "Ann")
        arguments = {
            f"gen_args_{n}": {"arg_0": f"Ann met Sarah as {name}", "arg_1": " was kind."}
            for n, name in enumerate(names)
        }
        scores = [[["-5.0", "False"]], [["-6.0", "False"]]]
        fields = {"arguments": arguments, "resps": scores, "metrics": ["acc"], "acc": float(number % 2 == 0)}
        return harness_row(number, target=str(number % 2), filtered_resps=scores, **fields)

    code, config = drafted(tmp_path, samples_file(tmp_path, [row(number) for number in range(4)]))
    found = read_predictions(config)
    assert code == 0 and [sample.is_correct for sample in found.samples] == [True, False, True, False]
    assert all(message.content.endswith("Sarah") for sample in found.samples for message in sample.messages)


def test_the_model_is_the_one_of_the_results_beside(tmp_path):
    folder = tmp_path / "results" / "org__tiny"
    path = samples_file(folder, [harness_row(number) for number in range(3)])
    (folder / "results_2026-01-02T03-04-05.678901.json").write_text(json.dumps({"model_name": "org/tiny"}))
    (folder / "results_2026-01-01T00-00-00.000000.json").write_text(json.dumps({"model_name": "org/other"}))
    assert drafted(tmp_path, path)[1].model.path == drafted(tmp_path, folder)[1].model.path == "org/tiny"
    with pytest.raises(InputError, match=r"folders in it do: .*org__tiny\. Name one"):
        input_files(str(tmp_path / "results"))


def test_samples_of_several_models_are_not_mixed(tmp_path):
    for name in ("a", "b"):
        folder = tmp_path / name
        samples_file(folder, [harness_row(number) for number in range(2)]).rename(folder / f"samples_{name}.jsonl")
        (folder / "results_2026.json").write_text(json.dumps({"model_name": f"org/{name}"}))
    found = read_predictions(config_of(tmp_path / "*" / "samples_*.jsonl"))
    assert [sample.sample_id for sample in found.samples] == ["a-0", "a-1"]
    assert {reject.reason for reject in found.rejects} == {"filtered"} and "org/b" in found.rejects[0].detail


def inspect_log(path, model):
    sample = {
        "id": 1,
        "epoch": 1,
        "input": "Will EPS increase or decrease?",
        "target": "increase",
        "messages": [{"role": "user", "content": "Go?"}, {"role": "assistant", "content": "increase"}],
        "output": {"model": model, "choices": []},
        "scores": {"grade": {"value": "P", "answer": "increase"}, "both": {"value": {"exact": 1, "style": 0.3}}},
    }
    header = {"version": 2, "status": "success", "eval": {"task": path.stem, "model": model, "config": {}}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps(header))
        archive.writestr("samples/1_epoch_1.json", json.dumps(sample))


def test_folders_of_evaluations_hold_more_than_logs(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in ("b.eval", "a.eval"):
        inspect_log(folder / name, "hf/org/tiny")
    (folder / "eval-set.json").write_text('{"eval_set_id": "x"}')
    assert [file.name for file in input_files(str(folder))] == ["a.eval", "b.eval"]
    (folder / "mine.jsonl").write_text("{}\n")  # somebody's own file: which is meant is theirs to say
    assert [file.name for file in input_files(str(folder))] == ["a.eval", "b.eval", "eval-set.json", "mine.jsonl"]


def test_grades_between_right_and_wrong_get_a_threshold(tmp_path, capsys):
    path = tmp_path / "a.eval"
    inspect_log(path, "hf/org/tiny")
    code, config = drafted(tmp_path, path)
    assert code == 0 and config.decision.threshold == 0.5
    assert [sample.is_correct for sample in read_predictions(config).samples] == [True]
    assert "has grades between right and wrong (P)" in capsys.readouterr().out


def result(number, **body):
    return {
        "custom_id": f"r{number}",
        "response": {"status_code": 200, "body": {"model": "org/tiny", **body}},
        "error": None,
    }


def test_inputs_of_responses_may_be_texts(tmp_path):
    said = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "increase"}]}]
    (tmp_path / "out.jsonl").write_text(lines([result(number, object="response", output=said) for number in range(2)]))
    bodies = [{"instructions": "Be brief.", "input": f"Will EPS {number} increase?"} for number in range(2)]
    (tmp_path / "req.jsonl").write_text(lines([{"custom_id": f"r{n}", "body": body} for n, body in enumerate(bodies)]))
    code, config = drafted(tmp_path, tmp_path / "out.jsonl")
    found = read_predictions(config)
    assert code == 0 and not found.rejects
    assert [[(m.role, m.content) for m in sample.messages] for sample in found.samples] == [
        [("system", "Be brief."), ("user", f"Will EPS {number} increase?")] for number in range(2)
    ]


def test_answers_without_their_requests_say_what_is_missing(tmp_path, capsys):
    choices = [{"message": {"role": "assistant", "content": "increase"}, "finish_reason": "stop"}]
    (tmp_path / "out.jsonl").write_text(lines([result(number, choices=choices) for number in range(2)]))
    assert main([str(tmp_path / "out.jsonl"), "--output", str(tmp_path / "c.yaml")]) == 3
    said = capsys.readouterr()
    assert "requests" in said.out and "none beside it" in said.out
    assert "fields: {messages: body.messages}" in said.err


def test_references_of_every_eval_ever_may_be_one_text(tmp_path):
    row = {
        "sample_id": "s",
        "interaction_type": "single_turn",
        "input": {"raw": "Will EPS increase?", "reference": "increase"},
        "output": {"raw": "increase"},
        "evaluation": {"score": 1.0},
    }
    (tmp_path / "u_samples.jsonl").write_text(lines([row]))
    config = config_of(tmp_path / "u_samples.jsonl", decision={"field": None})
    assert [sample.actual_label for sample in read_predictions(config).samples] == ["increase"]


@pytest.mark.parametrize("name", ["completion", "text", "answer"])
def test_outputs_of_langfuse_may_be_objects_with_one_text(tmp_path, name):
    row = {
        "id": "o",
        "trace_id": "t",
        "type": "GENERATION",
        "input": "Will EPS increase?",
        "output": {name: "increase"},
    }
    (tmp_path / "observations.jsonl").write_text(lines([row]))
    found = read_predictions(config_of(tmp_path / "observations.jsonl", decision={"field": None}))
    assert [sample.response for sample in found.samples] == ["increase"]
