"""Whole models, and runs, in which samples share the rows that they begin with, against the same without sharing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
import transformers as hf

from engine import shared_prefixes
from engine.attention.layout import packed_ids, sequence_layout
from engine.attention.readers.received import ReceivedRows
from engine.config import load_config
from engine.encoded_samples import LabelToken
from engine.measuring.checking import checker
from engine.measuring.checking.start_check import why_not_shared
from engine.measuring.fetching.retrieval import retrieval_target
from engine.measuring.measurer import Measurer
from engine.measuring.probe import Probe
from engine.measuring.tables.attributions import targets_of
from engine.run import main
from engine.shared_prefixes import placements
from engine.tolerances import tolerance
from tests.fixtures.models import randomize
from tests.fixtures.predictions import records
from tests.oracles.test_shared_rows import compare, family
from tests.parity.test_parity import SMALL
from tests.parity.test_parity import build as built

CPU = torch.device("cpu")
ANSWERS = 4


def gpt_oss():
    torch.manual_seed(0)
    config = hf.GptOssConfig(
        **SMALL, num_key_value_heads=2, head_dim=8, sliding_window=16, num_local_experts=2, num_experts_per_tok=1
    )
    model = hf.GptOssForCausalLM(config).eval()
    randomize(model, seed=4, scale=0.1)
    return model


def bloom():
    torch.manual_seed(0)
    model = hf.BloomForCausalLM(hf.BloomConfig(vocab_size=23, hidden_size=32, n_layer=2, n_head=4)).eval()
    randomize(model, seed=4, scale=0.1)
    return model


MODELS = {
    "qwen2": lambda: built("qwen2"),
    "mistral": lambda: built("mistral"),  # a window
    "gemma2": lambda: built("gemma2"),  # soft-capping, norms behind
    "gpt2": lambda: built("gpt2"),  # learnt positions
    "gpt_oss": gpt_oss,  # sinks
    "bloom": bloom,  # biases, code of its own
}


def decided(sample):
    """Return a sample with a contrast, so that something is attributed."""
    row = sample.decision_position
    return replace(
        sample,
        contrast_token_ids=(1, 2),
        label_tokens=(LabelToken("a", row, 1), LabelToken("b", row, 2)),
        metadata={"predicted_label": "a", "actual_label": "b"},
        contrast=replace(sample.contrast, first="a", second="b"),
    )


@pytest.mark.parametrize("attention", ["auto", "blocked"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_measures_the_same_with_shared_rows(monkeypatch, name, attention):
    monkeypatch.setattr(shared_prefixes, "LEAST_SHARED", 8)
    if attention == "blocked" and name not in ("qwen2", "gemma2"):
        pytest.skip("the backends are compared layer by layer in tests/oracles/test_shared_rows.py")
    samples = [decided(sample) for sample in family()]
    if name in ("gpt_oss", "bloom"):
        probe = Probe(MODELS[name]().requires_grad_(False), attention=attention, with_rollout=True, top_tokens=3)
    else:
        probe = Probe(
            MODELS[name]().requires_grad_(False),
            True,
            True,
            attention,
            top_tokens=3,
            contribution=True,
            with_retrieval=True,
        )
    found = {}
    for shares in (True, False):
        places = placements([sample.input_ids for sample in samples], shares=shares)
        layouts = [
            sequence_layout(
                sample, place.start, CPU, {1: (2,)}, True,
                ReceivedRows.of(np.arange(sample.num_tokens, dtype=np.int32) // 5, 4, 2, 3), prefix=place.prefix,
            )
            for sample, place in zip(samples, places, strict=True)
        ]  # fmt: skip
        targets = [targets_of(sample, layout) for sample, layout in zip(samples, layouts, strict=True)]
        assert all(targets)
        looked_for = [retrieval_target(sample, layout) for sample, layout in zip(samples, layouts, strict=True)]
        retrieved = looked_for if probe.copier is not None else ()
        ids = packed_ids(layouts)
        assert (len(ids) < sum(sample.num_tokens for sample in samples)) == shares
        found[shares] = probe.measure(ids, layouts, targets=targets, retrieved=retrieved)
    allowed = tolerance("logits")
    for mine, other in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(mine.logits, other.logits, rtol=allowed.rtol, atol=allowed.atol)
        torch.testing.assert_close(mine.rollout, other.rollout, rtol=0, atol=1e-5)
        assert mine.windows == other.windows and len(mine.attributions) == len(other.attributions)
        for one, expected in zip(mine.layers, other.layers, strict=True):
            compare(one, expected)
        for one, expected in zip(mine.attributions, other.attributions, strict=True):
            assert one.is_sound("float32")
            for part in ("heads", "columns", "top_values"):
                torch.testing.assert_close(getattr(one, part), getattr(expected, part), rtol=1e-3, atol=1e-4)
        if other.retrieval is not None:
            torch.testing.assert_close(mine.retrieval.scores, other.retrieval.scores)
            torch.testing.assert_close(
                mine.retrieval.copies, other.retrieval.copies, rtol=1e-3, atol=1e-3, equal_nan=True
            )


def test_the_check_of_the_shared_form_sees_rows_of_another_text(monkeypatch):
    monkeypatch.setattr(shared_prefixes, "LEAST_SHARED", 8)
    probe, (other, second, _, first, *_) = Probe(MODELS["qwen2"]().requires_grad_(False)), family()
    places = placements([first.input_ids, second.input_ids])
    alone = sequence_layout(second, 0, CPU)
    root, child = (
        sequence_layout(sample, place.start, CPU, prefix=place.prefix)
        for sample, place in zip((first, second), places, strict=True)
    )
    assert why_not_shared(probe, alone, [root, child], "s", "float32") == ""
    ids = np.concatenate((other.input_ids, first.input_ids[len(other.input_ids) :]))
    wrong = sequence_layout(replace(first, input_ids=ids), 0, CPU)
    said = why_not_shared(probe, alone, [wrong, child], "s", "float32")
    assert said.startswith("with its first rows in another sample, ") and " move by " in said


@pytest.fixture
def several_answers(config_file, predictions_file):
    """Three prompts with several answers each, in an order that mixes them."""
    rows, answers = records(3, seed=5), records(3 * ANSWERS, seed=6)
    made = []
    for number in range(ANSWERS):
        for place, row in enumerate(rows):
            other = answers[number * len(rows) + place]
            prompt, _ = row["full_model_response"].split("\nassistant\n")
            _, answer = other["full_model_response"].split("\nassistant\n")
            told = {key: other[key] for key in ("predicted_direction", "certainty")}
            text = f"{prompt}\nassistant\n{answer}"
            made.append(row | told | {"company_id": 1000 + place, "year": 1990 + number, "full_model_response": text})
    predictions_file.write_text(json.dumps(made))
    return config_file


EVERYTHING = [
    "statistics.norm_weighted=true",
    "statistics.rollout=true",
    "statistics.decision_rows=true",
    "statistics.contribution=true",
    "statistics.retrieval=true",
    "statistics.reading_focus=true",
    "statistics.received={sentences: prompt}",
    "statistics.patterns={samples: ['1000-1991'], layers: [1], heads: [0, 3]}",
    "cluster.samples_per_shard=6",
    "cluster.tokens_per_batch=2000",
]


def tables(run):
    paths = sorted(run.glob("shards/*/*.parquet"))
    frames: dict[str, list[pl.DataFrame]] = {}
    for path in paths:
        frames.setdefault(path.stem, []).append(pl.read_parquet(path))
    return {name: pl.concat(parts) for name, parts in frames.items()}


def sorted_by_keys(frame):
    keys = [name for name in frame.columns if frame[name].dtype.is_integer() or frame[name].dtype == pl.String]
    return frame.sort(keys)


def test_a_run_measures_the_same_with_shared_prompts(several_answers, monkeypatch, capsys):
    monkeypatch.setattr(shared_prefixes, "LEAST_SHARED", 64)
    runs = several_answers.parent / "runs"
    for name, shares in (("shared", "true"), ("apart", "false"), ("again", "true")):
        options = [f"run.name={name}", f"cluster.share_prefixes={shares}", *EVERYTHING]
        assert main([str(several_answers), "--stage", "collect", *options]) == 0, capsys.readouterr().err
    said = {name: json.loads((runs / name / "plan.json").read_text()) for name in ("shared", "apart")}
    plan, apart = said["shared"], said["apart"]
    assert plan["num_tokens"] == apart["num_tokens"] and plan["num_sharing_samples"] >= 6
    assert plan["num_shared_tokens"] > plan["num_tokens"] / 4 and apart["num_shared_tokens"] == 0
    assert "share_prefixes is false" in apart["why_unshared"] and plan["why_unshared"] == ""
    assert plan["num_batches"] < apart["num_batches"]
    manifests = [json.loads(path.read_text()) for path in sorted((runs / "shared").glob("shards/*/manifest.json"))]
    assert sum(one["facts"]["num_shared_tokens"] for one in manifests) == plan["num_shared_tokens"]
    found, again, expected = (tables(runs / name) for name in ("shared", "again", "apart"))
    assert found.keys() == expected.keys() and len(found) > 8
    for name, frame in found.items():
        assert frame.equals(again[name]), f"{name}: the same run gives other numbers"
        mine, other = sorted_by_keys(frame), sorted_by_keys(expected[name])
        assert mine.height == other.height and mine.columns == other.columns
        for column in mine.columns:
            a, b = mine[column], other[column]
            assert (a.is_null() == b.is_null()).all(), (name, column)
            if a.dtype.is_float():
                gap = (a.fill_nan(0) - b.fill_nan(0)).abs().fill_null(0)
                loose = name in ("head_attributions", "span_attributions", "top_token_attributions", "top_keys")
                bound = 1e-4 if not loose else 1e-3
                assert (gap <= bound + 1e-4 * b.fill_nan(0).abs().fill_null(0)).all(), (name, column, gap.max())
            elif not a.dtype.is_nested() and "token" not in column and "position" not in column:
                assert a.equals(b), (name, column)


def test_a_stopped_run_goes_on_with_the_same_batches(several_answers, monkeypatch):
    import shutil

    monkeypatch.setattr(shared_prefixes, "LEAST_SHARED", 64)
    assert main([str(several_answers), "--stage", "collect", "cluster.samples_per_shard=6"]) == 0
    run = several_answers.parent / "runs" / "test"
    before = tables(run)
    for path in (run / "shards").glob("measure-00001*"):
        shutil.rmtree(path)
    (run / "_SUCCESS").unlink()
    assert main([str(several_answers), "--stage", "collect", "cluster.samples_per_shard=6"]) == 0
    after = tables(run)
    assert all(frame.equals(after[name]) for name, frame in before.items())
    assert main([str(several_answers), "--stage", "collect", "cluster.share_prefixes=false"]) == 2


def test_sharing_that_fails_its_check_is_left_out(several_answers, monkeypatch):
    """Batches that would only fit with shared rows are cut then, and the unit's facts say why."""
    monkeypatch.setattr(shared_prefixes, "LEAST_SHARED", 64)
    monkeypatch.setattr(checker, "why_not_shared", lambda *_: "positions are not looked at")
    sizes = []
    forward = Measurer._forward

    def watched(self, batch):
        sizes.append(sum(sample.num_tokens for sample in batch))
        return forward(self, batch)

    monkeypatch.setattr(Measurer, "_forward", watched)
    assert main([str(several_answers), "--stage", "collect", "cluster.tokens_per_batch=1500"]) == 0
    run = several_answers.parent / "runs" / "test"
    facts = [json.loads(path.read_text())["facts"] for path in sorted(run.glob("shards/*/manifest.json"))]
    assert {one["why_unshared"] for one in facts} == {"positions are not looked at"}
    assert not any(one["num_shared_tokens"] for one in facts) and max(sizes) <= 1500
    check = json.loads((run / "start_check.json").read_text())
    assert check["is_shared"] is False and check["is_packed"] is True


def test_a_failing_batch_is_halved_and_its_halves_share(several_answers, monkeypatch):
    monkeypatch.setattr(shared_prefixes, "LEAST_SHARED", 64)
    config, _ = load_config(several_answers, ["cluster.samples_per_shard=12", "cluster.tokens_per_batch=8000"])
    forward = Measurer._forward

    def fails(self, batch):
        if len(batch) > 6:
            raise RuntimeError("too many")
        return forward(self, batch)

    monkeypatch.setattr(Measurer, "_forward", fails)
    assert config.cluster.share_prefixes
    options = ["cluster.samples_per_shard=12", "cluster.tokens_per_batch=8000"]
    assert main([str(several_answers), "--stage", "collect", *options]) == 0
    (manifest,) = (several_answers.parent / "runs" / "test").glob("shards/*/manifest.json")
    facts = json.loads(manifest.read_text())["facts"]
    assert len(facts["divided_sample_ids"]) == 12 and facts["num_shared_tokens"] > 0
    assert facts["smallest_token_budget"] < facts["num_tokens"] / 2
