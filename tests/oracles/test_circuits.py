"""Edges of circuits beside brute force: hooks on the model's own eager attention, one edge at a time, in float64."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
import torch
import transformers as hf
from torch import nn

from engine.causal.circuits.edges import candidate_edges
from engine.causal.circuits.kept import cut_difference
from engine.causal.circuits.linearised import linearised_edges, moved_difference
from engine.causal.circuits.senders import Baseline, of_other, zeros
from engine.causal.circuits.verified import verified_edges
from engine.causal.explainer import Explainer
from engine.causal.method import CausalInputs, SampleRun
from engine.config import CausalSection
from engine.errors import UnsupportedModelError
from engine.interventions.unchanged_run import trace
from engine.model.decoder import Decoder
from tests.fixtures.models import randomize
from tests.fixtures.tiny_models import VOCABULARY, tiny_model
from tests.oracles.test_statistics import encoded
from tests.parity.test_parity import FAMILIES, SMALL, build

CONTRAST = (3, 7)
HEADS = [(0, 1), (0, 2), (1, 0), (1, 3), (2, 2)]
NUM_HEADS, TOKENS = 4, 26


def traced(model, seed=1):
    sample = encoded(TOKENS, seed, 23)
    ids = torch.from_numpy(sample.input_ids.astype(np.int64))
    decoder = Decoder(model)
    kept = trace(decoder, ids, sample.decision_position, CONTRAST)
    run = SampleRun(decoder, CausalSection(), sample, kept, CausalInputs(), 4000, lambda _: kept)
    groups = {name: torch.from_numpy(p.astype(np.int64)) for name, p in sample.key_groups.items()}
    return ids, decoder, kept, run, groups


class BruteForce:
    """A model run by its own eager code, with edges cut by hooks on its projections.

    Every head has key and value projections of its own. An edge into a head's query, key or value recomputes the norm
    and the projection of the layer for a residual stream from which what the sender writes *in this run* is taken.
    """

    def __init__(self, model, ids, row, size=1.0):
        self.model, self.ids, self.row, self.size = model, ids, row, size
        model.set_attn_implementation("eager")

    def columns(self, head):
        width = self.model.model.layers[0].self_attn.head_dim
        return slice(head * width, head * width + width)

    @torch.no_grad()
    def difference(self, cut, fixed=None):
        """Return s with edges cut; ``fixed`` holds what senders write, by layer, where that is not this run's."""
        layers, written = self.model.model.layers, {}
        with ExitStack() as hooks:
            for index, layer in enumerate(layers):

                def keep(_, args, index=index):
                    written[index] = (fixed or {}).get(index, args[0][0])

                hooks.enter_context(layer.self_attn.o_proj.register_forward_pre_hook(keep))

                def enter(_, args, kwargs, index=index, layer=layer):
                    self.hidden = args[0] if args else kwargs["hidden_states"]

                hooks.enter_context(layer.register_forward_pre_hook(enter, with_kwargs=True))
                for name in "qkv":
                    projection = getattr(layer.self_attn, f"{name}_proj")
                    hooks.enter_context(
                        projection.register_forward_hook(self.reading(layer, index, name, cut, written))
                    )

            def final(_, args):
                own = args[0].clone()
                for edge in cut:
                    if edge.target is None:
                        own[0] += self.change(edge.source, written)
                return (own,)

            hooks.enter_context(self.model.model.norm.register_forward_pre_hook(final))
            logits = self.model(self.ids[None]).logits[0, self.row]
        return float(logits[CONTRAST[0]] - logits[CONTRAST[1]])

    def change(self, source, written):
        layer, head = source
        weight = self.model.model.layers[layer].self_attn.o_proj.weight[:, self.columns(head)]
        return -self.size * written[layer][:, self.columns(head)] @ weight.T

    def reading(self, layer, index, name, cut, written):
        def hook(module, _args, output):
            output = output.clone()
            for head in range(NUM_HEADS):
                own = [edge for edge in cut if edge.target == (index, head) and edge.input == name]
                if own:
                    moved = self.hidden.clone()
                    for edge in own:
                        moved[0] += self.change(edge.source, written)
                    normed = layer.input_layernorm(moved)
                    values = nn.functional.linear(normed, module.weight, module.bias)
                    output[..., self.columns(head)] = values[..., self.columns(head)]
            return output

        return hook

    def outputs(self):
        """Return every head's output by layer in the unchanged run."""
        kept = {}
        with ExitStack() as hooks:
            for index, layer in enumerate(self.model.model.layers):
                hook = layer.self_attn.o_proj.register_forward_pre_hook(
                    lambda _, args, index=index: kept.__setitem__(index, args[0][0])
                )
                hooks.enter_context(hook)
            self.model(self.ids[None])
        return kept


