"""Rows of tools that have no reader: what fields are taken for, and what is not taken for an answer or a label."""

import json

import pytest

from engine.drafting.fields import guess_fields, truth_fields
from engine.inputs.predictions import read_predictions
from tests.fixtures.logged_cases import CASES, lines
from tests.unit.engine.drafting.test_init import drafted

QUESTION = [[{"role": "user", "content": case.question}] for case in CASES]
WHOLE = [[*asked, {"role": "assistant", "content": case.answer}] for asked, case in zip(QUESTION, CASES, strict=True)]
TARGETS, ANSWERS = [case.target for case in CASES], [case.answer for case in CASES]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"inputs.messages": QUESTION, "reference_outputs.answer": TARGETS}, {"response": None}),
        ({"prompt": ANSWERS, "expected.output": TARGETS, "output": ANSWERS}, {"response": "output"}),
        ({"prompt": ANSWERS, "extracted_answer": TARGETS, "output": ANSWERS}, {"response": "output"}),
        ({"prompt": ANSWERS, "extracted_answer": TARGETS}, {"response": None, "predicted": "extracted_answer"}),
        ({"prompt": ANSWERS, "answer_id": ["a", "b", "c", "d"][: len(CASES)]}, {"response": None}),
        ({"convo": WHOLE, "correct_answer": TARGETS}, {"messages": "convo", "actual": "correct_answer"}),
        ({"input.value": [json.dumps({"messages": asked}) for asked in QUESTION]}, {"messages": "input.value"}),
        ({"input.value": [json.dumps(asked) for asked in QUESTION]}, {"messages": "input.value", "prompt": None}),
        ({"input": [json.dumps({"question": text}) for text in ANSWERS]}, {"prompt": "input", "messages": None}),
    ],
)
def test_what_a_field_is_taken_for(columns, expected):
    found = guess_fields(columns, len(CASES)).fields
    assert {key: found.get(key) for key in expected} == expected


def test_a_models_version_is_no_true_label():
    columns = {"response.modelVersion": ["demo"] * len(CASES), "finish_reason": ["stop"] * len(CASES)}
    assert truth_fields(columns, len(CASES)) == {}
    assert truth_fields({"modelVersion": ["a", "b"], "y": ["up", "down"]}, 2) == {"actual": ["y"]}


def test_messages_in_an_object_of_a_table_are_read(tmp_path):
    rows = [
        {"id": str(case.number), "input.value": json.dumps({"messages": asked}), "output": case.answer}
        for case, asked in zip(CASES, QUESTION, strict=True)
    ]
    path = tmp_path / "spans.jsonl"
    path.write_text(lines(rows))
    config = drafted(tmp_path, path)
    assert [sample.messages[-1].content for sample in read_predictions(config).samples] == [c.question for c in CASES]
