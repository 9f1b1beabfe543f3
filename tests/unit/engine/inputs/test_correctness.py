"""Right and wrong, as records say it themselves."""

import json

import pytest

from engine.inputs.outcomes.correctness import verdict_of
from engine.inputs.predictions import read_predictions
from engine.inputs.readers.record import Record
from engine.inputs.sample_reader import SampleReader
from engine.run import main
from tests.fixtures.prediction_files import config, write

LABELS = {"labels": {"yes": [], "no": []}, "field": None}


@pytest.mark.parametrize(
    ("value", "threshold", "expected", "is_unread"),
    [
        (True, None, True, False),
        (False, None, False, False),
        ("C", None, True, False),
        ("I", None, False, False),
        ("N", None, False, False),
        ("incorrect", None, False, False),
        ("Correct.", None, True, False),
        (1, None, True, False),
        (0.0, None, False, False),
        ("1.0", None, True, False),
        ([1], None, True, False),
        (None, None, None, False),
        (float("nan"), None, None, False),
        ("", None, None, False),
        (0.7, None, None, True),
        (0.7, 0.5, True, False),
        (0.5, 0.5, True, False),
        ("0,3", 0.5, False, False),
        (1, 2.0, False, False),
        (-3, -4.0, True, False),
        ("P", None, None, True),
        ("P", 0.5, True, False),
        ("P", 0.6, False, False),
        ("B", None, None, True),
        ([1, 0], None, None, True),
        ({"value": 1}, 0.5, None, True),
    ],
)
def test_what_a_field_says(value, threshold, expected, is_unread):
    verdict = verdict_of(value, threshold)
    assert (verdict.is_correct, verdict.is_unread) == (expected, is_unread)


def rows(*verdicts, **others):
    return [
        {"id": number, "prompt": "Is it?", "response": "Answer: yes", "ok": verdict, **others}
        for number, verdict in enumerate(verdicts)
    ]


def test_no_actual_label_is_needed(tmp_path):
    settings = config(
        write(tmp_path, rows("C", "I", None)),
        prompt={"source": "fields"},
        decision=LABELS,
        predictions={"fields": {"correct": "ok"}, "balance": ["is_correct"], "max_samples": 2},
    )
    found = {sample.sample_id: sample for sample in read_predictions(settings).samples}
    assert len({sample.is_correct for sample in found.values()}) == 2
    assert all(sample.actual_label is None and sample.flags == () for sample in found.values())


def test_the_records_word_beats_the_labels_and_the_plan_counts_it(config_file, tmp_path, capsys):
    given = rows(1, 0, 0, 0.4, actual_label="yes")
    (tmp_path / "rows.json").write_text(json.dumps(given))
    overrides = [
        "prompt.source=fields",
        "prompt.chat_template=none",
        "decision.labels=[yes, no]",
        "decision.field=null",
        "predictions.fields.correct=ok",
    ]
    arguments = [str(config_file), "--predictions", str(tmp_path / "rows.json"), *overrides, "--stage", "plan"]
    assert main(arguments) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "predictions wrong 2, right 1, unknown 1" in printed
    assert "In 2 sample(s) what the record says of the answer" in printed and "decision.threshold" in printed
    assert main([*arguments, "decision.threshold=0.3", "run.name=again"]) == 0
    assert "predictions right 2, wrong 2" in " ".join(capsys.readouterr().out.split())


def test_a_format_may_tell_what_its_fields_mean(tmp_path):
    """Its names stand in place of defaults; what the config names itself comes first."""
    values = {"uid": "a", "prompt": "Is it?", "response": "Answer: yes", "score": "I", "ok": True, "group": "g"}
    record = Record(values, number=1, fields={"id": "uid", "correct": "score", "cluster": "group"})
    settings = {"prompt": {"source": "fields"}, "decision": LABELS}
    reader = SampleReader(config(tmp_path / "x.json", **settings))
    sample = reader.sample(reader.sample_id(record), record)
    assert (sample.sample_id, sample.cluster, sample.is_correct) == ("a", "g", False)
    reader = SampleReader(config(tmp_path / "x.json", predictions={"fields": {"correct": "ok"}}, **settings))
    assert reader.sample("a", record).is_correct is True
