"""A model of each kind of attention, as a run measures it, beside its own eager attention in float64."""

from __future__ import annotations

import re

import pytest
import torch

from engine.attention.layout import sequence_layout
from engine.attention.masking import Chunk
from engine.errors import UnsupportedModelError
from engine.measuring.checking import start_check
from engine.measuring.probe import Probe
from engine.model.geometry import Geometry, refuse_norm_weighted
from tests.fixtures.family_judgement import double, judge, own_patterns, own_row_sums, plan_refusal, samples
from tests.fixtures.tiny_models import VOCABULARY, causal_types, tiny_config, tiny_model, vision_types

KINDS = {
    "bart": "ignores positions",
    "bert": "an encoder that decodes",
    "bloom": "ALiBi in code of its own",
    "cohere2": "sliding windows, layers without positions",
    "deepseek_v3": "latent attention",
    "deepseek_v32": "indexed attention within its top-k",
    "falcon": "ALiBi, one head of keys and values, in code of its own",
    "falcon_h1": "attention beside a recurrent part",
    "gemma2": "soft-capping",
    "gemma3n_text": "keys and values shared between layers",
    "gemma4_text": "head dimensions that differ by layer",
    "gpt2": "learnt positions",
    "gpt_neox": "rotary positions on part of a head",
    "granite": "multipliers",
    "lfm2": "convolutions",
    "llama4_text": "chunks",
    "mistral": "a sliding window",
    "mixtral": "mixture of experts",
    "mpt": "ALiBi, in code of its own",
    "modernbert-decoder": "windows, its own layer norms",
    "nemotron_h": "layers of MLPs and experts alone",
    "olmo2": "norms behind",
    "phimoe": "a window in the mask alone",
    "qwen3_vl": "a text decoder beside a vision tower, rotary positions in three parts",
    "qwen2_moe": "windows in the mask alone, of some layers",
    "qwen3": "normed queries and keys",
    "qwen3_next": "linear attention and gates",
    "roberta-prelayernorm": "positions from padding_idx + 1",
    "whisper": "logits of all rows, whichever are asked for",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_measured_equals_the_models_own_attention(kind):
    model = tiny_model(kind)
    assert plan_refusal(model.config, tiny_config(kind)) is None
    verdict = judge(model, VOCABULARY)
    assert verdict.outcome == "exact", verdict


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "is_packed"), [("llama", True), ("bart", False), ("qwen3_next", False), ("moshi", True)]
)
def test_whether_samples_share_rows_is_found_out(kind, is_packed):
    model = tiny_model(kind)
    found = _checked(model, Probe(model))
    assert found.is_packed == is_packed and bool(found.why_unpacked) != is_packed
    assert 0 < found.largest_deviation <= 1 and found.logit_deviation < 1e-3


def _checked(model, probe):
    sample = samples(VOCABULARY, (40,))[0]
    return start_check.check(model, probe, sequence_layout(sample, 0, torch.device("cpu")), "s0", "float32")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["moshi", "glm_moe_dsa"])
def test_projections_of_other_makes_weigh_norms(kind):
    """A projection that holds another one, and latent values: no refusal in the first forward, so none in the plan."""
    model = tiny_model(kind)
    refuse_norm_weighted(Geometry.of(model.config), model.config, is_decision_alone=False)
    found = _checked(model, Probe(model, norm_weighted=True))
    assert 0 < found.largest_deviation <= 1


def test_state_that_crosses_samples_is_found_although_the_config_says_nothing():
    model = tiny_model("lfm2")
    probe = Probe(model)
    probe.is_packed = True
    found = _checked(model, probe)
    assert not found.is_packed and re.search("(queries|keys|values) of layer 1 move", found.why_unpacked)
    assert probe.is_packed


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda output, means: output.mul_(1.01), "layer 0 of sample 's0': the model's own attention"),
        (lambda output, means: means[..., 3].add_(0.001), "layer 0 of sample 's0': statistics of row"),
    ],
    ids=["output", "statistic"],
)
def test_what_differs_in_one_layer_is_refused_with_its_name(monkeypatch, spoil, words):
    """A statistic alone can be wrong while every logit is right."""
    model = tiny_model("llama")
    probe = Probe(model)
    attend = probe.backend.attend

    def wrong(call, row, output):
        found = attend(call, row, output)
        spoil(output, found[0].means)
        return found

    monkeypatch.setattr(probe.backend, "attend", wrong)
    with pytest.raises(UnsupportedModelError, match=words):
        _checked(model, probe)


def test_strong_scores_in_half_precision_are_no_fault():
    """Its own eager and sdpa attention differ as much: only the same queries, keys and values can be compared."""
    model = tiny_model("qwen2", scale=0.4).bfloat16()
    found = start_check.check(
        model,
        Probe(model),
        sequence_layout(samples(VOCABULARY, (70,))[0], 0, torch.device("cpu")),
        "s0",
        "bfloat16",
    )
    assert found.largest_deviation <= 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["qwen3_next", "beam", "laguna"])
def test_gates_before_the_projection_refuse_norm_weighted_masses_by_name(kind):
    model = tiny_model(kind)
    sample = samples(VOCABULARY, (20,))[0]
    layout = sequence_layout(sample, 0, torch.device("cpu"))
    with pytest.raises(UnsupportedModelError, match=r"statistics\.norm_weighted: layer \d+ changes"):
        Probe(model, norm_weighted=True).measure(layout.token_ids, [layout])
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_windows_and_chunks_are_learnt_from_the_mask():
    layout = sequence_layout(samples(VOCABULARY, (40,))[0], 0, torch.device("cpu"))
    found = {
        kind: Probe(tiny_model(kind)).measure(layout.token_ids, [layout])[0].windows
        for kind in ("mistral", "llama4_text")
    }
    assert found == {"mistral": (16, 16, 16), "llama4_text": (Chunk(12), None, Chunk(12), None)}


