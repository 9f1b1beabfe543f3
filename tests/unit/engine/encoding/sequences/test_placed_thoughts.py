"""Thoughts stand where the chat template puts them, and are a segment of their own."""

from __future__ import annotations

from transformers import AutoTokenizer

from tests.fixtures.encoded_rows import ANSWER, USER, encode, segment, turns_of


def test_a_thought_in_a_field_of_its_own_stands_where_the_template_puts_it(tmp_path, folders):
    thought = "It may decrease.\nNo."
    message = {"role": "assistant", "content": ANSWER, "reasoning_content": thought}
    turns = turns_of("chatml")
    rows = [{"messages": [*turns, message]}]
    for style, source in (("chatml that thinks", "messages"), ("gpt-oss", "messages")):
        encoded, _ = encode(tmp_path, folders[style], rows, source)
        sample = encoded["r0"]
        tokenizer = AutoTokenizer.from_pretrained(folders[style])
        everything = list(tokenizer.apply_chat_template([*turns, message], tokenize=True, return_dict=False))
        assert list(sample.input_ids) == everything[: sample.num_tokens] and sample.text.endswith(ANSWER)
        assert sample.metadata["flags"] == ["reasoning_placed"] and thought in segment(sample, "thinking")
        assert sample.token_text(sample.decision_position + 1).strip() and ANSWER not in segment(sample, "thinking")
    encoded, _ = encode(tmp_path, folders["deepseek"], rows, "messages")
    assert encoded["r0"].text.endswith(f"<think>\n{thought}\n</think>\n\n{ANSWER}")
    assert encoded["r0"].metadata["flags"] == ["reasoning_placed", "thought_layout_assumed"]
    encoded, _ = encode(tmp_path, folders["chatml"], rows, "messages")
    assert encoded["r0"].metadata["flags"] == ["reasoning_left_out"] and thought not in encoded["r0"].text
    fields = [
        {"prompt": USER, "response": ANSWER, "why": thought},
        {"prompt": USER, "response": ANSWER, "reasoning": thought},
    ]
    encoded, _ = encode(
        tmp_path,
        folders["chatml that thinks"],
        fields,
        "fields",
        predictions={"path": str(tmp_path / "rows.json"), "fields": {"reasoning": "why"}},
    )
    assert (
        encoded["r0"].text.endswith(f"<think>\n{thought}\n</think>\n\n{ANSWER}")
        and "</think>" not in encoded["r1"].text
    )
    encoded, _ = encode(tmp_path, folders["chatml that thinks"], fields, "fields")
    assert encoded["r1"].text.endswith(f"<think>\n{thought}\n</think>\n\n{ANSWER}")


def test_thoughts_are_a_segment_for_keys_and_queries(tmp_path, folders):
    rows = [
        {"prompt": USER, "response": f"<think>\nIt may decrease.\n</think>\n\n{ANSWER}"},
        {"prompt": USER, "response": ANSWER},
    ]
    encoded, _ = encode(
        tmp_path,
        folders["chatml that thinks"],
        rows,
        "fields",
        key_groups={"thought": {"segment": "thinking"}, "answer": {"segment": "response"}},
        statistics={"query_groups": ["thought", "decision"]},
    )
    first, second = encoded["r0"], encoded["r1"]
    text = "".join(first.token_text(place) for place in first.key_groups["thought"])
    assert text.startswith("<think>") and "decrease" in text and "EPS" not in text
    assert list(first.query_groups["thought"]) == list(first.key_groups["thought"])
    assert set(first.key_groups["thought"]) < set(first.key_groups["answer"])
    assert not len(second.key_groups["thought"]) and segment(second, "response") == ANSWER


def test_a_prompt_that_opens_a_thought(tmp_path, folders):
    closed, marked = f"decrease?\n</think>\n\n{ANSWER}", f"<think>\ndecrease?\n</think>\n\n{ANSWER}"
    rows = [{"prompt": USER, "response": text} for text in (closed, marked, ANSWER, "</think>")]
    encoded, rejects = encode(tmp_path, folders["deepseek"], rows, "fields")
    assert rejects == {"r2": "unclosed_thought", "r3": "thought_without_answer"}
    assert list(encoded["r0"].input_ids) == list(encoded["r1"].input_ids)
    assert encoded["r0"].text.count("<think>") == 1
    assert [encoded[name].metadata["flags"] for name in ("r0", "r1")] == [[], ["thought_opened_by_prompt"]]


def test_channels_that_a_record_lost_stand_where_the_template_writes_them(tmp_path, folders):
    thought = "It may decrease."
    rows = [{"prompt": USER, "response": text} for text in (ANSWER, f"analysis{thought}assistantfinal{ANSWER}")]
    rows.append({"prompt": USER, "response": ANSWER, "reasoning": thought})
    encoded, rejects = encode(tmp_path, folders["gpt-oss"], rows, "fields")
    assert not rejects
    tokenizer = AutoTokenizer.from_pretrained(folders["gpt-oss"])
    for name, thinks in (("r0", False), ("r1", True), ("r2", True)):
        answer = {"role": "assistant", "content": ANSWER, **({"thinking": thought} if thinks else {})}
        turns = [{"role": "user", "content": USER}, answer]
        everything = list(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False))
        sample = encoded[name]
        assert list(sample.input_ids) == everything[: sample.num_tokens] and sample.text.endswith(ANSWER)
        assert (thought in segment(sample, "thinking")) is thinks
        token = sample.decision_position + 1
        assert sample.text[sample.char_starts[token] :].strip().startswith("increase")
    assert [encoded[name].metadata["flags"] for name in ("r0", "r1")] == [["channels_restored"]] * 2


def test_fields_of_another_meaning_can_be_left_out(tmp_path, folders):
    rows = [{"prompt": USER, "response": ANSWER, "reasoning": "by an expert", "token_ids": "A7"}]
    path = {"path": str(tmp_path / "rows.json")}
    style = folders["chatml that thinks"]
    fields = {**path, "fields": {"reasoning": None, "token_ids": None}}
    encoded, _ = encode(tmp_path, style, rows, "fields", predictions=fields)
    assert "expert" not in encoded["r0"].text and encoded["r0"].metadata["flags"] == []
