"""Quantised checkpoints in a plan: bits, sizes, and the packages that would read them."""

from __future__ import annotations

import importlib.util
import json

import pytest
from transformers import LlamaConfig

from engine.config import Config
from engine.errors import ConfigError
from engine.model.checkpoints.quantised import Quantisation
from engine.model.facts import read_model_facts
from engine.planning.estimate import MemoryNeed

GROUP = {"weights": {"num_bits": 4}, "input_activations": {"num_bits": 8}}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq, 4 bits"),
        ({"quant_method": "awq", "bits": 4}, "awq, 4 bits"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes, 4 bits"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes, 8 bits"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8, 8 bits"),
        ({"quant_method": "mxfp4"}, "mxfp4, 4 bits"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": GROUP}}, "compressed-tensors, 4 bits"),
        ({"quant_method": "quanto", "weights": "int8"}, "quanto, 8 bits"),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "torchao"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["quant_method"],
)
def test_bits_are_read_from_the_config(settings, words):
    found = Quantisation.of(LlamaConfig(quantization_config=settings))
    assert found is not None and found.words() == words
    assert Quantisation.of(LlamaConfig()) is None


def folder_of(tmp_path, **settings):
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "vocab_size": 1000,
        "dtype": "bfloat16",
        "tie_word_embeddings": False,
    }
    (tmp_path / "config.json").write_text(json.dumps(config | settings))
    return Config.model_validate({"predictions": {"path": "x"}, "model": {"path": str(tmp_path)}})


def test_the_plan_knows_the_size_of_quantised_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(Quantisation, "missing_packages", lambda self: [])
    ends = 2 * 1000 * 256
    body = 4 * (4 * 256**2 + 3 * 256 * 512 + 2 * 256) + 256
    plain, _ = read_model_facts(folder_of(tmp_path), needs_model=False)
    assert plain.weight_bytes == 2 * (ends + body) and plain.quantisation is None
    config = folder_of(tmp_path, quantization_config={"quant_method": "gptq", "bits": 4})
    facts, _ = read_model_facts(config, needs_model=False)
    assert facts.weight_bytes == int(body * 4.25 / 8) + 2 * ends
    need = MemoryNeed.of(facts, 4, "cuda")
    assert need is not None and need.weights == facts.weight_bytes
    # Files tell better than bits.
    (tmp_path / "model.safetensors").write_bytes(bytes(1234))
    assert read_model_facts(config, needs_model=False)[0].weight_bytes == 1234


def test_what_a_cpu_unpacks_counts_whole(tmp_path):
    config = folder_of(tmp_path, quantization_config={"quant_method": "fp8"})
    on_gpu, _ = read_model_facts(config, needs_model=False)
    config.model.device = "cpu"
    on_cpu, _ = read_model_facts(config, needs_model=False)
    assert on_gpu.quantisation == "fp8, 8 bits"
    assert on_gpu.weight_bytes < on_cpu.weight_bytes == 2 * on_cpu.num_parameters


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param(
            {"quant_method": "gptq", "bits": 4},
            r"\(gptq, 4 bits\), and what reads them .* pip install .*gptqmodel",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("gptqmodel") is not None, reason="gptqmodel is installed"
            ),
        ),
        (
            {"quant_method": "a_new_one", "bits": 3},
            "quantised by 'a_new_one', which transformers does not read; .*gptq",
        ),
        ({"quant_method": "nvfp4"}, "quantised by 'nvfp4', which transformers does not read; .*gptq"),
    ],
    ids=["package", "method", "only made"],
)
def test_what_cannot_be_read_is_refused_in_the_plan(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        read_model_facts(folder_of(tmp_path, quantization_config=settings), needs_model=False)


def test_what_no_cpu_loads_is_refused_in_the_plan_of_one(tmp_path):
    config = folder_of(tmp_path, quantization_config={"quant_method": "fbgemm_fp8"})
    assert read_model_facts(config, needs_model=False)[0].quantisation == "fbgemm_fp8, 8 bits"
    config.model.device = "cpu"
    with pytest.raises(
        ConfigError, match=r"model\.device: .*\(fbgemm_fp8, 8 bits\), which transformers does not load on"
    ):
        read_model_facts(config, needs_model=False)
