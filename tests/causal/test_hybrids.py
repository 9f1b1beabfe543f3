"""Interventions where layers need all rows: hybrids, and models that count positions from the first row there is."""

from __future__ import annotations

import pytest
import torch

from engine.causal.explainer import Explainer
from engine.causal.gradients import head_gradients, patching_effects
from engine.causal.units import _head_sums, read_means
from engine.config import AblationSection, AttentionGradientSection, CausalSection, KnockoutSection
from engine.errors import UnsupportedModelError
from engine.interventions.edits import HeadEdit, heads_edited
from engine.interventions.knockouts import Knockout
from engine.interventions.sweeps import Intervention, Sweep
from engine.interventions.unchanged_run import trace
from engine.model.decoder import Decoder
from tests.causal.hidden_keys import keys_hidden
from tests.causal.test_attribution import CONTRAST, own_difference
from tests.fixtures.family_judgement import double
from tests.fixtures.tiny_models import VOCABULARY, tiny_model

SETTINGS = CausalSection(ablation=AblationSection(), knockout=KnockoutSection())
ROW = 27


def checked(kind, settings=SETTINGS):
    model = tiny_model(kind)
    decoder = Decoder(model, allows_headless=True)
    Explainer(decoder, settings, 4000).check_model()
    ids = torch.randint(8, VOCABULARY, (30,), generator=torch.Generator().manual_seed(1))
    return model, decoder, ids, trace(decoder, ids, ROW, CONTRAST)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["aya_vision", "deepseek_v32", "jamba", "lfm2", "llama4_text", "qwen3_next"])
def test_interventions_equal_whole_forwards(kind):
    """Zeroed heads beside the model's own float64; values, knockouts and both at once beside whole forwards of ours."""
    model, decoder, ids, kept = checked(kind)
    own = double(model)
    layers = decoder.geometry.softmax_layers
    heads = decoder.geometry.num_heads
    size = kept.layers[layers[0]].head_outputs.shape[1] // heads
    values = torch.randn(1, 1, size, generator=torch.Generator().manual_seed(0))
    zeroed = [HeadEdit(layer, (1,), only_decision=only) for layer in layers for only in (True, False)]
    found = Sweep(decoder, kept, 10_000).run([Intervention(ROW if e.only_decision else 0, (e,)) for e in zeroed])
    for edit, effect in zip(zeroed, found, strict=True):
        wanted = whole(own, ids, edit)
        assert effect.logit_difference == pytest.approx(wanted, rel=2e-5, abs=5e-5), edit
        assert effect.reference == pytest.approx(kept.logit_difference, rel=2e-5, abs=5e-5)
    interventions = [
        Intervention(0, (HeadEdit(layers[0], (2,), values=values),)),
        Intervention(0, (HeadEdit(layers[0], (1,)), HeadEdit(layers[-1], (0,), 2.0)), (Knockout(0, layers[0], (3,)),)),
        *(Intervention(first, (), (Knockout(0, layers[-1], (2, 20), first),)) for first in (ROW, 22)),
        *(Intervention(first, (), (Knockout(layers[-1], layers[-1], (2, 20), first),)) for first in (ROW, 22)),
    ]
    for budget in (10_000, 1):
        effects = Sweep(decoder, kept, budget).run(interventions)
        for intervention, effect in zip(interventions, effects, strict=True):
            with (
                torch.no_grad(),
                heads_edited(decoder, intervention.edits),
                keys_hidden(decoder, intervention.knockouts),
            ):
                wanted = float(own_difference(model, ids[: ROW + 1], ROW))
            assert effect.logit_difference == pytest.approx(wanted, rel=2e-5, abs=5e-5), intervention
    assert max(abs(effect.logit_difference - effect.reference) for effect in effects) > 1e-3


def whole(own, ids, edit):
    decoder = Decoder(own, allows_headless=True)

    def change(_module, args):
        changed = args[0].clone()
        rows = slice(ROW, ROW + 1) if edit.only_decision else slice(None)
        changed.unflatten(-1, (decoder.geometry.num_heads, -1))[:, rows, list(edit.heads)] = 0
        return (changed,)

    with decoder.projections[edit.layer].register_forward_pre_hook(change), torch.no_grad():
        return float(own_difference(own, ids, ROW))


@pytest.mark.filterwarnings("ignore")
def test_layers_without_heads_cannot_be_changed():
    model, decoder, ids, _ = checked("lfm2")
    headless = next(layer for layer in range(decoder.geometry.num_layers) if not decoder.has_heads(layer))
    with (
        pytest.raises(UnsupportedModelError, match=f"layer {headless} has no heads"),
        heads_edited(decoder, [HeadEdit(headless, (0,))]),
    ):
        model(ids[None])


@pytest.mark.filterwarnings("ignore")
def test_patching_of_hybrids_is_by_the_layers_that_have_heads():
    _, decoder, ids, kept = checked("jamba", CausalSection(attention_gradient=AttentionGradientSection()))
    other = trace(decoder, ids.flip(0), ROW, CONTRAST)
    effects = patching_effects(decoder, kept, other, head_gradients(decoder, kept, keeps_outputs=True).outputs)
    assert effects.shape == (len(decoder.geometry.softmax_layers), 4) and bool((effects != 0).all())


def test_means_of_layers_whose_heads_differ_in_size(tmp_path):
    import pyarrow.parquet as pq

    sums = {1: torch.arange(8.0), 3: torch.arange(16.0)}
    table = _head_sums(sums, 5, 4)
    assert table["layer"].to_pylist() == [1] * 4 + [3] * 4
    renamed = table.rename_columns(["layer", "head", "num_rows", "mean"])
    pq.write_table(renamed, tmp_path / "means.parquet")
    means = read_means(tmp_path / "means.parquet")
    assert {layer: tuple(part.shape) for layer, part in means.items()} == {1: (4, 2), 3: (4, 4)}
    assert torch.equal(means[3].flatten(), torch.arange(16.0))
