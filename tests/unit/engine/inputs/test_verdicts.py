"""What a first reading found is not looked for again, and the sample is the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.config import Config
from engine.inputs.predictions import chosen_records, sample_again, scan_predictions
from engine.inputs.sample_reader import SampleReader

ANSWERS = [
    "EPS will increase.",
    '{"direction": "decrease"} because costs rise, not increase',
    "<think>Perhaps decrease.</think> I predict an increase.",
    "I predict an increase.\nuser\nAnd next year?\nassistant\nDecrease.",
    "Prognose: Rückgang – \U0001f4c9 decrease",
    "It is likely to increase, and 18",
]
PLAIN = {"decision": {"field": "direction"}}
SPAN = {"decision": {"span": "last_number"}}


def read_twice(tmp_path, answers, sections):
    rows = [{"id": f"r{number}", "prompt": "EPS?", "response": text} for number, text in enumerate(answers)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    given = {"predictions": {"path": str(path)}, "model": {"path": "none"}, "prompt": {"source": "fields"}, **sections}
    config = Config.model_validate(given)
    reader = SampleReader(config)
    scan = scan_predictions(config, reader)
    return reader, scan, list(chosen_records(config, scan))


@pytest.mark.parametrize("sections", [PLAIN, SPAN], ids=["labels", "free answers"])
def test_a_second_reading_gives_the_same_sample_and_decides_nothing(tmp_path, monkeypatch, sections):
    reader, scan, records = read_twice(tmp_path, ANSWERS, sections)
    assert records and set(scan.verdicts) == {record.number for record in records}
    anew = [sample_again(reader, replace(record, verdict=b"")) for record in records]
    monkeypatch.setattr(reader.turns, "_decided_in_turn", lambda *_: pytest.fail("decided again"))
    assert [sample_again(reader, record) for record in records] == anew


def test_an_answer_that_is_another_one_is_read_anew(tmp_path):
    reader, _, records = read_twice(tmp_path, ANSWERS[:1], PLAIN)
    values = records[0].values | {"response": "EPS will decrease."}
    assert sample_again(reader, replace(records[0], values=values)).predicted_label == "decrease"


def test_verdicts_of_rows_that_are_not_chosen_are_not_kept(tmp_path):
    sections = PLAIN | {"predictions": {"path": str(tmp_path / "rows.json"), "max_samples": 2}}
    _, scan, records = read_twice(tmp_path, ANSWERS[:4], sections)
    assert len(records) == 2 and set(scan.verdicts) == set(scan.chosen)
