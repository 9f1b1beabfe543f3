"""Thoughts and turns in marks that no table lists one by one."""

import pytest

from tests.unit.engine.inputs.conversations.test_invented_turns import read as turns
from tests.unit.engine.inputs.conversations.test_thoughts import read as thoughts


@pytest.mark.parametrize(
    ("opens", "closes"),
    [
        ("<longcat_think>", "</longcat_think>"),
        ("<mm:think>", "</mm:think>"),
        ("<thinking_process>", "</thinking_process>"),
        ("<reasoning_content>", "</reasoning_content>"),
        ("<draft>", "</draft>"),
        ("[REASONING]", "[/REASONING]"),
        ("<|reasoning_start|>", "<|reasoning_end|>"),
    ],
)
def test_thoughts_by_their_names(opens, closes):
    sample = thoughts(f"{opens}I predict an increase.{closes}\nEPS will decrease.")
    assert sample.predicted_label == "decrease"


@pytest.mark.parametrize(
    "turn",
    [
        "User\nfoo\nAssistant\ndecrease",
        "[User]\nfoo\n[Assistant]\ndecrease",
        "Human\nfoo\nAI\ndecrease",
        "2. Question: foo\nAnswer: decrease",
        "<question>foo</question><answer>decrease</answer>",
        "User input: foo\nModel output: decrease",
        "Exercise 2\nfoo\nAnswer: decrease",
    ],
)
def test_turns_by_their_names(turn):
    sample = turns(f"EPS will increase.\n\n{turn}")
    assert sample.predicted_label == "increase" and sample.response.rstrip() == "EPS will increase."
