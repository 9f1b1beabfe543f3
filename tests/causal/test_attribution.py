"""Direct attributions sum to the logit difference, gradients equal finite differences and eager autograd."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from engine.attention.masking import Masking
from engine.causal.attribution import direct_attribution
from engine.causal.differentiable_attention import differentiable
from engine.causal.explainer import Explainer
from engine.causal.gradients import head_gradients
from engine.causal.tables import HeadValues
from engine.config import AblationSection, AttributionSection, CausalSection, KnockoutSection
from engine.errors import UnsupportedModelError
from engine.interventions.recomputed_attention import HiddenKeys, recomputed
from engine.interventions.unchanged_run import trace
from engine.model.decoder import Decoder
from engine.samples import RowRejected
from engine.schema.causal_tables import attributions_schema
from engine.tolerances import tolerance
from tests.fixtures.family_judgement import double
from tests.fixtures.tiny_models import VOCABULARY, tiny_model
from tests.oracles.test_statistics import encoded, tensors
from tests.parity.test_parity import FAMILIES, build

CONTRAST = (3, 7)


def traced(model, num_tokens=50):
    sample = encoded(num_tokens, 1, 23)
    ids = torch.from_numpy(sample.input_ids.astype(np.int64))
    decoder = Decoder(model)
    return sample, ids, decoder, trace(decoder, ids, sample.decision_position, CONTRAST)


def own_difference(model, ids, position):
    """s by the model's own forward, before final soft-capping."""
    logits = model(ids[None]).logits[0, position]
    cap = getattr(model.config, "final_logit_softcapping", None)
    logits = torch.atanh(logits / cap) * cap if cap else logits
    return logits[CONTRAST[0]] - logits[CONTRAST[1]]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_parts_sum_to_the_logit_difference(family):
    model = build(family)
    sample, ids, decoder, kept = traced(model)
    found = direct_attribution(decoder, kept)
    with torch.no_grad():
        expected = float(own_difference(model, ids, sample.decision_position))
    assert found.logit_difference == pytest.approx(expected, abs=2e-6)
    allowed = tolerance("attribution sum")
    assert abs(found.remainder()) <= allowed.atol + allowed.rtol * found.scale()
    names = {name for name, _, _ in found.components}
    assert names == {"embedding", "attention_bias", "mlp", "mlp_bias", "final_norm_bias", "head_bias"}
    assert found.heads.shape == (3, 4) and bool((found.heads != 0).all())


@pytest.mark.parametrize("family", FAMILIES)
def test_head_gradients_are_those_of_eager_attention(family):
    model = build(family)
    sample, ids, decoder, kept = traced(model)
    everything = torch.ones(kept.num_tokens, 1)
    found = head_gradients(decoder, kept, everything, keeps_outputs=True)
    model.set_attn_implementation("eager")
    outputs = []
    for projection in decoder.projections:
        projection.register_forward_pre_hook(lambda _, args: (args[0].retain_grad(), outputs.append(args[0]))[0])
    own_difference(model, ids, sample.decision_position).backward()
    for layer, output in enumerate(outputs):
        gradient = output.grad[0, : kept.num_tokens]
        torch.testing.assert_close(found.outputs[layer], gradient, rtol=1e-4, atol=2e-6)
        expected = (output[0, : kept.num_tokens] * gradient).detach().unflatten(1, (4, -1)).sum(dim=(0, 2))
        torch.testing.assert_close(found.heads[layer].float(), expected, rtol=1e-4, atol=2e-6)
    # sum_j A <G, v_j> = <G, z>: over all keys the attention gradient is the head gradient.
    torch.testing.assert_close(found.groups[..., 0], found.heads, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["qwen2", "llama", "gemma2", "mistral", "gpt2", "gpt_neox", "phi3"])
def test_gradients_equal_finite_differences(family):
    """float64 throughout: half precision steps would drown in the rounding of norms and softmax."""
    model = build(family).double()
    _, ids, decoder, kept = traced(model, 30)
    found = head_gradients(decoder, kept, keeps_outputs=True)
    generator = torch.Generator().manual_seed(0)
    for layer in range(3):
        step = torch.randn(kept.num_tokens, 8, generator=generator, dtype=torch.float64)
        head = layer + 1
        columns = slice(head * 8, head * 8 + 8)
        sides = []
        for size in (1e-3, -1e-3):

            def nudge(_, args, size=size, columns=columns, step=step):
                moved = args[0].clone()
                moved[0, : kept.num_tokens, columns] += size * step
                return (moved,)

            with decoder.projections[layer].register_forward_pre_hook(nudge), torch.no_grad():
                sides.append(float(own_difference(model, ids, kept.num_tokens - 1)))
        measured = (sides[0] - sides[1]) / 2e-3
        predicted = float((found.outputs[layer][:, columns] * step).sum())
        # Norms and softmax stay float32 inside some double models: smaller steps would leave no digits.
        assert measured == pytest.approx(predicted, rel=1e-3, abs=2e-4), layer


