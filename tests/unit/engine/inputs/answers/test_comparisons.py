"""Labels that are compared, granted something or said of a part, and trades that are advised."""

from __future__ import annotations

import pytest

from tests.unit.engine.inputs.answers.test_stated import DIRECTIONS, LETTERS, REASONS, read

PAIR = ("A", "B")
SENTIMENTS = ("positive", "negative", "neutral")
RATINGS = ("buy", "hold", "sell")
STATED = [
    (PAIR, "B is not as good as A.", "A"),
    (PAIR, "A is better than B.", "A"),
    ((*PAIR, "tie"), "Response A is better than Response B.", "A"),
    (LETTERS, "Between B and C, B is not as good as C.", "C"),
    (LETTERS, "Between A and B, B is better.", "B"),
    (LETTERS, "B is a plausible answer, but C is better.", "C"),
    (LETTERS, "It could be A, but B is better.", "B"),
    (DIRECTIONS, "EPS could increase, but I expect a decrease.", "decrease"),
    (DIRECTIONS, "EPS may increase.", "increase"),
    (DIRECTIONS, "EPS may increase, but only slightly.", "increase"),
    (SENTIMENTS, "Despite some positive remarks the overall sentiment is negative", "negative"),
    (SENTIMENTS, "While the opening is positive, the statement as a whole is negative in tone.", "negative"),
    (SENTIMENTS, "There are some positive words, but the overall sentiment is negative.", "negative"),
    (SENTIMENTS, "Although it starts out positive, the review ends up being negative.", "negative"),
    (SENTIMENTS, "This can be classified as positive.", "positive"),
    (DIRECTIONS, "In my opinion an increase is the more probable outcome.", "increase"),
    (DIRECTIONS, "The company is poised for an increase in earnings per share.", "increase"),
    (RATINGS, "I would buy this stock.", "buy"),
    (RATINGS, "My recommendation is to hold the shares for now.", "hold"),
    (RATINGS, "Investors should sell.", "sell"),
    (RATINGS, "Sell the stock.", "sell"),
    (("yes", "no"), "So, to answer your question: yes, it does.", "yes"),
    (("yes", "no"), "To answer the question: no.", "no"),
]
NOTHING = [
    (LETTERS, "B is worse than C."),
    (LETTERS, "A is better than B."),
    (LETTERS, "Option B is not as good as option C."),
    (LETTERS, "B不如C。"),
    (LETTERS, "It could be B."),
    (DIRECTIONS, "EPS could increase."),
    (SENTIMENTS, "It has positive and negative aspects."),
    (SENTIMENTS, "Given the sentiment is negative in part, I cannot say."),
    (RATINGS, "I would sell only above $120."),
    (RATINGS, "Analysts recommend to sell the stock."),
    (RATINGS, "We hold the view that the stock is fairly valued."),
    (RATINGS, "Buy low and sell high."),
]


@pytest.mark.parametrize(("labels", "answer", "stated"), STATED)
def test_what_is_stated_beside_another_label(labels, answer, stated):
    assert read(labels, answer) == stated


@pytest.mark.parametrize(("labels", "answer"), NOTHING)
def test_what_is_only_compared_or_possible(labels, answer):
    assert read(labels, answer) in REASONS


@pytest.mark.parametrize("head", ["### Trend\n", "Trend: ", "**Outlook:** "])
def test_an_account_of_what_was_is_no_answer(head):
    answer = f"{head}Net income decreased by 3%.\n\nOverall, I predict an increase in EPS."
    assert read(DIRECTIONS, answer) == "increase"
    assert read(DIRECTIONS, f"{head}increase") == "increase"
