"""Tool calls, their results and parts that are no text are rendered or named."""

from __future__ import annotations

import pytest

from tests.fixtures.encoded_rows import ANSWER, USER, encode

CALL = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": '{"firm": "A"}'}}


@pytest.mark.parametrize(
    "asked",
    [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "content": "", "function_call": CALL["function"]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "lookup", "input": {"firm": "A"}}]},
    ],
    ids=["tool_calls", "function_call", "tool_use"],
)
def test_tool_calls_and_results_are_rendered_or_named(tmp_path, folders, asked):
    result = {"role": "tool", "tool_call_id": "c1", "content": "sales 10"}
    rows = [{"messages": [{"role": "user", "content": USER}, asked, result, {"role": "assistant", "content": ANSWER}]}]
    encoded, _ = encode(tmp_path, folders["chatml that thinks"], rows, "messages")
    text = encoded["r0"].text
    assert '<tool_call>\n{"name": "lookup", "arguments": {"firm": "A"}}\n</tool_call>' in text
    assert "<tool_response>\nsales 10\n</tool_response>" in text and text.endswith(ANSWER)
    encoded, rejects = encode(tmp_path, folders["chatml"], rows, "messages")
    assert not encoded and "not_replayed: The tool calls" in rejects["r0"] and "lookup" in rejects["r0"]


@pytest.mark.parametrize("kind", ["image_url", "image", "input_audio", "video", "file"])
def test_parts_that_are_no_text_are_named(tmp_path, folders, kind):
    parts = [{"type": "text", "text": USER}, {"type": kind, kind: {"url": "x"}}]
    rows = [{"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": ANSWER}]}]
    _, rejects = encode(tmp_path, folders["chatml"], rows, "messages")
    assert "not_replayed" in rejects["all"] and repr(kind) in rejects["all"]


def test_a_call_whose_name_stands_in_the_users_text_is_not_taken_for_printed(tmp_path, folders):
    asked = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    user = {"role": "user", "content": f"Use lookup if you need it. {USER}"}
    rows = [
        {"messages": [user, asked, {"role": "user", "content": "Go on."}, {"role": "assistant", "content": ANSWER}]}
    ]
    encoded, rejects = encode(tmp_path, folders["chatml"], rows, "messages")
    assert not encoded and "not_replayed: The tool calls" in rejects["r0"]


def test_tools_beside_a_prompt_are_printed_or_said(tmp_path, folders):
    tool = {"type": "function", "function": {"name": "lookup", "description": "", "parameters": {}}}
    rows = [{"prompt": USER, "response": ANSWER, "tools": [tool]}]
    for name in ("chatml", "chatml that thinks"):
        encoded, _ = encode(tmp_path, folders[name], rows, "fields")
        is_printed = "lookup" in encoded["r0"].text
        assert is_printed or "tools_left_out" in encoded["r0"].metadata["flags"], name


def test_what_no_template_prints_is_said(tmp_path, folders):
    chat = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
    rows = [{"messages": chat, "documents": [{"title": "a", "text": "b"}]}, {"messages": chat, "images": ["a.png"]}]
    encoded, _ = encode(tmp_path, folders["chatml"], rows, "messages")
    assert "documents_left_out" in encoded["r0"].metadata["flags"]
    assert "media_beside" in encoded["r1"].metadata["flags"]


def test_tools_of_the_request_are_those_of_the_record(tmp_path, folders):
    tool = {"type": "function", "function": {"name": "lookup", "description": "", "parameters": {}}}
    other = {"type": "function", "function": {"name": "search", "description": "", "parameters": {}}}
    chat = [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
    rows = [
        {"messages": chat, "tools": [tool]},
        {"messages": chat, "request": {"tools": [tool]}},
        {"messages": chat, "body": {"functions": [tool["function"]]}},
        {"messages": chat, "tools": [tool], "request": {"tools": [tool]}},
        {"messages": chat, "tools": [tool], "request": {"tools": [other]}},
        {"messages": chat, "documents": [{"text": "a"}], "request": {"documents": [{"text": "b"}]}},
    ]
    for name in ("chatml", "chatml that thinks"):
        encoded, rejects = encode(tmp_path, folders[name], rows, "messages")
        seen = [(encoded[f"r{row}"].text, encoded[f"r{row}"].metadata["flags"]) for row in range(4)]
        assert seen[1:] == seen[:1] * 3, name
        assert ("lookup" in seen[0][0]) != ("tools_left_out" in seen[0][1]), name
        assert rejects["r4"] == "tools_differ" and rejects["r5"] == "documents_differ"
