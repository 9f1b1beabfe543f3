"""What a recorded prompt or conversation lacks or holds twice is said, put back where one can, or refused."""

from __future__ import annotations

import html
import json

import pytest
from transformers import AutoTokenizer

from tests.fixtures.chat_templates import STYLES
from tests.fixtures.encoded_rows import (
    ANSWER,
    DATED,
    USER,
    encode,
    segment,
    settings_of,
    whole,
)

ASKED = [{"role": "user", "content": USER}]
SAID = {"role": "assistant", "content": ANSWER}


@pytest.mark.parametrize("style", ["llama 3", "gemma", "mistral"])
def test_a_beginning_that_stands_twice_or_lacks_is_said(tmp_path, folders, style):
    prompt, asked, _ = whole(folders[style], ASKED, **settings_of(style))
    said = AutoTokenizer.from_pretrained(folders[style])(ANSWER, add_special_tokens=False)["input_ids"]
    row = {"prompt": USER, "response": ANSWER, "token_ids": said}
    rows = [
        {"prompt": f"{STYLES[style].beginning}{prompt}", "response": ANSWER},
        {**row, "prompt_token_ids": [asked[0], *asked]},
        {**row, "prompt_token_ids": asked[1:]},
        {**row, "prompt_token_ids": list(map(str, asked))},
    ]
    encoded, rejects = encode(tmp_path, folders[style], rows, "fields", **DATED)
    flags = [sample.metadata["flags"] for sample in encoded.values()]
    assert not rejects and flags == [["beginning_repeated"], ["beginning_repeated"], ["beginning_lacks"], []]
    assert list(encoded["r2"].input_ids) == [*asked[1:], *said]
    assert list(encoded["r3"].input_ids) == [*asked, *said]


def test_the_end_of_a_rendered_prompt_is_put_back_where_it_went(tmp_path, folders):
    prompt, asked, _ = whole(folders["chatml"], ASKED)
    mark = "<|im_start|>assistant\n"
    rows = [
        {"prompt": prompt.strip(), "response": ANSWER},
        {"prompt": prompt.strip(), "response": f"\n{ANSWER}"},
        {"prompt": prompt.removesuffix(mark), "response": mark + ANSWER},
    ]
    encoded, rejects = encode(tmp_path, folders["chatml"], rows, "fields")
    assert not rejects and {sample.text for sample in encoded.values()} == {prompt + ANSWER}
    assert [sample.metadata["flags"] for sample in encoded.values()] == [["prompt_end_restored"], [], []]
    assert list(encoded["r0"].input_ids[: len(asked)]) == asked
    _, rejects = encode(tmp_path, folders["chatml"], [{"prompt": html.escape(prompt), "response": ANSWER}], "fields")
    assert "partly_rendered" in rejects["all"] and "html.unescape" in rejects["all"]


@pytest.mark.parametrize("style", ["mistral", "llama 2"])
def test_a_prompt_between_marks_of_instructions_gets_the_token_that_begins_it(style, tmp_path, folders):
    prompt, asked, _ = whole(folders[style], ASKED)
    assert prompt.startswith("<s>[INST]") and prompt.endswith("[/INST]")
    bare, half = prompt.removeprefix("<s>"), prompt.removesuffix("[/INST]")
    rows = [{"prompt": text, "response": ANSWER} for text in (prompt, bare, half, bare.removeprefix("[INST]"))]
    encoded, rejects = encode(tmp_path, folders[style], rows, "fields")
    assert list(encoded) == ["r0", "r1", "r2"] and rejects == {"r3": "partly_rendered"}
    assert list(encoded["r0"].input_ids) == list(encoded["r1"].input_ids)
    assert list(encoded["r1"].input_ids[: len(asked)]) == asked
    assert [sample.sequence_source for sample in encoded.values()] == ["rendered"] * 3
    assert "no_generation_prompt" in encoded["r2"].metadata["flags"]


