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
    "words of others": [
        'The report concluded, "EPS will increase."',
        'As the chairman put it, "earnings will increase".',
        "In the words of the CFO, earnings will increase.",
        "Jane Doe, the CEO, stated that EPS will increase.",
        "The CEO, who is optimistic, sees EPS increasing.",
    ],
    "other outcomes": [
        "EPS will be flat or increase slightly.",
        "EPS will increase or remain stable.",
        "EPS will increase... or will it?",
        "It is not necessarily the case that EPS will increase.",
        "I want it to increase.",
        "EPS might decrease, but it might also increase.",
        "EPS could increase but could equally decrease.",
        "The guidance implies an increase, but I have no view.",
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
    "I expect it to increase.",
    "I believe them to increase.",
    "Hence I'd classify this as an increase.",
    "It's more of an increase than a decrease.",
    "EPS may also increase. I predict increase.",
    "The likeliest direction: an increase, driven by a decrease in costs.",
    "The question asks whether EPS will increase or decrease. Given strong sales, I would say it will increase.",
    'I initially answered "decrease", but I change my answer to "increase".',
    "The positives outweigh the negatives and I'd go with increase.",
    "While it is not certain, and while analysts call for a decrease, earnings will increase.",
    "The consensus, which expects EPS to decrease, is wrong: I expect EPS to increase.",
    "In 2023 EPS decreased. In 2024 EPS will increase.",
    "Vote 1: increase\nVote 2: decrease\nVote 3: increase\nMajority: increase",
    "As the table shows, EPS has grown; I predict an increase.",
    "As noted above, EPS will increase.",
    "Sales may stay flat or grow, but EPS will increase.",
    "Growth will not necessarily be fast. EPS will increase.",
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
    (("positive", "negative", "neutral"), "The sentiment is negative, despite some positive remarks.", "negative"),
    (("positive", "negative", "neutral"), "The tone is positive; negative remarks are few.", "positive"),
    (("positive", "negative", "neutral"), "I'd say positive. The negative part is minor.", "positive"),
    (("positive", "negative", "neutral"), "The headline is negative for shareholders.", "negative"),
    (LETTERS, "B is correct; D would be my second choice.", "B"),
    (("positive", "negative", "neutral"), "The author sounds positive about the product.", "positive"),
    (tuple("012345"), "I would give a 5.", "5"),
    (tuple("012345"), "Rating: ⭐⭐⭐⭐⭐ (5/5)", "5"),
    (("steigen", "sinken"), "Der Gewinn kann steigen, aber auch sinken.", "a reject"),
    (("augmenter", "baisser"), "Le bénéfice peut augmenter, mais peut aussi baisser.", "a reject"),
    (("上升", "下降"), "盈利可能上升，也可能下降。", "a reject"),
    (("増加", "減少"), "増加する可能性も減少する可能性もあります。", "a reject"),
    (("증가", "감소"), "증가할 수도 있고 감소할 수도 있습니다.", "a reject"),
    (("naik", "turun"), "Laba bisa naik, bisa juga turun.", "a reject"),
    (("ترتفع", "تنخفض"), "قد ترتفع وقد تنخفض الأرباح.", "a reject"),
    (YES_NO, "Yes and here's why: no competitor has entered.", "yes"),
    (YES_NO, "So, is it supported? Absolutely yes.", "yes"),
    (tuple("012345"), "Score: 4 vs. 3", "a reject"),
    (tuple("012345"), "It scores 4 vs. 3 for the peer.", "a reject"),
    (("증가", "감소"), "증가할지 감소할지 알 수 없습니다.", "a reject"),
    (("増加", "減少"), "増加するか減少するかは判断できません。", "a reject"),
    (("artacak", "düşecek"), "Kârın artacak mı düşecek mi olduğu bilinmiyor.", "a reject"),
    (("вырастет", "снизится"), "Невозможно сказать, вырастет ли прибыль.", "a reject"),
    (("steigen", "sinken"), "Es ist nicht unbedingt so, dass der Gewinn steigen wird.", "a reject"),
    (("Anstieg", "Rückgang"), "Trotz sinkender Umsätze rechne ich mit einem Anstieg.", "Anstieg"),
    (("steigt", "sinkt"), "Meiner Meinung nach steigt der Gewinn.", "steigt"),
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