@pytest.mark.parametrize(("window", "softcap"), [(None, None), (7, None), (None, 3.0), (7, 3.0)])
def test_streamed_attention_equals_a_matrix_in_float64(window, softcap, monkeypatch):
    from engine.attention import blocks

    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 400)
    query, key, value = (t.double().requires_grad_() for t in tensors(6, 2, 33, 5, seed=2))
    masking = Masking(0.3, window, softcap)
    upstream = torch.randn(33, 6, 5, dtype=torch.float64)
    expected, pattern = matrix_attention(query, key, value, masking)
    pattern.retain_grad()
    wanted = torch.autograd.grad(expected, (query, key, value, pattern), upstream)
    from engine.causal.differentiable_attention import GroupGradients

    indicators = (torch.arange(33)[:, None] % torch.tensor([[2, 3]]) == 0).double()
    collector = GroupGradients(indicators)
    found = differentiable(query, key, value, masking, collector)
    gradients = torch.autograd.grad(found, (query, key, value), upstream)
    torch.testing.assert_close(found, expected)
    for one, other in zip(gradients, wanted, strict=False):
        torch.testing.assert_close(one, other)
    by_group = ((pattern * wanted[3]).sum(1) @ indicators).detach()
    torch.testing.assert_close(collector.sums, by_group)
    torch.testing.assert_close(recomputed(query[None], key[None], value[None], masking)[0], expected)
    prefix = (key[:, :20], value[:, :20])
    last = recomputed(query[None, :, 20:], key[None, :, 20:], value[None, :, 20:], masking, prefix)
    torch.testing.assert_close(last[0], expected[20:])


def matrix_attention(query, key, value, masking, hidden_before=0):
    """Attention with the whole pattern in memory, the way eager attention writes it."""
    group = query.shape[0] // key.shape[0]
    scores = query @ key.repeat_interleave(group, 0).mT * masking.scaling
    if masking.softcap:
        scores = masking.softcap * torch.tanh(scores / masking.softcap)
    row, column = torch.arange(scores.shape[1])[:, None], torch.arange(scores.shape[2])[None]
    hidden = column > row
    if masking.window:
        hidden = hidden | (column <= row - masking.window)
    hidden = hidden | (column < hidden_before)
    scores = scores.masked_fill(hidden, -torch.inf)
    if masking.sinks is not None:
        scores = torch.cat((scores, masking.sinks[:, None, None].expand(-1, scores.shape[1], 1)), dim=-1)
    pattern = torch.softmax(scores, dim=-1)[..., : key.shape[1]]
    return (pattern @ value.repeat_interleave(group, 0)).transpose(0, 1), pattern


METHODS = CausalSection(
    attribution=AttributionSection(), ablation=AblationSection(replace="zero"), knockout=KnockoutSection()
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "kind", ["cohere", "cohere2_moe", "gpt_oss", "granite", "granite_swa", "minicpm3", "nemotron", "olmo"]
)
def test_multipliers_other_norms_and_sinks_leave_parts_that_sum(kind):
    """Scaled logits and residual streams, norms of other classes, attention sinks: beside the model's own float64."""
    model = tiny_model(kind)
    explainer = Explainer(Decoder(model), METHODS, 4000)
    explainer.check_model()
    ids = torch.randint(8, VOCABULARY, (24,), generator=torch.Generator().manual_seed(1))
    kept = trace(explainer.decoder, ids, 23, CONTRAST)
    with torch.no_grad():
        expected = float(own_difference(double(model), ids, 23))
    found = direct_attribution(explainer.decoder, kept)
    assert found.logit_difference == pytest.approx(expected, rel=2e-5, abs=2e-5)
    allowed = tolerance("attribution sum")
    assert abs(found.remainder()) <= allowed.atol + allowed.rtol * found.scale()
    assert sum(part.value for part in found.components) + float(found.heads.sum()) == pytest.approx(expected, abs=2e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["granitemoehybrid", "jamba", "olmo_hybrid", "qwen3_next"])
