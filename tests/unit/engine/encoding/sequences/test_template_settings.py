"""Settings of the chat template, and the day that it prints."""

from __future__ import annotations

from transformers import AutoTokenizer

from tests.fixtures.encoded_rows import ANSWER, DATED, SYSTEM, USER, encode, whole


def test_settings_of_the_template_and_its_day(tmp_path, folders):
    rows = [{"prompt": USER, "response": ANSWER}]
    encoded, _ = encode(
        tmp_path, folders["chatml that thinks"], rows, "fields", prompt={"template_kwargs": {"enable_thinking": False}}
    )
    assert encoded["r0"].text.endswith(f"<think>\n\n</think>\n\n{ANSWER}")
    encoded, _ = encode(
        tmp_path, folders["gpt-oss"], rows, "fields", prompt={"template_kwargs": {"reasoning_effort": "high"}}
    )
    assert "Reasoning: high" in encoded["r0"].text
    encoded, _ = encode(tmp_path, folders["llama 3"], rows, "fields", **DATED)
    _, asked, _ = whole(folders["llama 3"], [{"role": "user", "content": USER}], date_string="26 Jul 2024")
    assert list(encoded["r0"].input_ids[: encoded["r0"].num_prompt_tokens]) == asked
    tool = {"type": "function", "function": {"name": "lookup", "parameters": {}}}
    encoded, _ = encode(
        tmp_path, folders["chatml that thinks"], rows, "fields", prompt={"template_kwargs": {"tools": [tool]}}
    )
    assert '"name": "lookup"' in encoded["r0"].text


def test_a_stripped_transcript_keeps_its_own_date(tmp_path, folders):
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}]
    prompt, asked, _ = whole(folders["llama 3"], turns, date_string="05 Mar 2023")
    tokenizer = AutoTokenizer.from_pretrained(folders["llama 3"])
    stripped = tokenizer.decode(asked, skip_special_tokens=True) + ANSWER
    assert stripped.startswith("system\n\nToday Date: 05 Mar 2023") and "<|" not in stripped
    encoded, rejects = encode(tmp_path, folders["llama 3"], [{"full_model_response": stripped}], "transcript", **DATED)
    sample = encoded["r0"]
    assert not rejects and list(sample.input_ids[: sample.num_prompt_tokens]) == asked
    assert (sample.sequence_source, sample.metadata["flags"], sample.text) == ("template", [], prompt + ANSWER)
