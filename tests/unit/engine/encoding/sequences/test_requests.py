"""What a record holds beside its messages: system texts, settings of the chat template, another answer."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.encoded_rows import ANSWER, SYSTEM, USER, encode, whole

ASKED = {"role": "user", "content": USER}
CHAT = [ASKED, {"role": "assistant", "content": ANSWER}]
OFF = {"enable_thinking": False}
EMPTY = "<think>\n\n</think>\n\n"


def prompt_of(encoded, name="r0"):
    sample = encoded[name]
    return sample.text.removesuffix(ANSWER)


@pytest.mark.parametrize(
    ("row", "flags"),
    [
        ({"messages": CHAT, "system": SYSTEM}, []),
        ({"messages": CHAT, "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "x"}}]}, []),
        ({"messages": {"system": SYSTEM, "messages": CHAT}}, []),
        ({"messages": json.dumps({"system": SYSTEM, "messages": CHAT})}, []),
        ({"messages": CHAT, "request": {"system": SYSTEM}}, []),
        ({"messages": CHAT, "system_prompt": SYSTEM}, ["system_placed"]),
        ({"messages": CHAT, "instructions": SYSTEM}, ["system_placed"]),
        ({"messages": CHAT, "systemInstruction": {"parts": [{"text": SYSTEM}]}}, ["system_placed"]),
        ({"messages": [{"role": "system", "content": SYSTEM}, *CHAT], "system": SYSTEM}, []),
    ],
    ids=["text", "parts", "object", "JSON", "request", "system_prompt", "instructions", "Gemini", "both"],
)
def test_a_system_text_beside_the_messages_is_the_system_turn(tmp_path, folders, row, flags):
    encoded, rejects = encode(tmp_path, folders["chatml"], [row], "messages")
    expected, _, _ = whole(folders["chatml"], [{"role": "system", "content": SYSTEM}, ASKED])
    assert not rejects and prompt_of(encoded) == expected
    assert encoded["r0"].metadata["flags"] == flags


def test_system_texts_that_differ_are_refused(tmp_path, folders):
    rows = [
        {"messages": [{"role": "system", "content": "Be long."}, *CHAT], "system": SYSTEM},
        {"messages": CHAT, "system": SYSTEM, "system_prompt": "Be long."},
        {"messages": CHAT, "system": {"role": "system"}},
        {"messages": CHAT},
    ]
    encoded, rejects = encode(tmp_path, folders["chatml"], rows, "messages")
    assert rejects == {"r0": "several_systems", "r1": "several_systems", "r2": "not_text"} and list(encoded) == ["r3"]
    prompt = {"system": "Mine."}
    encoded, rejects = encode(tmp_path, folders["chatml"], rows[:2], "messages", prompt=prompt)
    assert not rejects and all("system\nMine.<|im_end|>" in sample.text for sample in encoded.values())


def test_a_system_text_beside_a_prompt(tmp_path, folders):
    rows = [
        {"prompt": USER, "response": ANSWER, "system_prompt": SYSTEM},
        {"prompt": f"{SYSTEM}\n{USER}", "response": ANSWER, "instructions": SYSTEM},
    ]
    encoded, _ = encode(tmp_path, folders["chatml"], rows, "fields")
    assert [sample.text.count(SYSTEM) for sample in encoded.values()] == [1, 1]
    assert [sample.metadata["flags"] for sample in encoded.values()] == [["system_placed"], []]


def test_messages_with_an_answer_beside_another_one_are_refused(tmp_path, folders):
    said = ["Answer: decrease", ANSWER, f"<think>\nwhy\n</think>\n\n{ANSWER} ", "", None]
    encoded, rejects = encode(
        tmp_path, folders["chatml"], [{"messages": CHAT, "response": text} for text in said], "messages"
    )
    assert rejects == {"r0": "several_answers"} and len(encoded) == 4


PLACES = {
    "record": {"chat_template_kwargs": OFF},
    "JSON": {"chat_template_kwargs": json.dumps(OFF)},
    "extra body": {"extra_body": {"chat_template_kwargs": OFF}},
    "request": {"request": {"extra_body": {"chat_template_kwargs": OFF}}},
    "switch": {"enable_thinking": False},
    "batch": {"body": json.dumps({"chat_template_kwargs": OFF})},
}


@pytest.mark.parametrize("place", sorted(PLACES))
@pytest.mark.parametrize("source", ["messages", "fields"])
def test_settings_of_the_chat_template_that_a_record_holds_are_used(tmp_path, folders, place, source):
    text = {"messages": CHAT} if source == "messages" else {"prompt": USER, "response": ANSWER}
    encoded, rejects = encode(tmp_path, folders["chatml that thinks"], [{**text, **PLACES[place]}, text], source)
    assert not rejects
    assert [prompt_of(encoded, name).endswith(EMPTY) for name in ("r0", "r1")] == [True, False]
    assert [sample.metadata["flags"] for sample in encoded.values()] == [[], []]


def test_settings_inside_the_object_of_messages_are_used(tmp_path, folders):
    row = {"messages": {"messages": CHAT, "chat_template_kwargs": OFF}}
    encoded, _ = encode(tmp_path, folders["chatml that thinks"], [row], "messages")
    assert prompt_of(encoded).endswith(EMPTY)
    row = {"prompt": USER, "response": ANSWER, "reasoning_effort": "high"}
    encoded, _ = encode(tmp_path, folders["gpt-oss"], [row], "fields")
    assert "Reasoning: high" in encoded["r0"].text


def test_settings_that_cannot_be_replayed_are_refused_or_said(tmp_path, folders):
    text = {"prompt": USER, "response": ANSWER}
    rows = [
        {**text, "chat_template_kwargs": {"enable_thinking": True}},
        {**text, "chat_template_kwargs": {"add_generation_prompt": False}},
        {**text, "chat_template_kwargs": "high"},
        {**text, "request": {"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}},
        {**text, "chat_template_kwargs": {"add_generation_prompt": True, "tokenize": False, "other": None}},
        {**text, "chat_template_kwargs": {"persona": "bear"}, "chat_template": "chatml"},
    ]
    prompt = {"template_kwargs": OFF}
    encoded, rejects = encode(tmp_path, folders["chatml that thinks"], rows, "fields", prompt=prompt)
    assert rejects == {
        "r0": "template_kwargs_differ",
        "r1": "not_replayed",
        "r2": "no_roles",
        "r3": "not_replayed",
    }
    assert [sample.metadata["flags"] for sample in encoded.values()] == [[], ["template_kwargs_unread"]]


def test_contents_in_several_texts_and_windows_line_ends_are_said(tmp_path, folders):
    parts = [{"type": "text", "text": text} for text in (USER[:10], USER[10:])]
    rows = [{"messages": [{"role": "user", "content": given}, CHAT[1]]} for given in (parts, parts[:1], USER)]
    encoded, _ = encode(tmp_path, folders["chatml"], rows, "messages")
    assert [sample.metadata["flags"] for sample in encoded.values()] == [
        ["parts_joined"],
        [],
        [],
    ]
    rows = [{"prompt": f"a\r\n{USER}", "response": ANSWER}, {"prompt": f"a\n{USER}", "response": ANSWER}]
    encoded, _ = encode(tmp_path, folders["chatml"], rows, "fields")
    assert [sample.metadata["flags"] for sample in encoded.values()] == [["windows_line_ends"], []]


def test_half_a_mark_in_a_transcript_is_the_reason(tmp_path, folders):
    asked = f"<|start|>user<|message|>{USER}<|end|>"
    thought = "<|start|>assistant<|channel|>analysis<|message|>why<|end|>"
    endings = [
        "<|start|>assistant increase",
        "<|start|>assistant<|channel|>final increase<|return|>",
        f"{thought}<|start|>assistant",
        "<|start|>assistant",
    ]
    rows = [{"full_model_response": asked + ending} for ending in endings]
    good = {"full_model_response": f"{asked}<|start|>assistant<|channel|>final<|message|>increase<|return|>"}
    encoded, rejects = encode(tmp_path, folders["gpt-oss"], [*rows, good], "transcript")
    assert list(encoded) == ["r4"]
    assert list(rejects.values()) == ["unread_turn", "unread_turn", "thought_without_answer", "no_response"]


def test_ids_beside_messages_that_the_template_refuses_are_not_compared(tmp_path, folders):
    folder = folders["gemma"]
    _, asked, _ = whole(folder, [ASKED])
    row = {"messages": [{"role": "system", "content": "Sales"}, *CHAT], "prompt_token_ids": asked}
    encoded, rejects = encode(tmp_path, folder, [row, {**row, "messages": CHAT}], "messages")
    assert not rejects
    flags = [sample.metadata["flags"] for sample in encoded.values()]
    assert "token_ids_not_compared" in flags[0] and "more_in_token_ids" not in flags[0]
    assert "token_ids_not_compared" not in flags[1]
