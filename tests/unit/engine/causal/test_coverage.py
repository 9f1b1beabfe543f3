"""What causal methods do not cover is known from a model's config: the plan refuses it."""

from __future__ import annotations

import pytest

from engine.causal.coverage import refuse_uncovered
from engine.config import Config
from engine.errors import ConfigError
from engine.model.facts import read_model_facts
from tests.fixtures.tiny_models import tiny_config


def config_of(folder, kind, **sections):
    tiny_config(kind).save_pretrained(folder)
    return Config.model_validate({"predictions": {"path": "x"}, "model": {"path": str(folder)}, **sections})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "gemma3n_text",
            "model type 'gemma3n_text' mixes several residual streams.* causal.attribution, causal.knockout",
        ),
        ("gemma4_text", "model type 'gemma4_text' adds more .* which causal.attribution does not cover"),
        ("hy_v4", "model type 'hy_v4' mixes"),
        ("muse_glimmer", "model type 'muse_glimmer_text' mixes"),
        ("paligemma", "model type 'paligemma' makes its logits in another way"),
        ("bart", "has 2 attentions"),
        ("opt", "has a part that is not known"),
    ],
)
def test_a_plan_refuses_what_a_models_parts_tell(tmp_path, kind, words):
    config = config_of(tmp_path, kind, causal={"attribution": {}, "knockout": {}})
    with pytest.raises(ConfigError, match=rf"causal: .*{words}.*Leave the causal section out"):
        refuse_uncovered(config)


@pytest.mark.filterwarnings("ignore")
def test_a_plan_lets_hybrids_pass_and_what_covers_models_with_more_parts(tmp_path):
    refuse_uncovered(config_of(tmp_path, "lfm2", causal={"attribution": {}, "ablation": {}, "knockout": {}}))
    (tmp_path / "two").mkdir()
    refuse_uncovered(config_of(tmp_path / "two", "granitemoehybrid", causal={"attribution": {}}))
    (tmp_path / "more").mkdir()
    refuse_uncovered(config_of(tmp_path / "more", "gemma4_text", causal={"ablation": {}, "knockout": {}}))


@pytest.mark.parametrize("kind", ["gpt_oss", "granite", "cohere"])
def test_a_plan_lets_pass_what_only_weights_tell(tmp_path, kind):
    refuse_uncovered(config_of(tmp_path, kind, causal={"attribution": {}, "knockout": {}}))


def test_a_plan_knows_layers_without_heads_and_lengths_that_are_checked_apart(tmp_path):
    config = config_of(tmp_path, "olmo_hybrid")
    facts, _ = read_model_facts(config, needs_model=False)
    assert facts.headless_layers and facts.num_layers_with_heads == facts.num_layers - len(facts.headless_layers)
    config.statistics.rollout = True
    with pytest.raises(ConfigError, match=r"statistics\.rollout: .* has layers without heads"):
        read_model_facts(config, needs_model=False)
    (tmp_path / "windows").mkdir()
    windows, _ = read_model_facts(config_of(tmp_path / "windows", "mistral"), needs_model=False)
    assert windows.limits == (16,) and not windows.headless_layers
