"""Labels of predictions, and where they were read."""

import json
import random

import pytest

from engine.errors import InputError
from engine.inputs.predictions import read_predictions
from engine.run import main
from tests.fixtures.prediction_files import config, read_one, with_answer, write
from tests.fixtures.predictions import answer


@pytest.mark.parametrize(
    ("text", "predicted", "label", "source", "flags"),
    [
        ('{"direction_of_eps_change": "Increase"}', "increase", "increase", "field", ()),
        ('{"direction_of_eps_change": "Increase"}', " INCREASE! ", "increase", "field", ()),
        ('{"direction_of_eps_change": "Increase"}', "error", "increase", "json", ()),
        ('```json\n{"direction_of_eps_change": "Decrease", "reason": "a "b" c"}\n```', "error", "decrease",
         "repaired_json", ()),
        ('```json\n{\n"direction_of_eps_change": "Moderate Increase",\n"x": 1\n"\n}\n```', "error", "increase",
         "repaired_json", ("hedged_label",)),
        ('{"direction_of_eps_change": "Slight decrease"}', "slight decrease", "decrease", "field", ("hedged_label",)),
        ('{"direction_of_eps_change": "Decrease"}', "increase", "increase", "field", ("contradiction",)),
        ("EPS will decrease. Margins increase. So: increase", "increase", "increase", "field", ()),
        ("Costs increased. Therefore EPS will likely decrease.", "error", "decrease", "response_text", ()),
        ("**direction_of_eps_change**: Increase", "error", "increase", "repaired_json", ()),
        ("Direction of EPS change: Decrease", "error", "decrease", "repaired_json", ()),
        ('{"direction_of_eps_change": "Decrease"}', "<increase/decrease>", "decrease", "json", ()),
        ('{"direction_of_eps_change": "Increase", "prior_direction_of_eps_change": "Decrease"}', "error", "increase",
         "json", ()),
        ('{"Direction_of_EPS_Change": "Decrease"}', "error", "decrease", "json", ()),
        ('{"result": {"direction_of_eps_change": "Decrease"}, "n": [1]}', "error", "decrease", "json", ()),
        ('{"direction_of_eps_change": "\u0131ncrease"}', "error", "increase", "json", ("hedged_label",)),
        ('{"direction_of_eps_change": ["Increase"]}', "error", "increase", "json", ()),
        ('{\\"direction_of_eps_change\\": \\"Decrease\\"}', "error", "decrease", "repaired_json",
         ("escaped_text",)),
    ],
)  # fmt: skip
def test_labels_are_recovered_and_say_how(tmp_path, text, predicted, label, source, flags):
    found = read_predictions(config(write(tmp_path, [with_answer(text, predicted)])))
    (sample,) = found.samples
    assert (sample.predicted_label, sample.label_source, sample.flags) == (label, source, flags)


def test_the_last_json_field_is_the_decision(tmp_path):
    text = (
        '{"direction_of_eps_change": "Decrease"} ... on reflection\n{"direction_of_eps_change": "Increase"} or decrease'
    )
    (sample,) = read_predictions(config(write(tmp_path, [with_answer(text, "increase")]))).samples
    assert sample.label_start == text.rindex("Increase") and sample.label_source == "field"


def test_the_conclusion_decides_in_prose(tmp_path):
    text = "I expect a decrease of 3.5 percent. Sales did increase, though."
    (sample,) = read_predictions(config(write(tmp_path, [with_answer(text, "error")]))).samples
    assert (sample.predicted_label, sample.label_start) == ("decrease", text.index("decrease"))
    both = "In conclusion it may increase or decrease."
    with pytest.raises(InputError, match=r"ambiguous_label.*'increase', 'decrease'"):
        read_predictions(config(write(tmp_path, [with_answer(both, "error")])))


def test_single_letters_are_labels_in_their_own_case(tmp_path):
    row = {"id": 1, "prompt": "A or B?", "response": "I choose A. It has a good margin, a bit."}
    decision = {"labels": {"A": [], "B": []}, "field": None}
    found = read_predictions(config(write(tmp_path, [row]), decision=decision, prompt={"source": "fields"}))
    assert found.samples[0].predicted_label == "A" and found.samples[0].label_start == len("I choose ")