def test_a_prompt_that_lost_tokens_that_end_its_turns_is_said(tmp_path, folders):
    prompt, *_ = whole(folders["phi"], ASKED)
    ended, user = "<|end|>", "<|user|>\n"
    texts = (prompt, prompt.replace(ended, ""), prompt.removeprefix(user), prompt.replace("<|assistant|>\n", ""))
    rows = [{"prompt": text, "response": ANSWER} for text in texts]
    encoded, rejects = encode(tmp_path, folders["phi"], rows, "fields")
    assert list(encoded) == ["r0", "r1", "r3"] and rejects == {"r2": "partly_rendered"}
    flags = [set(sample.metadata["flags"]) for sample in encoded.values()]
    assert flags[0] == set() and "turn_ends_lack" in flags[1] and "no_generation_prompt" in flags[2]
    assert all(sample.text.count("<|user|>") == 1 for sample in encoded.values()), "never rendered twice"


@pytest.mark.parametrize("style", ["chatml", "llama 3", "gemma", "gpt-oss", "phi"])
def test_a_prompt_that_lost_its_special_tokens_is_said(style, tmp_path, folders):
    prompt, *_ = whole(folders[style], ASKED)
    for token in STYLES[style].tokens:
        prompt = prompt.replace(token, "")
    rows = [{"prompt": prompt, "response": ANSWER}, {"prompt": USER, "response": ANSWER}]
    encoded, _ = encode(tmp_path, folders[style], rows, "fields", **(DATED if style == "llama 3" else {}))
    assert ["tokens_stripped" in sample.metadata["flags"] for sample in encoded.values()] == [True, False]


@pytest.mark.parametrize("style", ["chatml", "llama 3", "gemma"])
def test_a_rendered_prompt_that_was_escaped_twice_is_refused(style, tmp_path, folders):
    prompt, *_ = whole(folders[style], ASKED)
    for written in (json.dumps(prompt)[1:-1], prompt.replace("<", "\\u003c"), html.escape(prompt)):
        _, rejects = encode(tmp_path, folders[style], [{"prompt": written, "response": ANSWER}], "fields")
        assert "partly_rendered" in rejects["all"]


@pytest.mark.parametrize("name", ["thoughts", "chain_of_thought", "cot", "reasoning_trace", "thinking_text"])
def test_a_thought_under_another_name_is_placed(name, tmp_path, folders):
    rows = [{"messages": [*ASKED, {**SAID, name: "Costs fell."}]}, {"messages": [*ASKED, SAID], name: ["Costs fell."]}]
    encoded, _ = encode(tmp_path, folders["chatml that thinks"], rows, "messages")
    for sample in encoded.values():
        assert "Costs fell." in segment(sample, "thinking") and "reasoning_placed" in sample.metadata["flags"]


def test_texts_that_were_escaped_twice_are_said(tmp_path, folders):
    other = "Sales rose.\\n\\nWill EPS increase or decrease?"
    rows = [
        {"prompt": other, "response": ANSWER},
        {"prompt": USER, "response": "EPS will increase.\\nSales rose."},
        {"prompt": USER, "response": "EPS will increase since R&amp;D pays."},
        {"prompt": USER, "response": "Because sales rose, EPS will increase: \\u20ac 3"},
        {"prompt": USER, "response": '{"reason": "a\\nb", "answer": "increase"}'},
        {"prompt": "Is $\\nu \\neq \\nabla$?\nWill EPS increase?", "response": ANSWER},
        {"prompt": "<p>R&amp;D rose.</p> Will EPS increase?", "response": ANSWER},
        {"prompt": "Does `print('a\\nb')` work? Will EPS increase?", "response": ANSWER},
    ]
    encoded, _ = encode(tmp_path, folders["chatml"], rows, "fields")
    said = ["escaped_text" in sample.metadata["flags"] for sample in encoded.values()]
    assert said == [True] * 4 + [False] * 4


def test_a_preamble_that_the_template_writes_again_is_said(tmp_path, folders):
    for style, system in (("llama 3", "Today Date: 01 Jan 2020\n\nBe brief."), ("gpt-oss", "Reasoning: high")):
        rows = [{"messages": [{"role": "system", "content": text}, *ASKED, SAID]} for text in (system, "Be brief.")]
        encoded, _ = encode(tmp_path, folders[style], rows, "messages", **DATED)
        assert "preamble_repeated" in encoded["r0"].metadata["flags"]
        assert "preamble_repeated" not in encoded["r1"].metadata["flags"]


