"""Rows of several answers: a sample each, called after the row, of one cluster."""

import json

import pytest

from engine.inputs.predictions import read_predictions
from tests.fixtures.prediction_files import config

ANSWERS = ["Answer: increase.", "Answer: decrease.", "Answer: increase."]


@pytest.mark.parametrize(
    ("named", "ids"),
    [
        ({"company_id": 0.0, "year": 2001}, ["0-2001-1", "0-2001-2", "0-2001-3"]),
        ({"sample_id": "a", "company_id": 7, "year": 2001}, ["a-1", "a-2", "a-3"]),
        ({"id": 12}, ["12-1", "12-2", "12-3"]),
        ({}, ["row-1-1", "row-1-2", "row-1-3"]),
    ],
    ids=["company and year", "sample_id", "id", "nothing"],
)
def test_every_answer_is_a_sample(tmp_path, named, ids):
    path = tmp_path / "several.json"
    path.write_text(json.dumps([{**named, "actual_label": "increase", "prompt": "Will it?", "response": ANSWERS}]))
    read = read_predictions(config(path, prompt={"source": "fields"}, decision={"field": None}))
    assert [sample.sample_id for sample in read.samples] == ids and not read.rejects
    assert [sample.predicted_label for sample in read.samples] == ["increase", "decrease", "increase"]
    assert len({sample.cluster for sample in read.samples}) == 1 and read.samples[0].cluster is not None
