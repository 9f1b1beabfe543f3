"""The plan and every config that transformers knows: facts, or a refusal in words; never a traceback."""

from __future__ import annotations

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from engine.config.model import ModelSection
from engine.errors import UnsupportedModelError
from engine.model import facts as facts_module
from engine.model.geometry import Geometry, stated
from tests.fixtures.tiny_models import causal_types

UNMAKEABLE = {"gemma4_assistant"}
"""Types whose default config transformers itself refuses."""


@pytest.mark.parametrize("kind", sorted(set(causal_types()) - UNMAKEABLE))
@pytest.mark.filterwarnings("ignore")
def test_a_config_gives_facts_or_a_refusal_by_name(kind, monkeypatch):
    config = CONFIG_MAPPING[kind]()
    monkeypatch.setattr(facts_module, "_num_parameters", lambda *_: None)  # builds the model, whose size is no matter
    try:
        geometry = Geometry.of(config)
    except UnsupportedModelError as error:
        assert "model type" in str(error) and len(str(error)) > 30
        return
    facts = facts_module._facts(ModelSection(path="x"), config, geometry, None)
    assert facts.num_layers == geometry.num_layers > max(geometry.softmax_layers) >= 0
    assert facts.num_heads and facts.head_dim and facts.num_heads * facts.head_dim > 0


@pytest.mark.parametrize(
    ("kind", "name", "sizes"),
    [
        ("gemma4_text", "head_dim", [256, 512]),
        ("gemma3n_text", "intermediate_size", [16384]),
        ("qwen2", "head_dim", []),
        ("qwen2", "hidden_size", [4096]),
    ],
    ids=["by-layer", "list", "absent", "one"],
)
def test_sizes_are_read_however_they_are_stated(kind, name, sizes):
    assert stated(CONFIG_MAPPING[kind](), name) == sizes


def test_layers_without_heads_are_known_from_the_config():
    geometry = Geometry.of(CONFIG_MAPPING["qwen3_next"](num_hidden_layers=8))
    assert geometry.softmax_layers == (3, 7) and not geometry.is_packable
