"""Lists of messages as servers and frameworks write them."""

import pytest

from engine.inputs.conversations.messages import messages_and_answer, reasoning_in

USER = {"role": "user", "content": "Will EPS rise?"}


def answer_of(*messages):
    before, answer, _, flags = messages_and_answer([USER, *messages], "messages")
    return len(before), answer, flags


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_details": [{"type": "reasoning.text", "text": "why"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "why"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "why", "signature": "x"}]},
        {"reasoning_content": "why"},
        {"reasoning": "", "reasoning_details": [{"type": "reasoning.text", "text": "wh"}, {"text": "y"}]},
    ],
    ids=["text", "summary", "blocks", "content", "beside an empty one"],
)
def test_thoughts_in_fields_of_their_own(message):
    assert reasoning_in(message) == "why"
    _, answer, _ = answer_of({"role": "assistant", "content": "increase", **message})
    assert answer.content == "increase" and answer.fields["reasoning_content"] == "why"


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["Answer:", " increase"], "Answer: increase"),
        (["Answer:", "Answer: increase"], "Answer: increase"),
        (["An", "sw", "er"], "Answer"),
    ],
    ids=["rest", "whole", "three"],
)
def test_an_answer_in_several_messages_is_one(parts, whole):
    number, answer, flags = answer_of(*({"role": "assistant", "content": part} for part in parts))
    assert (number, answer.content, flags) == (1, whole, ("answers_joined",))


def test_answers_with_a_user_or_a_tool_call_between_are_none_of_it():
    said = {"role": "assistant", "content": "increase"}
    assert answer_of(said, USER, said)[0] == 3 and not answer_of(said, USER, said)[2]
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "get", "arguments": {}}}]}
    assert answer_of(call, said)[0] == 2


def test_parts_of_gemini():
    parts = [{"text": "why", "thought": True}, {"text": "increase"}]
    turns = [{"role": "user", "parts": [{"text": "Will "}, {"text": "EPS rise?"}]}, {"role": "model", "parts": parts}]
    before, answer, _, _ = messages_and_answer(turns, "messages")
    assert before[0].content == "Will EPS rise?" and answer.role == "assistant"
    assert answer.content == "increase" and answer.fields["reasoning_content"] == "why"


def test_parts_of_gemini_that_are_no_text_are_named():
    from engine.samples import RowRejected

    turns = [{"role": "user", "parts": [{"inlineData": {"data": "x"}}]}, {"role": "model", "parts": [{"text": "a"}]}]
    with pytest.raises(RowRejected, match="inlineData") as caught:
        messages_and_answer(turns, "messages")
    assert caught.value.reason == "not_replayed"
