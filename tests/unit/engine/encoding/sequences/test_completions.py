"""Answers as servers return them, refusals, and transcripts whose roles stand in plain text."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from tests.fixtures.encoded_rows import ANSWER, USER, encode, segment, whole

ASKED = [{"role": "user", "content": USER}]
SAID = {"role": "assistant", "content": ANSWER}
OUTPUT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": ANSWER}]}


def choice(message=None, **fields):
    return {"index": 0, "message": message or SAID, "finish_reason": "stop", **fields}


ANSWERED = {
    "choices": {"choices": [choice()]},
    "response": {"response": {"id": "chatcmpl-1", "choices": [choice()]}},
    "as text": {"response": json.dumps({"choices": [choice()]})},
    "as Python": {"response": repr({"choices": [choice()]})},
    "batch": {"response": {"status_code": 200, "body": {"choices": [choice()]}}},
    "message": {"response": SAID},
    "parts": {"choices": [choice({**SAID, "content": [{"type": "text", "text": ANSWER}]})]},
    "text completion": {"choices": [{"text": ANSWER, "finish_reason": "stop"}]},
    "candidates": {"response": {"candidates": [{"content": {"role": "model", "parts": [{"text": ANSWER}]}}]}},
    "output": {"response": {"output": [{"type": "message", "content": [{"type": "output_text", "text": ANSWER}]}]}},
    "content in parts": {"response": {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]}},
    "plain": {"response": ANSWER},
}


@pytest.mark.parametrize("shape", sorted(ANSWERED))
def test_the_choice_of_a_completion_is_the_answer(tmp_path, folders, shape):
    prompt, *_ = whole(folders["chatml"], ASKED)
    for source, asked in (("messages", {"messages": ASKED}), ("fields", {"prompt": USER})):
        encoded, rejects = encode(tmp_path, folders["chatml"], [{**asked, **ANSWERED[shape]}], source)
        assert not rejects and encoded["r0"].text == prompt + ANSWER and encoded["r0"].metadata["flags"] == []


def test_what_a_completion_holds_beside_its_text(tmp_path, folders):
    folder = folders["chatml that thinks"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    _, asked, _ = whole(folder, ASKED)
    said = tokenizer(f"{ANSWER}<|im_end|>", add_special_tokens=False)["input_ids"]
    call = {"type": "function", "function": {"name": "get", "arguments": "{}"}}
    rows = [
        {"choices": [choice({**SAID, "reasoning_content": "Costs fell."})]},
        {"choices": [choice(finish_reason="length")]},
        {"choices": [choice(token_ids=said)], "prompt_token_ids": asked},
        {"response": {"choices": [choice(token_ids=said)], "prompt_token_ids": asked}},
        {"choices": [choice({**SAID, "tool_calls": [call]})]},
        {"choices": [choice()], "messages": [*ASKED, SAID]},
        {"output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Costs fell."}]}, OUTPUT]},
        {"response": [ANSWER]},
    ]
    encoded, rejects = encode(tmp_path, folder, [{"messages": ASKED, **row} for row in rows], "messages")
    assert not rejects and "Costs fell." in segment(encoded["r0"], "thinking")
    flags = [sample.metadata["flags"] for sample in encoded.values()]
    assert flags == [
        ["reasoning_placed"],
        ["cut_answer"],
        [],
        [],
        ["tool_calls_left_out"],
        [],
        ["reasoning_placed"],
        ["unwrapped_list"],
    ]
    assert "Costs fell." in segment(encoded["r6"], "thinking")
    for name in ("r2", "r3"):
        assert encoded[name].sequence_source == "token_ids" and list(encoded[name].input_ids) == [*asked, *said]


def test_refusals_and_several_choices_have_reasons_of_their_own(tmp_path, folders):
    refused = {"role": "assistant", "content": None, "refusal": "I cannot give advice."}
    part = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]}
    rows = [
        {"choices": [choice(refused)]},
        {"messages": [*ASKED, refused]},
        {"messages": [*ASKED, part]},
        {"response": None, "refusal": "I cannot."},
        {"choices": [choice({"role": "assistant", "content": None}, finish_reason="content_filter")]},
        {"choices": [choice(), choice()]},
        {"messages": [*ASKED, {**SAID, "content": "EPS will decrease."}], "choices": [choice()]},
        {"choices": [choice({**SAID, "refusal": ""})]},
        {"choices": ["A", "B"], "response": ANSWER},  # options to choose from
        {"choices": [{"label": "A", "text": "increase"}], "response": ANSWER},
    ]
    encoded, rejects = encode(tmp_path, folders["chatml"], [{"messages": ASKED, **row} for row in rows], "messages")
    refusals = dict.fromkeys(("r0", "r1", "r2", "r3", "r4"), "refusal")
    assert rejects == {**refusals, "r5": "several_answers", "r6": "several_answers"}
    assert set(encoded) == {"r7", "r8", "r9"}
    _, rejects = encode(tmp_path, folders["chatml"], [{"prompt": USER, **rows[0]}], "fields")
    assert "refusal ('I cannot give advice.')" in rejects["all"] and "Check" not in rejects["all"]


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (f"Human: {USER}\n\nAssistant:", f" {ANSWER}"),
        (f"You are brief.\n\nHuman: {USER}\n\nAssistant:", f" {ANSWER}"),
        (f"A chat with an assistant. USER: {USER} ASSISTANT:", f" {ANSWER}"),
        (f"### Instruction:\n{USER}\n\n### Response:\n", ANSWER),
        (f"**User:** {USER}\n**Assistant:**", f" {ANSWER}"),
        (f"<human>: {USER}\n<bot>:", f" {ANSWER}"),
        (f"Q: {USER}\nA:", f" {ANSWER}"),
        (f"GPT4 Correct User: {USER}\nGPT4 Correct Assistant:", f" {ANSWER}"),
    ],
    ids=["claude", "system", "vicuna", "alpaca", "markdown", "tags", "letters", "words"],
)
def test_transcripts_of_plain_roles_are_replayed_word_for_word(tmp_path, folders, prompt, answer):
    rows = [{"full_model_response": prompt + answer}]
    for style, beginning in (("chatml", ""), ("llama 3", "<|begin_of_text|>")):
        encoded, rejects = encode(tmp_path, folders[style], rows, "transcript")
        sample = encoded["r0"]
        assert not rejects and sample.text == beginning + prompt + answer
        assert (sample.sequence_source, sample.metadata["flags"]) == ("transcript", ["plain_roles"])
        assert USER in segment(sample, "instruction") and segment(sample, "response") == answer
    encoded, _ = encode(tmp_path, folders["chatml"], rows, "transcript", prompt={"chat_template": "none"})
    assert encoded["r0"].metadata["flags"] == [] and encoded["r0"].text == prompt + answer


def test_a_plain_transcript_that_goes_on_is_cut_and_one_without_roles_is_named(tmp_path, folders):
    rows = [
        {"full_model_response": f"Human: {USER}\n\nAssistant: {ANSWER}\n\nHuman: And sales?\n\nAssistant: decrease"},
        {"full_model_response": f"{USER} {ANSWER}"},
        {"full_model_response": f"Human: {USER}\n\nAssistant:"},
    ]
    encoded, rejects = encode(tmp_path, folders["chatml"], rows, "transcript")
    assert rejects == {"r1": "no_roles", "r2": "no_response"}
    assert encoded["r0"].text.endswith(ANSWER)
    assert encoded["r0"].metadata["flags"] == ["plain_roles", "cut_at_next_turn"]
