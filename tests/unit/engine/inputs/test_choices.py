"""Choices of a row: which shapes are read, what names one, and how answers say them."""

import pytest

from engine.errors import ConfigError, InputError
from engine.inputs.outcomes.choices import choices_of
from engine.inputs.predictions import read_predictions
from engine.samples import RowRejected
from tests.fixtures.prediction_files import config, write

CITIES = ["Paris", "Rome", "New York", "2"]


@pytest.mark.parametrize(
    ("value", "known", "names", "texts"),
    [
        (CITIES, (), "ABCD", CITIES),
        ("['x', 'y']", (), "AB", ["x", "y"]),
        ({"label": ["1", "2"], "text": ["x", "y"]}, (), "12", ["x", "y"]),
        ({"text": ["x", "y"]}, (), "AB", ["x", "y"]),
        ({"A": "x", "B": "y"}, (), "AB", ["x", "y"]),
        ([{"label": "P", "text": "x"}, {"label": "Q", "text": "y"}], (), "PQ", ["x", "y"]),
        (["x", "y"], ["1", "2", "3"], "12", ["x", "y"]),
    ],
)
def test_shapes(value, known, names, texts):
    found = choices_of(value, "choices", known)
    assert (found.names, found.texts) == (tuple(names), tuple(texts))


@pytest.mark.parametrize("value", [["x"], "x", [{"label": "A"}, {"label": "B"}], ["x"] * 27, {"A": "x", "a": "y"}])
def test_what_offers_no_choice_is_refused(value):
    with pytest.raises(RowRejected, match=r"'choices' holds"):
        choices_of(value, "choices")


@pytest.mark.parametrize(
    ("value", "index"),
    [(0, 0), (3, 3), (4, None), ("C", 2), ("c)", 2), ("(B)", 1), ("rome", 1), ("2", 3), (2, 2), ("1", 1), (2.0, 2),
     ("Berlin", None), (None, None), (True, None)],
)  # fmt: skip
def test_a_target_is_a_text_a_name_or_a_number_from_0(value, index):
    assert choices_of(CITIES, "choices").index_of(value) == index


def test_names_that_are_numbers_come_before_places():
    assert choices_of({"label": ["1", "2", "3"], "text": ["x", "y", "z"]}, "choices").index_of(1) == 0


def test_a_text_that_two_choices_have_stands_for_neither():
    assert choices_of(["x", "x", "A", "b"], "choices").labels() == {"A": ["A"], "B": ["B"], "C": ["C"], "D": ["D"]}


def rows(*answers):
    given = {"prompt": "Which city?", "options": CITIES, "gold": 2}
    return [{"id": number, "response": answer, **given} for number, answer in enumerate(answers)]


def test_answers_say_a_letter_or_a_text(tmp_path):
    fields = {"choices": "options", "target": "gold"}
    said = ["Answer: C", "The answer is New York.", "B) Rome", "Paris"]
    settings = {"prompt": {"source": "fields"}, "decision": {"field": None}}
    found = read_predictions(config(write(tmp_path, rows(*said)), predictions={"fields": fields}, **settings)).samples
    assert [sample.predicted_label for sample in found] == ["C", "C", "B", "A"]
    assert [sample.is_correct for sample in found] == [True, True, False, False]
    assert {sample.actual_label for sample in found} == {"C"} and found[0].labels["C"] == ["C", "New York"]
    assert [sample.label_spelling for sample in found] == [0, 1, 0, 1]


def test_rows_without_choices_need_labels_of_the_config(tmp_path):
    given = [{**rows("Answer: yes")[0], "options": None, "gold": "no"}, {**rows("Answer: C")[0], "id": 1}]
    settings = {"prompt": {"source": "fields"}, "predictions": {"fields": {"choices": "options", "target": "gold"}}}
    path = write(tmp_path, given)
    decision = {"field": None, "labels": {"yes": [], "no": []}}
    with pytest.raises(InputError, match="names no labels"):
        read_predictions(config(write(tmp_path, given[:1], "q.json"), decision={"field": None}, **settings))
    first = read_predictions(config(path, decision=decision, **settings))
    assert [sample.predicted_label for sample in first.samples] == ["yes", "C"]
    assert [sample.actual_label for sample in first.samples] == ["no", "C"]


def test_a_target_may_be_the_place_of_a_configured_label(tmp_path):
    given = [{"id": i, "prompt": "?", "response": "Answer: neutral", "gold": gold} for i, gold in enumerate([1, "1"])]
    decision = {"field": None, "labels": {"entailment": [], "neutral": [], "contradiction": []}}
    found = read_predictions(
        config(
            write(tmp_path, given),
            decision=decision,
            predictions={"fields": {"target": "gold"}},
            prompt={"source": "fields"},
        )
    )
    assert [sample.is_correct for sample in found.samples] == [True, True]


@pytest.mark.parametrize(
    ("places", "is_refused"),
    [
        ((1, 2, 4), True),
        (("2", "4"), True),
        (("3", "4"), True),
        ((0, 1, 4), False),
        ((1, 2, 3), False),
        ((1, 9), False),
    ],
)
def test_places_that_count_from_1_are_refused_and_the_advice_works(tmp_path, places, is_refused):
    def read(gold):
        given = [{**row, "gold": place} for row, place in zip(rows(*["Answer: C"] * len(gold)), gold, strict=True)]
        fields = {"choices": "options", "target": "gold"}
        settings = {"prompt": {"source": "fields"}, "decision": {"field": None}, "predictions": {"fields": fields}}
        return read_predictions(config(write(tmp_path, given), **settings)).samples

    if not is_refused:
        assert [sample.actual_label for sample in read(places)] == [dict(enumerate("ABCD")).get(one) for one in places]
        return
    with pytest.raises(ConfigError, match=r"predictions\.fields\.target: 'gold' holds .* Write them from 0, or the"):
        read(places)
    for gold in ([int(place) - 1 for place in places], ["ABCD"[int(place) - 1] for place in places]):
        assert [sample.actual_label for sample in read(gold)] == ["ABCD"[int(place) - 1] for place in places]


@pytest.mark.parametrize(
    ("prompt", "options", "is_said"),
    [
        ("Which city?", CITIES, True),
        ("Which city? A) Paris B) Rome C) New York", CITIES, False),
        ("Which city?\nnew  york or another?", CITIES, False),
        ("A, B or C?", ["A", "B", "C"], False),
    ],
)
def test_a_prompt_that_shows_no_choice_is_said(tmp_path, prompt, options, is_said):
    given = [{"id": "0", "prompt": prompt, "options": options, "gold": 0, "response": "Answer: A"}]
    settings = {"prompt": {"source": "fields"}, "decision": {"field": None}}
    fields = {"choices": "options", "target": "gold"}
    sample = read_predictions(config(write(tmp_path, given), predictions={"fields": fields}, **settings)).samples[0]
    assert ("choices_not_shown" in sample.flags) == is_said
