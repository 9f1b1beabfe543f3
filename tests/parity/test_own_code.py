"""BLOOM, MPT and Falcon, which add a score to every key in code of their own (ALiBi), beside that code in float64."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from engine.attention import own_code
from engine.attention.layout import sequence_layout
from engine.attention.masking import KeyBias
from engine.causal.attribution import direct_attribution
from engine.causal.explainer import Explainer
from engine.causal.gradients import head_gradients
from engine.config import AblationSection, AttributionSection, CausalSection, KnockoutSection
from engine.errors import UnsupportedModelError
from engine.interventions.edits import HeadEdit
from engine.interventions.knockouts import Knockout
from engine.interventions.sweeps import Intervention, Sweep
from engine.interventions.unchanged_run import trace
from engine.measuring.checking import start_check
from engine.measuring.probe import Probe
from engine.model.decoder import Decoder
from engine.model.geometry import Geometry
from engine.tolerances import tolerance
from tests.causal.test_attribution import CONTRAST, own_difference
from tests.fixtures.family_judgement import double, judge, own_patterns, samples
from tests.fixtures.tiny_models import VOCABULARY

FALCON = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
BLOOM = {"hidden_size": 64, "n_layer": 2, "n_head": 4}
MPT = {"d_model": 64, "n_layers": 2, "n_heads": 4}

CASES = {
    "bloom": ("bloom", BLOOM),
    "bloom, heads no power of 2": ("bloom", BLOOM | {"hidden_size": 96, "n_head": 6}),
    "mpt": ("mpt", MPT),
    "mpt, clipped and scaled": ("mpt", MPT | {"attn_config": {"clip_qkv": 0.9, "softmax_scale": 0.2}}),
    "mpt, heads no power of 2": ("mpt", MPT | {"d_model": 80, "n_heads": 5, "logit_scale": "inv_sqrt_d_model"}),
    "falcon, alibi": ("falcon", FALCON | {"alibi": True}),
    "falcon, alibi, old": ("falcon", FALCON | {"alibi": True, "multi_query": False, "parallel_attn": False}),
    "falcon, rotary": ("falcon", FALCON),
    "falcon, rotary, new": ("falcon", FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": True}),
}
"""By name: type and config."""


def built(case, attention=None):
    kind, fields = CASES[case]
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=VOCABULARY, **fields)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def layout_of(length):
    return sequence_layout(samples(VOCABULARY, (length,))[0], 0, torch.device("cpu"))


@pytest.mark.parametrize("attention", ["auto", "blocked"])
@pytest.mark.parametrize("case", CASES)
def test_packed_samples_are_measured_as_the_models_own_code_computes_them(case, attention):
    verdict = judge(built(case), VOCABULARY, attention)
    assert verdict.outcome == "exact" and "one sample a row" not in verdict.words, verdict


def test_a_bias_that_eager_attention_adds_twice_is_measured_twice():
    """transformers' Falcon adds it to scores and mask when its attention is eager; sdpa sees the mask alone."""
    once, twice = built("falcon, alibi", "sdpa"), built("falcon, alibi", "eager")
    assert judge(twice, VOCABULARY).outcome == "exact"
    sample, layout = samples(VOCABULARY, (40,))[0], layout_of(40)
    found = [Probe(model).measure(layout.token_ids, [layout])[0].layers[0].decision_pattern for model in (once, twice)]
    assert float((found[0] - found[1]).abs().max()) > 0.01
    _, patterns = own_patterns(double(once), sample)
    wanted = torch.from_numpy(patterns[0][:, sample.decision_position]).float()
    assert float((found[0] - wanted).abs().max()) < 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("case", ["bloom", "mpt", "falcon, alibi"])
def test_the_start_check_passes_in_half_precision(case, dtype):
    model = built(case).to(dtype)
    found = start_check.check(model, Probe(model), layout_of(200), "s0", str(dtype).removeprefix("torch."))
    assert found.is_packed and found.largest_deviation <= 1


@pytest.mark.parametrize("case", ["bloom", "mpt", "falcon, alibi"])
def test_the_start_check_sees_a_bias_that_is_not_the_models(case, monkeypatch):
    model, wrong = built(case), KeyBias.up_to
    monkeypatch.setattr(KeyBias, "beside", lambda self, first, end, like: wrong(self, end, like)[:, first:] * 0.99)
    with pytest.raises(UnsupportedModelError, match="layer 0 of sample 's0'"):
        start_check.check(model, Probe(model), layout_of(60), "s0", "float32")