@pytest.fixture(scope="module")
def qwen():
    model = build("qwen2_mha").double()
    return model, *traced(model)


def between(edges):
    return [edge for edge in edges if edge.is_between_heads]


def test_path_patching_is_brute_force(qwen):
    model, ids, decoder, kept, run, groups = qwen
    edges = candidate_edges(HEADS, ())
    found = verified_edges(run, edges, groups, zeros(decoder, kept))
    brute = BruteForce(model, ids, kept.num_tokens - 1)
    whole = brute.difference([])
    assert whole == pytest.approx(kept.logit_difference, abs=1e-6)
    sizes = []
    for edge in edges:
        expected = brute.difference([edge]) - whole
        sizes.append(abs(expected))
        effect = found[edge]
        assert effect.logit_difference - effect.reference == pytest.approx(expected, abs=2e-6), edge
    assert min(sizes) > 1e-5  # every edge does something, so that each could have been wrong


def test_cutting_many_edges_is_brute_force(qwen):
    model, ids, decoder, kept, *_ = qwen
    edges = candidate_edges(HEADS, ())
    brute = BruteForce(model, ids, kept.num_tokens - 1)
    for seed in range(4):
        chosen = torch.randperm(len(edges), generator=torch.Generator().manual_seed(seed))[: 3 + 7 * seed]
        cut = [edges[place] for place in chosen]
        assert cut_difference(decoder, kept, cut, zeros(decoder, kept)) == pytest.approx(
            brute.difference(cut), abs=2e-6
        )
    assert cut_difference(decoder, kept, [], zeros(decoder, kept)) == kept.logit_difference


def test_one_step_is_the_derivative_of_each_edge(qwen):
    model, ids, decoder, kept, _, groups = qwen
    found = linearised_edges(decoder, kept, HEADS, groups, zeros(decoder, kept), 1)
    assert set(found) == set(candidate_edges(HEADS, groups))
    for edge in between(found)[::3]:
        sides = [BruteForce(model, ids, kept.num_tokens - 1, size).difference([edge]) for size in (1e-3, -1e-3)]
        assert found[edge] == pytest.approx((sides[0] - sides[1]) / 2e-3, rel=1e-3, abs=1e-4), edge


def test_integrated_gradients_sum_to_what_moving_every_edge_does(qwen):
    model, ids, decoder, kept, *_ = qwen
    baseline, cut = zeros(decoder, kept), candidate_edges(HEADS, ())
    brute = BruteForce(model, ids, kept.num_tokens - 1)
    moved = brute.difference(cut, fixed=brute.outputs())
    assert moved_difference(decoder, kept, HEADS, baseline, 1.0) == pytest.approx(moved, abs=2e-6)
    whole = moved - kept.logit_difference
    gaps = []
    for steps in (1, 4, 16):
        total = sum(linearised_edges(decoder, kept, HEADS, {}, baseline, steps).values())
        gaps.append(abs(total - whole))
    assert gaps[2] < 0.02 * abs(whole) and gaps[2] < gaps[1] < gaps[0], gaps