def test_other_labels_than_finance(tmp_path):
    row = {"id": "a", "predicted_direction": "positive", "prompt": "Great film.", "response": "Sentiment: Positive"}
    decision = {
        "labels": {"positive": ["positive"], "negative": ["negative"]},
        "contrast": ["positive", "negative"],
        "field": None,
    }
    found = read_predictions(config(write(tmp_path, [row]), decision=decision, prompt={"source": "fields"}))
    assert found.samples[0].response[found.samples[0].label_start :] == "Positive"


@pytest.mark.parametrize(
    ("labels", "answer", "label", "word"),
    [
        ({"up": ["steigt", "Zunahme"], "down": ["fällt", "Abnahme"]}, "Umsatz steigt, der Gewinn fällt.", None, ""),
        ({"up": ["steigt"], "down": ["fällt"]}, "Kosten steigen. Der Gewinn FÄLLT also.", "down", "FÄLLT"),
        ({"up": ["增加"], "down": ["减少"]}, "因此每股收益将增加。", "up", "增加"),
        ({"up": ["上昇"], "down": ["下落"]}, "結論:来年は下落すると予想します。", "down", "下落"),
        ({"up": ["زيادة"], "down": ["انخفاض"]}, "أتوقع انخفاض الأرباح.", "down", "انخفاض"),
        ({"entailment": [], "neutral": [], "contradiction": []}, "The answer is Neutral.", "neutral", "Neutral"),
        ({"1": [], "0": []}, "I rate it 10 of 10. Answer: 1", "1", "1"),
        ({"very good": [], "good": []}, "Overall it is very  good.", "very good", "very  good"),
    ],
)
def test_labels_of_other_tasks_and_languages(tmp_path, labels, answer, label, word):
    row = {"id": 1, "prompt": "?", "response": answer}
    made = config(write(tmp_path, [row]), decision={"labels": labels, "field": None}, prompt={"source": "fields"})
    if label is None:
        with pytest.raises(InputError, match=r"ambiguous_label.*'up', 'down'"):
            read_predictions(made)
        return
    (sample,) = read_predictions(made).samples
    assert sample.predicted_label == label and sample.label_source == "response_text"
    assert sample.response[sample.label_start : sample.label_end] == word


def test_certainty_and_magnitude_of_error_rows_come_from_the_answer(tmp_path):
    text = (
        '{"direction_of_eps_change": "Increase", "magnitude_of_change": "Slight",\n'
        '"certainty_of_assessment": "<High/Medium/Low>", "reason": "a "b""}'
    )
    row = {**with_answer(text, "error"), "certainty": "Error", "magnitude": "Error"}
    (sample,) = read_predictions(config(write(tmp_path, [row]))).samples
    assert (sample.magnitude, sample.certainty) == ("Slight", "Error"), "a template is no answer"
    (sample,) = read_predictions(config(write(tmp_path, [{**row, "magnitude": "Large"}]))).samples
    assert sample.magnitude == "Large", "what the record says counts first"


def test_answers_of_the_fixture_name_both_labels_before_the_decision():
    assert "increase" in answer("decrease", random.Random(1)).lower()


@pytest.mark.parametrize(
    "conclusion",
    [
        "**Final Answer:**\n\nIncrease", "## Prediction\n\n**Increase**", "### Increase", "\\boxed{Increase}",
        "<direction_of_eps_change>Increase</direction_of_eps_change>", "| direction_of_eps_change | Increase |",
        "direction_of_eps_change → Increase", "The direction_of_eps_change is Increase.",
        "Therefore I predict an increase. A better forecast would need costs to decrease.",
        "I predict that EPS will increase. If demand falls, EPS would likely decrease.",
        "EPS is unlikely to decrease. I expect an increase.", "Not a decrease but an increase is what I predict.",
    ],
)  # fmt: skip
def test_what_is_stated_last_outranks_what_was_expected_before(tmp_path, conclusion):
    sample = read_one(tmp_path, f"Costs are expected to decrease next year.\n\n{conclusion}")
    assert sample.predicted_label == "increase"
    assert sample.response[sample.label_start : sample.label_end].lower() == "increase"
    assert sample.label_source == "repaired_json" or "prose_disagrees" in sample.flags


