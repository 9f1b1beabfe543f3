"""The old script's config: accepted, translated, printed, every change named."""

from __future__ import annotations

import pytest
import yaml

from engine.config import Config
from engine.config.old_script import SECTIONS, is_old, translated
from engine.config.old_sections import TAKEN_NAMES
from engine.run import main
from engine.schema import BASELINE_GROUPS, DEFAULT_KEY_GROUPS

OLD = {
    "model_config": {
        "model_name": "Qwen/Qwen2-7B-Instruct",
        "device": "cuda:0",
        "torch_dtype": "float16",
        "max_memory": "32GB",
        "attn_implementation": "eager",
        "num_layers": 32,
    },
    "generation_config": {"max_new_tokens": 512, "temperature": 0.7, "do_sample": True, "output_attentions": True},
    "attention_analysis": {
        "layers_to_analyze": [0, 10, 20, 31],
        "heads_to_analyze": "all",
        "some_new_key": 3,
        "statistical_tests": ["t_test"],
    },
    "financial_vocabulary": {
        "revenue": ["revenue", "sales"],
        "year": ["year", "annual"],
        "nested": {"a": ["profit"], "b": ["loss", "profit"]},
        "empty": [],
    },
    "visualization_config": {
        "figure_size": [12, 8],
        "color_schemes": {"heatmap": "Blues"},
        "dpi": 300,
        "output_formats": ["png", "eps"],
    },
    "intervention_experiments": {
        "enabled": True,
        "head_ablation": {"target_layers": [15, 31], "method": "zero"},
        "amplification_factors": [0.5, 2.0],
    },
    "comparative_analysis": {
        "significance_level": 0.01,
        "multiple_comparison_correction": "bonferroni",
        "hypotheses": ["Layers 20+ specialize in financial reasoning"],
        "groups": ["correct", "incorrect"],
    },
    "output_config": {"output_dir": "results/interpretability", "save_attention_matrices": True},
}


def test_every_key_is_translated_or_named():
    new, changes = translated(OLD)
    assert set(OLD) == set(SECTIONS) and is_old(OLD) and not is_old(new)
    config = Config.model_validate({**new, "predictions": {"path": "x.json"}})
    assert (config.model.path, config.model.dtype, config.model.device) == ("Qwen/Qwen2-7B-Instruct", "float16", "cuda")
    assert config.generation.enabled is False and config.generation.max_new_tokens == 512
    assert config.vocabulary == {
        "revenue": ["revenue", "sales"],
        "year_terms": ["year", "annual"],
        "nested": ["profit", "loss"],
    }
    assert config.visualization.formats == ("png",) and config.analysis.alpha == 0.01
    assert config.analysis.correction == "bonferroni" and config.run.output == "results"
    assert config.run.name == "interpretability"
    assert config.analysis.hypotheses == ("Layers 20+ specialize in financial reasoning",)
    assert config.causal.ablation is not None and config.causal.amplification.factors == [0.5, 2.0]
    text = "\n".join(changes)
    for said in (
        "sampling is replaced by replay",
        "is now applied",
        "Layer(s) 31 do not exist",
        "28 layers",
        "some_new_key (3): has no counterpart",
        "max_memory",
        "figure_size",
        "dpi",
        "matrices",
        "num_layers",
        "attn_implementation",
        "year_terms",
        "empty: holds no term",
        "t-tests",
        "groups",
        "heads_to_analyze",
        "method",
        "color_schemes",
        "'eps'",
    ):
        assert said in text, said


@pytest.mark.parametrize("section", SECTIONS[1:])
@pytest.mark.parametrize("content", [None, {}, 7, ["x"]])
def test_odd_sections_do_no_harm(section, content):
    new, changes = translated({"model_config": {"model_name": "m"}, section: content})
    assert changes
    assert Config.model_validate({"model": {"path": "m"}, **new, "predictions": {"path": "x"}})


def test_the_old_command_line_runs(tmp_path, predictions_file, tiny_model_dir, capsys):
    old = {
        **OLD,
        "model_config": {"model_name": str(tiny_model_dir), "device": "cpu", "torch_dtype": "float32"},
        "output_config": {"output_dir": str(tmp_path / "results")},
        "intervention_experiments": {"enabled": False},
    }
    path = tmp_path / "interpretability_config.yaml"
    path.write_text(yaml.safe_dump(old))
    arguments = ["--config", str(path), "--predictions", str(predictions_file), "--max_samples", "30", "--debug"]
    fast = ["analysis.permutations=0", "statistics.random_groups=0", "analysis.decodability=false"]
    assert main([*arguments, *fast]) == 0
    printed = capsys.readouterr().out
    assert "In today's keys it reads" in printed and "sampling is replaced by replay" in printed
    assert (tmp_path / "results" / "_SUCCESS").exists()
    shown = printed.split("it reads:")[1].split("What changed:")[0]
    assert yaml.safe_load(shown)["model"]["path"] == str(tiny_model_dir)


@pytest.mark.parametrize(
    ("section", "key", "path"),
    [("comparative_analysis", "alpha", "analysis.alpha"), ("visualization_config", "max_tokens", "max_tokens")],
    ids=["alpha", "max_tokens"],
)
def test_a_number_that_is_none_is_named_by_its_new_key(tmp_path, capsys, section, key, path):
    config = tmp_path / "old.yaml"
    config.write_text(yaml.safe_dump({"model_config": {"model_name": "x"}, section: {key: "five percent"}}))
    assert main([str(config), "predictions.path=x.json", "--stage", "plan"]) == 2
    assert f"{path}: " in (message := capsys.readouterr().err) and "five percent" in message


def test_names_that_a_vocabulary_cannot_have_are_those_of_built_in_groups():
    assert {*DEFAULT_KEY_GROUPS, *BASELINE_GROUPS, "vocabulary"} == TAKEN_NAMES