def test_layers_without_heads_are_one_part_each_and_gradients_pass_them(kind):
    model = tiny_model(kind)
    decoder = Decoder(model, allows_headless=True)
    settings = CausalSection(attribution=AttributionSection())
    Explainer(decoder, settings, 4000).check_model()
    ids = torch.randint(8, VOCABULARY, (24,), generator=torch.Generator().manual_seed(1))
    kept = trace(decoder, ids, 20, CONTRAST)
    found = direct_attribution(decoder, kept)
    with torch.no_grad():
        expected = float(own_difference(double(model), ids, 20))
    allowed = tolerance("attribution sum")
    assert found.logit_difference == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert abs(found.remainder()) <= allowed.atol + allowed.rtol * found.scale()
    softmax = decoder.geometry.softmax_layers
    without = [part.layer for part in found.components if part.name == "layer_without_heads"]
    assert sorted([*without, *softmax]) == list(range(decoder.geometry.num_layers))
    gradients = head_gradients(decoder, kept, keeps_outputs=True)
    assert gradients.heads.shape == found.heads.shape == (len(softmax), 4)
    table = HeadValues({"dla": found.heads}, softmax).table("s", attributions_schema([]))
    assert sorted(set(table["layer"].to_pylist())) == list(softmax)
    model.set_attn_implementation("eager")
    outputs = []
    for layer in softmax:
        decoder.projections[layer].register_forward_pre_hook(
            lambda _, args: (args[0].retain_grad(), outputs.append(args[0]))[0]
        )
    own_difference(model, ids, 20).backward()
    for output, gradient in zip(outputs, gradients.outputs, strict=True):
        torch.testing.assert_close(gradient, output.grad[0, :21], rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("zaya", "they hand on more than the residual stream|is not the sum"),
        ("gemma3n_text", "does not hand what its last layer leaves to its final norm"),
    ],
)
def test_models_with_parts_that_are_not_known_are_refused_by_name(kind, words):
    with pytest.raises(UnsupportedModelError, match=words):
        Explainer(Decoder(tiny_model(kind), allows_headless=True), METHODS, 4000).check_model()


@pytest.mark.parametrize(
    ("part", "words"),
    [("lm_head", "something scales them"), ("model.layers.1.mlp.act_fn", None), ("model.layers.1", "is not the sum")],
)
def test_what_scales_where_no_config_says_so_is_refused(part, words):
    model = build("llama")

    def scale(_module, _args, output):
        return output * 0.9

    with model.get_submodule(part).register_forward_hook(scale):
        explainer = Explainer(Decoder(model), CausalSection(attribution=AttributionSection()), 1000)
        if words is None:  # what happens inside a part is its own affair
            explainer.check_model()
            return
        with pytest.raises(UnsupportedModelError, match=words):
            explainer.check_model()


@pytest.mark.parametrize("window", [None, 7])
def test_sinks_take_their_share_and_stand_in_for_hidden_keys(window, monkeypatch):
    """A sink is a key of value 0 that every row sees: written out in float64, with gradients and a knockout."""
    from engine.attention import blocks

    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 400)
    query, key, value = (t.double().requires_grad_() for t in tensors(6, 2, 33, 5, seed=2))
    sinks = torch.linspace(-1, 2, 6, dtype=torch.float64)
    masking = Masking(0.3, window, None, sinks)
    expected, _ = matrix_attention(query, key, value, masking)
    upstream = torch.randn(33, 6, 5, dtype=torch.float64)
    wanted = torch.autograd.grad(expected, (query, key, value), upstream)
    found = differentiable(query, key, value, masking)
    torch.testing.assert_close(found, expected)
    for one, other in zip(torch.autograd.grad(found, (query, key, value), upstream), wanted, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(recomputed(query[None], key[None], value[None], masking)[0], expected)
    prefix = (key[:, :20], value[:, :20])
    torch.testing.assert_close(
        recomputed(query[None, :, 20:], key[None, :, 20:], value[None, :, 20:], masking, prefix)[0], expected[20:]
    )
    hidden = HiddenKeys(torch.ones(33, dtype=torch.bool), torch.arange(33)[None] < 20)
    left = recomputed(query[None], key[None], value[None], masking, None, hidden)[0]
    assert not left[:20].any()
    without, _ = matrix_attention(query, key, value, masking, hidden_before=20)
    torch.testing.assert_close(left[20:], without[20:])


def test_a_sample_whose_labels_share_a_token_is_rejected():
    explainer = Explainer(Decoder(build("qwen2")), CausalSection(), 1000)
    with pytest.raises(RowRejected, match="same token"):
        explainer.trace(dataclasses.replace(encoded(20, 1, 23), contrast_token_ids=(3, 3)))
