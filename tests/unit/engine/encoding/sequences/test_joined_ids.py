"""Recorded token ids with padding, with the answer behind the prompt or the prompt in front of the answer."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from tests.fixtures.chat_templates import styled_tokenizer
from tests.fixtures.encoded_rows import ANSWER, USER, encode, whole

TURNS = [{"role": "user", "content": USER}]


@pytest.fixture(scope="module")
def folder(tokenizer_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("joined") / "chatml"
    styled_tokenizer(path, tokenizer_dir, "chatml")
    return path


@pytest.fixture(scope="module")
def ids(folder):
    """Return the ids of prompt and answer, and those of the tokens around them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    _, asked, _ = whole(folder, TURNS)
    said = tokenizer(f"{ANSWER}<|im_end|>", add_special_tokens=False)["input_ids"]
    end, pad = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    return {"asked": asked, "said": said, "end": end, "pad": pad}


def recorded(ids, name):
    asked, said, end, pad = ids["asked"], ids["said"], ids["end"], ids["pad"]
    return {
        "apart": (asked, said),
        "answer in prompt": (asked + said, said),
        "answer in prompt, not ended": (asked + said[:-1], said),
        "answer in prompt only": (asked + said, None),
        "prompt in answer": (None, asked + said),
        "prompt in both": (asked, asked + said),
        "whole in both": (asked + said, asked + said),
        "padded": ([pad] * 3 + asked, said + [pad] * 4),
        "padded once": ([pad, *asked], said),
        "padded with the end": ([end] * 2 + asked, said + [end] * 2),
        "padded and joined": ([pad] * 2 + asked + said + [pad], said),
    }[name]


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("apart", []),
        ("answer in prompt", ["answer_in_prompt"]),
        ("answer in prompt, not ended", ["answer_in_prompt"]),
        ("answer in prompt only", ["answer_in_prompt"]),
        ("prompt in answer", ["prompt_in_answer"]),
        ("prompt in both", ["prompt_in_answer"]),
        ("whole in both", ["prompt_in_answer"]),
        ("padded", ["padding_left_out"]),
        ("padded once", ["padding_left_out"]),
        ("padded with the end", ["padding_left_out"]),
        ("padded and joined", ["padding_left_out", "answer_in_prompt"]),
    ],
)
def test_prompt_and_answer_are_measured_once_without_padding(tmp_path, folder, ids, name, flags):
    prompt, answer = recorded(ids, name)
    alone = {"prompt_token_ids": prompt, "token_ids": answer}
    rows = [{"prompt": USER, "response": ANSWER, **alone}, *([alone] if answer else [])]
    encoded, rejects = encode(tmp_path, folder, rows, "fields")
    assert not rejects
    expected = [*ids["asked"], *ids["said"]]
    for sample in encoded.values():
        assert list(sample.input_ids) == expected[: sample.num_tokens] and sample.num_tokens >= len(expected) - 1
        assert sample.num_prompt_tokens == len(ids["asked"])
        assert (sample.sequence_source, sample.metadata["flags"]) == ("token_ids", flags)


@pytest.mark.parametrize("style", ["chatml", "plain"])
def test_a_prompt_whose_ids_await_no_answer_is_flagged(tmp_path, folder, ids, style):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    opened = tokenizer("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    asked = ids["asked"][: -len(opened)] if style == "chatml" else tokenizer(USER)["input_ids"]
    row = {"prompt": USER, "response": ANSWER, "prompt_token_ids": asked, "token_ids": ids["said"]}
    other = {**row, "prompt_token_ids": ids["asked"] + tokenizer("No.<|im_end|>\n")["input_ids"]}
    encoded, _ = encode(tmp_path, folder, [row, other], "fields")
    flags = [sample.metadata["flags"] for sample in encoded.values()]
    assert flags == [["no_generation_prompt"], ["no_generation_prompt", "more_in_token_ids"]]
    assert list(encoded["r0"].input_ids[: len(asked)]) == asked


def test_without_a_template_the_recorded_texts_tell_prompt_and_answer_apart(tmp_path, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked, said = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (USER, " increase"))
    row = {"prompt": USER, "response": " increase"}
    rows = [
        {**row, "prompt_token_ids": asked + said, "token_ids": said},
        {**row, "token_ids": asked + said},
        {**row, "prompt_token_ids": asked, "token_ids": said},
    ]
    encoded, rejects = encode(tmp_path, folder, rows, "fields", prompt={"chat_template": "none"})
    assert not rejects and [list(sample.input_ids) for sample in encoded.values()] == [asked + said] * 3
    flags = [sample.metadata["flags"] for sample in encoded.values()]
    assert flags == [["answer_in_prompt"], ["prompt_in_answer"], []]


@pytest.mark.parametrize("text", ["1 2 3", "1,2,3", "[1 2 3]", "[1, 2, 3]"])
def test_ids_in_a_cell_are_read(text):
    from engine.inputs.conversations.token_ids.compared import token_ids

    assert token_ids(text, "token_ids") == (1, 2, 3)


@pytest.mark.parametrize("value", ["abc", "1 b", [1, -100], {"ids": 1}, "[1, 2"])
def test_what_is_no_list_of_ids_is_called_so(value):
    from engine.inputs.conversations.token_ids.compared import token_ids
    from engine.samples import RowRejected

    with pytest.raises(RowRejected) as caught:
        token_ids(value, "token_ids")
    assert caught.value.reason == "unreadable_token_ids" and "'token_ids'" in str(caught.value)


def test_what_a_conversation_holds_beside_prompt_and_answer_is_said(tmp_path, folder):
    call = {"id": "c", "type": "function", "function": {"name": "get", "arguments": "{}"}}
    said = {"role": "assistant", "content": ANSWER}
    rows = [
        {"messages": [*TURNS, {**said, "tool_calls": [call]}]},
        {"messages": [*TURNS, {**said, "content": "EPS will"}, {**said, "content": " increase."}]},
        {"messages": [{"role": "user", "content": f"Human: {USER}\n\nAssistant:"}, said]},
        {"messages": [*TURNS, said, {"role": "user", "content": "Thanks!"}]},
    ]
    encoded, rejects = encode(tmp_path, folder, rows, "messages")
    flags = [sample.metadata["flags"] for sample in encoded.values()]
    assert flags == [["tool_calls_left_out"], ["answers_joined"], ["plain_layout_inside"]]
    assert encoded["r1"].text.endswith("assistant\nEPS will increase.")
    assert rejects == {"r3": "no_response"}
    _, rejects = encode(tmp_path, folder, rows[3:], "messages")
    assert "The last message is the user's ('Thanks!')" in rejects["all"]
    encoded, _ = encode(tmp_path, folder, rows[2:3], "messages", prompt={"chat_template": "none"})
    assert encoded["r0"].metadata["flags"] == [] and encoded["r0"].text == f"Human: {USER}\n\nAssistant:{ANSWER}"
