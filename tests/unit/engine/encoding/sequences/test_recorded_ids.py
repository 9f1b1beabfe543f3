"""Recorded token ids are used as they are, with the characters that each of them stands for."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from tests.fixtures.encoded_rows import ANSWER, USER, encode, segment, turns_of, whole
from tests.fixtures.places import SHARED, needs_shared

ASKED = [{"role": "user", "content": USER}]


def noncanonical(tokenizer, text):
    """Return ids of a text, one for each byte: a way to cut it that the tokenizer would not choose."""
    by_byte = {token: number for token, number in tokenizer.get_vocab().items() if len(token) == 1}
    pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
    return [by_byte[sign] for piece, _ in pieces for sign in piece]


def test_recorded_ids_are_used_as_they_are(tmp_path, folders):
    tokenizer = AutoTokenizer.from_pretrained(folders["chatml"])
    user = "Umsätze stiegen um 3 € – 増加? increase or decrease"
    turns = [{"role": "user", "content": user}]
    prompt, asked, _ = whole(folders["chatml"], turns)
    answer = "増加: EPS → increase."
    ids = noncanonical(tokenizer, answer)
    assert ids != tokenizer(answer, add_special_tokens=False)["input_ids"]
    row = {"prompt": user, "response": answer, "prompt_token_ids": asked, "token_ids": ids}
    wrong = {**row, "token_ids": noncanonical(tokenizer, "EPS will decrease.")}
    rows = [row, {**row, "prompt_token_ids": json.dumps(asked)}, wrong, {**row, "token_ids": [10**6]}]
    rows += [{**row, "token_ids": "many"}, {**row, "prompt": "Another question?"}]
    rows.append({name: value for name, value in row.items() if name not in ("prompt", "response")})
    encoded, rejects = encode(tmp_path, folders["chatml"], rows, "fields")
    assert rejects == {
        "r2": "token_ids_mismatch",
        "r3": "token_ids_mismatch",
        "r4": "unreadable_token_ids",
        "r5": "token_ids_mismatch",
    }
    assert set(encoded) == {"r0", "r1", "r6"}
    for sample in encoded.values():
        assert list(sample.input_ids) == [*asked, *ids] and sample.sequence_source == "token_ids"
        assert sample.text == prompt + answer
        token = sample.decision_position + 1
        assert sample.text[: sample.char_starts[token]].endswith("EPS → ") and sample.token_text(token) == "i"
        assert len(set(sample.contrast_token_ids)) == 2 and sample.contrast_token_ids[0] == sample.decision_token_id
        assert segment(sample, "response") and (sample.char_ends >= sample.char_starts).all()


def with_byte_fallback():
    """Return a tokenizer in the style of Llama 2: blanks are signs of their own, unknown letters are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", *(f"<0x{number:02X}>" for number in range(256))]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(["EPS will increase or decrease today, so said the firm"] * 9, trainer)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


TEXTS = (
    "Gewinn: 3,5 € – 増加した 🎉🎉 naïve\n\tincrease <|im_end|> é",
    "EPS will increase",
    "  two blanks, 🎉",
    "<s>EPS will decrease",
)


@pytest.mark.parametrize("text", TEXTS, ids=["signs", "words", "blanks", "beginning"])
@pytest.mark.parametrize("kind", ["bytes", "byte fallback"])
def test_offsets_of_ids_are_those_of_the_tokenizer(tokenizer_dir, text, kind):
    from engine.encoding.sequences.tokens import recorded_tokens

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir) if kind == "bytes" else with_byte_fallback()
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    decoded, tokens = recorded_tokens(tokenizer, coded["input_ids"])
    assert decoded == text or (kind == "byte fallback" and decoded == text.removeprefix(" "))
    shift = len(text) - len(decoded)
    assert list(tokens.char_starts) == sorted(tokens.char_starts) and list(tokens.char_ends) == sorted(tokens.char_ends)
    spans = zip(coded["offset_mapping"], zip(tokens.char_starts, tokens.char_ends, strict=True), strict=True)
    for (start, end), ours in spans:
        inside = decoded[slice(*ours)]
        assert text[start:end].strip() in inside or not inside, (text[start:end], inside)
        assert ours[1] <= end - shift or inside.strip() == text[start:end].strip()


@needs_shared
def test_the_real_tokenizer_takes_ids_and_rendered_prompts(tmp_path):
    folder = SHARED / "data" / "qwen2-tokenizer"
    prompt, asked, _ = whole(folder, turns_of("chatml"))
    said = list(AutoTokenizer.from_pretrained(folder)(ANSWER)["input_ids"])
    rows = [
        {"prompt": prompt, "response": ANSWER},
        {"prompt": prompt, "response": ANSWER, "prompt_token_ids": asked, "token_ids": said},
    ]
    encoded, rejects = encode(tmp_path, folder, rows, "fields")
    assert not rejects and [list(sample.input_ids) for sample in encoded.values()] == [[*asked, *said]] * 2
    assert [sample.sequence_source for sample in encoded.values()] == ["rendered", "token_ids"]


@pytest.mark.parametrize(
    "names", [("input_ids", "output_ids"), ("prompt_ids", "response_ids"), ("x", "completion_token_ids")]
)
def test_ids_under_other_names_are_said(tmp_path, folders, names):
    _, asked, _ = whole(folders["chatml"], ASKED)
    row = {"prompt": USER, "response": ANSWER, names[0]: asked, names[1]: asked}
    encoded, _ = encode(tmp_path, folders["chatml"], [row, {**row, names[0]: ["a"], names[1]: "b"}], "fields")
    assert [sample.metadata["flags"] for sample in encoded.values()] == [["token_ids_unnamed"], []]


def test_a_thought_in_several_texts_is_said(tmp_path, folders):
    rows = [
        {"messages": ASKED, "response": ANSWER, "thinking": ["First.", "Then."]},
        {"messages": [*ASKED, {"role": "assistant", "content": ANSWER, "reasoning_content": ["First.", "Then."]}]},
        {"messages": ASKED, "response": ANSWER, "thinking": ["First."]},
    ]
    encoded, _ = encode(tmp_path, folders["chatml that thinks"], rows, "messages")
    said = [sorted(sample.metadata["flags"]) for sample in encoded.values()]
    assert said == [["parts_joined", "reasoning_placed"]] * 2 + [["reasoning_placed"]]
