"""One test per line of the table "Rules of labels" in docs/input.md, and the rules that hold for any text."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import DecisionSection
from engine.inputs.answers.stated import AnswerReader
from tests.fixtures.places import ROOT
from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, ENTAILMENT, LETTERS, ONE_ZERO, YES_NO, read

SENTIMENTS = ("positive", "negative", "neutral")
RULES = {
    # line of docs/input.md: (labels, answer, what it states, settings)
    "field": (DIRECTIONS, '{"direction_of_eps_change": "Increase"} Answer: decrease', "increase", {}),
    "nested": (
        DIRECTIONS,
        '{"direction_of_eps_change": "increase", "prior": {"direction_of_eps_change": "decrease"}}',
        "increase",
        {},
    ),
    "tag": (
        DIRECTIONS,
        "<direction_of_eps_change>Increase</direction_of_eps_change> as costs decrease",
        "increase",
        {},
    ),
    "cue": (LETTERS, "Answer: C. A firm with rising sales is likely to earn more.", "C", {}),
    "value": (DIRECTIONS, "Answer: flat\n\nCosts increase.", "no_label", {}),
    "beside value": (DIRECTIONS, "Answer: Higher, with a decrease in costs.", "ambiguous_label", {}),
    "truth": (YES_NO, '{"answer": true, "reason": "no loss"}', "yes", {}),
    "scale": (("1", "2", "3", "4", "5"), "**Score**: 3/5", "3", {}),
    "box": (LETTERS, "A looks good at first. $\\boxed{\\text{(B)}}$", "B", {}),
    "hashes": (LETTERS, "A is what I expect at first.\n#### B", "B", {}),
    "pattern": (LETTERS, "I pick A. Verdikt~~B~~", "B", {"pattern": r"Verdikt~~(\w)"}),
    "bare": (YES_NO, "Yes, EPS will rise. There is no sign of weakness.", "yes", {}),
    "prose": (LETTERS, "I would go with **B**. I considered A, C and D.", "B", {}),
    "frame": (LETTERS, "Everyone in my class answered D.", "ambiguous_label", {}),
    "said yes": (DIRECTIONS, "Will EPS increase? Yes.", "increase", {}),
    "inflection": (("increase", "decrease"), "I expect EPS to be increasing, with increasing costs.", "increase", {}),
    "advised": (("buy", "sell", "hold"), "I would sell the shares.", "sell", {}),
    "account": (DIRECTIONS, "Trend: Net income decreased by 3%.\n\nI predict that EPS will increase.", "increase", {}),
    "subjects": (DIRECTIONS, "EPS will increase. Earnings will decrease.", "ambiguous_label", {}),
    "asked": (DIRECTIONS, "EPS will increase, so the payout ratio should decrease.", "increase", {}),
    "neighbour": (DIRECTIONS, "Revenue is expected to increase.", "ambiguous_label", {}),
    "past": (DIRECTIONS, "EPS increased last year.", "ambiguous_label", {}),
    "to come": (DIRECTIONS, "EPS decreased in 1999 and will increase.", "increase", {}),
    "object": (DIRECTIONS, "A decrease in costs will lead to an increase in EPS.", "increase", {}),
    "final": (DIRECTIONS, "Answer: increase. Wait. Final answer: decrease", "decrease", {}),
    "correction": (
        DIRECTIONS,
        '{"direction_of_eps_change": "increase"} Wait, actually the answer is decrease.',
        "decrease",
        {},
    ),
    "verdicts": (LETTERS, "(A) no (B) no (C) yes", "C", {}),
    "turned round": (DIRECTIONS, "EPS will increase. I expect the opposite.", "ambiguous_label", {}),
    "taken back": (LETTERS, "Answer: B.\n\nOops, I misread it. It should be C.", "ambiguous_label", {}),
    "several": (LETTERS, "Answer: A, C", "ambiguous_label", {}),
    "both": (LETTERS, "Answer: Both A", "ambiguous_label", {}),
    "later line": (YES_NO, "no\n\nYes, I am sure.", "ambiguous_label", {}),
    "undecided": (SENTIMENTS, "Sentiment: mixed, leaning negative", "ambiguous_label", {}),
    "conflict": (DIRECTIONS, "Answer: increase.\n\nAnswer: decrease.", "ambiguous_label", {}),
    "explanation": (DIRECTIONS, "Prediction: Increase\nReason: the decrease in overall costs.", "increase", {}),
    "aside": (DIRECTIONS, "The direction is increase because costs decreased.", "increase", {}),
    "adjunct": (DIRECTIONS, "My view is that EPS will change given the increase in costs.", "ambiguous_label", {}),
    "other verdict": (
        DIRECTIONS,
        "Earnings will decline. The driver is an increase in sites.",
        "ambiguous_label",
        {},
    ),
    "set phrase": (("up", "down"), "Let me break it down.", "no_label", {}),
    "sign of a figure": (SENTIMENTS, "EBITDA turned positive.", "no_label", {}),
    "questions": (YES_NO, "Is it safe? Yes. Is it legal? No. That is all.", "ambiguous_label", {}),
    "granted": (DIRECTIONS, "While revenue decreased, EPS will increase.", "increase", {}),
    "part": (SENTIMENTS, "The tone is negative, with only one positive remark.", "negative", {}),
    "possible": (DIRECTIONS, "EPS could increase.", "ambiguous_label", {}),
    "choice": (DIRECTIONS, "Increase or decrease? Increase.", "increase", {}),
    "legend": (YES_NO, "1 = yes, 0 = no", "ambiguous_label", {}),
    "options": (LETTERS, "A) Up\nB) Down\n\nThe answer is B.", "B", {}),
    "probability": (DIRECTIONS, "P(increase)=0.2", "ambiguous_label", {}),
    "other key": (LETTERS, "Credit rating: A\nChoice: B", "B", {}),
    "measure": (ONE_ZERO, "The number of errors is 1.", "no_label", {}),
    "identifier": (ONE_ZERO, "LABEL_1", "no_label", {}),
    "number": (ONE_ZERO, "Confidence 0.3, up 10 or -1. Prediction: 1", "1", {}),
    "article": (LETTERS, "The answer is D. A company earns more.", "D", {}),
    "name": (LETTERS, "Series B and vitamin C sell well.", "no_label", {}),
    "letter alone": (LETTERS, "Answer: Amphotericin B", "no_label", {}),
    "determiner": (YES_NO, "There is no reason to expect a loss, so the answer is yes.", "yes", {}),
    "denial": (DIRECTIONS, "EPS is not expected to increase.", "denied_label", {}),
    "line end": (DIRECTIONS, "There is no\nincrease", "denied_label", {}),
    "denial behind": (DIRECTIONS, "A decrease is unlikely. I predict an increase.", "increase", {}),
    "ended": (DIRECTIONS, "The increase in EPS ends.", "denied_label", {}),
    "verdict behind": (LETTERS, "The answer is A, which is wrong.", "denied_label", {}),
    "doubt": (DIRECTIONS, "An increase in EPS next year seems rather doubtful.", "denied_label", {}),
    "wrong answer": (LETTERS, "La respuesta incorrecta es A", "denied_label", {}),
    "answers of others": (LETTERS, "The student's answer is A. The correct answer is B.", "B", {}),
    "judged answer": (("correct", "incorrect"), "The student's answer is incorrect.", "incorrect", {}),
    "supposed": (LETTERS, "A would be right if C were not.", "ambiguous_label", {}),
    "condition": (DIRECTIONS, "If costs fall, EPS will increase.", "ambiguous_label", {}),
    "absence": (DIRECTIONS, "Without a recovery in demand, earnings will decrease.", "ambiguous_label", {}),
    "event": (DIRECTIONS, "With a recovery, EPS would increase.", "ambiguous_label", {}),
    "clause": (DIRECTIONS, "I don't think that the company's EPS will increase.", "denied_label", {}),
    "opinion": (LETTERS, "Students often pick B. D is correct.", "D", {}),
    "hearsay": (
        DIRECTIONS,
        "The press predicted an increase. It would be rash to predict a decrease.",
        "ambiguous_label",
        {},
    ),
    "speaker": (DIRECTIONS, "CEO: EPS will increase.\nFinal Verdict: EPS will decrease.", "decrease", {}),
    "quotation": (DIRECTIONS, 'Management said: "We will increase EPS."', "ambiguous_label", {}),
    "other outcome": (DIRECTIONS, "EPS will increase or stay flat.", "ambiguous_label", {}),
    "aim": (DIRECTIONS, "Management aims to increase EPS, but I predict a decrease.", "decrease", {}),
    "governed": (DIRECTIONS, "The CEO wants an increase in EPS.", "ambiguous_label", {}),
    "given": (DIRECTIONS, "The increase in EPS has stalled.", "ambiguous_label", {}),
    "no denial": (DIRECTIONS, "No doubt EPS will increase.", "increase", {}),
    "contrast": (DIRECTIONS, "EPS will increase rather than decrease.", "increase", {}),
    "changed": (("buy", "hold"), "We upgrade the stock from hold to buy.", "buy", {}),
    "comparison": (DIRECTIONS, "EPS is less likely to increase than decrease.", "decrease", {}),
    "lesser": (LETTERS, "B is not as good as C. So C.", "C", {}),
    "underscore": (ENTAILMENT, "The label is not entailment.", "not_entailment", {}),
    "joined": (("증가", "감소"), "이익이 증가할 것으로 예상됩니다.", "증가", {}),
    "inside": (("art", "azal"), "Cevap: artacak", "art", {"match": "inside"}),
    "language": (("steigt", "fällt"), "Der Gewinn steigt im nächsten Jahr nicht.", "denied_label", {}),
    "untold": (("stijging", "daling"), "Er komt geen stijging.", "denied_label", {}),
    "negations": (("stiger", "faller"), "Vinsten stiger inte.", "denied_label", {"negations": ["inte", "… inte"]}),
}
"""The name of a line in the table, and an answer that only this rule reads right."""


@pytest.mark.parametrize("rule", RULES, ids=[rule.replace(" ", "-") for rule in RULES])
def test_rule(rule):
    labels, answer, stated, more = RULES[rule]
    assert read(labels, answer, **more) == stated


def test_every_line_of_the_table_has_a_test():
    page = (ROOT / "docs" / "input.md").read_text("utf-8")
    table = page.partition("### Rules of labels")[2].partition("\n##")[0]
    lines = re.findall(r"^\| `([\w ]+)` \|", table, re.MULTILINE)
    assert lines == list(RULES)


STATED = {
    "field": '{{"direction_of_eps_change": "{}"}}\n',
    "cue": "Answer: {}\n",
    "bold cue": "**Final answer:** **{}**\n",
    "sentence": "The answer is {}.\n",
    "box": "$\\boxed{{{}}}$\n",
    "bare": "{}\n",
    "bare with a stop": "{}. ",
}
CLAUSES = st.sampled_from(
    [
        "Costs decreased.", "The increase in debt is small.", "A decrease in sales is expected.", "Margins increase.",
        "Therefore costs will likely decrease.", "Overall, debt could increase or decrease.",
        "I predict that costs decrease.",
        "This rests on decreased costs, which are likely to stay low.", "Reason: an increase in debt is expected.",
        "- Cost of sales: decrease\n- Debt: increase", "No decrease in demand is expected.",
        "Would it decrease? Hardly.",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(shape=st.sampled_from(sorted(STATED)), label=st.sampled_from(DIRECTIONS), clauses=st.lists(CLAUSES, max_size=5))
def test_an_explanation_behind_a_stated_answer_never_changes_the_label(shape, label, clauses):
    answer = STATED[shape].format(label.title())
    assert read(DIRECTIONS, answer) == label
    assert read(DIRECTIONS, answer + "\n" + " ".join(clauses)) == label


MARKUP = [("", ""), ("**", "**"), ("*", "*"), ("`", "`"), ("_", "_"), ('"', '"'), ("(", ")"), ("[", "]"), ("“", "”")]


@settings(max_examples=200, deadline=None)
@given(
    labels=st.sampled_from([DIRECTIONS, LETTERS, YES_NO, ONE_ZERO, ENTAILMENT, ("very good", "good")]),
    place=st.integers(0, 1),
    case=st.sampled_from([str.lower, str.upper, str.title, str]),
    cue=st.sampled_from(
        ["", "Answer: ", "ANSWER:", "answer :  ", "**Answer**: ", "Final Answer:\n\n", "My answer is "]
    ),
    markup=st.sampled_from(MARKUP),
    ends=st.sampled_from(["", ".", "\n", " ", "!", ".\n\n"]),
)
def test_case_spacing_and_markup_around_the_label_never_change_it(labels, place, case, cue, markup, ends):
    label = labels[place]
    assert read(labels, f"{cue}{markup[0]}{case(label)}{markup[1]}{ends}") == label


def test_labels_are_looked_for_within_a_stretch_and_placed_in_the_whole_answer():
    answer = "Answer: decrease. </think> Answer: increase\nHuman: Answer: decrease"
    start, end = answer.index("</think>") + 8, answer.index("\nHuman")
    stated = AnswerReader(DecisionSection()).stated(answer, start, end)
    assert stated.text.word is not None and stated.text.word.label == "increase"
    assert answer[stated.text.word.start : stated.text.word.end] == "increase"
    assert {word.label for word in stated.words} == {"increase"}


HOSTILE = [
    "a", " ", "\n", "answer: ", "most likely ", "increase ", "increase or decrease, ", "not ", "not increase ", "(",
    "{",
    "\\boxed{", '"direction_of_eps_change": "', "1.", "the answer is ", "because increase ", "increase than decrease ",
    "*", "B, ", "不会增加", "ال", "A) x\n", "上昇する可能性", "#### a\n",
    "......", "A, ", "yes, but ", "no\n", "P(", "probability of ", "is very ", "increase is ", "\n> ", "key: A ", "if ",
    "- ", "_", "without ", "CEO: increase\n", "increase or flat ", "as x ", "increase without a ",
    "wrong answer ", "increase\n", "[ ] ", "no, ", "20% ", "increase if ", "if a, ",
]  # fmt: skip


ENDED = [("if ", "increase"), ("increase ", "if x"), ("increase if ", "x"), ("according to ", "increase")]
"""What is repeated, and what follows it once."""
GROWING = [*((text, "") for text in HOSTILE), *ENDED]


@pytest.mark.parametrize(("text", "end"), GROWING, ids=[f"{i}" for i in range(len(GROWING))])
def test_the_time_grows_with_the_length_only(text, end):
    reader = AnswerReader(DecisionSection())

    def seconds(length: int) -> float:
        answer = (text * (length // len(text) + 1))[:length] + end
        before = time.process_time()
        reader.stated(answer)
        return time.process_time() - before

    seconds(1_000)  # compiles
    tries = ((seconds(2_000), seconds(8_000)) for _ in range(4))
    assert any(long < 10 * short + 0.1 for short, long in tries)


def test_any_text_is_read():
    rng = random.Random(0)
    words = ["AB10", ".,:;\n*_#{}[]()<>|\\\"'$", "increase", "decrease", "Answer", "not", "不会增加", "ال"]
    signs = [*words, " ", "\n", ""]
    reader = AnswerReader(DecisionSection(labels={"increase": [], "A": []}))
    for _ in range(300):
        answer = "".join(rng.choice(signs) for _ in range(40))
        stated = reader.stated(answer)
        for word in stated.words:
            assert answer[word.start : word.end].casefold() in ("increase", "a")
