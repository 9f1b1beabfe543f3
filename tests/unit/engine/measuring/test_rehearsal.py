"""What a run would refuse once the model is loaded is refused in the plan, and nothing that runs is."""

from __future__ import annotations

import json
import re

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

from engine.config import Config
from engine.errors import ConfigError
from engine.measuring.checking.rehearsal import rehearse
from tests.fixtures.family_judgement import plan_refusal
from tests.fixtures.tiny_models import VOCABULARY, causal_types, tiny_config, tiny_model, vision_types

pytestmark = pytest.mark.filterwarnings("ignore")

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SLIDING = ["full_attention", "sliding_attention"]
BASES = {
    "llama": lambda: LlamaConfig(**SIZES),
    "mistral": lambda: MistralConfig(**SIZES, sliding_window=16),
    "qwen2": lambda: Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=16, layer_types=SLIDING),
    "llama4_text": lambda: tiny_config("llama4_text"),
    "gpt_oss": lambda: tiny_config("gpt_oss"),
}


def config_of(folder, base, edits, **model):
    BASES[base]().save_pretrained(folder)
    edit(folder, edits)
    return Config.model_validate({"predictions": {"path": "x"}, "model": {"path": str(folder), **model}})


def edit(folder, edits):
    stated = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stated | edits))


ON_NUMBERS = {"dbrx", "jetmoe", "llama4", "llama4_text", "step3p7", "xmod"}
"""Types that a forward without numbers does not get through."""


def expected_warnings(config, kind):
    said = (
        f"The plan could not run {config.model.path!r} to its end without its weights (what it does next hangs on "
        "numbers): whether all of it can be measured is told by the check before measuring."
    )
    return [said] if kind in ON_NUMBERS else []


@pytest.mark.parametrize(
    ("base", "edits", "words"),
    [
        ("llama", {"rope_parameters": {"rope_type": "foo"}}, "rope_parameters.rope_type is 'foo', which"),
        (
            "llama",
            {"rope_parameters": {"type": "mrope", "mrope_section": [1, 1, 2]}},
            "rope_parameters.type is 'mrope'",
        ),
        (
            "llama",
            {"rope_parameters": {"rope_type": "yarn", "factor": "4", "rope_theta": 1e4}},
            "cannot be built: TypeE",
        ),
        ("llama", {"hidden_act": "foo"}, "hidden_act is 'foo', which the code of this model"),
        ("llama", {"num_key_value_heads": 3}, "layer 0 has 4 query heads and 3 key-value heads"),
        ("llama", {"num_key_value_heads": 0}, "cannot be built: ZeroDivisionError"),
        ("llama", {"pad_token_id": 99}, "cannot be built: .*Padding_idx"),
        ("llama", {"dtype": "int8"}, "cannot be built: .*not a floating-point dtype"),
        (
            "llama",
            {"layer_types": ["full_attention", "conv"]},
            "layer 1 calls attention, and the config says it has non",
        ),
        ("qwen2", {"sliding_window": None}, "layer_types names sliding_attention, and sliding_window is null\\. Mend"),
        ("qwen2", {"use_sliding_window": False}, "sliding_window is null, as use_sliding_window: false makes it"),
        ("qwen2", {"sliding_window": -1}, "neither causal nor a sliding window of -1 keys"),
        ("qwen2", {"sliding_window": 0}, "neither causal nor a sliding window of 0 keys"),
        ("qwen2", {"layer_types": ["full_attention", "chunked_attention"]}, r"layer_types\[1\] is 'chunked_attention'"),
        ("qwen2", {"layer_types": ["full_attention", "linear_attention"]}, r"layer_types\[1\] is 'linear_attention'"),
        ("mistral", {"sliding_window": None, "layer_types": SLIDING}, "and sliding_window is null"),
        ("mistral", {"sliding_window": -1}, "neither causal nor a sliding window of -1 keys"),
        ("gpt_oss", {"sliding_window": None}, "and sliding_window is null"),
        ("llama4_text", {"attention_chunk_size": None}, "names chunked_attention, and attention_chunk_size is null"),
    ],
)
def test_a_config_that_cannot_run_is_refused(tmp_path, base, edits, words):
    with pytest.raises(ConfigError, match=words) as refused:
        rehearse(config_of(tmp_path, base, edits), needs_model=False)
    assert str(refused.value).startswith("model.path: ")