def test_edges_to_the_logits_sum_to_the_linearised_change_of_the_margin(qwen):
    """The derivative of s when everything that the heads write towards the logits shrinks at once."""
    _, _, decoder, kept, *_ = qwen
    baseline = zeros(decoder, kept)
    found = linearised_edges(decoder, kept, HEADS, {}, baseline, 1)
    direct = sum(value for edge, value in found.items() if edge.target is None)
    outputs = [kept.layers[layer].head_outputs[-1].unflatten(0, (NUM_HEADS, -1))[head] for layer, head in HEADS]
    added = sum(decoder.head_columns(layer)[:, head] @ part for (layer, head), part in zip(HEADS, outputs, strict=True))
    with torch.no_grad():
        # Norms stay float32 inside a double model: smaller steps would leave no digits.
        sides = [float(decoder.logit_difference(kept.leaving - size * added, CONTRAST)) for size in (1e-2, -1e-2)]
    assert direct == pytest.approx((sides[0] - sides[1]) / 2e-2, rel=1e-3)


class IdentityNorm(nn.Module):
    def forward(self, hidden):
        return hidden


@pytest.mark.parametrize("steps", [1, 3])
def test_in_a_linear_model_the_linearised_edges_are_those_of_path_patching(steps):
    """Without norms, MLPs and queries, s is linear in values and in what is written to the logits."""
    model = build("qwen2_mha").double()
    for layer in model.model.layers:
        layer.input_layernorm = layer.post_attention_layernorm = IdentityNorm()
        for part in (layer.mlp.down_proj.weight, layer.self_attn.q_proj.weight, layer.self_attn.q_proj.bias):
            nn.init.zeros_(part)
    model.model.norm = IdentityNorm()
    _, decoder, kept, run, groups = traced(model)
    edges = candidate_edges(HEADS, groups)
    baseline = zeros(decoder, kept)
    found = linearised_edges(decoder, kept, HEADS, groups, baseline, steps)
    real = verified_edges(run, edges, groups, baseline)
    sizes = []
    for edge in edges:
        change = real[edge].logit_difference - real[edge].reference
        assert found[edge] == pytest.approx(change, rel=1e-9, abs=1e-12), edge
        sizes.append(abs(change))
    assert np.median(sizes) > 1e-5


def test_key_groups_are_values_replaced_for_one_head(qwen):
    """Brute force: the value projection of one head is zero at the group's tokens."""
    model, ids, decoder, kept, run, groups = qwen
    edges = [edge for edge in candidate_edges(HEADS, groups) if not edge.is_between_heads]
    found = verified_edges(run, edges, groups, zeros(decoder, kept))
    brute = BruteForce(model, ids, kept.num_tokens - 1)
    whole = brute.difference([])
    for edge in edges:
        layer, head = edge.target

        def hide(_module, _args, output, edge=edge, head=head):
            output = output.clone()
            output[0, groups[edge.source], brute.columns(head)] = 0
            return output

        with model.model.layers[layer].self_attn.v_proj.register_forward_hook(hide):
            expected = brute.difference([]) - whole
        change = found[edge].logit_difference - found[edge].reference
        assert change == pytest.approx(expected, abs=2e-6), edge


def test_grouped_heads_are_those_of_a_model_with_repeated_keys_and_values():
    config = {**SMALL, "num_key_value_heads": 2}
    shared = hf.Qwen2ForCausalLM(hf.Qwen2Config(**config)).eval().double()
    randomize(shared, 4)
    own = hf.Qwen2ForCausalLM(hf.Qwen2Config(**{**config, "num_key_value_heads": 4})).eval().double()
    state = shared.state_dict()
    for name in state:
        if "k_proj" in name or "v_proj" in name:
            state[name] = state[name].unflatten(0, (2, -1)).repeat_interleave(2, 0).flatten(0, 1)
    own.load_state_dict(state)
    results = []
    for model in (shared, own):
        _, decoder, kept, run, groups = traced(model)
        baseline, edges = zeros(decoder, kept), candidate_edges(HEADS, groups)
        linear = linearised_edges(decoder, kept, HEADS, groups, baseline, 3)
        real = verified_edges(run, edges, groups, baseline)
        cut = cut_difference(decoder, kept, between(edges)[::2], baseline)
        results.append([cut, *(linear[e] for e in edges), *(real[e].logit_difference for e in edges)])
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)


