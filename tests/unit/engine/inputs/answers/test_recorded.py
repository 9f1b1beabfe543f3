"""Labels in the fields of records, the counts of their values, and the line that maps unknown ones."""

from __future__ import annotations

import json

import pytest
import yaml

from engine.config import Config
from engine.errors import InputError
from engine.inputs.answers.recorded import RecordedLabels, one_or_more_texts
from engine.inputs.answers.words import LabelWords
from engine.inputs.label_values import mapping_line
from engine.inputs.predictions import read_predictions, scan_predictions
from engine.inputs.sample_reader import SampleReader
from engine.samples import RowRejected

DIRECTIONS = {"increase": ["up"], "decrease": ["down"]}
YES_NO = {"yes": ["yes"], "no": ["no"]}
ONE_ZERO = {"1": ["1"], "0": ["0"]}


@pytest.mark.parametrize(
    ("labels", "value", "label"),
    [
        (ONE_ZERO, 1.0, "1"), (ONE_ZERO, "0.0", "0"), (ONE_ZERO, "1.", "1"), (ONE_ZERO, True, "1"),
        (ONE_ZERO, "False", "0"),
        (ONE_ZERO, "0.3", None), (ONE_ZERO, -1, None), (ONE_ZERO, "10", None), (ONE_ZERO, "yes", "1"),
        ({"1.0": ["1.0"], "0.0": ["0.0"]}, 1, "1.0"),
        (YES_NO, True, "yes"), (YES_NO, "false", "no"), (YES_NO, 1, "yes"), (YES_NO, "0.0", "no"),
        (YES_NO, " YES ", "yes"),
        (DIRECTIONS, "increase", "increase"), (DIRECTIONS, "Increase.", "increase"), (DIRECTIONS, "DOWN", "decrease"),
        (DIRECTIONS, True, None), ({"yes": ["yes"], "maybe": ["maybe"]}, True, None),
        (DIRECTIONS, "['up']", "increase"), (DIRECTIONS, '["up"]', "increase"), (DIRECTIONS, ["up"], "increase"),
        (DIRECTIONS, "('down',)", "decrease"), (DIRECTIONS, [["up"]], "increase"), (DIRECTIONS, b"up", "increase"),
        (DIRECTIONS, "b'up'", "increase"), (DIRECTIONS, "array(['up'], dtype=object)", "increase"),
        (DIRECTIONS, ["up", "increase"], "increase"), (ONE_ZERO, "[1]", "1"),
        (DIRECTIONS, None, None), (DIRECTIONS, float("nan"), None), (DIRECTIONS, "nan", None), (DIRECTIONS, [], None),
        (DIRECTIONS, " ", None),
        ({"none": ["none"], "some": ["some"]}, "None", "none"),
        ({"entailment": ["entailment"], "not_entailment": ["not_entailment"]}, "Not entailment", "not_entailment"),
        ({"not_entailment": ["contradicts"], "b": ["b"]}, "not-entailment", "not_entailment"),
        ({"increase": ["decrease"], "fall": ["fall"]}, "decrease", "increase"),
    ],
    ids=str,
)  # fmt: skip
def test_values_of_records(labels, value, label):
    assert RecordedLabels(LabelWords(labels)).read(value, "truth").label == label


@pytest.mark.parametrize("value", [["up", "down"], "['up', 'down']", '["up", "flat"]'], ids=["list", "python", "json"])
def test_several_values_are_refused_with_what_to_do(value):
    with pytest.raises(RowRejected, match=r"'truth' holds 2 values .*Write a row for each") as caught:
        RecordedLabels(LabelWords(DIRECTIONS)).read(value, "truth")
    assert caught.value.reason == "several_values"


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("['Answer: up.']", ["Answer: up."]), (repr(["It's up.\nYes"]), ["It's up.\nYes"]), ('["up"]', ["up"]),
        ("['a', 'b']", ["a", "b"]), ('["a","b"]', ['["a","b"]']), ("[1]", ["[1]"]), ("[B]", ["[B]"]),
        ("(up)", ["(up)"]),
        ('{"a": 1}', ['{"a": 1}']), ("[x", ["[x"]),
    ],
    ids=str,
)  # fmt: skip
def test_answers_that_were_written_as_a_list(value, texts):
    assert one_or_more_texts(value, is_text_only=True) == texts