@pytest.mark.parametrize(
    ("base", "edits", "model"),
    [
        ("llama", {}, {}),
        ("llama", {"rope_parameters": None}, {}),
        ("llama", {"rope_parameters": {"type": "linear", "factor": 2.0}}, {}),
        ("llama", {"head_dim": 16}, {}),
        ("llama", {"layer_types": SLIDING, "sliding_window": None}, {}),
        ("llama", {"dtype": "float8_e4m3fn"}, {"dtype": "bfloat16"}),
        ("llama", {"dtype": "float64"}, {}),
        ("llama", {"quantization_config": {"quant_method": "fp8"}}, {}),
        ("mistral", {"sliding_window": None}, {}),
        ("qwen2", {"sliding_window": 1}, {}),
        ("qwen2", {"sliding_window": 10**9}, {}),
        ("qwen2", {"use_sliding_window": False, "layer_types": None}, {}),
        ("llama4_text", {"attention_chunk_size": 8192}, {}),
    ],
)
def test_a_config_that_runs_is_not_refused(tmp_path, base, edits, model):
    config = config_of(tmp_path, base, edits, **model)
    assert rehearse(config, needs_model=True) == expected_warnings(config, base)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if place % 9 == 0 else pytest.mark.soak)
        for place, kind in enumerate([*causal_types(), *vision_types()])
    ],
)
def test_no_type_that_runs_is_refused(tmp_path, kind):
    try:
        model = tiny_model(kind)
        with torch.no_grad():
            model(torch.randint(4, VOCABULARY, (1, 20)), use_cache=False)
    except Exception as error:
        pytest.skip(f"no tiny model of it: {str(error)[:100]}")
    if plan_refusal(model.config, tiny_config(kind)) is None:
        model.config.save_pretrained(tmp_path)
        config = Config.model_validate({"predictions": {"path": "x"}, "model": {"path": str(tmp_path)}})
        assert rehearse(config, needs_model=True) == expected_warnings(config, kind)


def saved(folder, **sizes):
    AutoModelForCausalLM.from_config(LlamaConfig(**SIZES | sizes)).save_pretrained(folder)
    return Config.model_validate({"predictions": {"path": "x"}, "model": {"path": str(folder)}})


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (
            {"hidden_size": 64},
            r"lm_head.weight is \[60, 32\] in the weights and \[60, 64\] by the config \(and 20 more\)",
        ),
        ({"head_dim": 16}, r"k_proj.weight is \[16, 32\] in the weights and \[32, 32\] by the config"),
        ({"num_key_value_heads": 4}, r"k_proj.weight is \[16, 32\] in the weights and \[32, 32\] by the config"),
        ({"vocab_size": 61}, r"lm_head.weight is \[60, 32\] in the weights and \[61, 32\] by the config"),
        ({"num_hidden_layers": 3}, r"lack 9 tensor\(s\) that the model needs, such as model.layers.2.input_layernorm"),
        (
            {"attention_bias": True},
            r"lack 8 tensor\(s\) that the model needs, such as model.layers.0.self_attn.k_proj.b",
        ),
        (
            {"quantization_config": {"quant_method": "bitnet"}},
            r"is \[32, 48\] in the weights and \[8, 48\] by the config",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_both_shapes(tmp_path, edits, words):
    config = saved(tmp_path)
    edit(tmp_path, edits)
    with pytest.raises(ConfigError, match=words):
        rehearse(config, needs_model=False)


@pytest.mark.parametrize(
    "edits",
    [{}, {"dtype": "bfloat16"}, {"tie_word_embeddings": True}, {"quantization_config": {"quant_method": "fp8"}}],
)
def test_weights_that_fit_are_not_refused(tmp_path, edits):
    config = saved(tmp_path)
    edit(tmp_path, edits)
    assert not [warning for warning in rehearse(config, needs_model=True) if "lm_head" not in warning]


def test_tensors_that_the_model_does_not_use_are_said(tmp_path):
    config = saved(tmp_path)
    edit(tmp_path, {"num_hidden_layers": 1})
    (warning,) = rehearse(config, needs_model=True)
    assert re.search(
        r"hold 9 tensor\(s\) that the model of its config.json does not use, such as model.layers.1", warning
    )


def test_files_that_are_cut_off_or_not_there_are_refused(tmp_path):
    config = saved(tmp_path)
    whole = tmp_path / "model.safetensors"
    content = whole.read_bytes()
    whole.write_bytes(content[:-8])
    with pytest.raises(ConfigError, match=r"is cut off: it holds [\d,]+ of the [\d,]+ bytes"):
        rehearse(config, needs_model=False)
    (tmp_path / "a.safetensors").write_bytes(content)
    whole.unlink()
    index = {"weight_map": {"lm_head.weight": "a.safetensors", "model.norm.weight": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match=r"lacks 1 of the 2 files of weights that .*, such as b.safetensors"):
        rehearse(config, needs_model=False)
    (tmp_path / "model.safetensors.index.json").write_text("{")
    assert rehearse(config, needs_model=False) == []


@pytest.mark.parametrize(
    ("names", "number"),
    [
        (["LlamaForSequenceClassification"], 1),
        (["LlamaForTokenClassification"], 1),
        (["LlamaForCausalLM"], 0),
        (["LlamaModel"], 0),
        (None, 0),
    ],
)
def test_a_checkpoint_that_writes_no_tokens_is_said(tmp_path, names, number):
    found = rehearse(config_of(tmp_path, "llama", {"architectures": names}), needs_model=True)
    assert len(found) == number and all("which writes no tokens" in warning for warning in found)
