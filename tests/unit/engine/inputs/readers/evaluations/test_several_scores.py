"""Logs with several scores, several answers, or answers scored one by one: nothing is first of many unsaid."""

import json

import pytest

from engine.errors import ConfigError
from engine.inputs.predictions import read_predictions, scan_predictions
from engine.inputs.sample_reader import SampleReader
from tests.fixtures.harness_logs import helm_state, lighteval_row, lm_eval_row, write_helm
from tests.fixtures.inspect_logs import chunked_members, inspect_sample, zipped
from tests.fixtures.logged_cases import CASES, lines
from tests.fixtures.prediction_files import config
from tests.fixtures.service_logs import langfuse_row, langfuse_score

LABELS = ("increase", "decrease")


def save(folder, name, content):
    (folder / name).write_text(content, "utf-8")
    return folder / name


def separate(case, place, score, *, mode="original", tokens=None, **more):
    """Return the request that scores one answer behind the question, as HELM writes it."""
    question = f"Q: {case.question}\nA:"
    tokens = tokens or [{"text": "A", "logprob": -9.0}, {"text": ":", "logprob": -9.0}]
    label = LABELS[place]
    said = [{"text": f" {label[:3]}", "logprob": score / 2}, {"text": label[3:], "logprob": score / 2}]
    prompt = f"Answer: {label}" if mode == "calibrated" else f"{question} {label}"
    return helm_state(
        case,
        reference_index=place,
        request_mode=mode,
        request={"model": "m", "prompt": prompt, "echo_prompt": True, "max_tokens": 0},
        result={"success": True, "completions": [{"text": prompt, "logprob": 0.0, "tokens": [*tokens, *said]}]},
        **more,
    )


def helm(folder, states, method):
    write_helm(folder, states)
    file = folder / "scenario_state.json"
    state = json.loads(file.read_text("utf-8"))
    state["adapter_spec"]["method"] = method
    file.write_text(json.dumps(state), "utf-8")
    return read_predictions(config(folder))


def test_answers_that_helm_scored_one_by_one_are_one_question(tmp_path):
    states = [
        separate(CASES[0], 0, -4.0),
        separate(CASES[0], 1, -2.0),
        separate(CASES[1], 0, -1.0),
        separate(CASES[1], 1, -3.0),
    ]
    found = helm(tmp_path / "run", states, "multiple_choice_separate_original")
    assert found.num_rows == 2 and not found.rejects
    first, second = found.samples
    assert (first.predicted_label, first.response) == ("decrease", " decrease")
    assert (second.predicted_label, second.response) == ("increase", " increase")
    assert first.messages[-1].content == f"Q: {CASES[0].question}\nA:"
    assert "scored_choice" in first.flags


def test_calibrated_scores_take_off_what_an_answer_has_alone(tmp_path):
    states = [
        separate(CASES[0], 0, -4.0), separate(CASES[0], 0, -9.0, mode="calibrated"),
        separate(CASES[0], 1, -2.0), separate(CASES[0], 1, -3.0, mode="calibrated"),
    ]  # fmt: skip
    found = helm(tmp_path / "run", states, "multiple_choice_separate_calibrated")
    assert [sample.predicted_label for sample in found.samples] == ["increase"]


WITHOUT = {"success": True, "completions": [{"text": "", "tokens": []}]}
FAILED = {"success": False, "error": "timeout"}


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (None, "scores 1"),
        (separate(CASES[0], 1, -2.0) | {"result": WITHOUT}, "log-probabilities"),
        (separate(CASES[0], 1, -2.0) | {"result": FAILED}, "timeout"),
    ],
    ids=["one is missing", "no tokens", "failed"],
)
def test_a_question_of_which_a_score_is_missing_is_a_reject(tmp_path, second, said):
    whole = [separate(CASES[1], 0, -1.0), separate(CASES[1], 1, -3.0)]
    states = [separate(CASES[0], 0, -4.0), *([second] if second else []), *whole]
    found = helm(tmp_path / "run", states, "multiple_choice_separate_original")
    assert len(found.samples) == len(found.rejects) == 1 and said in found.rejects[0].detail


