"""Labels of movement in frames that state nothing, and in those that do: what governs them decides."""

from __future__ import annotations

import pytest

from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, LETTERS, REASONS, YES_NO, read

NOTHING = {
    "aims": [
        "Management aims to increase EPS by buying back shares.",
        "The company plans to increase its EPS.",
        "Their goal is to increase EPS.",
        "They want to decrease costs and increase EPS.",
        "In order to increase EPS, the firm must cut costs.",
        "The strategy is designed to increase EPS.",
        "Cost cuts are intended to increase EPS.",
        "The CEO wants an increase in EPS.",
        "I wish EPS would increase.",
        "The company's target is an increase in EPS of 5%.",
        "EPS has yet to increase.",
    ],
    "suppositions": [
        "Suppose I predict an increase.",
        "For the sake of argument, let us suppose that EPS will increase.",
        "Assuming that EPS will increase, the dividend is safe.",
        "Had sales grown, I would predict an increase.",
        "I predict an increase only if sales recover.",
        "In theory, EPS should increase.",
        "Before EPS can increase, costs must fall.",
    ],
    "hearsay": [
        "Some would conclude that EPS will increase.",
        "The press predicted an increase.",
        "Bulls claim EPS will increase.",
        "A casual reader could conclude that EPS will increase.",
        "At first I predicted an increase.",
        "An increase was predicted by analysts.",
        "It was once believed that EPS would increase.",
        "The bull case is that EPS will increase.",
    ],
    "not drawn": [
        "There's little basis to predict an increase.",
        "Nothing allows us to conclude that EPS will increase.",
        "I can't in good conscience predict an increase.",
        "It would be reckless to forecast an increase.",
        "Under no circumstances would I predict an increase.",
        "This does not mean that EPS will increase.",
        "One could be forgiven for predicting an increase.",
        "Predicting an increase would be rash.",
        "The idea of an increase is absurd.",
        "I reject the idea that EPS will increase.",
        "That EPS will increase is a fairy tale.",
        "An increase strikes me as improbable.",
    ],
    "given": [
        "The increase in EPS has stalled.",
        "The increase in EPS is petering out.",
        "The increase in EPS peaked in 2021.",
        "The expected increase in EPS did not materialize.",
        "An increase would be welcome.",
    ],
}
STATED = [
    "I expect EPS to increase.",
    "The company is expected to increase its EPS.",
    "It is reasonable to conclude that EPS will increase.",
    "I have to conclude that EPS will increase.",
    "I have no doubt that EPS will increase.",
    "It is not difficult to predict an increase.",
    "I cannot help but conclude that EPS will increase.",
    "My conclusion that EPS will increase is based on rising margins.",
    "Predicting an increase due to strong sales.",
    "Assuming costs stay flat, EPS will increase.",
    "If I had to choose, I would predict an increase.",
    "All signs point to an increase.",
    "Lower costs allow EPS to increase.",
    "The trend would point to an increase.",
    "Management aims to grow; I predict EPS will increase.",
    "I do not hesitate to predict an increase.",
    "There will be an increase in EPS.",
    "Look for EPS to increase.",
    "My prediction would be an increase.",
    "The evidence is mixed but on balance supports an increase.",
    "Expect an increase.",
    "An increase appears likely.",
    "It's more likely than not that EPS will increase.",
    "Strong revenue growth should translate into an increase in EPS.",
    "The increase in EPS will be moderate.",
    "The increase is driven by sales growth.",
    "EPS: to increase by 5%",
]
OTHERS = [
    (LETTERS, "I change my answer from A to B.", "B"),
    (LETTERS, "Ich ändere meine Antwort von A auf B.", "B"),
    (LETTERS, "我把答案从A改为B。", "B"),
    (LETTERS, "答えをAからBに変更します。", "B"),
    (LETTERS, "I prefer D to A.", "D"),
    (LETTERS, "B n'est pas aussi bonne que C.", "a reject"),
    (DIRECTIONS, "I revise my forecast from an increase to a decrease.", "decrease"),
    (DIRECTIONS, "EPS will not so much decrease as increase.", "a reject"),
    (DIRECTIONS, "Far be it from me to predict an increase.", "a reject"),
    (DIRECTIONS, "direction_of_eps_change: increase | decrease", "a reject"),
    (DIRECTIONS, '{"directionOfEpsChange": "Increase", "reason": "decrease in costs"}', "increase"),
    (DIRECTIONS, "My call: decrease. The increase in leverage is what worries me.", "decrease"),
    (("hausse", "baisse"), "Une hausse est plus probable qu'une baisse.", "hausse"),
    (("hausse", "baisse"), "Une hausse est moins probable qu'une baisse.", "baisse"),
    (("aumento", "disminución"), "Es más probable un aumento que una disminución.", "aumento"),
    (YES_NO, "Yes — if you ignore the one-off. No otherwise.", "a reject"),
    (("ارتفاع", "انخفاض"), "أتوقع ارتفاعًا في ربحية السهم.", "ارتفاع"),
]
UNTOLD = [
    (("stijgt", "daalt"), "De winst stijgt niet.", "De winst stijgt."),
    (("ökning", "minskning"), "Jag tror inte på en ökning.", "En ökning väntas."),
    (("stigning", "fald"), "Ingen stigning.", "Jeg forventer en stigning."),
    (("nousee", "laskee"), "Tulos ei nousee.", "Tulos nousee."),
    (("wzrośnie", "spadnie"), "EPS nie wzrośnie.", "EPS wzrośnie."),
    (("crește", "scade"), "Profitul nu crește.", "Profitul crește."),
    (("tăng", "giảm"), "EPS sẽ không tăng.", "EPS sẽ tăng."),
    (("αύξηση", "μείωση"), "Δεν αναμένεται αύξηση.", "Αναμένεται αύξηση."),
    (("เพิ่มขึ้น", "ลดลง"), "กำไรจะไม่เพิ่มขึ้น", "กำไรจะเพิ่มขึ้น"),
    (("יעלה", "ירד"), "הרווח לא יעלה", "הרווח יעלה"),
    (("up", "down"), "niet up", "up"),
]


@pytest.mark.parametrize("answer", [answer for answers in NOTHING.values() for answer in answers])
def test_a_frame_that_states_nothing(answer):
    assert read(DIRECTIONS, answer) in REASONS


@pytest.mark.parametrize("answer", STATED)
def test_a_frame_that_states(answer):
    assert read(DIRECTIONS, answer) == "increase"


@pytest.mark.parametrize(("labels", "answer", "stated"), OTHERS)
def test_comparisons_changes_and_fields(labels, answer, stated):
    found = read(labels, answer)
    assert found == stated if stated != "a reject" else found in REASONS


@pytest.mark.parametrize(("labels", "denying", "stating"), UNTOLD)
def test_denials_where_no_language_is_told(labels, denying, stating):
    assert read(labels, denying) == "denied_label" and read(labels, stating) == labels[0]
