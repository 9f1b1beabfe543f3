"""Details that some rows of a tool's logs have: thoughts apart, other scores, templates, several answers at once."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.inputs.predictions import read_predictions
from tests.fixtures.harness_logs import every_eval_row, helm_state, lighteval_row, lm_eval_row, write_helm
from tests.fixtures.inspect_logs import inspect_members, inspect_sample, zipped
from tests.fixtures.logged_cases import CASES, lines
from tests.fixtures.prediction_files import config
from tests.fixtures.service_logs import batch_request, batch_row, langfuse_row, promptfoo_json, promptfoo_row

PAIR = CASES[:2]
RIGHT = [case.is_right for case in PAIR]


def read(path, **sections):
    return read_predictions(config(path, **sections))


def saved(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def every_eval(folder, **more):
    return saved(folder, "x_samples.jsonl", lines(every_eval_row(case, **more) for case in PAIR))


def helm(folder, **more):
    completions = [{"text": f" {CASES[0].answer}", "thinking": {"text": "So."}}]
    states = [helm_state(case, result={"success": True, "completions": completions}, **more) for case in PAIR]
    return write_helm(folder / "run", states)


def lighteval(folder, thoughts):
    rows = [lighteval_row(case) for case in PAIR]
    for row in rows:
        row["model_response"] |= {"reasonings": thoughts}
    pq.write_table(pa.Table.from_pylist(rows), folder / "details_eps_2026-01-21T03-44-18.458309.parquet")
    return next(folder.glob("*.parquet"))


def turns(thought):
    return [
        {"turn_idx": 0, "role": "user", "content": CASES[0].question},
        {"turn_idx": 1, "role": "assistant", "content": CASES[0].answer, "reasoning_trace": thought},
    ]


def traced(answers, thoughts):
    return {"output": {"raw": answers, "reasoning_trace": thoughts}}


ANSWERS = ["The answer is increase.", "The answer is decrease."]
THOUGHTS = {
    "HELM": (helm, ["So."] * 2),
    "LightEval": (lambda folder: lighteval(folder, ["So."]), ["So."] * 2),
    "LightEval, none": (lambda folder: lighteval(folder, [None]), [None] * 2),
    "Every Eval Ever, in steps": (
        lambda folder: every_eval(folder, **traced(ANSWERS[:1], ["So.", "Or."])),
        ["So.Or."] * 2,
    ),
    "Every Eval Ever, of answers": (
        lambda folder: every_eval(folder, **traced(ANSWERS, ["So.", "Or."])),
        ["So.", "Or."] * 2,
    ),
    "Every Eval Ever, of turns": (
        lambda folder: every_eval(folder, interaction_type="multi_turn", messages=turns(["So.", "Or."])),
        ["So.Or."] * 2,
    ),
}


@pytest.mark.parametrize("name", THOUGHTS)
def test_thoughts_that_stand_apart_are_read(tmp_path, name):
    write, thoughts = THOUGHTS[name]
    assert [sample.reasoning for sample in read(write(tmp_path)).samples] == thoughts


def test_thoughts_of_which_nobody_knows_whose_they_are(tmp_path):
    found = read_rejects(every_eval(tmp_path, **traced(ANSWERS, ["So."])))
    assert "2 answers and 1 thoughts" in found


def read_rejects(path):
    """Return the words of the rejects of a file, which has a row that can be used behind it."""
    path.write_text(path.read_text() + lines([every_eval_row(CASES[5])]))
    found = read(path)
    assert len(found.samples) == 1
    return found.rejects[0].detail


def test_choices_of_a_batch_keep_their_thoughts_and_none_is_lost(tmp_path):
    def answered(*messages):
        choices = [{"message": {"role": "assistant", **message}, "finish_reason": "stop"} for message in messages]
        return {"status_code": 200, "body": {"model": "m", "choices": choices}}

    call = {
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    rows = [
        batch_row(CASES[0], response=answered({"content": ANSWERS[0], "reasoning_content": "So."}, call)),
        batch_row(
            CASES[1], response=answered({"content": ANSWERS[0]}, {"content": [{"type": "text", "text": ANSWERS[1]}]})
        ),
    ]
    saved(tmp_path, "requests.jsonl", lines(map(batch_request, PAIR)))
    join = [{"path": str(tmp_path / "requests.jsonl"), "on": "custom_id", "fields": {"messages": "body.messages"}}]
    found = read(saved(tmp_path, "out.jsonl", lines(rows)), predictions={"join": join})
    assert [(one.sample_id, one.response, one.reasoning) for one in found.samples] == [
        ("request-0-1", ANSWERS[0], "So."),
        ("request-1-1", ANSWERS[0], None),
        ("request-1-2", ANSWERS[1], None),
    ]
    assert [(reject.sample_id, reject.reason) for reject in found.rejects] == [("request-0-2", "no_response")]


def lm_eval(folder):
    rows = [lm_eval_row(case, metrics=["exact_match", "f1"], f1=1.0) for case in PAIR]
    rows[1]["exact_match"] = None
    return saved(folder, "samples_eps.jsonl", lines(rows))


def inspect(folder):
    scores = [{"match": {"value": "C"}, "judge": {"value": "C"}}, {"match": {"value": None}, "judge": {"value": "C"}}]
    samples = [inspect_sample(case, scores=one) for case, one in zip(PAIR, scores, strict=True)]
    return saved(folder, "log.eval", zipped(inspect_members(samples)))


def langfuse(folder):
    rows = [
        langfuse_row(case, scores=[{"name": name, "value": 1.0}])
        for case, name in zip(PAIR, ("judge", "tone"), strict=True)
    ]
    return saved(folder, "o.jsonl", lines(rows))


@pytest.mark.parametrize("write", [lm_eval, inspect, langfuse], ids=["lm-eval", "Inspect", "Langfuse"])
def test_a_row_without_the_score_of_the_first_is_not_judged_by_another(tmp_path, write):
    first, second = read(write(tmp_path)).samples
    assert first.is_correct is True and "first_score_lacks" not in first.flags
    assert second.is_correct is None and "first_score_lacks" in second.flags


def test_scores_in_another_order_are_the_same(tmp_path):
    scores = [{"name": "judge", "value": 1.0}, {"name": "tone", "value": 0.0}]
    rows = [langfuse_row(PAIR[0], scores=scores), langfuse_row(PAIR[1], scores=scores[::-1])]
    found = read(saved(tmp_path, "o.jsonl", lines(rows)))
    assert [sample.is_correct for sample in found.samples] == [True, True]


def test_words_and_messages_of_langfuse(tmp_path):
    rows = [
        langfuse_row(
            case,
            input=json.dumps([{"type": "human", "content": case.question}]),
            output=json.dumps({"type": "ai", "content": case.answer}),
            scores=[{"name": "judge", "value": None, "stringValue": "correct" if case.is_right else "incorrect"}],
        )
        for case in PAIR
    ]
    steps = [{"role": "assistant", "content": case.answer} for case in PAIR]
    found = read(saved(tmp_path, "o.jsonl", lines([*rows, langfuse_row(CASES[2], output=json.dumps(steps))])))
    assert [sample.is_correct for sample in found.samples] == RIGHT
    assert [(sample.messages[0].content, sample.response) for sample in found.samples] == [
        (case.question, case.answer) for case in PAIR
    ]
    assert [reject.reason for reject in found.rejects] == ["several_answers"]


def test_a_prompt_inside_an_object_that_langfuse_wrote_as_text(tmp_path):
    rows = [langfuse_row(case, input=json.dumps({"prompt": case.question, "temperature": 0})) for case in PAIR]
    found = read(saved(tmp_path, "o.jsonl", lines(rows)))
    assert [sample.messages[-1].content for sample in found.samples] == [case.question for case in PAIR]


EXPECTED = {
    "variable": ("{{ expected }}", [case.target for case in PAIR]),
    "text": ("{{expected}} it is", [None, None]),
    "value": ("increase", ["increase", "increase"]),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_promptfoo_expects_may_be_a_template(tmp_path, name):
    value, expected = EXPECTED[name]
    rows = [
        promptfoo_row(
            case,
            provider="hf:a",
            vars={"question": case.question, "expected": case.target},
            testCase={"assert": [{"type": "icontains", "value": value}]},
        )
        for case in PAIR
    ]
    rows.append(promptfoo_row(CASES[2], provider="hf:b"))
    found = read(saved(tmp_path, "results.json", promptfoo_json(rows)))
    assert [sample.actual_label for sample in found.samples] == expected
    assert [reject.reason for reject in found.rejects] == ["filtered"]


def test_scores_without_a_verdict_and_changes_of_one_name(tmp_path):
    path = saved(
        tmp_path,
        "x_samples.jsonl",
        lines(
            every_eval_row(case, evaluation={"score": float(not case.is_right), "is_correct": None}) for case in PAIR
        ),
    )
    assert [sample.is_correct for sample in read(path).samples] == [not is_right for is_right in RIGHT]
    states = [helm_state(CASES[0]), helm_state(CASES[0])]
    for state, mode in zip(states, ("terms", "pronouns"), strict=True):
        state["instance"] |= {"perturbation": {"name": "gender", "mode": mode}}
    found = read(write_helm(tmp_path / "run", states))
    assert [sample.sample_id for sample in found.samples] == ["id0-gender-terms", "id0-gender-pronouns"]
