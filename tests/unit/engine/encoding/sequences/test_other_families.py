"""Templates that no table lists: histories, ends of answers and marks in front of them are the template's own."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from tests.fixtures.chat_templates import OTHER_STYLES, styled_tokenizer
from tests.fixtures.encoded_rows import ANSWER, SYSTEM, USER, encode, segment, whole

ASKED = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}]
HISTORY = [
    ASKED[0],
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Will EPS decrease?"},
    ASKED[1],
]
ENDS = {"kimi": "<|im_end|>", "exaone": "[|endofturn|]", "glm": "<|user|>", "vicuna": "</s>"}


@pytest.fixture(scope="module")
def others(tokenizer_dir, tmp_path_factory):
    """Return a folder of each tokenizer."""
    base = tmp_path_factory.mktemp("others")
    for name in OTHER_STYLES:
        styled_tokenizer(base / name, tokenizer_dir, name)
    return {name: base / name for name in OTHER_STYLES}


@pytest.mark.parametrize("style", sorted(ENDS))
def test_all_answers_but_the_last_are_history(tmp_path, others, style):
    prompt, asked, _ = whole(others[style], HISTORY)
    answer = f" {ANSWER}" if style == "vicuna" else ANSWER
    rows = [{"full_model_response": prompt + answer + ENDS[style]}, {"full_model_response": prompt + answer}]
    encoded, rejects = encode(tmp_path, others[style], rows, "transcript")
    assert not rejects
    for sample in encoded.values():
        assert list(sample.input_ids[: sample.num_prompt_tokens]) == asked
        assert sample.text[len(prompt) :] == answer and sample.metadata["flags"] == []
        assert sample.metadata["predicted_label"] == "increase"
        assert "decrease?" in segment(sample, "history") and USER in segment(sample, "instruction")


def test_the_mark_that_ends_an_answer_begins_no_turn(tmp_path, others):
    prompt, asked, _ = whole(others["glm"], ASKED)
    said = AutoTokenizer.from_pretrained(others["glm"])(f"{ANSWER}<|user|>", add_special_tokens=False)["input_ids"]
    row = {"prompt": prompt, "response": ANSWER, "prompt_token_ids": asked, "token_ids": said}
    go_on = {"prompt": prompt, "response": f"{ANSWER}<|user|>\nAnd sales?"}
    encoded, rejects = encode(tmp_path, others["glm"], [row, go_on], "fields")
    assert not rejects and list(encoded["r0"].input_ids) == [*asked, *said]
    assert encoded["r0"].metadata["flags"] == [] and encoded["r1"].metadata["flags"] == ["cut_at_next_turn"]


def test_a_mark_that_answers_lost_stands_in_front_of_them(tmp_path, others):
    _, asked, everything = whole(others["command a"], ASKED)
    rows = [
        {"messages": [*ASKED, {"role": "assistant", "content": ANSWER}]},
        {"messages": ASKED, "response": f"<|START_RESPONSE|>{ANSWER}"},
    ]
    encoded, rejects = encode(tmp_path, others["command a"], rows, "messages")
    assert not rejects
    assert [sample.metadata["flags"] for sample in encoded.values()] == [["answer_mark_restored"], []]
    for sample in encoded.values():
        assert list(sample.input_ids) == everything[: sample.num_tokens] and sample.num_prompt_tokens == len(asked)
        place = sample.decision_position + 1
        assert sample.text[sample.char_starts[place] :].lstrip().startswith("increase")


def test_a_prompt_rendered_by_a_template_of_words_goes_in_verbatim(tmp_path, others):
    prompt, asked, _ = whole(others["vicuna"], ASKED)
    rows = [{"prompt": prompt, "response": f" {ANSWER}"}, {"prompt": USER, "response": f" {ANSWER}"}]
    encoded, rejects = encode(tmp_path, others["vicuna"], rows, "fields")
    assert not rejects and [sample.sequence_source for sample in encoded.values()] == ["rendered", "template"]
    assert list(encoded["r0"].input_ids[: encoded["r0"].num_prompt_tokens]) == asked


def test_a_thought_that_the_prompt_opens_is_the_prompts_in_transcripts(tmp_path, tokenizer_dir):
    folder = tmp_path / "deepseek"
    styled_tokenizer(folder, tokenizer_dir, "deepseek")
    prompt, asked, _ = whole(folder, ASKED)
    rows = [{"full_model_response": f"{prompt}Sales may decrease.\n</think>\n\n{ANSWER}"}]
    encoded, rejects = encode(tmp_path, folder, rows, "transcript")
    assert not rejects and prompt.endswith("<think>\n")
    assert list(encoded["r0"].input_ids[: encoded["r0"].num_prompt_tokens]) == asked
    assert "decrease" in segment(encoded["r0"], "thinking") and ANSWER not in segment(encoded["r0"], "thinking")