def test_scores_inside_observations_of_langfuse(tmp_path):
    scores = [{"name": "judge", "value": 1, "dataType": "BOOLEAN"}, {"name": "regex", "value": 0}]
    file = save(tmp_path, "o.jsonl", lines([langfuse_row(case, scores=scores) for case in CASES]))
    found = read_predictions(config(file))
    assert all(sample.is_correct and "first_of_scores" in sample.flags for sample in found.samples)
    chosen = read_predictions(config(file, predictions={"fields": {"correct": "scores.regex.value"}}))
    assert all(sample.is_correct is False and "first_of_scores" not in sample.flags for sample in chosen.samples)


def test_scores_of_several_names_in_a_file_of_their_own(tmp_path):
    save(tmp_path, "o.jsonl", lines([langfuse_row(case) for case in CASES]))
    other = [{**langfuse_score(case), "id": f"x{case.number}", "name": "length", "value": 0.0} for case in CASES]
    save(
        tmp_path,
        "s.jsonl",
        lines([row for case, more in zip(CASES, other, strict=True) for row in (langfuse_score(case), more)]),
    )

    def read(**more):
        join = {
            "path": str(tmp_path / "s.jsonl"),
            "on": {"id": "observation_id"},
            "fields": {"verdict": "value"},
            **more,
        }
        return read_predictions(
            config(tmp_path / "o.jsonl", predictions={"join": [join], "fields": {"correct": "verdict"}})
        )

    first = read()
    assert [sample.is_correct for sample in first.samples] == [case.is_right for case in CASES]
    assert all("first_of_joined_scores" in sample.flags for sample in first.samples)
    chosen = read(filter={"name": "length"})
    assert not any(sample.is_correct or "first_of_joined_scores" in sample.flags for sample in chosen.samples)
    with pytest.raises(ConfigError, match="keeps no row"):
        read(filter={"name": "taste"})


def test_ids_that_lighteval_recorded_are_used(tmp_path):
    from engine.inputs.readers.evaluations.lighteval import _record
    from engine.inputs.readers.record import Record

    row = lighteval_row(CASES[0])
    row["model_response"] |= {"input_tokens": [5, 6, 7], "output_tokens": [[8, 9]]}
    values = _record(Record(row), "eps", 0).values
    assert (values["prompt_token_ids"], values["token_ids"]) == ([5, 6, 7], [8, 9])
    row["model_response"] |= {"text": ["a", "b"], "output_tokens": [[8], [9]]}
    assert "token_ids" not in _record(Record(row), "eps", 0).values


def test_rows_of_several_answers_are_counted(tmp_path):
    rows = [lm_eval_row(case) for case in CASES]
    rows[0]["resps"] = [[" increase", " decrease", " increase"]]
    settings = config(save(tmp_path, "samples_eps_2026-01-01T00-00-00.jsonl", lines(rows)))
    scan = scan_predictions(settings, SampleReader(settings))
    assert (scan.num_split, scan.num_answers_apart, scan.num_rows) == (1, 3, len(CASES) + 2)


def test_members_of_an_inspect_log_that_are_half_written(tmp_path):
    members = chunked_members([inspect_sample(case) for case in CASES])
    shells = sorted(name for name in members if name.endswith("/sample.json"))
    messages = sorted(name for name in members if "/messages/" in name)
    half = shells[0].removesuffix("sample.json")
    lost = {name: text for name, text in members.items() if name != shells[0]}
    (tmp_path / "a.eval").write_bytes(zipped(lost))
    found = read_predictions(config(tmp_path / "a.eval"))
    assert any("half written" in reject.detail and half[:-1] in reject.detail for reject in found.rejects)
    assert len(found.samples) + len(found.rejects) >= len(shells)
    gone = {name: text for name, text in members.items() if name not in messages[:1]}
    (tmp_path / "b.eval").write_bytes(zipped(gone))
    found = read_predictions(config(tmp_path / "b.eval"))
    assert any("half written" in reject.detail or "not in the log" in reject.detail for reject in found.rejects)
