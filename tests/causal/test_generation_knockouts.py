"""Answers written under a knockout against a slow oracle: whole forwards, one per token, with a masked matrix."""

from __future__ import annotations

import pytest
import torch

from engine.config import GenerationSection
from engine.generation.generator import Generator
from engine.interventions.knockouts import Knockout
from engine.model.decoder import Decoder
from engine.samples import Prompt
from tests.causal.hidden_keys import keys_hidden

PROMPTS = [Prompt("a", "Net income increased from 3 to 5 while sales of the company fell."), Prompt("b", "Sales rose")]
STEPS = 8


@pytest.fixture(scope="module")
def parts(tiny_model_dir):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir).eval()
    return model, AutoTokenizer.from_pretrained(tiny_model_dir)


def slowly(model, ids, knockouts):
    """Return the tokens of greedy decoding without a cache: the whole text again for every token."""
    decoder, ids = Decoder(model), list(ids)
    start = len(ids)
    with torch.no_grad(), keys_hidden(decoder, knockouts):
        for _ in range(STEPS):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[start:]


def generated(parts, knockouts, batch_size=2, implementation="sdpa"):
    model, tokenizer = parts
    model.generation_config.eos_token_id = None
    before = model.config._attn_implementation
    model.set_attn_implementation(implementation)
    settings = GenerationSection(max_new_tokens=STEPS, batch_size=batch_size)
    generator = Generator(model, tokenizer, settings)
    generator.ends = []
    try:
        return [answer.text for answer in generator.answers(PROMPTS, knockouts=knockouts)]
    finally:
        model.set_attn_implementation(before)


def hidden_from(parts, first_row=-1):
    """Return a knockout of the middle tokens of each prompt in every layer."""
    ids = [parts[1](prompt.text)["input_ids"] for prompt in PROMPTS]
    rows = [len(own) - 1 if first_row < 0 else first_row for own in ids]
    return ids, {
        prompt.sample_id: (Knockout(0, 1, tuple(range(0, len(own) - 1)), row),)
        for prompt, own, row in zip(PROMPTS, ids, rows, strict=True)
    }


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_answers_are_those_of_whole_forwards(parts, batch_size, implementation):
    ids, knockouts = hidden_from(parts)
    expected = [
        parts[1].decode(
            slowly(parts[0], own, knockouts[prompt.sample_id]),
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        for prompt, own in zip(PROMPTS, ids, strict=True)
    ]
    assert generated(parts, knockouts, batch_size, implementation) == expected
    assert expected != generated(parts, {}, batch_size, implementation)


def test_only_the_samples_named_are_kept_from_their_keys_and_nothing_is_left_behind(parts):
    _, knockouts = hidden_from(parts)
    plain = generated(parts, {})
    other = generated(parts, {"a": knockouts["a"]})
    assert other[0] != plain[0] and other[1] == plain[1]
    assert generated(parts, {}) == plain
    assert not any(module._forward_pre_hooks for module in parts[0].modules())


def test_a_knockout_of_one_layer_is_not_one_of_all(parts):
    ids, knockouts = hidden_from(parts)
    one = {name: tuple(Knockout(1, 1, k.keys, k.first_row) for k in own) for name, own in knockouts.items()}
    expected = slowly(parts[0], ids[0], one["a"])
    text = parts[1].decode(expected, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert generated(parts, one)[0] == text


def test_a_row_that_would_see_nothing_is_refused(parts):
    ids, _ = hidden_from(parts)
    everything = {"a": (Knockout(0, 0, tuple(range(len(ids[0]))), 0),)}
    with pytest.raises(ValueError, match="without any key"):
        generated(parts, everything)
    assert not any(module._forward_pre_hooks for module in parts[0].modules())
