"""Prompts in plain text that name who asks and who answers."""

import pytest

from engine.inputs.conversations.plain_layouts import has_plain_layout

LAYOUTS = {
    "alpaca": "Below is an instruction.\n\n### Instruction:\nWill EPS rise?\n\n### Response:\n",
    "alpaca with input": "### Instruction:\nJudge.\n\n### Input:\nSales rose.\n\n### Response:",
    "alpaca without colons": "### Human\nHi\n### Assistant\n",
    "one mark": "Will EPS rise?\n\n### Answer:",
    "anthropic": "\n\nHuman: Will EPS rise?\n\nAssistant:",
    "vicuna": "A chat between a user and an assistant. USER: Will EPS rise? ASSISTANT:",
    "openchat": "GPT4 Correct User: Hi\nGPT4 Correct Assistant:",
    "phi": "Instruct: Will EPS rise?\nOutput:",
    "letters": "Q: Will it rain?\nA: no\nQ: Will EPS rise?\nA:",
    "words": "Question: Will EPS rise?\nAnswer: ",
    "tags": "<human>: Hi\n<bot>:",
    "role lines": "user\nWill EPS rise?\nassistant\n",
}
OTHERS = {
    "question": "Will EPS increase or decrease?",
    "label at the end": "Sales rose by 3 %.\nAnswer:",
    "layout in the middle": "Human: hi\nAssistant: hello\nWhat did the human say?",
    "options": "Choose.\nA: increase\nB: decrease",
    "statement": "Income: 3\nOutput: 4 units",
    "heading": "### Question\nWill EPS rise?",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_of_its_own(name):
    assert has_plain_layout(LAYOUTS[name])


@pytest.mark.parametrize("name", OTHERS)
def test_a_users_words(name):
    assert not has_plain_layout(OTHERS[name])
