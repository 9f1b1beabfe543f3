"""What a plan tells of an adapter on a base: that it does not fit, was trained on another, or leaves something out."""

from __future__ import annotations

import importlib.util
import json
import re

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from engine.config import AdapterSection, Config
from engine.config.model import ModelSection
from engine.errors import ConfigError
from engine.measuring.checking.coverage import left_out
from engine.measuring.checking.rehearsal import rehearse
from engine.model.checkpoints.bases import other_base

needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")


def small(folder, seed=0, **sizes):
    """A Llama in a folder."""
    shape = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False}
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**shape | heads | sizes)).save_pretrained(folder)
    return folder


def tuned(folder, base, **settings):
    """An adapter as PEFT writes it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=3, **settings)).save_pretrained(folder)
    return folder


def plan_of(base, adapter, **settings):
    model = {"path": str(base), "adapter": {"path": str(adapter), **settings}}
    return Config.model_validate({"predictions": {"path": "x"}, "model": model})


@needs_peft
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("sizes", "settings", "words"),
    [
        ({"hidden_size": 64}, {}, r"size mismatch for .*lora_A.*\[3, 32\]\) from checkpoint, .*\[3, 64\]"),
        (
            {"num_key_value_heads": 4},
            {"target_modules": ["k_proj"]},
            r"mismatch for .*lora_B.*\[16, 3\].*\[32, 3\]",
        ),
        ({"num_hidden_layers": 1}, {}, r"2 tensor\(s\) of .* and of the model do not meet, such as .*layers\.1"),
        ({}, {"lora_bias": True}, "cannot be merged into the weights: .*no bias"),
        ({"tie_word_embeddings": True}, {"target_modules": ["embed_tokens"]}, "whose weights are those of lm_head too"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_in_the_plan(tmp_path, sizes, settings, words):
    trained_on = small(tmp_path / "base", **{name: size for name, size in sizes.items() if name.startswith("tie")})
    adapter = tuned(tmp_path / "lora", trained_on, **{"target_modules": ["o_proj"]} | settings)
    with pytest.raises(ConfigError, match=words):
        rehearse(plan_of(small(tmp_path / "other", **sizes), adapter), needs_model=False)


@needs_peft
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("named", "sizes", "words"),
    [
        ("base", None, None),
        ("base", {}, None),
        ("base", {"seed": 1}, "their weights differ"),
        ("base", {"intermediate_size": 56}, r"their configs differ \(intermediate_size 48 and 56\)"),
        ("acme/base-7b", {}, None),
        ("/nowhere/base", {}, None),
    ],
    ids=["same folder", "a copy", "other weights", "other sizes", "hub and folder", "no such folder"],
)
def test_the_plan_says_that_an_adapter_was_trained_on_another_model(tmp_path, named, sizes, words):
    base = small(tmp_path / "base")
    adapter = tuned(tmp_path / "lora", base, target_modules=["q_proj"])
    if named != "base":
        edited = json.loads((adapter / "adapter_config.json").read_text()) | {"base_model_name_or_path": named}
        (adapter / "adapter_config.json").write_text(json.dumps(edited))
    used = base if sizes is None else small(tmp_path / "used", **sizes)
    found = rehearse(plan_of(used, adapter), needs_model=True)
    assert len(found) == (words is not None)
    assert words is None or re.search(f"was trained on '.*base' .* and is applied to '.*used': {words}", found[0])


@pytest.mark.parametrize(
    ("named", "path", "is_told"),
    [
        ("acme/base", "acme/base", False),
        ("acme/base", "Acme/Base/", False),
        ("acme/base", "acme/base-instruct", True),
        ("acme/base", "{folder}/models--acme--base/snapshots/1", False),
        ("acme/base", "{folder}/models--acme--other/snapshots/1", True),
        ("acme/base", "{folder}/base", False),
        ("./base", "acme/base", False),
    ],
)
def test_names_of_bases_are_compared_where_they_can_be(tmp_path, named, path, is_told):
    path = path.format(folder=tmp_path)
    if path.startswith(str(tmp_path)):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": named}))
    section = ModelSection(path=path, adapter=AdapterSection(path=str(tmp_path)))
    found = other_base(section, LlamaConfig())
    assert [sentence.partition(": ")[2].partition(".")[0] for sentence in found] == [
        "two models by their names"
    ] * is_told


@needs_peft
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("settings", "merge", "is_left_out"),
    [
        ({"target_modules": ["q_proj", "lm_head"]}, False, True),
        ({"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, False, True),
        ({"target_modules": ["q_proj", "lm_head"]}, True, False),
        ({"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, True, False),
        ({"target_modules": ["q_proj", "o_proj"]}, False, False),
    ],
)
def test_the_plan_says_what_an_adapter_beside_the_output_head_leaves_out(tmp_path, settings, merge, is_left_out):
    base = small(tmp_path / "base")
    config = plan_of(base, tuned(tmp_path / "lora", base, **settings), merge=merge)
    assert ["model.adapter.merge=true" in sentence for sentence in left_out(config)] == [True] * is_left_out