EVERY = [name for name in FAMILIES if name != "qwen2.5_yarn"]


@pytest.mark.parametrize("family", EVERY)
def test_families_agree_with_themselves(family):
    """Steps towards another run: gradients foretell small cuts, and one cut edge is its path patch."""
    model = build(family).double()
    _, decoder, kept, run, groups = traced(model)
    other = trace(decoder, torch.from_numpy(encoded(TOKENS, 5, 23).input_ids.astype(np.int64)), 20, CONTRAST)
    baseline = of_other(decoder, kept, other)
    edges = candidate_edges(HEADS[2:], groups)
    real = verified_edges(run, edges, groups, baseline)
    for edge in between(edges)[::2]:
        cut = cut_difference(decoder, kept, [edge], baseline)
        assert cut - kept.logit_difference == pytest.approx(
            real[edge].logit_difference - real[edge].reference, abs=5e-6
        )
    whole = moved_difference(decoder, kept, HEADS[2:], baseline, 1.0) - kept.logit_difference
    total = sum(linearised_edges(decoder, kept, HEADS[2:], {}, baseline, 8).values())
    assert total == pytest.approx(whole, rel=0.05, abs=2e-3)


@pytest.mark.parametrize(
    "kind", ["gpt_oss", "deepseek_v3", "mixtral", "llama4_text", "granite", "olmo2", "bamba", "bloom"]
)
def test_gradients_foretell_small_changes_in_models_of_every_make(kind):
    """Sinks, latent attention, experts, chunks, residual scales, norms behind attention, recurrent layers, ALiBi."""
    model = tiny_model(kind)
    decoder = Decoder(model, allows_headless=True)
    Explainer(decoder, CausalSection.model_validate({"circuit": {"heads": [[0, 0]]}}), 4000).check_model()
    sample = encoded(TOKENS, 1, VOCABULARY)
    kept = trace(decoder, torch.from_numpy(sample.input_ids.astype(np.int64)), sample.decision_position, CONTRAST)
    run = SampleRun(decoder, CausalSection(), sample, kept, CausalInputs(), 4000, lambda _: kept)
    groups = {name: torch.from_numpy(p.astype(np.int64)) for name, p in sample.key_groups.items()}
    layers = decoder.geometry.softmax_layers
    heads = sorted({(layers[0], 1), (layers[-1], 0), (layers[-1], 2)})
    # A step below which no expert is chosen anew; a larger one would drown in float32.
    small, by_head = 1 - 3e-3, (decoder.geometry.num_heads, -1)
    baseline = Baseline(
        {layer: kept.layers[layer].head_outputs.unflatten(-1, by_head) * small for layer in layers},
        {layer: kept.layers[layer].value * small for layer in layers},
    )
    edges = candidate_edges(heads, groups)
    real = verified_edges(run, edges, groups, baseline)
    changes = np.array([real[edge].logit_difference - real[edge].reference for edge in edges])
    found = linearised_edges(decoder, kept, heads, groups, baseline, 1)
    foretold = np.array([found[edge] for edge in edges])
    assert np.abs(changes).max() > 1e-4
    np.testing.assert_allclose(foretold, changes, atol=0.03 * np.abs(changes).max())
    assert np.corrcoef(foretold, changes)[0, 1] > 0.999


@pytest.mark.parametrize("kind", ["qwen3_next", "bitnet", "afmoe"])
def test_what_stands_behind_attention_is_refused(kind):
    """By the parts of a skeleton, in the plan, where they tell; else before anything is measured."""
    model = tiny_model(kind)
    decoder = Decoder(model, allows_headless=True)
    with pytest.raises(UnsupportedModelError, match=r"between attention and the output projection of layer \d"):
        explainer = Explainer(decoder, CausalSection.model_validate({"circuit": {"heads": [[0, 0]]}}), 4000)
        assert kind == "afmoe"
        explainer.check_model()
