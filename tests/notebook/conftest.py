"""Loaded models as users have them: the demo model, and small random ones of three families."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, randomize, records

KINDS = ("demo", "qwen2", "llama", "gpt2")
SMALL = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4,
         "max_position_embeddings": 1024}  # fmt: skip


@pytest.fixture(scope="session")
def tokenizer(tokenizer_dir):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_dir)


def random_model(kind, vocabulary, implementation="sdpa"):
    import transformers as hf

    size = len(vocabulary)
    torch.manual_seed(5)
    made = {
        "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(vocab_size=size, **SMALL, num_key_value_heads=2)),
        "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(vocab_size=size, **SMALL, num_key_value_heads=1)),
        "gpt2": lambda: hf.GPT2LMHeadModel(
            hf.GPT2Config(vocab_size=size, n_embd=32, n_layer=3, n_head=4, n_positions=1024)
        ),
    }[kind]()
    randomize(made, seed=3)
    made.set_attn_implementation(implementation)
    made.generation_config.eos_token_id = None
    return made.eval()


@pytest.fixture(scope="session")
def loaded(tokenizer):
    """Model and tokenizer by kind."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    demo = ROOT / "data" / "demo-model"
    found = {"demo": (AutoModelForCausalLM.from_pretrained(demo, dtype=torch.float32).eval(),
                      AutoTokenizer.from_pretrained(demo))}  # fmt: skip
    return found | {kind: (random_model(kind, tokenizer), tokenizer) for kind in KINDS[1:]}


@pytest.fixture(params=KINDS)
def pair(request, loaded):
    return loaded[request.param]


@pytest.fixture(scope="session")
def demo_records():
    return json.loads((ROOT / "data" / "predictions_demo.json").read_text())


@pytest.fixture(scope="session")
def cli_run(tmp_path_factory, tiny_model_dir) -> Path:
    """A run of the command line on six records, with patterns, decision rows and causes."""
    from engine.run import main

    folder = tmp_path_factory.mktemp("cli")
    (folder / "predictions.json").write_text(json.dumps(records(6)))
    (folder / "config.yaml").write_text(
        f"""
run: {{name: cli, output: {folder}}}
predictions: {{path: {folder / "predictions.json"}}}
model: {{path: {tiny_model_dir}, dtype: float32, device: cpu}}
vocabulary: {ROOT / "config" / "vocabulary" / "financial.yaml"}
statistics:
  query_groups: [all, decision, response, financial]
  rollout: true
  patterns: {{samples: [1000-1990], layers: [1], heads: [0, 1, 2, 3]}}
causal:
  attribution: {{}}
  attention_gradient: {{}}
  ablation: {{heads: all, replace: zero, rows: all}}
  amplification: {{heads: [[1, 2]], factors: [3.0], rows: all}}
analysis:
  groups: [{{name: prediction, column: predicted_label, a: increase, b: decrease}}]
  permutations: 20
  decodability: false
visualization: {{formats: [html]}}
cluster: {{mode: inline}}
"""
    )
    assert main([str(folder / "config.yaml")]) == 0
    return folder / "cli"
