"""English inflections of labels: where they are read as the label, where they are something else, and their tokens."""

from __future__ import annotations

import pytest

from engine.inputs.answers.inflections import forms, inflected
from tests.unit.engine.inputs.answers.test_stated import REASONS, read

PLAIN = ("increase", "decrease")
RATINGS = ("buy", "hold", "sell")
STATED = [
    (PLAIN, "EPS increases.", "increase"),
    (PLAIN, "EPS is increasing.", "increase"),
    (PLAIN, "I expect EPS to be increasing.", "increase"),
    (PLAIN, "The EPS will have increased.", "increase"),
    (PLAIN, "An increase is likely.", "increase"),
    (PLAIN, "Prediction: increasing", "increase"),
    (PLAIN, "**Decreasing**", "decrease"),
    (PLAIN, "Answer: EPS is decreasing", "decrease"),
    (PLAIN, '{"direction_of_eps_change": "slightly decreasing"}', "decrease"),
    (PLAIN, "I predict increasing EPS.", "increase"),
    (PLAIN, "I see EPS increasing.", "increase"),
    (PLAIN, "EPS will keep increasing.", "increase"),
    (PLAIN, "Instead of increasing, EPS will be decreasing.", "decrease"),
    (PLAIN, "While sales are increasing, EPS will decrease.", "decrease"),
    (PLAIN, "Given increasing costs, EPS will decrease.", "decrease"),
    (("rise", "fall"), "EPS is falling.", "fall"),
    (("improve", "decline"), "Net income is expected to be declining.", "decline"),
    (RATINGS, "I recommend selling.", "sell"),
    (RATINGS, "I recommend buying the stock.", "buy"),
    (RATINGS, "Recommendation: selling the stock", "sell"),
    (RATINGS, "Given the risk, selling is the prudent move.", "sell"),
    (RATINGS, "Holding is the best choice.", "hold"),
]
ELSEWHERE = [
    (PLAIN, "Increasing costs weigh on margins."),
    (PLAIN, "EPS was increasing until 2019."),
    (PLAIN, "EPS has been increasing for years."),
    (PLAIN, "Sales are increasing."),
    (PLAIN, "Management focuses on increasing EPS."),
    (PLAIN, "The company is increasing its headcount."),
    (PLAIN, "With costs increasing, the outlook is bleak."),
    (PLAIN, "EPS stops increasing."),
    (PLAIN, "EPS may be increasing or decreasing."),
    (PLAIN, "Analysts see EPS increasing."),
    (PLAIN, "Is EPS increasing?"),
    (RATINGS, "The holding company sells its buildings."),
    (RATINGS, "Selling pressure persists."),
    (RATINGS, "Buying on margin is risky."),
]
DENIED = ["EPS is not increasing.", "EPS is no longer increasing.", "I doubt that EPS will be increasing."]


@pytest.mark.parametrize(("labels", "answer", "stated"), STATED)
def test_an_inflection_is_read_as_the_label(labels, answer, stated):
    assert read(labels, answer) == stated


@pytest.mark.parametrize(("labels", "answer"), ELSEWHERE)
def test_a_participle_elsewhere_is_no_label(labels, answer):
    assert read(labels, answer) in REASONS


@pytest.mark.parametrize("answer", DENIED)
def test_an_inflection_is_denied_like_the_label(answer):
    assert read(PLAIN, answer) == "denied_label"


def test_with_inside_spellings_count_as_they_are_configured():
    assert read(PLAIN, "Prediction: increasing", match="inside") == "no_label"


def test_forms_stand_at_the_same_place_for_every_label():
    labels = {"increase": ["increase", "increases", "increased"], "no change": ["no change"], "decrease": ["decrease"]}
    whole = inflected(labels)
    assert whole == {
        "increase": ["increase", "increases", "increased", "increases", "increased", "increasing"],
        "no change": ["no change"] * 6,
        "decrease": ["decrease", "decrease", "decrease", "decreases", "decreased", "decreasing"],
    }
    assert inflected({"A": ["A"], "B": ["B"]}) == {"A": ["A"], "B": ["B"]}


def test_a_form_that_is_a_label_of_its_own_is_no_form_of_another():
    whole = inflected({"increase": ["increase"], "increasing": ["increasing"]})
    assert whole["increase"] == ["increase", "increases", "increased", "increase"]


def test_forms_of_verbs():
    assert forms(["Drop"]) == ["drops", "dropped", "dropping"]
    assert forms(["grow"]) == ["grows", "", "growing"]
    assert forms(["sell"]) == ["", "", "selling"] and forms(["neutral"]) == ["", "", ""]
