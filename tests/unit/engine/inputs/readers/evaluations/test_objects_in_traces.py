"""Langfuse: inputs and outputs that are objects, of which a part is measured or none, and what is said of it."""

import json

import pytest

from engine.inputs.predictions import read_predictions
from engine.planning.flags import CAVEATS_OF_FLAGS
from tests.fixtures.logged_cases import CASES, lines
from tests.fixtures.prediction_files import config
from tests.fixtures.service_logs import langfuse_row

CASE = CASES[0]
SHAPES = {
    # what the log holds: the input, the output, flags, the prompt, the answer
    "a text": (CASE.question, CASE.answer, (), CASE.question, CASE.answer),
    "a prompt alone": ({"prompt": CASE.question}, CASE.answer, (), CASE.question, CASE.answer),
    "a prompt and a number": ({"prompt": CASE.question, "n": 1}, CASE.answer, (), CASE.question, CASE.answer),
    "a prompt and a system text": (
        {"prompt": CASE.question, "system": "Be brief."},
        CASE.answer,
        ("part_of_input",),
        CASE.question,
        CASE.answer,
    ),
    "an object as JSON": (
        json.dumps({"question": CASE.question, "context": "x"}),
        CASE.answer,
        ("input_as_json",),
        json.dumps({"question": CASE.question, "context": "x"}),
        CASE.answer,
    ),
    "a completion": (CASE.question, {"completion": CASE.answer}, (), CASE.question, CASE.answer),
    "an answer beside more": (
        CASE.question,
        {"answer": CASE.answer, "confidence": 0.4},
        ("part_of_output",),
        CASE.question,
        CASE.answer,
    ),
    "an answer in JSON": (
        CASE.question,
        json.dumps({"answer": CASE.answer}),
        ("part_of_output",),
        CASE.question,
        CASE.answer,
    ),
}


def read(tmp_path, given, said, **predictions):
    rows = [langfuse_row(case, input=case.question, output=case.answer) for case in CASES[1:]]
    (tmp_path / "a.jsonl").write_text(lines([langfuse_row(CASE, input=given, output=said), *rows]), "utf-8")
    return read_predictions(config(tmp_path / "a.jsonl", predictions=predictions))


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_measured_of_an_object_is_said(tmp_path, shape):
    given, said, flags, prompt, answer = SHAPES[shape]
    first = read(tmp_path, given, said).samples[0]
    assert (first.messages[-1].content, first.response) == (prompt, answer)
    assert tuple(flag for flag in first.flags if "_of_" in flag or flag == "input_as_json") == flags
    assert set(flags) <= set(CAVEATS_OF_FLAGS)


def test_an_object_without_a_prompt_is_a_reject_that_names_its_parts(tmp_path):
    reject = read(tmp_path, {"question": CASE.question, "context": "x"}, CASE.answer).rejects[0]
    assert reject.reason == "not_text"
    assert "(question, context)" in reject.detail and "predictions.join" in reject.detail


def test_the_advice_is_followed(tmp_path):
    rows = [{"id": f"obs-{case.number}", "text": f"Facts. {case.question}"} for case in CASES]
    (tmp_path / "prompts.jsonl").write_text(lines(rows), "utf-8")
    joined = {"path": str(tmp_path / "prompts.jsonl"), "on": {"id": "id"}, "fields": {"prompt": "text"}}
    first = read(tmp_path, {"prompt": CASE.question, "system": "x"}, CASE.answer, join=[joined]).samples[0]
    assert first.messages[-1].content == f"Facts. {CASE.question}" and "part_of_input" not in first.flags
    said = json.dumps({"answer": CASE.answer})
    first = read(tmp_path, CASE.question, said, fields={"response": "output"}).samples[0]
    assert first.response == said and "part_of_output" not in first.flags


def test_a_join_that_takes_everything_over_leaves_the_flag(tmp_path):
    rows = [{"id": f"obs-{case.number}", "difficulty": "hard"} for case in CASES]
    (tmp_path / "more.jsonl").write_text(lines(rows), "utf-8")
    joined = {"path": str(tmp_path / "more.jsonl"), "on": {"id": "id"}}
    first = read(tmp_path, {"prompt": CASE.question, "system": "x"}, CASE.answer, join=[joined]).samples[0]
    assert "part_of_input" in first.flags