@pytest.mark.parametrize(
    ("given", "is_refused"),
    [(None, False), (False, False), (0, False), (torch.zeros(2), False), (True, True), (torch.ones(2), True)],
    ids=["none", "false", "zero", "zeros", "true", "ones"],
)
def test_an_argument_counts_by_its_effect(monkeypatch, given, is_refused):
    model = tiny_model("llama")
    layout = sequence_layout(samples(VOCABULARY, (9,))[0], 0, torch.device("cpu"))
    attention = model.model.layers[0].self_attn
    forward = attention.forward
    monkeypatch.setattr(attention, "forward", lambda *args, **kwargs: forward(*args, **kwargs, a_new_bias=given))
    if not is_refused:
        assert Probe(model).measure(layout.token_ids, [layout])
        return
    with pytest.raises(UnsupportedModelError, match="LlamaAttention passes a_new_bias"):
        Probe(model).measure(layout.token_ids, [layout])


def test_indexed_attention_is_refused_beyond_its_top_k():
    model = tiny_model("deepseek_v32")
    for module in model.modules():
        if hasattr(module, "index_topk"):
            setattr(module, "index_topk", 16)  # noqa: B010
    layout = sequence_layout(samples(VOCABULARY, (40,))[0], 0, torch.device("cpu"))
    with pytest.raises(UnsupportedModelError, match="look at 16 keys that it chooses"):
        Probe(model).measure(layout.token_ids, [layout])


def test_a_mask_that_the_model_computes_with_is_refused():
    from engine.attention.visible_keys import VisibleKeys

    mask = VisibleKeys.standing_for(None, (1, 1, 5, 5), "cpu")
    assert getattr(mask[:, :, :, :4].to("cpu"), "fault", None) == ""
    assert "computes with its mask" in getattr(mask + 1.0, "fault", "")


def test_patterns_of_the_oracle_are_those_that_are_armed():
    """The oracle's own check: rows sum to 1 and hide later keys."""
    sample = samples(VOCABULARY, (12,))[0]
    _, patterns = own_patterns(double(tiny_model("llama")), sample)
    assert set(patterns) == {0, 1, 2}
    for pattern in patterns.values():
        assert abs(pattern.sum(-1) - 1).max() < 1e-12 and not pattern[:, 3, 4:].any()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attention", ["auto", "blocked"])
@pytest.mark.parametrize("kind", ["gpt_oss", "granite_swa", "mimo_v2_flash"])
def test_sinks_leave_patterns_whole_and_take_their_share(kind, attention):
    """Patterns are over keys alone; rows of the model's own patterns fall short of 1 by the null mass (gpt-oss)."""
    model = tiny_model(kind)
    assert judge(model, VOCABULARY, attention).outcome == "exact"
    sample = samples(VOCABULARY, (40,))[0]
    layout = sequence_layout(sample, 0, torch.device("cpu"))
    (found,) = Probe(model, attention=attention).measure(layout.token_ids, [layout])
    sums = own_row_sums(double(model), sample)
    for number, layer in zip(found.layer_numbers, found.layers, strict=True):
        assert float((layer.decision_pattern.sum(-1) - 1).abs().max()) < 1e-5
        if kind == "granite_swa" or layer.null_mass is None:
            continue
        expected = 1 - torch.stack([sums[number][:, rows].mean(1) for rows in _groups(sample) if len(rows)], dim=1)
        kept = [index for index, rows in enumerate(_groups(sample)) if len(rows)]
        assert float((layer.null_mass[:, kept] - expected).abs().max()) < 1e-5
    has_sinks = [layer.null_mass is not None for layer in found.layers]
    assert any(has_sinks) and all(has_sinks) == (kind != "mimo_v2_flash")


def _groups(sample):
    return [*(torch.from_numpy(rows).long() for rows in sample.query_groups.values()), [sample.decision_position]]


@pytest.mark.filterwarnings("ignore")
def test_null_mass_is_a_table_of_models_with_sinks():
    from engine.config import Config
    from engine.measuring.measurer import Measurer

    planned = samples(VOCABULARY, (30, 12))
    config = Config.model_validate({"predictions": {"path": "none"}, "model": {"path": "tiny", "device": "cpu"}})
    groups = list(planned[0].key_groups)
    tables = Measurer(tiny_model("gpt_oss"), config).forward_passes([planned], groups)().tables
    table = tables["null_mass"]
    assert table.num_rows == 2 * (len(planned[0].query_groups) + 1) * 4 * 4
    values = [value for value in table["null_mass"].to_pylist() if value is not None]
    assert min(values) > 0 and max(values) < 1
    assert "null_mass" not in Measurer(tiny_model("llama"), config).forward_passes([planned], groups)().tables


@pytest.mark.soak
@pytest.mark.parametrize("kind", [*causal_types(), *vision_types()])
def test_no_type_of_the_installed_transformers_is_measured_wrong(kind):
    """The whole census: each type is exact, refused by name in the plan, or cannot be built."""
    from tests.benchmarks.family_census import guarded

    verdict = guarded(kind)
    assert verdict.outcome in ("exact", "refused in the plan", "refused before measuring", "not buildable"), verdict
