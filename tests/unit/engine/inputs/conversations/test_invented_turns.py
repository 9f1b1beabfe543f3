"""A model's turn ends where it goes on to write the next one, if it said a label before."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import Config
from engine.encoding.conversations import sample_reader
from engine.encoding.tokenizer import load_tokenizer
from engine.inputs.readers.record import Record
from engine.inputs.sample_reader import SampleReader
from tests.fixtures.chat_templates import STYLES, styled_tokenizer

MARKERS = (
    "Human:",
    "User:",
    "USER:",
    "Question:",
    "Question 2:",
    "Q:",
    "**Question:**",
    "### Instruction:",
    "### Human:",
    "## Question\n",
    "Instruction:",
    "Next question:",
    "Another question:",
    "**Follow-up:**",
    "Follow-up question:",
    "Q2.",
    "Pertanyaan:",
    "السؤال:",
    "प्रश्न:",
    "问题：",
    "用户:",
    "Вопрос:",
    "<|user|>",
    "[INST]",
    "<|im_start|>user",
    "<|im_end|>\n<|im_start|>user",
    "<|endoftext|>Human:",
    "<|eot_id|><|start_header_id|>user<|end_header_id|>",
    "</s>",
    "<end_of_turn>\n<start_of_turn>user",
    "<｜User｜>",
)
NEXT = "Sales fell. Will EPS increase or decrease?\nAnswer: decrease. I predict a decrease."


def config(**prompt):
    return Config.model_validate(
        {"predictions": {"path": "x"}, "model": {"path": "x"}, "prompt": {"source": "fields", **prompt}}
    )


def read(response, prompt="Sales rose. Will EPS increase or decrease?", reader=None):
    row = Record({"id": "a", "prompt": prompt, "response": response}, number=1)
    return (reader or SampleReader(config())).sample("a", row)


def test_the_prompts_own_first_line_begins_another_example():
    prompt = "Below is the balance sheet of a company:\n| Assets | 3 |\nWhat will EPS do?"
    sample = read("increase\n\nBelow is the balance sheet of a company:\n| Assets | 4 |\ndecrease", prompt=prompt)
    assert (sample.predicted_label, sample.response) == ("increase", "increase")


@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("said", [" increase", '{"direction_of_eps_change": "Increase"}', "My answer: increase"])
def test_the_turn_ends_where_the_next_begins(marker, said):
    sample = read(f"{said}\n\n{marker} {NEXT}")
    assert (sample.predicted_label, sample.response) == ("increase", said)
    assert sample.flags == ("cut_at_next_turn",)


@pytest.mark.parametrize(
    ("response", "label", "flags"),
    [
        ("Question: Will EPS increase or decrease?\nAnswer: increase", "increase", ()),
        ("Let me restate.\nQuestion: Will EPS rise?\nAnswer: increase", "increase", ("role_lines_inside",)),
        ("My answer to the user: increase", "increase", ()),
        ("increase\nUsers are happy.", "increase", ()),
        ("increase<|im_end|>", "increase", ()),
        ("<think>\nUser: will it decrease?\n</think>\nincrease", "increase", ()),
        ("<think>\nx\n</think>\nincrease\nUser: decrease?", "increase", ("cut_at_next_turn",)),
    ],
    ids=[
        "quoted before the answer",
        "restated before the answer",
        "inside a line",
        "a longer word",
        "the end of a turn alone",
        "in a thought",
        "behind a thought",
    ],
)
def test_what_is_no_next_turn(response, label, flags):
    sample = read(response)
    assert (sample.predicted_label, sample.flags) == (label, flags)
    assert sample.response == (response if "cut_at_next_turn" not in flags else response.partition("\nUser:")[0])


@pytest.mark.parametrize(
    ("response", "kept", "flags"),
    [
        ("increase<|im_end|>", "increase<|im_end|>", ()),
        ("increase<|im_end|>\n", "increase<|im_end|>", ("padding_left_out",)),
        ("increase <|im_end|><|im_end|>", "increase <|im_end|>", ("padding_left_out",)),
        ("increase<|im_end|>\n<|endoftext|>", "increase<|im_end|>", ("padding_left_out",)),
        ("increase</s><pad><pad>", "increase</s>", ("padding_left_out",)),
        ("increase[PAD][PAD]", "increase", ("padding_left_out",)),
        ("increase.\n", "increase.\n", ()),
        ("<|im_end|> is a token: increase", "<|im_end|> is a token: increase", ()),
        ("increase<|im_end|>\ndecrease<|im_end|>", "increase", ("cut_at_next_turn",)),
    ],
)
def test_an_end_token_stands_once_at_the_end(response, kept, flags):
    sample = read(response)
    assert (sample.predicted_label, sample.response, sample.flags) == ("increase", kept, flags)


def test_an_example_of_a_prompt_with_examples_is_a_next_turn():
    prompt = "Review: Sales fell.\nDirection: decrease\n\nReview: Sales rose.\nDirection:"
    sample = read(" increase\n\nReview: Costs rose.\nDirection: decrease", prompt)
    assert (sample.predicted_label, sample.response) == ("increase", " increase")
    assert read(" increase\nReason: costs decrease", prompt).response.endswith("costs decrease")


@pytest.mark.parametrize("style", sorted(set(STYLES) - {"gpt-oss", "deepseek"}))
def test_marks_of_the_template_with_special_tokens_and_without(tmp_path, tokenizer_dir, style):
    tokenizer = styled_tokenizer(tmp_path, tokenizer_dir, style)
    made = Config.model_validate(
        {"predictions": {"path": "x"}, "model": {"path": str(tmp_path)}, "prompt": {"source": "fields"}}
    )
    reader = sample_reader(made, tokenizer=load_tokenizer(made))
    turns = [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "EPS will increase."}]
    turns += [{"role": "user", "content": NEXT}]
    whole = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    said = whole[whole.index("EPS will") :]
    stripped = tokenizer.decode(tokenizer(said, add_special_tokens=False)["input_ids"], skip_special_tokens=True)
    for text in (said, stripped):
        if text == stripped and style in ("phi", "mistral", "llama 2"):
            continue  # their roles are special tokens only
        sample = read(text + "decrease", reader=reader)
        assert (sample.predicted_label, sample.response) == ("increase", "EPS will increase."), text
        assert sample.flags == ("cut_at_next_turn",)


@pytest.mark.parametrize(
    "behind",
    [
        "Input: Sales fell.\nOutput: decrease",
        "Text: Sales fell.\nLabel: decrease",
        "Example 2:\nSales fell: decrease",
        "### Example 2\nSales fell: decrease",
        "**Example 3:** Sales fell: decrease",
        "Prompt: Sales fell.\nCompletion: decrease",
        "Problem: Sales fell.\nSolution: decrease",
        "Premise: Sales fell.\nHypothesis: EPS falls.\nLabel: decrease",
        "**Input:** Sales fell.\n**Output:** decrease",
        "user\nSales fell.\nassistant\ndecrease",
        "human\nSales fell.\nassistant\ndecrease",
    ],
)
def test_another_example_is_a_next_turn_without_any_in_the_prompt(behind):
    sample = read(f"increase\n\n{behind}")
    assert (sample.predicted_label, sample.response) == ("increase", "increase")
    assert sample.flags == ("cut_at_next_turn",)


def test_a_next_turn_that_lost_its_line_is_one():
    sample = read("EPS will increase.user\n\nSales fell.assistant\n\ndecrease")
    assert (sample.predicted_label, sample.response) == ("increase", "EPS will increase.")


@pytest.mark.parametrize(
    "answer",
    [
        "increase\nProblem: high debt, no decrease of it",
        "increase\nContext: sales rose\nReason: costs fell",
        "Output: increase\nInput costs fell",
        "increase\nA user may ask for more.\nThe assistant agrees.",
        "increase\nFor example 2 of 3 firms grew.",
    ],
    ids=["one name", "no answer", "other words", "prose", "inside a line"],
)
def test_names_of_lines_that_explain_are_no_next_turn(answer):
    sample = read(answer)
    assert sample.predicted_label == "increase" and sample.response == answer and sample.flags == ()


@settings(deadline=None, max_examples=100)
@given(
    said=st.sampled_from(["increase", "**Increase.**", 'The answer is {"direction_of_eps_change": "increase"}']),
    marker=st.sampled_from(MARKERS),
    rest=st.text("abc decrease\n.:", max_size=60),
)
def test_what_a_model_invents_never_changes_the_label(said, marker, rest):
    sample = read(f"{said}\n{marker} decrease {rest}")
    assert sample.predicted_label == "increase" and sample.response == said
