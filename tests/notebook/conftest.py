"""Loaded models as users have them: the demo model, and small random ones of three families."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.fixtures.models import random_model
from tests.fixtures.places import ROOT
from tests.fixtures.predictions import records

KINDS = ("demo", "qwen2", "llama", "gpt2")


@pytest.fixture(scope="session")
def tokenizer(tokenizer_dir):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_dir)


@pytest.fixture(scope="session")
def loaded(tokenizer):
    """Model and tokenizer by kind."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    demo = ROOT / "data" / "demo-model"
    found = {
        "demo": (
            AutoModelForCausalLM.from_pretrained(demo, dtype=torch.float32).eval(),
            AutoTokenizer.from_pretrained(demo),
        )
    }
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
  hypotheses: []
  correlations: []
  strata: []
visualization: {{formats: [html]}}
cluster: {{mode: inline}}
"""
    )
    assert main([str(folder / "config.yaml")]) == 0
    return folder / "cli"
