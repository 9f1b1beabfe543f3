"""Which of several sentences decides, and how far conditions and denials reach: a line for each rule of the readers."""

from __future__ import annotations

import pytest

from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, YES_NO, read

FOUND = ("present", "absent")
MOVES = ("増加", "減少")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # What is asked for is named in the field: a text that never speaks of it may be of it all the same.
        ("Profit is likely to increase.", "increase"),
        ("EPS was 2.1. Sales are likely to increase.", "ambiguous_label"),
        ("EPS was 2.1. This points to an increase.", "increase"),
        ("EPS was 2.1. Given the sales, we might say they will increase.", "increase"),
        # The last one of several questions is no answer to the others, whatever is concluded behind them.
        ("Will costs rise? Increase. Will EPS rise? Decrease.", "ambiguous_label"),
        ("Will costs rise? Increase. Will EPS rise? Decrease. I expect an increase.", "increase"),
        ("Will EPS rise? Increase. Will profit rise? Increase.", "increase"),
        # Words that conclude of any subject decide neither between labels nor for what is beside.
        ("EPS is likely to increase. EPS is likely to decrease.", "ambiguous_label"),
        ("An increase is likely. Costs are likely to increase.", "ambiguous_label"),
        # A condition holds for what follows it in its part of the sentence.
        ("If prices fall, costs decrease, and EPS will increase.", "ambiguous_label"),
        ("The EPS will, if prices fall, increase.", "ambiguous_label"),
        ("If sales rise, EPS will increase. Otherwise it will decrease.", "ambiguous_label"),
    ],
)
def test_sentences_of_movement(answer, expected):
    assert read(DIRECTIONS, answer) == expected


@pytest.mark.parametrize(
    ("labels", "answer", "expected", "settings"),
    [
        (YES_NO, "Yes, if sales rise. Otherwise no.", "ambiguous_label", {}),
        (YES_NO, "Otherwise no. Yes, if sales rise.", "ambiguous_label", {}),
        (YES_NO, "Yes, if sales rise. No idea otherwise, yes.", "yes", {}),
        (YES_NO, "Yes. Otherwise no.", "ambiguous_label", {}),
        # A label that is called as a condition is none.
        (FOUND, "Absent the lesion is not, it is present.", "present", {}),
        (FOUND, "Absent, clearly absent.", "absent", {}),
        # In a script without blanks, one ends the clause: what is denied behind it is not the label.
        (MOVES, "増加 費用は しない", "増加", {"match": "inside"}),
        (MOVES, "答えは増加 費用 は 考えられない", "増加", {"match": "inside"}),
        (MOVES, "増加しない", "denied_label", {"match": "inside"}),
    ],
)
def test_parts_of_sentences(labels, answer, expected, settings):
    assert read(labels, answer, **settings) == expected
