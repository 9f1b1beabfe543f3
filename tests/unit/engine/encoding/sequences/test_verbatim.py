"""Prompts and transcripts go in word for word, or as the chat template renders them; each part once."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from tests.fixtures.chat_templates import STYLES
from tests.fixtures.encoded_rows import ANSWER, DATED, USER, encode, segment, settings_of, turns_of, whole


@pytest.mark.parametrize("style", sorted(STYLES))
def test_messages_are_rendered_as_transformers_does(tmp_path, folders, style):
    turns = turns_of(style)
    _, asked, everything = whole(folders[style], turns, **settings_of(style))
    answer = f"reason</think>{ANSWER}" if style == "deepseek" else ANSWER
    rows = [{"messages": [*turns, {"role": "assistant", "content": answer}]}]
    encoded, rejects = encode(tmp_path, folders[style], rows, "messages", **DATED)
    assert not rejects
    sample = encoded["r0"]
    assert list(sample.input_ids[: sample.num_prompt_tokens]) == asked and sample.sequence_source == "template"
    if style in ("chatml", "llama 3", "gemma", "phi", "chatml that thinks", "mistral"):
        assert list(sample.input_ids) == everything[: sample.num_tokens]


@pytest.mark.parametrize("style", sorted(STYLES))
def test_a_rendered_prompt_goes_in_verbatim(tmp_path, folders, style):
    prompt, asked, _ = whole(folders[style], turns_of(style), **settings_of(style))
    answer = f"reason</think>{ANSWER}" if style == "deepseek" else ANSWER
    beginning = STYLES[style].beginning
    rows = [{"prompt": prompt, "response": answer}]
    rows.append({"prompt": prompt.removeprefix(beginning or ""), "response": answer})
    encoded, rejects = encode(tmp_path, folders[style], rows, "fields", **DATED)
    assert not rejects
    for sample in encoded.values():
        assert list(sample.input_ids[: sample.num_prompt_tokens]) == asked, sample.text
        flags = ["channels_restored"] if style == "gpt-oss" else []
        assert (sample.sequence_source, sample.metadata["flags"]) == ("rendered", flags)
        assert USER in segment(sample, "instruction") or style == "llama 2"
    messages = [{"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}]
    encoded, _ = encode(tmp_path, folders[style], messages, "messages", **DATED)
    assert list(encoded["r0"].input_ids[: encoded["r0"].num_prompt_tokens]) == asked


@pytest.mark.parametrize("style", sorted(STYLES))
def test_a_transcript_with_its_special_tokens_is_replayed_word_for_word(tmp_path, folders, style):
    prompt, asked, _ = whole(folders[style], turns_of(style), **settings_of(style))
    answer = f"reason</think>{ANSWER}" if style == "deepseek" else ANSWER
    if style == "gpt-oss":
        answer = f"<|channel|>analysis<|message|>decrease?<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}"
    end = {"gpt-oss": "<|return|>", "chatml": "<|im_end|>", "phi": "<|end|>"}.get(style, "")
    encoded, rejects = encode(
        tmp_path,
        folders[style],
        [{"full_model_response": prompt + answer + end}],
        "transcript",
        prompt={"date": "1999-12-31"},
    )
    assert not rejects
    sample = encoded["r0"]
    tokenizer = AutoTokenizer.from_pretrained(folders[style])
    said = tokenizer(answer, add_special_tokens=False)["input_ids"]
    if style == "deepseek":  # the thought that the template opens is part of what the transcript says of the assistant
        assert sample.text == prompt + answer
        return
    assert list(sample.input_ids) == [*asked, *said] and sample.metadata["flags"] == []
    assert sample.sequence_source == "transcript" and sample.metadata["predicted_label"] == "increase"


def test_a_rendered_prompt_is_told_from_one_that_only_holds_marks(tmp_path, folders):
    prompt, *_ = whole(folders["chatml"], turns_of("chatml"))
    rows = [
        {"prompt": prompt.split("\n", 1)[1], "response": ANSWER},
        {"prompt": f"What does <|im_end|> mean? {USER}", "response": ANSWER},
        {"prompt": f"<|start_header_id|>user<|end_header_id|>\n\n{USER}<|eot_id|>", "response": ANSWER},
        {"prompt": prompt.removesuffix("<|im_start|>assistant\n"), "response": ANSWER},
        {"prompt": prompt, "system": "Be rude.", "response": ANSWER},
    ]
    encoded, rejects = encode(tmp_path, folders["chatml"], rows, "fields")
    assert rejects == {"r0": "partly_rendered"}
    flags = {name: sample.metadata["flags"] for name, sample in encoded.items()}
    assert flags == {
        "r1": ["chat_markup_inside"],
        "r2": ["foreign_chat_markup"],
        "r3": ["no_generation_prompt"],
        "r4": ["system_left_out"],
    }


def test_beginnings_are_added_once_and_ends_never(tmp_path, tokenizer_dir):
    from tokenizers.processors import TemplateProcessing

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    begin, end = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    pairs = [("<|endoftext|>", begin), ("<|im_end|>", end)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("<|endoftext|> $A <|im_end|>", None, pairs)
    tokenizer.bos_token = "<|endoftext|>"
    folder = tmp_path / "both ends"
    tokenizer.save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder)("a")["input_ids"][-1] == end
    rows = [{"prompt": USER, "response": " increase"}, {"prompt": f"<|endoftext|>{USER}", "response": " increase"}]
    encoded, _ = encode(tmp_path, folder, rows, "fields", prompt={"chat_template": "none"})
    said = tokenizer(f"{USER}", add_special_tokens=False)["input_ids"]
    answer = tokenizer(" increase", add_special_tokens=False)["input_ids"]
    for sample in encoded.values():
        assert list(sample.input_ids) == [begin, *said, *answer] and sample.sequence_source == "rendered"


def test_an_answer_that_was_recorded_with_its_prompt_is_measured_once(tmp_path, folders):
    prompt, *_ = whole(folders["chatml"], [{"role": "user", "content": USER}])
    rows = [
        {"prompt": prompt, "response": prompt + ANSWER},
        {"prompt": USER, "response": f"{prompt}{ANSWER}<|im_end|>"},
        {"prompt": USER, "response": f"<|im_start|>assistant\n{ANSWER}<|im_end|>"},
        {"prompt": USER, "response": USER + ANSWER},
        {"prompt": USER, "response": ANSWER},
    ]
    encoded, rejects = encode(tmp_path, folders["chatml"], rows, "fields")
    assert not rejects and {sample.text for sample in encoded.values()} == {prompt + ANSWER}
    flags = [sample.metadata["flags"] for sample in encoded.values()]
    assert flags == [["prompt_in_answer"]] * 4 + [[]]


def test_a_template_of_contents_in_parts(tmp_path, tokenizer_dir):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    tokenizer.chat_template = (
        "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' }}{%- for part in m.content %}"
        "{%- if part.type == 'text' %}{{- part.text }}{%- endif %}{%- endfor %}{{- '<|im_end|>\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "parts")
    rows = [{"prompt": USER, "response": ANSWER}]
    encoded, _ = encode(tmp_path, tmp_path / "parts", rows, "fields")
    assert encoded["r0"].text == f"<|im_start|>user\n{USER}<|im_end|>\n<|im_start|>assistant\n{ANSWER}"


@pytest.mark.parametrize(
    ("end", "ids", "flags"),
    [
        ("<|im_end|>", ["<|im_end|>"], []),
        ("<|im_end|>\n", ["<|im_end|>"], ["padding_left_out"]),
        ("<|im_end|><|im_end|>", ["<|im_end|>"], ["padding_left_out"]),
        ("<|eot_id|>", [], ["foreign_end_token"]),
    ],
)
def test_an_end_token_of_an_answer_is_one_token_and_no_other_is_added(tmp_path, folders, end, ids, flags):
    rows = [{"prompt": "What will EPS do?", "response": text} for text in (ANSWER, ANSWER + end)]
    encoded, rejects = encode(tmp_path, folders["chatml"], rows, "fields")
    assert not rejects
    plain, ended = (list(sample.input_ids[sample.num_prompt_tokens :]) for sample in encoded.values())
    assert encoded["r1"].metadata["flags"] == flags
    tokenizer = AutoTokenizer.from_pretrained(folders["chatml"])
    behind = ended[len(plain) :] if ended[: len(plain)] == plain else ended
    assert behind == (
        tokenizer.convert_tokens_to_ids(ids) if ids else tokenizer(end, add_special_tokens=False)["input_ids"]
    )
