"""Conversations are rendered by a chat template, stripped of special tokens as users record them, and recovered."""

from __future__ import annotations

import json
import random

import pytest
from transformers import AutoTokenizer

from engine.config import Config
from engine.encoding.conversations import chat_markup, render, sample_reader, transcript_layouts
from engine.encoding.encoder import Encoder
from engine.encoding.sequences.chat_template import ChatTemplate
from engine.encoding.token_groups import TokenGroups
from engine.encoding.tokenizer import load_tokenizer
from engine.inputs.predictions import read_predictions
from engine.inputs.transcripts import TranscriptReader
from engine.samples import Message, RowRejected
from tests.fixtures.models import CHAT_TEMPLATE
from tests.fixtures.places import SHARED, needs_shared
from tests.fixtures.predictions import record, records

LLAMA_3 = (
    "{{- bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + "
    "m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI_3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
TEMPLATES = {
    "chatml": (CHAT_TEMPLATE, ["<|im_start|>", "<|im_end|>"]),
    "llama 3": (LLAMA_3, ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|bos|>"]),
    "gemma": (GEMMA, ["<start_of_turn>", "<end_of_turn>", "<|bos|>"]),
    "phi 3": (PHI_3, ["<|user|>", "<|system|>", "<|assistant|>", "<|end|>"]),
    "mistral": (MISTRAL, ["<|bos|>"]),
}
ANSWER = "### Analysis\nThe assistant thinks:\nassistant\nuser\nEPS will increase."
CONVERSATIONS = {
    "with a system part": (Message("system", "Be kind.\nBe short."), Message("user", "| a | 1 |\n\nUp or down?")),
    "without": (Message("user", "Will EPS rise?\nSay `increase` or `decrease`; you are an assistant."),),
}


@pytest.fixture(scope="module")
def tokenizers(tokenizer_dir):
    """Return the tiny tokenizer with each family's template and special tokens."""
    made = {}
    for name, (template, special) in TEMPLATES.items():
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
        tokenizer.add_special_tokens({"additional_special_tokens": special})
        if "<|bos|>" in special:
            tokenizer.bos_token = "<|bos|>"
        tokenizer.chat_template = template
        made[name] = tokenizer
    return made


def cases():
    """Families, conversations that they can hold, and whether special tokens were kept.

    Phi 3 tells its roles by special tokens only: nothing can be recovered from a stripped transcript.
    """
    for name in TEMPLATES:
        for conversation in CONVERSATIONS:
            if conversation != "with a system part" or name not in ("gemma", "mistral"):
                yield from ((name, conversation, kept) for kept in (True, False) if kept or name != "phi 3")


@pytest.mark.parametrize(("name", "conversation", "kept"), list(cases()))
@pytest.mark.parametrize("windows", [False, True])
def test_rendered_stripped_recovered(tokenizers, name, conversation, kept, windows):
    tokenizer, messages = tokenizers[name], CONVERSATIONS[conversation]
    template = tokenizer.chat_template
    turns = [{"role": m.role, "content": m.content} for m in (*messages, Message("assistant", ANSWER))]
    whole = tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False)
    ids = tokenizer(whole, add_special_tokens=False)["input_ids"]
    transcript = tokenizer.decode(ids, skip_special_tokens=not kept, clean_up_tokenization_spaces=False)
    if windows:
        transcript = transcript.replace("\n", "\r\n")
    reader = TranscriptReader(transcript_layouts(tokenizer, template), chat_markup(ChatTemplate(tokenizer, template)))
    found, answer = reader.split(transcript.replace("\r\n", "\n"))
    assert found == messages and answer.strip() == ANSWER
    assert render(tokenizer, template, found) == render(tokenizer, template, messages)
    if windows:  # a reader that keeps Windows' line ends still finds the parts
        found, answer = reader.split(transcript)
        assert [m.role for m in found] == [m.role for m in messages]
        assert "".join(found[-1].content.split()) == "".join(messages[-1].content.split())


def test_a_transcript_that_only_special_tokens_divide_is_a_reject(tokenizers):
    tokenizer = tokenizers["phi 3"]
    reader = TranscriptReader(transcript_layouts(tokenizer, tokenizer.chat_template))
    with pytest.raises(RowRejected) as caught:
        reader.split("Be kind.\nUp or down?\nincrease")
    assert caught.value.reason == "no_roles"


def plan(tmp_path, tokenizer, rows, **sections):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows))
    config = Config.model_validate({"predictions": {"path": str(path)}, "model": {"path": str(tokenizer)}, **sections})
    encoder = Encoder(config, load_tokenizer(config), TokenGroups.from_config(config), None)
    return [encoder.encode(sample) for sample in read_predictions(config, sample_reader(config)).samples]


def test_the_rendered_prompt_is_what_the_model_saw(tmp_path, tokenizer_dir):
    for sample in plan(tmp_path, tokenizer_dir, records(6)):
        assert sample.metadata["flags"] == []


def test_a_system_part_that_only_the_template_adds_is_flagged(tmp_path, tokenizer_dir):
    adds = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
    row = records(1)[0]
    without = {**row, "year": 2000, "full_model_response": row["full_model_response"].partition("assistant.\n")[2]}
    assert without["full_model_response"].startswith("user\n")
    found = plan(tmp_path, tokenizer_dir, [row, without], prompt={"chat_template": adds + CHAT_TEMPLATE})
    assert [sample.metadata["flags"] for sample in found] == [[], ["prompt_differs"]]


@needs_shared
def test_the_real_record_is_seen_as_it_was(tmp_path):
    rows = json.loads((SHARED / "data" / "predictions_checkpoint_sample.json").read_text())
    folder = SHARED / "data" / "qwen2-tokenizer"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row, sample in zip(rows, plan(tmp_path, folder, rows), strict=True):
        assert tokenizer.decode(sample.input_ids, skip_special_tokens=True) == row["full_model_response"]
        assert "prompt_differs" not in sample.metadata["flags"]
        items = [span.name for span in sample.spans if span.kind == "line_item"]
        assert len(items) == 52 and "Net Income (Loss)" in items and "Noncontrolling Interest (2)" in items
        assert [span.name for span in sample.spans if span.kind == "period"] == ["1971", "1972", "1970"]


def test_only_the_prompt_of_a_transcript(tokenizer_dir):
    head = record(0, random.Random(0), "increase")["full_model_response"].partition("\nassistant\n")[0]
    messages, answer = TranscriptReader().split(head)
    assert answer == "" and [m.role for m in messages] == ["system", "user"]
