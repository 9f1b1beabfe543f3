"""Paths into the objects and lists of a record."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.inputs.predictions import read_predictions
from engine.inputs.rows.paths import MISSING, quoted_step, value_at
from tests.fixtures.logged_cases import CASES, lines
from tests.fixtures.prediction_files import config

ROW = {
    "a": {"b": [{"c": 1}, {"c": None}], "x.y": 2, "0": "zero"},
    "a.b": "whole",
    "texts": [["first", "second"]],
    "json": '{"inner": [1, {"deep": "found"}]}',
    "plain": "{no json",
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b", "whole"),
        ("a.b[0].c", 1),
        ("a.b.0.c", 1),
        ("a.b[1].c", None),
        ("a.b[-1].c", None),
        ('a["x.y"]', 2),
        ("a['x.y']", 2),
        ("a.0", "zero"),
        ("texts[0][1]", "second"),
        ("texts.0.0", "first"),
        ("json.inner[1].deep", "found"),
        ("a.b[2]", "nowhere"),
        ("a.b.c", "nowhere"),
        ("plain.x", "nowhere"),
        ("texts[0].first", "nowhere"),
        ("a..b", "nowhere"),
        ("a.b[", "nowhere"),
        ("", "nowhere"),
    ],
)
def test_what_a_path_leads_to(path, value):
    found = value_at(ROW, path)
    assert (found is MISSING) == (value == "nowhere") and found in (value, MISSING)


@given(st.lists(st.text(min_size=1).filter(lambda key: '"' not in key or "'" not in key), min_size=1, max_size=4))
def test_every_key_can_be_named(keys):
    tree: object = "here"
    for key in reversed(keys):
        tree = {key: tree}
    path = "".join(map(quoted_step, keys)).removeprefix(".")
    assert isinstance(tree, dict) and value_at(tree, path) == "here"


def test_paths_are_used_wherever_a_field_is_named(tmp_path):
    rows = [
        {
            "key": {"id": f"q{case.number}", "firm": f"F{case.number // 2}"},
            "doc": {"question": case.question, "split": "test" if case.number else "train", "sector": "bank"},
            "out": [{"text": case.answer}],
            "gold": json.dumps({"label": case.target}),
        }
        for case in CASES
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(rows))
    fields = {"id": "key.id", "cluster": "key.firm", "prompt": "doc.question", "response": "out[0].text"}
    found = read_predictions(
        config(
            path,
            prompt={"source": "fields"},
            predictions={
                "fields": {**fields, "actual": "gold.label"},
                "filter": {"doc.split": "test"},
                "keep": {"doc.sector": "text"},
            },
        )
    )
    assert [(s.sample_id, s.cluster, s.actual_label) for s in found.samples] == [
        (f"q{case.number}", f"F{case.number // 2}", case.target) for case in CASES[1:]
    ]
    assert [reject.sample_id for reject in found.rejects] == ["q0"] and found.samples[0].kept == {"doc.sector": "bank"}
