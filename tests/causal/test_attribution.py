"""Direct attributions sum to the logit difference, gradients equal finite differences and eager autograd."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import transformers as hf

from engine.attention.blocked import Masking
from engine.attention.causal import differentiable, recomputed
from engine.attention.interface import UnsupportedModelError
from engine.attribution import check_norms, direct_attribution, head_gradients
from engine.causal import Explainer
from engine.causal_settings import AttributionSection, CausalSection
from engine.decoder import Decoder, trace
from engine.samples import RowRejected
from engine.tolerances import tolerance
from tests.conftest import randomize
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
    from engine.attention import blocked

    monkeypatch.setattr(blocked, "BLOCK_ELEMENTS", 400)
    query, key, value = (t.double().requires_grad_() for t in tensors(6, 2, 33, 5, seed=2))
    masking = Masking(0.3, window, softcap)
    upstream = torch.randn(33, 6, 5, dtype=torch.float64)
    expected, pattern = matrix_attention(query, key, value, masking)
    pattern.retain_grad()
    wanted = torch.autograd.grad(expected, (query, key, value, pattern), upstream)
    from engine.attention.causal import GroupGradients

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


def matrix_attention(query, key, value, masking):
    """Attention with the whole pattern in memory, the way eager attention writes it."""
    group = query.shape[0] // key.shape[0]
    scores = query @ key.repeat_interleave(group, 0).mT * masking.scaling
    if masking.softcap:
        scores = masking.softcap * torch.tanh(scores / masking.softcap)
    row, column = torch.arange(scores.shape[1])[:, None], torch.arange(scores.shape[2])[None]
    hidden = column > row
    if masking.window:
        hidden = hidden | (column <= row - masking.window)
    pattern = torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1)
    return (pattern @ value.repeat_interleave(group, 0)).transpose(0, 1), pattern


def test_models_with_parts_that_are_not_known_are_refused_by_name():
    config = hf.OlmoConfig(vocab_size=23, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
                           num_attention_heads=4, max_position_embeddings=64)  # fmt: skip
    model = hf.OlmoForCausalLM(config).eval()
    _, _, decoder, kept = traced(model)
    with pytest.raises(UnsupportedModelError, match="OlmoLayerNorm"):
        direct_attribution(decoder, kept)
    with pytest.raises(UnsupportedModelError, match="OlmoLayerNorm"):
        check_norms(decoder)


SMALL = {"vocab_size": 23, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2,
         "num_attention_heads": 4, "max_position_embeddings": 64, "pad_token_id": 0}  # fmt: skip


@pytest.mark.parametrize(
    ("scales", "words"),
    [
        ({"logits_scaling": 4.0}, "something scales them"),
        ({"residual_multiplier": 0.2}, "residual stream is not the sum"),
    ],
)
def test_models_that_scale_what_others_add_are_refused(scales, words):
    torch.manual_seed(0)
    model = hf.GraniteForCausalLM(hf.GraniteConfig(**SMALL, num_key_value_heads=2, **scales)).eval()
    randomize(model, seed=3)
    explainer = Explainer(Decoder(model), CausalSection(attribution=AttributionSection()), 1000)
    with pytest.raises(UnsupportedModelError, match=words):
        explainer.trace(dataclasses.replace(encoded(20, 1, 23), contrast_token_ids=CONTRAST))


def test_a_sample_whose_labels_share_a_token_is_rejected():
    explainer = Explainer(Decoder(build("qwen2")), CausalSection(), 1000)
    with pytest.raises(RowRejected, match="same token"):
        explainer.trace(dataclasses.replace(encoded(20, 1, 23), contrast_token_ids=(3, 3)))