def test_what_stands_beside_the_text_of_messages(tmp_path, folders):
    folder = folders["chatml that thinks"]
    rows = [
        {"messages": [*ASKED, {**SAID, "reasoning": {"content": "Costs fell."}}]},
        {"messages": [*ASKED, SAID], "thinking": {"type": "enabled", "budget_tokens": 99}},
        {"messages": [*ASKED, SAID], "functions": [{"name": "lookup"}]},
        {"messages": [*ASKED, SAID], "tools": {"type": "function", "function": {"name": "lookup"}}},
        {"messages": [{**ASKED[0], "images": ["a.png"]}, SAID]},
        {"messages": [{"role": "user", "content": f"<image>\n{USER}"}, SAID], "image": "a.png"},
        {"messages": [{"role": "user", "content": " "}, SAID]},
    ]
    encoded, rejects = encode(tmp_path, folder, rows, "messages")
    assert rejects == {"r4": "not_replayed", "r5": "not_replayed", "r6": "no_user_message"}
    assert "Costs fell." in segment(encoded["r0"], "thinking") and "enabled" not in encoded["r1"].text
    assert all('"name": "lookup"' in encoded[name].text for name in ("r2", "r3"))
    channels = [{**SAID, "channel": "analysis", "content": "It may decrease."}, {**SAID, "channel": "final"}]
    encoded, _ = encode(tmp_path, folders["gpt-oss"], [{"messages": [*ASKED, *channels]}], "messages")
    assert encoded["r0"].metadata["flags"] == ["reasoning_placed"]
    assert "It may decrease." in segment(encoded["r0"], "thinking")


def test_messages_that_a_field_holds_as_text_are_named_or_read(tmp_path, folders):
    prompt, *_ = whole(folders["chatml"], ASKED)
    rows = [{"prompt": text, "response": ANSWER} for text in (json.dumps(ASKED), str(ASKED), f"[{{1}}] {USER}")]
    rows.append({"prompt": USER, "response": json.dumps(SAID)})
    rows.append({"prompt": USER, "response": ANSWER, "finish_reason": "length"})
    encoded, rejects = encode(tmp_path, folders["chatml"], rows, "fields")
    assert rejects == {"r0": "not_text", "r1": "not_text"} and set(encoded) == {"r2", "r3", "r4"}
    assert encoded["r3"].text == prompt + ANSWER and encoded["r4"].metadata["flags"] == ["cut_answer"]
    _, rejects = encode(tmp_path, folders["chatml"], rows[:1], "fields")
    assert "predictions.fields.messages=prompt" in rejects["all"]


def test_an_empty_thought_that_the_prompt_closed_stands_once(tmp_path, folders):
    rows = [{"prompt": USER, "response": f"{before}{ANSWER}"} for before in ("", "<think>\n\n</think>\n\n")]
    settings = {"template_kwargs": {"enable_thinking": False}}
    encoded, _ = encode(tmp_path, folders["chatml that thinks"], rows, "fields", prompt=settings)
    assert list(encoded["r0"].input_ids) == list(encoded["r1"].input_ids)
    assert encoded["r1"].metadata["flags"] == ["thought_opened_by_prompt"]


def test_what_a_transcript_cannot_tell_is_said(tmp_path, folders):
    prompt, *_ = whole(folders["deepseek"], [{"role": "system", "content": "Be brief."}, *ASKED])
    tokenizer = AutoTokenizer.from_pretrained(folders["deepseek"])
    answer = f"reason</think>{ANSWER}"
    stripped = tokenizer.decode(tokenizer(prompt, add_special_tokens=False)["input_ids"], skip_special_tokens=True)
    rows = [{"full_model_response": text} for text in (stripped + answer, prompt + answer, prompt)]
    encoded, rejects = encode(tmp_path, folders["deepseek"], rows, "transcript")
    assert [sample.metadata["flags"] for sample in encoded.values()] == [["system_untold"], []]
    assert rejects == {"r2": "no_response"}
    rows = [{"messages": [*before, *ASKED, SAID]} for before in ([{"role": "system", "content": "Be brief."}], [])]
    encoded, _ = encode(tmp_path, folders["chatml"], rows, "messages", prompt={"chat_template": "none"})
    assert [sample.metadata["flags"] for sample in encoded.values()] == [["messages_joined"], []]