def config(tmp_path, rows, **decision):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows))
    return Config.model_validate(
        {
            "predictions": {"path": str(path)},
            "model": {"path": "m"},
            "prompt": {"source": "fields"},
            "decision": {"field": None, **decision},
        }
    )


def rows(*answers, **more):
    return [{"id": str(number), "prompt": "?", "response": answer, **more} for number, answer in enumerate(answers)]


def test_an_answer_in_a_list_is_its_text_and_flagged(tmp_path):
    found = read_predictions(config(tmp_path, rows("['Answer: increase.']", ["increase"], ["increase", "decrease"])))
    assert [(s.response, s.flags) for s in found.samples] == [
        ("Answer: increase.", ("unwrapped_list",)),
        ("increase", ("unwrapped_list",)),
        ("increase", ()),
        ("decrease", ()),
    ]
    assert [(s.sample_id, s.cluster) for s in found.samples[2:]] == [("2-1", "2"), ("2-2", "2")]


def test_several_answers_written_as_a_list_are_turned_away(tmp_path):
    (reject,) = read_predictions(config(tmp_path, rows("['increase', 'decrease']", "increase"))).rejects
    assert reject.reason == "several_answers" and "a row for each answer" in reject.detail


def test_a_stated_answer_that_contradicts_the_record_holds_the_decision(tmp_path):
    made = config(tmp_path, rows("Answer: decrease. No increase.", predicted_direction="increase"))
    (sample,) = read_predictions(made).samples
    assert (sample.predicted_label, sample.answer_label, sample.flags) == ("increase", "decrease", ("contradiction",))


def test_the_detail_names_the_labels_that_were_stated(tmp_path):
    made = config(tmp_path, [*rows("Answer: increase.\nAnswer: decrease."), {"prompt": "?", "response": "increase"}])
    (reject,) = read_predictions(made).rejects
    assert reject.reason == "ambiguous_label" and "states 'increase', 'decrease', and none as final" in reject.detail


def test_a_label_inside_a_word_is_named(tmp_path):
    with pytest.raises(InputError, match=r"inside the word 'artacak': add the word .* or set decision.match: inside"):
        read_predictions(config(tmp_path, rows("Cevap: artacak."), labels=["art", "azal"]))


def test_values_are_counted_and_the_line_maps_them(tmp_path):
    some = [*rows("increase", "decrease", "increase", actual_label="rises"), *rows("increase")]
    some = [{**row, "id": str(number)} for number, row in enumerate(some)]
    some[1]["actual_label"] = "increase"
    made = config(tmp_path, some)
    values = scan_predictions(made, SampleReader(made)).label_values["actual_label"].as_json()
    assert values["known"] == {"increase": 1} and values["unknown"] == {"rises": 2} and values["num_empty"] == 1
    line = mapping_line(made.decision.labels)
    followed = yaml.safe_load(line.replace("<what means increase>", "rises"))["decision"]["labels"]
    made = config(tmp_path, some, labels=followed)
    assert scan_predictions(made, SampleReader(made)).label_values["actual_label"].unknown == {}


def test_the_line_is_yaml_for_any_label():
    labels = {"yes": ["yes", "a, b"], "1": ["1", "[x]"], "no": ['"', "no: not"], "上昇": ["上昇"]}
    line = yaml.safe_load(mapping_line(labels))["decision"]["labels"]
    assert {label: spellings[:-1] for label, spellings in line.items()} == labels


def test_predictions_of_unknown_values_are_named_where_no_row_can_be_used(tmp_path):
    with pytest.raises(InputError, match=r"'rises' 2\); give each to its label with decision: \{labels:"):
        read_predictions(config(tmp_path, rows("I see.", "Well.", predicted_direction="rises")))


def test_answers_are_counted_by_language(tmp_path):
    answers = [
        "I predict that EPS will increase.", "Ich erwarte, dass der Gewinn increase ist.", "increase",
        "กำไรจะ increase ในปีหน้า", "Vinsten ökar kraftigt nästa år: increase",
    ]  # fmt: skip
    made = config(tmp_path, rows(*answers))
    assert scan_predictions(made, SampleReader(made)).languages == {
        "English": 1, "German": 1, "too short to tell": 1, "Thai": 1, "undetermined": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "words"), [("(", "no regular expression"), ("x*", "matches the empty text")], ids=["broken", "empty"]
)
def test_a_pattern_that_cannot_be_used_is_refused(tmp_path, pattern, words):
    with pytest.raises(ValueError, match=words):
        config(tmp_path, rows("x"), pattern=pattern)
