"""GGUF files: unpacked by transformers, or named with what is missing."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch

from engine.config import Config, load_config
from engine.errors import ConfigError
from engine.model.facts import read_model_facts
from engine.model.loading import load_model
from engine.storage.fingerprints import take_fingerprints

SIZE, HEADS, LAYERS, WORDS = 64, 4, 2, 64
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def config_of(folder, **settings):
    model = {"path": str(folder), "gguf_file": "tiny.gguf", "dtype": "float32", **settings}
    return Config.model_validate({"predictions": {"path": str(folder / "rows.json")}, "model": model})


def written(folder):
    """Write a random Llama as llama.cpp keeps it, and return it."""
    import gguf
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WORDS,
            hidden_size=SIZE,
            intermediate_size=128,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=128,
            tie_word_embeddings=False,
        )
    ).eval()
    writer = gguf.GGUFWriter(str(folder / "tiny.gguf"), "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(SIZE)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(128)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(WORDS)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for layer in range(LAYERS):
        names |= {f"model.layers.{layer}.{ours}": f"blk.{layer}.{theirs}" for ours, theirs in PARTS.items()}
    for name, weight in model.named_parameters():
        part = name.removesuffix(".weight")
        values = weight.detach().numpy()
        if part.endswith(("q_proj", "k_proj")):  # llama.cpp turns pairs of neighbours
            values = values.reshape(HEADS, 2, SIZE // HEADS // 2, SIZE).swapaxes(1, 2).reshape(SIZE, SIZE).copy()
        writer.add_tensor(f"{names[part]}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="gguf is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_gguf_file_is_unpacked(tmp_path):
    own = written(tmp_path)
    config = config_of(tmp_path)
    facts, _ = read_model_facts(config, needs_model=True)
    assert (facts.num_layers, facts.num_heads, facts.quantisation) == (LAYERS, HEADS, "GGUF, unpacked when loaded")
    model = load_model(config, torch.device("cpu"))
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, own(ids).logits)


def test_a_path_that_is_a_gguf_file_names_it(tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    (tmp_path / "rows.json").write_text("[]")
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps({"predictions": {"path": "x"}, "model": {"path": str(tmp_path / "tiny.gguf")}}))
    config, _ = load_config(file)
    assert (config.model.path, config.model.gguf_file) == (str(tmp_path), "tiny.gguf")
    before = take_fingerprints(config_of(tmp_path), tmp_path).values
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF2")
    after = take_fingerprints(config_of(tmp_path), tmp_path).values
    assert after["model"] != before["model"] and after["tokenizer"] != before["tokenizer"]


def test_what_cannot_be_read_is_refused_in_the_plan(tmp_path, monkeypatch):
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match=r"there is no 'tiny\.gguf' in .*; it holds other\.gguf"):
        read_model_facts(config_of(tmp_path), needs_model=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"package gguf, which is not installed here: pip install 'headledger\[gguf\]'"
    ):
        read_model_facts(config_of(tmp_path, gguf_file="other.gguf"), needs_model=False)