@pytest.mark.parametrize("said", ["No increase", "Unlikely to increase", "not expected to increase", "non-increase"])
def test_a_denied_label_is_none(tmp_path, said):
    assert "denied_label" in read_one(tmp_path, '{"direction_of_eps_change": "' + said + '"}')
    assert "denied_label" in read_one(tmp_path, "No idea.", said)
    assert "denied_label" in read_one(tmp_path, f"My answer: {said}.", None)
    assert "no_label" in read_one(tmp_path, "No idea.", None)
    labels = {"labels": {"yes": ["yes"], "no": ["no"]}, "field": "answer"}
    sample = read_one(tmp_path, '{"answer": "No"}', decision=labels)
    assert sample.predicted_label == "no", "a label is no denial"


@pytest.mark.parametrize(
    ("labels", "text", "label"),
    [
        (["up", "down"], '{"direction_of_eps_change": "UP"}', "up"),
        (["up", "down"], "direction_of_eps_change: **Up**", "up"),
        (["yes", "no"], "**Answer: No**", "no"),
        (["yes", "no"], "No, it does not.", "no"),
        (["A", "B"], '{"direction_of_eps_change": "b"}', "B"),
        (["increase", "decrease"], '{"direction_of_eps_change": "MODERATE_INCREASE"}', "increase"),
        (["increase", "decrease"], "Final answer: _decrease_", "decrease"),
        (["1", "0"], '{"direction_of_eps_change": 1}', "1"),
        (["increase", "decrease"], '{"direction_of_eps_change": "Slight "increase" seen", "reason": "x"}', "increase"),
        (["increase", "decrease"], '{"direction_of_eps_change": "\\"Increase\\""}', "increase"),
        (["increase", "decrease"], '{"direction_of_eps_change": "Moderate\nIncrease", "n": 1}', "increase"),
        (["increase", "decrease"], '{"direction_of_eps_change": {\n "label": "Increase"\n}}', "increase"),
    ],
)
def test_values_in_other_dress(tmp_path, labels, text, label):
    sample = read_one(tmp_path, text, decision={"labels": labels})
    assert sample.predicted_label == label == sample.answer_label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('```json\n{"F": "Decrease"}\n```\nOn reflection:\n{"F": "Increase"}', "increase"),
        ('{"F": "Increase"}\nNote: F: one of increase or decrease.', "increase"),
        ('{"F": "Increase", "r": 1}\n{"F": ', "increase"),
        ('{"F": "Increase", "reason": "F: costs decrease"}', "increase"),
        ('{"F": "Increase"}\nThe format was {"F": "<Increase/Decrease>"}', "increase"),
        ("F: I must choose between increase and decrease.\nTherefore I predict an increase.", None),
    ],
)
def test_label_and_decision_come_from_the_same_place(tmp_path, text, label):
    sample = read_one(tmp_path, text.replace("F", "direction_of_eps_change"))
    if label is None:
        assert "ambiguous_label" in sample
        return
    assert (sample.predicted_label, sample.answer_label, sample.flags) == (label, label, ())


def test_what_was_found_and_the_labels_are_listed_where_none_matches(config_file, capsys, tmp_path):
    rows = [{"id": str(n), "prompt": "Rise?", "response": "It goes sideways", "actual_label": "up"} for n in range(3)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    told = ["predictions.path=" + str(path), "prompt.source=fields", "--stage", "plan"]
    assert main([str(config_file), *told]) == 3
    said = capsys.readouterr().err
    assert "'It goes sideways'" in said and "increase (increase, increases, increased), decrease (decrease" in said
