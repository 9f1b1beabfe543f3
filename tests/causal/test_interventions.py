"""Interventions and sweeps beside the plain way: change the weights, run the whole model."""

from __future__ import annotations

import pytest
import torch

from engine.attention.interface import armed
from engine.interventions.edits import HeadEdit, heads_edited
from engine.interventions.knockouts import Knockout
from engine.interventions.sweeps import Intervention, Sweep
from tests.causal.hidden_keys import keys_hidden
from tests.causal.test_attribution import matrix_attention, own_difference, traced
from tests.parity.test_parity import FAMILIES, build


def plainly(model, ids, position):
    with torch.no_grad():
        return float(own_difference(model, ids, position))


def one_by_one(decoder, kept, ids, intervention):
    """The naive way: hooks and a whole forward per intervention, of a text that ends with the decision row."""
    ids = ids[: kept.num_tokens]
    with heads_edited(decoder, intervention.edits), keys_hidden(decoder, intervention.knockouts):
        return plainly(decoder.model, ids, kept.num_tokens - 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_zero_ablation_equals_zeroing_the_columns_of_the_output_projection(family):
    model = build(family)
    sample, ids, decoder, kept = traced(model)
    pairs = [(layer, head) for layer in range(3) for head in range(4)]
    effects = Sweep(decoder, kept, 200).run([Intervention(0, (HeadEdit(layer, (head,)),)) for layer, head in pairs])
    for (layer, head), effect in zip(pairs, effects, strict=True):
        weight = decoder.projections[layer].weight
        is_linear = isinstance(decoder.projections[layer], torch.nn.Linear)
        size = weight.shape[1 if is_linear else 0] // 4
        columns = slice(head * size, head * size + size)
        before = weight.detach().clone()
        with torch.no_grad():
            (weight if is_linear else weight.T)[:, columns] = 0
            expected = plainly(model, ids, sample.decision_position)
            weight.copy_(before)
        assert effect.logit_difference == pytest.approx(expected, abs=5e-6), (layer, head)
        assert effect.reference == pytest.approx(kept.logit_difference, abs=5e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_sweeps_equal_whole_forwards(family):
    """Sets across layers, whole layers, other values, the decision row alone, knockouts of both kinds of rows."""
    model = build(family)
    _, ids, decoder, kept = traced(model)
    size = kept.layers[0].head_outputs.shape[1] // 4
    generator = torch.Generator().manual_seed(0)
    mean, other = torch.randn(1, 2, size, generator=generator), torch.randn(48, 1, size, generator=generator)
    last = kept.num_tokens - 1
    interventions = [
        Intervention(0, (HeadEdit(1, (0, 2), values=mean),)),
        Intervention(0, (HeadEdit(0, (3,), values=other),)),
        Intervention(0, (HeadEdit(2, (3,), values=other),)),
        Intervention(0, (HeadEdit(0, (1,), 3.0), HeadEdit(2, (0, 1), -1.0))),
        Intervention(0, (HeadEdit(1, (0, 1, 2, 3)),)),
        Intervention(last, (HeadEdit(0, (2,), only_decision=True),)),
        Intervention(last, (HeadEdit(1, (2,), values=other, only_decision=True), HeadEdit(2, (1,), 2.0))),
        Intervention(last, (HeadEdit(2, (0,), values=mean[:, :1], only_decision=True),)),
        *(
            Intervention(first, (), (Knockout(window[0], window[1], keys, first),))
            for first in (last, 25)
            for window in ((0, 0), (1, 2), (2, 2), (0, 2))
            for keys in ((0, 5, 30), (44, last))
        ),
        Intervention(25, (), (Knockout(1, 1, tuple(range(50)), 25),)),
        Intervention(0, (HeadEdit(0, (1,)), HeadEdit(2, (3,), 2.0)), (Knockout(0, 1, (0, 7)),)),
    ]
    interventions[6] = Intervention(last, (interventions[6].edits[0],))
    effects = Sweep(decoder, kept, 10_000).run(interventions)
    for intervention, effect in zip(interventions, effects, strict=True):
        expected = one_by_one(decoder, kept, ids, intervention)
        assert effect.logit_difference == pytest.approx(expected, abs=1e-5), intervention
    assert max(abs(e.logit_difference - e.reference) for e in effects[:8]) > 1e-2
    small = Sweep(decoder, kept, 1).run(interventions)
    for one, two in zip(effects, small, strict=True):
        assert one.logit_difference == pytest.approx(two.logit_difference, abs=1e-5)


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt2", "mistral"])
def test_knockouts_are_those_of_a_masked_matrix(family):
    model = build(family)
    _, ids, decoder, kept = traced(model, 30)
    last, hidden = kept.num_tokens - 1, (0, 4, 9)
    effects = Sweep(decoder, kept, 500).run(
        [Intervention(last, (), (Knockout(layer, layer, hidden, last),)) for layer in range(3)]
    )
    for layer, effect in enumerate(effects):

        def attend(_module, index, query, key, value, masking, layer=layer):
            output, pattern = matrix_attention(query[0], key[0], value[0], masking)
            if index == layer:
                pattern = pattern.clone()
                pattern[:, last, list(hidden)] = 0
                pattern[:, last] /= pattern[:, last].sum(-1, keepdim=True)
                output = (pattern @ value[0].repeat_interleave(4 // value.shape[1], 0)).transpose(0, 1)
            return output[None]

        with armed(model, attend, takes_batches=True):
            expected = plainly(model, ids, last)
        assert effect.logit_difference == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("only_decision", [False, True])
@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt_neox"])
def test_factor_one_changes_exactly_nothing(family, only_decision):
    _, _, decoder, kept = traced(build(family))
    row = kept.num_tokens - 1 if only_decision else 0
    interventions = [
        Intervention(row, (HeadEdit(layer, (head,), factor, only_decision=only_decision),))
        for layer in range(3)
        for head in range(4)
        for factor in (0.5, 1.0, 2.0)
    ]
    interventions.append(Intervention(0, (HeadEdit(0, (1,), 1.0), HeadEdit(2, (1,), 1.0))))
    for tokens_per_batch in (100, 1000, 10_000):
        effects = Sweep(decoder, kept, tokens_per_batch).run(interventions)
        changes = [effect.logit_difference - effect.reference for effect in effects]
        assert all(change == 0 for change in changes[1::3][:12]) and changes[-1] == 0
        assert all(change != 0 for change in changes[0:36:3])


def test_contexts_compose_and_leave_nothing_behind():
    model = build("qwen2")
    sample, ids, decoder, kept = traced(model)
    position, before = sample.decision_position, plainly(model, ids, sample.decision_position)
    implementation = model.config._attn_implementation
    with heads_edited(decoder, [HeadEdit(1, (2,), 2.0)]):
        twice = plainly(model, ids, position)
        with heads_edited(decoder, [HeadEdit(1, (2,), 0.5)]):
            assert plainly(model, ids, position) == pytest.approx(before, abs=1e-6)
        with keys_hidden(decoder, [Knockout(0, 0, (3,), 20)]), keys_hidden(decoder, [Knockout(0, 2, (5,), 10)]):
            both = plainly(model, ids, position)
        with heads_edited(decoder, [HeadEdit(1, (2,), values=torch.ones(1, 1, 8))]):
            ones = plainly(model, ids, position)
        assert plainly(model, ids, position) == twice != before
    with heads_edited(decoder, [HeadEdit(1, (2,), values=torch.ones(1, 1, 8))]):
        assert plainly(model, ids, position) == ones
    assert len({before, twice, both, ones}) == 4
    with pytest.raises(IndexError), heads_edited(decoder, [HeadEdit(0, (0,))]), keys_hidden(decoder, []):
        plainly(model, ids + 1000, position)
    with pytest.raises(IndexError):
        Sweep(decoder, kept, 100).run([Intervention(0, (HeadEdit(0, (9,)),))])
    assert model.config._attn_implementation == implementation
    assert all("forward" not in attention.__dict__ for attention in decoder.attentions)
    assert all(not projection._forward_pre_hooks for projection in decoder.projections)
    assert plainly(model, ids, position) == before


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    _, _, decoder, kept = traced(build("qwen2"))
    interventions = [Intervention(0, (HeadEdit(1, (head,)),)) for head in range(4)]
    expected = Sweep(decoder, kept, 10_000).run(interventions)
    sizes = []
    run = Sweep._differences

    def small(self, elements, like):
        sizes.append(len(elements))
        if len(elements) > 2:
            raise torch.OutOfMemoryError("too large")
        return run(self, elements, like)

    monkeypatch.setattr(Sweep, "_differences", small)
    found = Sweep(decoder, kept, 10_000).run(interventions)
    assert sizes == [5, 3, 2, 2, 3, 2, 2]
    for one, other in zip(found, expected, strict=True):
        assert one.logit_difference == pytest.approx(other.logit_difference, abs=1e-6)
    monkeypatch.setattr(Sweep, "_differences", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    with pytest.raises(torch.OutOfMemoryError):
        Sweep(decoder, kept, 10_000).run(interventions)
