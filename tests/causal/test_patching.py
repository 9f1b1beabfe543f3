"""Counterfactual statements keep every token's place, and attribution patching is the slope of patching."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
import yaml

from engine.causal.counterfactuals import counterfactual
from engine.causal.gradients import head_gradients, patching_effects
from engine.config import PatchingSection
from engine.encoding.encoded_files import read_batches
from engine.generation.generator import Generator
from engine.interventions.edits import HeadEdit, heads_edited
from engine.interventions.sweeps import Intervention, Sweep
from engine.interventions.unchanged_run import trace
from engine.model.decoder import Decoder
from engine.run import main
from engine.samples import RowRejected
from tests.causal.test_attribution import CONTRAST, traced
from tests.causal.test_causal_runs import table, with_causal
from tests.parity.test_parity import build


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt2", "gpt_neox"])
def test_effects_are_the_slope_of_patching_each_head(family):
    model = build(family).double()
    _, ids, decoder, kept = traced(model, 40)
    swapped = ids.clone()
    swapped[5:15] = ids[15:25]
    other = trace(decoder, swapped, kept.num_tokens - 1, CONTRAST)
    gradients = head_gradients(decoder, kept, keeps_outputs=True)
    assert gradients.outputs is not None
    effects = patching_effects(decoder, kept, other, gradients.outputs)
    pairs = [(layer, head) for layer in range(3) for head in range(4)]
    step, interventions = 1e-2, []
    for size in (step, -step):
        for layer, head in pairs:
            here, there = (t.layers[layer].head_outputs.unflatten(1, (4, -1))[:, [head]] for t in (kept, other))
            interventions.append(Intervention(0, (HeadEdit(layer, (head,), values=here + size * (there - here)),)))
    found = [effect.logit_difference for effect in Sweep(decoder, kept, 10_000).run(interventions)]
    for number, pair in enumerate(pairs):
        slope = (found[number] - found[number + len(pairs)]) / (2 * step)
        # RMSNorm is float32 even in a double model.
        assert slope == pytest.approx(float(effects[pair]), rel=1e-2, abs=2e-4), pair


@pytest.fixture
def prepared(config_file):
    """Encoded samples of the users' layout and their tokenizer."""
    from transformers import AutoTokenizer

    assert main([str(config_file), "--stage", "plan"]) == 0
    run = config_file.parent / "runs" / "test"
    samples = [
        s
        for path in sorted((run / "plan" / "encoded").glob("*.parquet"))
        for batch in read_batches(path)
        for s in batch
    ]
    tokenizer = AutoTokenizer.from_pretrained(yaml.safe_load(config_file.read_text())["model"]["path"])
    return samples, lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_swapped_periods_and_other_edits_of_figures(prepared):
    samples, tokenize = prepared
    sample = samples[0]
    swap = counterfactual(sample, PatchingSection(counterfactual="swap_periods", line_items=["inventories"]), tokenize)
    row = next(line for line in sample.text.splitlines() if line.startswith("| Inventories"))
    prior, current = (cell.strip() for cell in row.split("|")[2:4])
    place = sample.text.index(row)
    assert swap.edit.split("; ") == [
        f"{place + row.index(prior)}: {prior} -> {current}",
        f"{place + row.rindex(current)}: {current} -> {prior}",
    ]
    assert swap.sample.num_tokens == sample.num_tokens
    changed = np.flatnonzero(swap.sample.input_ids != sample.input_ids)
    starts = sample.char_starts[changed]
    assert len(changed) and starts.min() >= place and starts.max() < place + len(row)
    everything = counterfactual(sample, PatchingSection(counterfactual="swap_periods"), tokenize)
    assert everything.edit.count("->") == 12
    one = PatchingSection(
        counterfactual="replace", value=f"{current[:-1]}{(int(current[-1]) + 1) % 10}", line_items=["Inventories"]
    )
    replaced = counterfactual(sample, one, tokenize)
    assert (replaced.sample.input_ids != sample.input_ids).sum() == 1
    scaled = counterfactual(
        sample, PatchingSection(counterfactual="scale", factor=1.01, line_items=["Inventories"]), tokenize
    )
    assert f" -> {float(current) * 1.01:.3f}" in scaled.edit


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"counterfactual": "scale", "factor": 1e6}, "counterfactual_changes_token_count"),
        ({"counterfactual": "replace", "value": "1234567.8"}, "counterfactual_changes_token_count"),
        ({"counterfactual": "flip_sign"}, "counterfactual_changes_token_count"),
        ({"counterfactual": "scale", "line_items": ["Goodwill"]}, "no_counterfactual"),
    ],
)
def test_edits_that_cannot_be_made_are_rejected(prepared, section, reason):
    samples, tokenize = prepared
    with pytest.raises(RowRejected) as caught:
        counterfactual(samples[0], PatchingSection(**section), tokenize)
    assert caught.value.reason == reason and caught.value.stage == "causal"


def test_a_prompt_that_is_tokenised_otherwise_is_rejected(prepared):
    samples, tokenize = prepared
    with pytest.raises(RowRejected, match="does not give its recorded tokens"):
        counterfactual(samples[0], PatchingSection(counterfactual="swap_periods"), lambda text: [0, *tokenize(text)])
    ids = dataclasses.replace(samples[0], segments=np.zeros_like(samples[0].segments))
    with pytest.raises(RowRejected, match="finds no figures"):
        counterfactual(ids, PatchingSection(counterfactual="swap_periods"), tokenize)


def test_patching_of_a_run_and_its_rejects(config_file):
    path = with_causal(config_file, "patched", patching={"counterfactual": "scale", "line_items": ["Inventories"]})
    assert main([str(path), "--stage", "collect"]) == 0
    run = path.parent / "runs" / "patched"
    rejects = pl.read_parquet(run / "rejects.parquet").filter(stage="causal")
    found = table(run, "patching")
    assert set(rejects["reason"]) <= {"counterfactual_changes_token_count"}
    assert found["sample_id"].n_unique() + rejects.height == 12 and found["sample_id"].n_unique() > 3
    assert found.height == found["sample_id"].n_unique() * 2 * 4
    assert found["edit"].str.contains(" -> ").all() and (found["counterfactual"] == "scale").all()
    changed = found["counterfactual_logit_difference"] - found["logit_difference"]
    assert (changed != 0).all() and (found["effect"] != 0).any()


def test_answers_under_an_intervention(tiny_model_dir):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from engine.config import GenerationSection
    from engine.samples import Prompt

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir).eval()
    settings = GenerationSection(max_new_tokens=12, batch_size=2)
    generator = Generator(model, AutoTokenizer.from_pretrained(tiny_model_dir), settings)
    prompts = [Prompt("a", "Net income increased from 3 to 5."), Prompt("b", "Sales")]
    plain = [answer.text for answer in generator.answers(prompts)]
    decoder = Decoder(model)
    with heads_edited(decoder, [HeadEdit(layer, (0, 1, 2, 3)) for layer in range(2)]):
        without = [answer.text for answer in generator.answers(prompts)]
    with heads_edited(decoder, [HeadEdit(1, (2,), 1.0)]):
        assert [answer.text for answer in generator.answers(prompts)] == plain
    assert without != plain and [answer.text for answer in generator.answers(prompts)] == plain
