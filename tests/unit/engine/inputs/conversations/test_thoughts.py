"""Thoughts are told from answers, whatever marks them; labels are read behind them only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import Config
from engine.inputs.conversations.thoughts.marked import closing_mark, opens_thought, thoughts_of
from engine.inputs.readers.record import Record
from engine.inputs.sample_reader import SampleReader
from engine.samples import RowRejected

PAIRS = {
    "think": ("<think>", "</think>"),
    "capitals": ("<Think>", "</Think>"),
    "thinking": ("<thinking>", "</thinking>"),
    "thought": ("<thought>", "</thought>"),
    "reasoning": ("<reasoning>", "</reasoning>"),
    "analysis": ("<analysis>", "</analysis>"),
    "seed": ("<seed:think>", "</seed:think>"),
    "open thinker": ("<|begin_of_thought|>", "<|end_of_thought|>"),
    "magistral": ("[THINK]", "[/THINK]"),
    "command a": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "gemma": ("<|channel>thought\n", "<channel|>"),
    "granite": ("Here is my thought process:", "Here is my response:"),
    "think start": ("<|think_start|>", "<|think_end|>"),
    "start think": ("<|start_thinking|>", "<|end_thinking|>"),
    "escaped": ("&lt;think&gt;", "&lt;/think&gt;"),
    "scratch pad": ("<scratch_pad>", "</scratch_pad>"),
    "thinking token": ("<|thinking|>", "<|/thinking|>"),
    "thinking block": ("<thinking_block>", "</thinking_block>"),
    "reason": ("<reason>", "</reason>"),
    "rationale": ("<rationale>", "</rationale>"),
    "internal": ("<internal>", "</internal>"),
    "plan": ("<plan>", "</plan>"),
    "deep think": ("<deep_think>", "</deep_think>"),
    "details": ("<details><summary>Reasoning</summary>\n", "\n</details>\n"),
    "details with a sign": ("<details>\n<summary>💭 My thoughts</summary>\n", "\n</details>\n"),
    "fence": ("```thinking\n", "\n```\n"),
    "kimi": ("◁think▷", "◁/think▷"),
    "harmony": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "harmony, stripped": ("analysis", "assistantfinal"),
}
ANSWERS = (
    ("EPS will increase.", "increase"),
    ('{"direction_of_eps_change": "Decrease"}', "decrease"),
    ("**Increase**", "increase"),
    ("Direction of EPS change: decrease\nSales may increase.", "decrease"),
)


def read(response, **values):
    reader = SampleReader(
        Config.model_validate({"predictions": {"path": "x"}, "model": {"path": "x"}, "prompt": {"source": "fields"}})
    )
    row = Record({"id": "a", "prompt": "Up or down?", "response": response, **values}, number=1)
    return reader.sample("a", row)


@pytest.mark.parametrize("name", sorted(PAIRS))
@pytest.mark.parametrize(("answer", "label"), ANSWERS, ids=["prose", "json", "bare", "field"])
def test_the_label_stands_behind_the_thought(name, answer, label):
    first, last = PAIRS[name]
    other = "decrease" if label == "increase" else "increase"
    thought = f'Final answer: {other}. {{"direction_of_eps_change": "{other}"}} I predict {other}.'
    text = f"{first}{thought}{last}{answer}"
    sample = read(text)
    assert (sample.predicted_label, sample.response) == (label, text)
    assert sample.label_start >= text.rindex(answer) and text[slice(*sample.thoughts[0])].count(other) == 3


@pytest.mark.parametrize("name", sorted(set(PAIRS) - {"harmony, stripped", "granite"}))
def test_an_unclosed_thought_and_one_without_an_answer(name):
    first, last = PAIRS[name]
    for text, reason in (
        (f"{first}\nEPS will increase. So", "unclosed_thought"),
        (f"{first}\nEPS will increase.{last}\n\n", "thought_without_answer"),
    ):
        with pytest.raises(RowRejected) as caught:
            read(text, predicted_direction="increase")
        assert (caught.value.stage, caught.value.reason) == ("label", reason)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("decrease, I think</think>\nincrease", "\nincrease"),
        ("<think>a</think>\nWell.\n<think>decrease</think> increase", " increase"),
        ("<think>a <think>decrease</think> b</think> increase", " increase"),
        ("<think>decrease</think>\nincrease\n<think>done</think>", "\nincrease\n"),
        ("<answer>increase</answer>\n<reasoning>Costs decrease and", "<answer>increase</answer>\n"),
        ("The tag `<think>` opens it: increase", "The tag `<think>` opens it: increase"),
        ("I <think> it will increase", "I <think> it will increase"),
        ("analysis of sales: increase", "analysis of sales: increase"),
        ("finalAnswer: increase", "Answer: increase"),
        ("<|channel|>final<|message|>increase<|return|>", "increase"),
        ("increase", "increase"),
        ("", ""),
    ],
    ids=[
        "opened by the prompt",
        "two thoughts",
        "nested",
        "a thought behind the answer",
        "a cut explanation",
        "spoken of as code",
        "spoken of in a line",
        "a word of prose",
        "a bare final channel",
        "a final channel alone",
        "none",
        "empty",
    ],
)
def test_where_the_answer_stands(text, answer):
    thoughts = thoughts_of(text)
    assert (text[thoughts.start : thoughts.end], thoughts.problem) == (answer, "")


@pytest.mark.parametrize(
    ("prompt", "mark"),
    [
        ("<|im_start|>assistant\n<think>\n", "</think>"),
        ("[/INST][THINK]", "[/THINK]"),
        ("<seed:think>", "</seed:think>"),
        ("<|begin_of_thought|>\n\n", "<|end_of_thought|>"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", None),
        ("Use <think> tags.\nassistant\n", None),
    ],
    ids=["think", "magistral", "seed", "open thinker", "closed at once", "spoken of"],
)
def test_prompts_that_open_a_thought(prompt, mark):
    assert opens_thought(prompt) is (mark is not None)
    if mark:
        assert closing_mark(prompt) == mark


WORDS = st.lists(
    st.sampled_from(
        [
            "EPS",
            "will",
            "increase",
            "decrease",
            "not",
            "Final answer:",
            "so",
            '{"direction_of_eps_change":',
            "0.3",
            "\n",
            ".",
        ]
    ),
    min_size=1,
    max_size=20,
).map(" ".join)


@settings(deadline=None, max_examples=150)
@given(thoughts=st.lists(WORDS, min_size=1, max_size=3), names=st.data(), answer=st.sampled_from(ANSWERS))
def test_adding_thoughts_never_changes_the_label(thoughts, names, answer):
    said, label = answer
    plain = read(said)
    marked = ""
    for thought in thoughts:
        name = names.draw(st.sampled_from(sorted(set(PAIRS) - {"harmony", "harmony, stripped", "granite"})))
        marked += f"{PAIRS[name][0]}\n{thought}\n{PAIRS[name][1]}\n\n"
    thinking = read(marked + said)
    assert (
        (thinking.predicted_label, thinking.label_source)
        == (plain.predicted_label, plain.label_source)
        == (label, plain.label_source)
    )
    flags = tuple(flag for flag in thinking.flags if flag != "escaped_text" or "&lt;" not in marked)
    assert thinking.label_start == plain.label_start + len(marked) and flags == plain.flags


def test_remarks_are_not_read_in_thoughts():
    block = {"direction_of_eps_change": "Increase", "certainty_of_assessment": "Low"}
    sample = read(f"<think>{json.dumps(block)}</think>EPS will increase.")
    assert sample.certainty is None
    assert read(json.dumps(block)).certainty == "Low"


@pytest.mark.parametrize(
    "text",
    [
        "Increase.\n<rationale>It may decrease later.</rationale>",
        "<answer>Increase</answer>\n<reason>They did not decrease.</reason>\n",
        '```json\n{"direction_of_eps_change": "Increase"}\n```',
        '```json\n{"direction_of_eps_change": "Increase"}\n```\n```reasoning\nNo decrease.\n```\n',
        "Increase.\n<details><summary>Reasoning</summary>\nA decrease is unlikely.\n</details>",
        "<details><summary>Result</summary>\nIncrease\n</details>",
    ],
    ids=["rationale behind", "reason behind", "fence of json", "fence behind", "details behind", "other details"],
)
def test_what_only_explains_an_answer_before_it_is_no_thought(text):
    sample = read(text)
    assert sample.predicted_label == "increase" and not sample.thoughts


@pytest.mark.parametrize("name", ["plan", "fence", "details", "escaped", "think start", "rationale"])
def test_a_leading_thought_that_is_never_closed_is_said(name):
    with pytest.raises(RowRejected) as caught:
        read(f"{PAIRS[name][0]}EPS may increase")
    assert caught.value.reason == "unclosed_thought"


@pytest.mark.parametrize("name", ["plan", "fence", "details", "escaped", "think start", "start think"])
def test_the_closing_mark_of_an_open_prompt(name):
    first = PAIRS[name][0]
    assert opens_thought(f"Up or down?\n{first.rstrip()}\n")
    closing = closing_mark(f"Up or down?\n{first.rstrip()}\n")
    assert thoughts_of(f"{first}x\n{closing}\nincrease").start > len(first)