def test_nothing_stays_behind():
    model = built("falcon, alibi")
    layout = layout_of(20)
    with torch.no_grad():
        before = model(layout.token_ids[None]).logits
    Probe(model).measure(layout.token_ids, [layout])
    assert model.config._attn_implementation == "sdpa" and model.transformer.use_alibi
    assert not any("forward" in vars(module) for module in model.modules())
    with torch.no_grad():
        assert torch.equal(before, model(layout.token_ids[None]).logits)


def test_code_that_came_with_a_model_is_not_taken_for_known(monkeypatch):
    module = built("bloom").transformer.h[0].self_attention
    assert own_code.own_code(module) is not None
    monkeypatch.setattr(type(module), "__module__", "transformers_modules.own.modeling_bloom")
    assert own_code.own_code(module) is None


def test_what_bloom_adds_up_in_parts_is_refused_by_name():
    config = AutoConfig.for_model("bloom", **BLOOM, slow_but_exact=True, pretraining_tp=2)
    with pytest.raises(UnsupportedModelError, match="'bloom' with slow_but_exact adds up its projections in 2 parts"):
        Geometry.of(config)


@pytest.mark.parametrize("case", CASES)
def test_parts_sum_and_interventions_are_whole_forwards_of_the_models_own_code(case):
    model = built(case)
    decoder = Decoder(model)
    settings = CausalSection(attribution=AttributionSection(), ablation=AblationSection(), knockout=KnockoutSection())
    Explainer(decoder, settings, 4000).check_model()
    ids = torch.randint(8, VOCABULARY, (30,), generator=torch.Generator().manual_seed(1))
    kept, own = trace(decoder, ids, 27, CONTRAST), double(model)
    found, gradients = direct_attribution(decoder, kept), head_gradients(decoder, kept, keeps_outputs=True)
    allowed = tolerance("attribution sum")
    assert abs(found.remainder()) <= allowed.atol + allowed.rtol * found.scale()
    assert found.logit_difference == pytest.approx(plainly(own, ids), abs=2e-5)
    assert gradients.heads.shape == found.heads.shape
    edits = [HeadEdit(layer, (1,), only_decision=only) for layer in (0, 1) for only in (True, False)]
    interventions = [Intervention(27 if edit.only_decision else 0, (edit,)) for edit in edits]
    hidden = [Knockout(layer, layer, (2, 24), first) for layer in (0, 1) for first in (27, 20)]
    interventions += [Intervention(knockout.first_row, (), (knockout,)) for knockout in hidden]
    expected = [edited(own, ids, edit) for edit in edits] + [without(own, ids, knockout) for knockout in hidden]
    effects = Sweep(decoder, kept, 10_000).run(interventions)
    for effect, wanted in zip(effects, expected, strict=True):
        assert effect.logit_difference == pytest.approx(wanted, abs=2e-5)
    assert max(abs(wanted - kept.logit_difference) for wanted in expected[4:]) > 1e-3


def plainly(own, ids):
    with torch.no_grad():
        return float(own_difference(own, ids, 27))


def edited(own, ids, edit):
    decoder = Decoder(own)

    def change(_module, args):
        changed = args[0].clone()
        rows = slice(27, 28) if edit.only_decision else slice(None)
        changed.unflatten(-1, (decoder.geometry.num_heads, -1))[:, rows, list(edit.heads)] = 0
        return (changed,)

    with decoder.projections[edit.layer].register_forward_pre_hook(change):
        return plainly(own, ids)


def without(own, ids, knockout):
    """s with keys hidden by the model's own mask: MPT's says what is hidden, the others' are added."""

    def hide(_module, args, kwargs):
        mask = kwargs["attention_mask"].clone()
        value = True if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
        mask[:, :, knockout.first_row :, list(knockout.keys)] = value
        return args, kwargs | {"attention_mask": mask}

    attention = Decoder(own).attentions[knockout.first_layer]
    with attention.register_forward_pre_hook(hide, with_kwargs=True):
        return plainly(own, ids)
