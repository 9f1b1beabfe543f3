"""Free answers: where each kind of span finds them, and when two are the same."""

import pytest

from engine.config import DecisionSection
from engine.errors import InputError
from engine.inputs.outcomes.spans import answer_span, same_answer
from engine.inputs.predictions import read_predictions
from engine.samples import RowRejected
from tests.fixtures.prediction_files import config, write


@pytest.mark.parametrize(
    ("span", "answer", "said"),
    [
        ("last_number", "3 + 4 = 7, so 7 apples.", "7"),
        ("last_number", "It falls by 1,250.50 to -3.", "-3"),
        ("last_number", "10-4 is 6 for GPT4", "6"),
        ("last_number", "The share is 1/2.", "1/2"),
        ("boxed", r"Hence \boxed{\frac{1}{2}} and no \boxed{x}.", "x"),
        ("boxed", r"\boxed{ \frac{a}{b} }", r"\frac{a}{b}"),
        ("cue", "Work.\n#### 42", "42"),
        ("cue", "The final answer is **Paris**.", "Paris"),
        ("cue", "Answer: $12\nThanks", "12"),
        ("cue", r"The answer is \boxed{8}.", "8"),
        ({"cue": "Lösung:"}, "Lösung: 5 kg\n", "5 kg"),
        ("last_line", "I think.\n\n  **Not enough information**  \n", "Not enough information"),
        ({"regex": r"x = (\d+)"}, "x = 1 and then x = 23", "23"),
        ({"regex": r"\d+ kg"}, "first 3 kg, then 5 kg", "5 kg"),
    ],
)
def test_where_an_answer_stands(span, answer, said):
    section = DecisionSection(span=span)
    first, last = answer_span(answer, 0, len(answer), section.span_section)
    assert answer[first:last] == said and section.contrast == "said_vs_runner_up"


@pytest.mark.parametrize("span", ["last_number", "boxed", "cue", {"regex": "x=(.)"}])
def test_nothing_found_is_a_reject(span):
    with pytest.raises(RowRejected, match=r"nothing that decision\.span"):
        answer_span("I do not know", 0, 13, DecisionSection(span=span).span_section)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ("last_word", "give one of cue, boxed"),
        ({"regex": "("}, "no regular expression"),
        ({"regex": None}, "give one of"),
        ({"cue": "a", "regex": "b"}, "give one of"),
    ],
)
def test_unknown_spans_are_refused(span, words):
    with pytest.raises(ValueError, match=words):
        DecisionSection(span=span)
    with pytest.raises(ValueError, match="leave contrast out"):
        DecisionSection(span="cue", contrast=["increase", "decrease"])


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [("1,000", "1000.0", True), ("$5", "5", True), ("Paris.", "paris", True), ("5", "6", False), ("a b", "a  b", True)],
)
def test_the_same_answer(first, second, is_same):
    assert same_answer(first, second) is is_same


def test_thoughts_do_not_answer_and_labels_are_not_asked_for(tmp_path):
    rows = [
        {"id": 1, "prompt": "3 + 4?", "response": "<think>Maybe 9.</think>\nIt is 7.", "gold": "7.0"},
        {"id": 2, "prompt": "3 + 5?", "response": "<think>Maybe 8.</think>\nIt is 9.", "gold": "8"},
    ]
    settings = {"prompt": {"source": "fields"}, "predictions": {"fields": {"target": "gold"}}}
    found = read_predictions(config(write(tmp_path, rows), decision={"span": "last_number"}, **settings)).samples
    assert [(s.predicted_label, s.actual_label, s.is_correct) for s in found] == [("7", "7", True), ("9", "8", False)]
    assert all(s.is_free and s.label_source == "span" and s.flags == () for s in found)


GIVEN = {"prompt": {"source": "fields"}, "predictions": {"fields": {"target": "gold"}}}


@pytest.mark.parametrize(
    ("gold", "answer", "actual", "flags"),
    [
        (["Paris", "City of Paris"], "city of paris", "city of paris", ("several_accepted",)),
        (["Paris", "City of Paris"], "Rome", "Paris", ("several_accepted",)),
        ("['Paris', 'City of Paris']", "City of Paris", "City of Paris", ("several_accepted",)),
        ({"text": ["Paris", "Paris"], "answer_start": [1, 9]}, "Paris", "Paris", ()),
        ({"value": "Paris", "aliases": ["Lutetia"], "type": "place"}, "Lutetia", "Lutetia", ("several_accepted",)),
        ("He sells 9 * 2 = 18.\n#### 18", "$18", "18", ()),
        ("He sells 9 * 2 = 18.\n#### 18", "9", "18", ()),
        (r"We get $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}", r"\frac{1}{2}", ()),
        ("(1, 2)", "1", "(1, 2)", ()),
        ([], "1", None, ()),
    ],
)
def test_what_is_true_may_be_one_of_several_or_stand_behind_its_explanation(tmp_path, gold, answer, actual, flags):
    rows = [{"id": 1, "prompt": "?", "response": answer, "gold": gold}]
    (sample,) = read_predictions(config(write(tmp_path, rows), decision={"span": "last_line"}, **GIVEN)).samples
    is_right = None if actual is None else answer.strip("$").casefold() == actual.casefold()
    assert (sample.actual_label, sample.is_correct, sample.flags) == (actual, is_right, flags)


@pytest.mark.parametrize("gold", [[1, 2], {"start": 3}], ids=["parts", "an object"])
def test_a_true_answer_that_may_have_parts_is_not_guessed(tmp_path, gold):
    rows = [{"id": 1, "prompt": "?", "response": "1", "gold": gold}]
    with pytest.raises(InputError, match="a list of texts that are right alike"):
        read_predictions(config(write(tmp_path, rows), decision={"span": "last_line"}, **GIVEN))


def test_a_record_may_say_where_its_answer_stands(tmp_path):
    rows = [{"id": 1, "prompt": "3 + 4?", "response": "It is 7, not 8.", "at": [6, 7]}]
    settings = {"prompt": {"source": "fields"}, "decision": {"span": {"offsets": "at"}}}
    assert read_predictions(config(write(tmp_path, rows), **settings)).samples[0].predicted_label == "7"
    rows[0]["at"] = [6, 99]
    with pytest.raises(InputError, match="no stretch of the answer"):
        read_predictions(config(write(tmp_path, rows), **settings))
