"""Answers that say yes or no to each label, and those that turn round what they said."""

from __future__ import annotations

import time

import pytest

from engine.inputs.answers.cued.verdict_rows import verdict_rows
from engine.inputs.answers.words import LabelWords
from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, LETTERS, YES_NO, read

ROWS = [
    (LETTERS, "(A) no (B) no (C) yes", "C"),
    (LETTERS, "A: no, B: no, C: yes, D: no", "C"),
    (LETTERS, "A - no; B - yes; C - no; D - no", "B"),
    (LETTERS, "A) false B) false C) true D) false", "C"),
    (LETTERS, "A no, B no, C no, D yes", "D"),
    (LETTERS, "(A) wrong, (B) wrong, (C) right, (D) wrong", "C"),
    (LETTERS, "Answer: (A) no (B) no (C) yes", "C"),
    (LETTERS, "Option A: no. Option B: yes.", "B"),
    (LETTERS, "A ❌ B ❌ C ✅ D ❌", "C"),
    (LETTERS, "A: [ ]\nB: [x]\nC: [ ]", "B"),
    (LETTERS, "A ( ) B (x) C ( )", "B"),
    (LETTERS, "A ✗\nB ✘\nC ☑\ufe0f", "C"),
    (LETTERS, "| Option | Correct |\n|---|---|\n| A | no |\n| B | yes |\n| C | no |", "B"),
    (LETTERS, "| Option | Eliminated |\n|---|---|\n| A | no |\n| B | yes |\n| C | yes |", "ambiguous_label"),
    (LETTERS, "A. Paris – incorrect\nB. London – correct\nC. Rome – incorrect", "B"),
    (LETTERS, "A) Paris ❌\nB) London ✅\nC) Rome ❌", "B"),
    (LETTERS, "A: oui, B: non, C: non", "A"),
    (LETTERS, "A：否 B：是 C：否", "B"),
    (LETTERS, "A: いいえ\nB: はい", "B"),
    (LETTERS, "A: yes, B: yes, C: no", "ambiguous_label"),
    (LETTERS, "A: no, B: no", "ambiguous_label"),
    (LETTERS, "(A) No, the company grew.", "denied_label"),
    (LETTERS, "A: 0.1, B: 0.2, C: 0.6, D: 0.1", "ambiguous_label"),
    (DIRECTIONS, "increase? no. decrease? yes.", "decrease"),
    (DIRECTIONS, "| increase | ✗ |\n| decrease | ✓ |", "decrease"),
    (("entailment", "neutral", "contradiction"), "entailment - no / neutral - yes / contradiction - no", "neutral"),
    (DIRECTIONS, "increase no decrease yes", "decrease"),
    (DIRECTIONS, "Increase, no decrease", "increase"),
    (DIRECTIONS, "Increase: no. Decrease: no. Answer: increase", "increase"),
    (YES_NO, "yes", "yes"),
    (("true", "false"), "True: no, False: yes", "false"),
]
REVERSALS = [
    ("EPS will increase. I expect the opposite.", "ambiguous_label"),
    ("The stock price will increase, but I expect the opposite for EPS.", "ambiguous_label"),
    ("EPS will increase. I don't expect the opposite.", "increase"),
    ("EPS will increase. Skeptics point to costs, but I disagree.", "increase"),
    ("I expect the opposite: EPS will decrease.", "decrease"),
    ("Answer: increase. For costs I expect the opposite.", "increase"),
]


@pytest.mark.parametrize(("labels", "answer", "label"), ROWS, ids=[answer for _, answer, _ in ROWS])
def test_an_answer_that_judges_each_label_states_the_one_it_says_yes_to(labels, answer, label):
    assert read(labels, answer) == label


@pytest.mark.parametrize(("answer", "label"), REVERSALS, ids=[answer for answer, _ in REVERSALS])
def test_what_prose_turns_round_is_not_stated(answer, label):
    assert read(DIRECTIONS, answer) == label


@pytest.mark.parametrize(
    "answer",
    ["A " * 300, "A. " + "x " * 290, "A: " + "- " * 290, "A" + "-" * 590, "A no " * 120, "a/" * 300, "_" * 600],
    ids=["letters", "words", "dashes", "hyphens", "verdicts", "slashes", "underscores"],
)
def test_a_hostile_list_costs_little(answer):
    labels = LabelWords({letter: [letter] for letter in LETTERS})
    began = time.process_time()
    assert verdict_rows(answer, labels) is None
    assert time.process_time() - began < 1
