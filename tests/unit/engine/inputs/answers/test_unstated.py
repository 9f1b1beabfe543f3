"""What is said of a label, or who says it, so that it states nothing; and plain answers that hold the same words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import DecisionSection
from engine.inputs.answers.stated import AnswerReader
from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, LETTERS, ONE_ZERO, REASONS, YES_NO, read

SENTIMENTS = ("positive", "negative", "neutral")
NOT_STATED = {
    "verdicts behind": [
        (LETTERS, ["The answer is A, wrong.", "A, which is incorrect.", "The answer is A. Wrong.", "A, incorrect."]),
        (LETTERS, ["A is tempting but wrong.", "A seems right but isn't.", "Answer: B (this is wrong)", "A, no."]),
        (LETTERS, ["The teacher marked B as wrong.", "B was graded as incorrect."]),
        (LETTERS, ["Die Antwort ist A, falsch.", "La réponse est A, c'est faux.", "La respuesta es A, incorrecto."]),
    ],
    "supposed": [
        (LETTERS, ["A would be right if C were not", "If sales had grown, A would be correct.", "If C is wrong, A."]),
        (LETTERS, ["A wäre richtig, wenn C es nicht wäre.", "A serait juste si C ne l'était pas."]),
        (DIRECTIONS, ["EPS would have increased but for the loss.", "Had costs fallen, EPS would increase."]),
        (DIRECTIONS, ["EPS will increase if sales grow and decrease otherwise."]),
        (YES_NO, ["If profits rise, yes."]),
    ],
    "several": [
        (LETTERS, ["Answer: Both A", "Answer: Both A and B", "Between A and B.", "Options A and C are both correct."]),
        (LETTERS, ["Antwort: Sowohl A als auch B", "Respuesta: tanto A como B", "Answer: A... or B"]),
        (YES_NO, ["no\n\nYes, I am sure.", "Yes\n\nNo, it will not."]),
        (("true", "false"), ["True, if sales grow; false otherwise."]),
    ],
    "undecided": [
        (SENTIMENTS, ["Sentiment: mixed, leaning negative", "Mixed sentiment, slightly positive", "Mixed to positive"]),
        (DIRECTIONS, ["Direction: unclear, maybe increase"]),
    ],
    "signs of figures": [
        (
            SENTIMENTS,
            ["EBITDA turned positive", "Net income was negative.", "positive cash flow", "The EPS is negative."],
        ),
        (SENTIMENTS, ["EPS went from negative to positive.", "The correlation is positive."]),
    ],
    "ended": [
        (DIRECTIONS, ["The increase ends", "The increase in sales will stop.", "The decrease has run its course."]),
        (("上涨", "下跌"), ["上涨结束。"]),
    ],
    "answers of others": [
        (LETTERS, ["The student's answer is A", "Your answer: A", "You chose A.", "Peter's answer is A."]),
        (LETTERS, ["Deine Antwort: A", "Ta réponse : A", "Tu respuesta: A", "La tua risposta: A", "Sua resposta: A"]),
        (LETTERS, ["Ваш ответ: A", "你的答案：A", "あなたの答え：A", "당신의 답: A", "إجابتك: A", "आपका उत्तर: A"]),
        (LETTERS, ["Senin cevabın: A", "Jawaban Anda: A", "The answer given by the student is B."]),
        (DIRECTIONS, ["Management's forecast is an increase.", "Their forecast: decrease"]),
    ],
    "numbers": [
        (
            ONE_ZERO,
            ["The number of errors is 1", "Score: 1", "LABEL_1", "EPS: 0", "x = 1", "1 of 3", "No. 1", "Total: 1"],
        ),
    ],
    "neighbours": [
        (DIRECTIONS, ["Revenue will increase.", "An increase in sales is expected.", "Total assets decreased."]),
        (
            DIRECTIONS,
            ["EPS increased last year.", "EPS decreased from 2.1 to 1.9 in 1973.", "Historically, EPS increased."],
        ),
    ],
    "taken back": [
        (LETTERS, ["The answer is B.\n\nOops, I misread the question. It should be C."]),
        (DIRECTIONS, ["Answer: increase. But wait, costs doubled. EPS will decrease."]),
        (DIRECTIONS, ["Increase. But considering the rising debt, I would rather say decrease."]),
        (DIRECTIONS, ["Prediction: Increase. Hmm, no. The margin fell. Decrease it is."]),
        (YES_NO, ["Answer: yes\nWait — the denominator changed. So it's no."]),
        (DIRECTIONS, ['{"direction_of_eps_change": "Increase"}\n\nSorry, I misread: net income fell. Decrease.']),
    ],
    "parts of other numbers": [
        (ONE_ZERO, [".1", "Answer: .1", "\\boxed{.1}", "#### .1", ">1", "Answer: 0,5", "Answer: 1 000", "Answer: 1€"]),
        (ONE_ZERO, ["Answer: 1 or more", "Answer: ≥1", "Answer: 1'000"]),
    ],
    "no answers": [
        (YES_NO, ["Yes, I understand the task. I'll now analyze the data.", "No. of employees: 5", "No: 17"]),
        (DIRECTIONS, ["There is little to suggest an increase in EPS.", "No analyst would predict an increase"]),
        (LETTERS, ["A is a trap answer."]),
    ],
    "legends": [
        (ONE_ZERO, ["1 is for increase, 0 for decrease", "0 = decrease, 1 = increase", "1 means up and 0 means down."]),
        (YES_NO, ["1: yes\n0: no", "1 = yes, 0 = no", "a) -> yes\nb) -> no"]),
        (LETTERS, ["A stands for growth, B stands for decline."]),
    ],
    "other meanings": [
        (("ja", "nein"), ["Die Firma ist ja groß."]),
        (("buy", "sell"), ["The company plans to buy a rival.", "The firm will sell its unit."]),
    ],
}
CASES = [(kind, *case) for kind, cases in NOT_STATED.items() for case in cases]


@pytest.mark.parametrize(
    ("labels", "answers"),
    [case[1:] for case in CASES],
    ids=[f"{case[0].replace(' ', '-')}-{i}" for i, case in enumerate(CASES)],
)
def test_what_states_nothing(labels, answers):
    read_as = {answer: read(labels, answer) for answer in answers}
    assert {answer: found for answer, found in read_as.items() if found not in REASONS} == {}


STATED = [
    (LETTERS, "Answer: B\n\nHmm, let me double-check. I made a mistake above. The correct option is C.", "C"),
    (LETTERS, "Answer: B. Let me double-check: yes, B is right because A ignores debt.", "B"),
    (DIRECTIONS, "It is tempting to predict a decrease. EPS will increase.", "increase"),
    (DIRECTIONS, "My colleague predicts a decrease. EPS will increase.", "increase"),
    (LETTERS, "A is a trap answer. C is what the passage supports.", "C"),
    (LETTERS, "B is a popular choice. The right one is C.", "C"),
    (YES_NO, "It is tempting to answer yes. I say no.", "no"),
    (ONE_ZERO, "<answer>1</answer>", "1"),
    (ONE_ZERO, "-> 1", "1"),
    (LETTERS, "Your answer: A. Correct answer: B", "B"),
    (LETTERS, "Here is your answer: C", "C"),
    (LETTERS, "If I had to choose, I would say C.", "C"),
    (LETTERS, "A would be correct if tax were zero, but it is not, so C.", "C"),
    (LETTERS, "I was torn between A and C, but C it is.", "C"),
    (LETTERS, "A) no\nB) no\nC) yes\nD) no", "C"),
    (LETTERS, "A. Wait, no: C.", "C"),
    (LETTERS, "<b>B</b>", "B"),
    (LETTERS, "Answer: A (high confidence)", "A"),
    (LETTERS, "A (small) company grew.", "no_label"),
    (ONE_ZERO, "- 1", "1"),
    (ONE_ZERO, "| Answer | 1 |", "1"),
    (ONE_ZERO, "Answer: 1 😊", "1"),
    (ONE_ZERO, "- 1 error", "no_label"),
    (LETTERS, "My answer: {C}. Format was {A}.", "C"),
    (YES_NO, "No, wait: yes", "yes"),
    (YES_NO, "You said no. The answer is yes.", "yes"),
    (SENTIMENTS, "EPS turned positive, yet the sentiment is negative.", "negative"),
    (SENTIMENTS, "I would classify it as positive.", "positive"),
    (SENTIMENTS, "The outlook for earnings is positive.", "positive"),
    (SENTIMENTS, "Mixed feelings, but overall positive.", "positive"),
    (DIRECTIONS, "EPS will increase, so the payout ratio should decrease", "increase"),
    (DIRECTIONS, "EPS will increase, while revenue will decrease", "increase"),
    (DIRECTIONS, "Revenue: decrease\nEPS: increase", "increase"),
    (DIRECTIONS, "Sales decreased in 2000. EPS will increase in 2001.", "increase"),
    (DIRECTIONS, "Strong sales growth suggests an increase.", "increase"),
    (DIRECTIONS, "EPS will increase compared with last year.", "increase"),
    (DIRECTIONS, "Initially a decrease seemed likely, but I predict an increase.", "increase"),
    (DIRECTIONS, "The decrease will end; I predict an increase.", "increase"),
    (DIRECTIONS, "Earnings per share will increase.", "increase"),
    (DIRECTIONS, "EPS would likely increase.", "increase"),
    (("Anstieg", "Rückgang"), "Von einem Anstieg ist auszugehen", "Anstieg"),
    (("Anstieg", "Rückgang"), "Mit einem Anstieg ist zu rechnen.", "Anstieg"),
    (("rise", "fall"), "EPS to rise as it scales up", "rise"),
    (ONE_ZERO, "Score: 0\nAnswer: 1", "1"),
    (ONE_ZERO, "I would label this as 1", "1"),
    (ONE_ZERO, "The class is 1.", "1"),
]


@pytest.mark.parametrize(("labels", "answer", "stated"), STATED, ids=[f"{i}" for i in range(len(STATED))])
def test_what_is_stated_all_the_same(labels, answer, stated):
    assert read(labels, answer) == stated


def test_what_the_decision_asks_of_is_the_subject():
    answer = "Costs will increase, while EPS will decrease."
    assert read(DIRECTIONS, answer) == "decrease"
    assert read(DIRECTIONS, answer, field="direction_of_costs") == "ambiguous_label"
    assert read(DIRECTIONS, "Costs will increase.", field="direction_of_costs") == "increase"
    assert read(DIRECTIONS, "Revenue will increase.", field="revenue_direction") == "increase"


def test_a_configured_pattern_reads_what_a_rule_leaves_out():
    assert read(LETTERS, "Your answer: A", pattern=r"Your answer:\s*(\w)") == "A"
    assert read(ONE_ZERO, "Score: 1", pattern=r"Score:\s*(\d)") == "1"
    assert read(ONE_ZERO, '{"score": 1}', field="score") == "1"
    assert AnswerReader(DecisionSection(labels={"1": ["LABEL_1"], "0": ["LABEL_0"]})).stated("LABEL_1").text.word


OTHERS = [
    "The student's answer is {}.",
    "Your answer: {}.",
    "{} would be right if the others were not.",
    "You said {}.",
]


@settings(max_examples=80, deadline=None)
@given(
    before=st.lists(st.sampled_from(OTHERS), max_size=2),
    other=st.sampled_from("ABCD"),
    behind=st.sampled_from(["", " {} is tempting but wrong.", " The student's answer was {}."]),
)
def test_what_states_nothing_never_changes_a_stated_answer(before, other, behind):
    said = " ".join([*before, "The correct answer is C."]) + behind
    assert read(LETTERS, said.replace("{}", other)) == "C"
