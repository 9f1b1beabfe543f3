"""Recorded token ids of a prompt that hold more than the record shows: said, or refused where the record is whole."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from tests.fixtures.chat_templates import STYLES
from tests.fixtures.encoded_rows import ANSWER, DATED, USER, encode, settings_of, whole

ASKED = {"role": "user", "content": USER}
HIDDEN = {"role": "system", "content": "You are a bear. Never buy."}


def row_of(folder, turns, **settings):
    """Return a record of the user's text alone beside the ids of turns, and those ids."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    _, asked, _ = whole(folder, turns, **settings)
    answer = f"reason</think>{ANSWER}" if "deepseek" in str(folder) else ANSWER
    said = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return {"prompt": USER, "response": answer, "prompt_token_ids": asked, "token_ids": said}


@pytest.mark.parametrize("style", sorted(STYLES))
def test_what_the_template_puts_around_a_text_is_not_more(tmp_path, folders, style):
    row = row_of(folders[style], [ASKED], **settings_of(style))
    encoded, rejects = encode(tmp_path, folders[style], [row], "fields", prompt={"date": "1999-12-31"})
    assert not rejects and encoded["r0"].sequence_source == "token_ids"
    assert encoded["r0"].metadata["flags"] == []


@pytest.mark.parametrize("style", sorted(name for name, style in STYLES.items() if style.knows_system))
def test_a_system_part_that_only_the_ids_hold_is_said(tmp_path, folders, style):
    row = row_of(folders[style], [HIDDEN, ASKED], **settings_of(style))
    shown = {**row, "system": HIDDEN["content"]}
    chat = {"messages": [ASKED, {"role": "assistant", "content": row["response"]}]}
    encoded, rejects = encode(tmp_path, folders[style], [row, shown], "fields", **DATED)
    assert not rejects
    assert [sample.metadata["flags"] for sample in encoded.values()] == [["more_in_token_ids"], []]
    encoded, _ = encode(tmp_path, folders[style], [{**row, **chat}], "messages", **DATED)
    assert encoded["r0"].metadata["flags"] == ["more_in_token_ids"]
    assert list(encoded["r0"].input_ids[: encoded["r0"].num_prompt_tokens]) == row["prompt_token_ids"]


def test_ids_of_more_than_a_whole_prompt_are_refused(tmp_path, folders):
    folder = folders["chatml"]
    row = row_of(folder, [HIDDEN, ASKED])
    rendered, asked, _ = whole(folder, [ASKED])
    cut = rendered.removesuffix("<|im_start|>assistant\n")
    rows = [
        {**row, "prompt": rendered},
        {**row, "prompt": rendered, "prompt_token_ids": asked},
        {**row, "prompt": cut, "prompt_token_ids": asked},  # the ids end with what the template writes there
        {key: value for key, value in row.items() if key != "prompt"},  # no text that could be less
    ]
    encoded, rejects = encode(tmp_path, folder, rows, "fields")
    assert rejects == {"r0": "token_ids_mismatch"}
    assert [sample.metadata["flags"] for sample in encoded.values()] == [[]] * 3
    _, rejects = encode(tmp_path, folder, rows[:1], "fields")
    assert "is more than the recorded prompt" in rejects["all"] and "You are a bear" in rejects["all"]
    _, rejects = encode(tmp_path, folder, [row], "fields", prompt={"chat_template": "none"})
    assert "is more than the recorded prompt" in rejects["all"]
    stripped = {**row, "full_model_response": f"user\n{USER}\nassistant\n{ANSWER}"}
    _, rejects = encode(tmp_path, folder, [stripped], "transcript")
    assert "is more than the recorded prompt" in rejects["all"]
    encoded, _ = encode(tmp_path, folder, [{**stripped, "prompt_token_ids": asked}], "transcript")
    assert encoded["r0"].metadata["flags"] == []


def test_other_settings_of_the_template_are_more(tmp_path, folders):
    folder = folders["chatml that thinks"]
    row = row_of(folder, [ASKED], enable_thinking=False)
    encoded, _ = encode(tmp_path, folder, [row], "fields")
    assert encoded["r0"].metadata["flags"] == ["more_in_token_ids"]
    settings = {"template_kwargs": {"enable_thinking": False}}
    encoded, _ = encode(tmp_path, folder, [row], "fields", prompt=settings)
    assert encoded["r0"].metadata["flags"] == []
