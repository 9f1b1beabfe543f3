"""The probe beside eager attention: same logits, same patterns, packed with other samples and alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as hf

from engine.attention.layout import sequence_layout
from engine.measuring.probe import Probe, UnsupportedModelError
from engine.model.facts import ModelFacts
from engine.model.rotary import RopeSettings, rope_settings
from engine.planning.units import pack
from engine.schema import BASE_STATISTICS
from engine.tolerances import tolerance
from tests.fixtures.models import randomize
from tests.oracles import attention as oracle
from tests.oracles.test_statistics import QUANTITY, encoded

SMALL = {
    "vocab_size": 23,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
FAMILIES = {
    "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**SMALL, num_key_value_heads=2)),
    "qwen2_mha": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**SMALL, num_key_value_heads=4)),
    "qwen2_mqa": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**SMALL, num_key_value_heads=1)),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=16)),
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**SMALL, num_key_value_heads=2)),
    "qwen2.5_yarn": lambda: hf.Qwen2ForCausalLM(
        hf.Qwen2Config(
            **SMALL,
            num_key_value_heads=2,
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": 1e4,
                "factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        )
    ),
    "llama3_rope": lambda: hf.LlamaForCausalLM(
        hf.LlamaConfig(
            **SMALL,
            num_key_value_heads=2,
            attention_bias=True,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 1e4,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        )
    ),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=20)),
    "gemma2": lambda: hf.Gemma2ForCausalLM(
        hf.Gemma2Config(
            **SMALL,
            num_key_value_heads=2,
            head_dim=8,
            sliding_window=16,
            query_pre_attn_scalar=16,
            attn_logit_softcapping=8.0,
            final_logit_softcapping=10.0,
        )
    ),
    "gemma3": lambda: hf.Gemma3ForCausalLM(
        hf.Gemma3TextConfig(
            **SMALL,
            num_key_value_heads=2,
            head_dim=8,
            sliding_window=16,
            query_pre_attn_scalar=16,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        )
    ),
    "phi3": lambda: hf.Phi3ForCausalLM(hf.Phi3Config(**SMALL, num_key_value_heads=2, pad_token_id=0)),
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=23, n_embd=32, n_layer=3, n_head=4, n_positions=512)),
    "gpt_neox": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**SMALL)),
}
WINDOWS = {"mistral": [20, 20, 20], "gemma2": [16, None, 16], "gemma3": [16, None, 16]}

BY_LENGTH = {
    "llama_dynamic": (
        lambda: hf.LlamaForCausalLM(
            hf.LlamaConfig(
                **{**SMALL, "max_position_embeddings": 32},
                num_key_value_heads=2,
                rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
            )
        ),
        ModelFacts(ropes=(RopeSettings("dynamic", 32),)),
    ),
    "phi3_longrope": (
        lambda: hf.Phi3ForCausalLM(
            hf.Phi3Config(
                **SMALL,
                num_key_value_heads=2,
                pad_token_id=0,
                original_max_position_embeddings=32,
                rope_parameters={
                    "rope_type": "longrope",
                    "rope_theta": 1e4,
                    "short_factor": [1.0] * 4,
                    "long_factor": [3.0, 5.0, 7.0, 9.0],
                    "original_max_position_embeddings": 32,
                },
            )
        ),
        ModelFacts(ropes=(RopeSettings("longrope", 32),)),
    ),
    "gemma3, layers that differ": (
        lambda: hf.Gemma3ForCausalLM(
            hf.Gemma3TextConfig(
                **{**SMALL, "max_position_embeddings": 32},
                num_key_value_heads=2,
                head_dim=8,
                sliding_window=500,
                layer_types=["sliding_attention", "full_attention", "sliding_attention"][: SMALL["num_hidden_layers"]],
                rope_parameters={
                    "full_attention": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
                    "sliding_attention": {
                        "rope_type": "longrope",
                        "rope_theta": 1e4,
                        "short_factor": [1.0] * 4,
                        "long_factor": [3.0, 5.0, 7.0, 9.0],
                        "original_max_position_embeddings": 25,
                    },
                },
            )
        ),
        ModelFacts(ropes=(RopeSettings("longrope", 25), RopeSettings("dynamic", 32))),
    ),
}


def build(family):
    torch.manual_seed(0)
    model = FAMILIES[family]().eval()
    randomize(model, seed=4, scale=0.1)
    return model


def packed(samples):
    layouts, start = [], 0
    for sample in samples:
        layouts.append(sequence_layout(sample, start, torch.device("cpu")))
        start += sample.num_tokens
    return torch.cat([layout.token_ids for layout in layouts]), layouts


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_statistics_equal_eager_patterns_one_by_one(family):
    model = build(family)
    before = model.config._attn_implementation
    samples = [encoded(length, seed=length, vocabulary=23) for length in (71, 18, 40)]
    measured = Probe(model).measure(*packed(samples))
    assert model.config._attn_implementation == before
    model.set_attn_implementation("eager")
    names = [*BASE_STATISTICS, *(f"mass_{name}" for name in samples[0].key_groups)]
    windows = WINDOWS.get(family, [None] * 3)
    for sample, measurement in zip(samples, measured, strict=True):
        found, row = measurement.layers, measurement.logits
        with torch.no_grad():
            ids = torch.from_numpy(sample.input_ids.astype(np.int64))[None]
            plain = model(ids, output_attentions=True, use_cache=False)
        allowed = tolerance("logits")
        expected = plain.logits[0, sample.decision_position]
        torch.testing.assert_close(row, expected, rtol=allowed.rtol, atol=allowed.atol)
        for layer in range(3):
            for head in range(4):
                pattern = plain.attentions[layer][0, head].double().numpy()
                rows = [
                    oracle.row_statistics(pattern, i, sample.input_ids, sample.key_groups, windows[layer])
                    for i in range(sample.num_tokens)
                ]
                for group, positions in enumerate(sample.query_groups.values()):
                    means = oracle.group_mean([rows[i] for i in positions])
                    for index, name in enumerate(names):
                        if means.get(name) is None:
                            continue
                        # Eager patterns are float32 themselves, so both sides round.
                        bound = 4 * tolerance(QUANTITY.get(name, "mass")).atol
                        value = float(found[layer].means[head, group, index])
                        assert abs(value - means[name]) <= bound, (family, name, layer, head, group)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt_neox"])
def test_half_precision_models_stay_within_the_tolerance_table(family, dtype):
    model = build(family).to(getattr(torch, dtype))
    sample = encoded(60, seed=60, vocabulary=23)
    (found,) = Probe(model).measure(*packed([sample]))
    model.set_attn_implementation("eager")
    with torch.no_grad():
        ids = torch.from_numpy(sample.input_ids.astype(np.int64))[None]
        plain = model(ids, output_attentions=True, use_cache=False)
    allowed = tolerance("logits", dtype)
    expected = plain.logits[0, sample.decision_position].float()
    assert (found.logits - expected).abs().max() <= allowed.atol + allowed.rtol * expected.abs().max()
    names = [*BASE_STATISTICS, *(f"mass_{name}" for name in sample.key_groups)]
    for layer, window in enumerate(WINDOWS.get(family, [None] * 3)):
        for head in range(4):
            pattern = plain.attentions[layer][0, head].double().numpy()
            pattern = pattern / pattern.sum(-1, keepdims=True)  # half-precision rows sum to 1 only within 1e-2
            rows = [oracle.row_statistics(pattern, i, sample.input_ids, sample.key_groups, window) for i in range(60)]
            means = oracle.group_mean(rows)
            for index, name in enumerate(names):
                allowed = tolerance(QUANTITY.get(name, "mass"), dtype)
                value = float(found.layers[layer].means[head, 0, index])
                assert abs(value - means[name]) <= allowed.atol + allowed.rtol * abs(means[name]), (name, layer, head)


@pytest.mark.parametrize("family", BY_LENGTH)
def test_scalings_that_look_at_the_longest_position_are_packed_by_regime(family):
    """Whatever was measured before and whatever shares the batch, a sample gets its own frequencies."""
    make, facts = BY_LENGTH[family]
    torch.manual_seed(0)
    model = make().eval()
    assert {rope._replace(factor=None) for rope in rope_settings(model.config)} == set(facts.ropes)
    randomize(model, seed=4, scale=0.3)
    samples = [encoded(length, seed=length, vocabulary=23) for length in (90, 60, 20, 31, 60)]
    batches = pack(samples, 1000, facts.rope_regime)
    assert sum(map(len, batches)) == 5 and 1 < len(batches) < 5
    probe = Probe(model)
    for batch in [*batches, *reversed(batches)]:
        for sample, found in zip(batch, probe.measure(*packed(batch)), strict=True):
            fresh = make().eval()
            fresh.load_state_dict(model.state_dict())
            with torch.no_grad():
                expected = fresh(torch.from_numpy(sample.input_ids.astype(np.int64))[None]).logits
            torch.testing.assert_close(found.logits, expected[0, sample.decision_position], rtol=1e-4, atol=1e-4)
    mixed = Probe(model).measure(*packed(samples))
    apart = [found for sample in samples for found in probe.measure(*packed([sample]))]
    assert any((a.logits - b.logits).abs().max() > 1e-3 for a, b in zip(mixed, apart, strict=True))


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt2"])
def test_rollout_of_the_decision_row(family):
    """Against matrix products of eager patterns, as Abnar and Zuidema write them."""
    model = build(family)
    samples = [encoded(length, seed=length, vocabulary=23) for length in (33, 12)]
    measured = Probe(model, with_rollout=True).measure(*packed(samples))
    model.set_attn_implementation("eager")
    for sample, found in zip(samples, measured, strict=True):
        with torch.no_grad():
            ids = torch.from_numpy(sample.input_ids.astype(np.int64))[None]
            attentions = model(ids, output_attentions=True, use_cache=False).attentions
        product = np.eye(sample.num_tokens)
        for attention in attentions:
            mixed = (attention[0].double().mean(0).numpy() + np.eye(sample.num_tokens)) / 2
            product = mixed @ product
        np.testing.assert_allclose(found.rollout, product[sample.decision_position], atol=2e-6)
        assert float(found.rollout.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("family", ["qwen2", "gemma2"])
def test_packing_stays_within_tolerance(family):
    model = build(family)
    probe = Probe(model)
    samples = [encoded(length, seed=length, vocabulary=23) for length in (50, 90, 7)]
    for sample, together in zip(samples, probe.measure(*packed(samples)), strict=True):
        (alone,) = probe.measure(*packed([sample]))
        torch.testing.assert_close(together.logits, alone.logits, rtol=1e-4, atol=1e-4)
        for a, b in zip(together.layers, alone.layers, strict=True):
            torch.testing.assert_close(a.means, b.means, rtol=1e-5, atol=2e-5, equal_nan=True)


def test_the_same_batch_gives_the_same_bits():
    probe = Probe(build("qwen2"))
    samples = [encoded(length, seed=length, vocabulary=23) for length in (50, 90)]
    first, again = probe.measure(*packed(samples)), probe.measure(*packed(samples))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.logits, other.logits)
        for a, b in zip(one.layers, other.layers, strict=True):
            assert torch.equal(a.means.nan_to_num(), b.means.nan_to_num())


def test_the_order_of_batches_does_not_change_a_bit():
    probe = Probe(build("gemma2"))
    batches = [
        [encoded(length, seed=length, vocabulary=23) for length in lengths] for lengths in ((50, 9), (90,), (31, 30))
    ]
    forward = [probe.measure(*packed(batch)) for batch in batches]
    backward = [probe.measure(*packed(batch)) for batch in reversed(batches)][::-1]
    for first, second in zip(forward, backward, strict=True):
        for one, other in zip(first, second, strict=True):
            assert torch.equal(one.logits, other.logits)
            for a, b in zip(one.layers, other.layers, strict=True):
                assert torch.equal(a.means.nan_to_num(), b.means.nan_to_num())
                assert torch.equal(a.decision_pattern, b.decision_pattern)


def test_the_probe_disarms_after_an_error():
    model = build("qwen2")
    probe = Probe(model)
    sample = encoded(20, seed=1, vocabulary=23)
    ids, layouts = packed([sample])
    before, forward = model.config._attn_implementation, model.lm_head.forward
    with pytest.raises(IndexError):
        probe.measure(ids + 1000, layouts)
    assert model.config._attn_implementation == before and model.lm_head.forward == forward
    assert torch.isfinite(probe.measure(ids, layouts)[0].logits).all()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (hf.T5Config(), "encoder-decoder"),
        (hf.BertConfig(), "bert"),
        (hf.MambaConfig(), "no head attends"),
        (hf.DeepseekV4Config(), "no tokens"),
        (hf.LongcatFlashConfig(), "two attentions"),
    ],
    ids=["T5", "BERT", "Mamba", "DeepSeek-V4", "LongCat"],
)
def test_kinds_that_are_not_covered_are_refused_by_name(config, words):
    from engine.model.geometry import Geometry

    with pytest.raises(UnsupportedModelError, match=words):
        Geometry.of(config)
