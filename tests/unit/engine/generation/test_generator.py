"""Answers for rows that have none: the same samples always get the same text, and a stopped run goes on."""

from __future__ import annotations

import json
import os
import signal

import pyarrow.parquet as pq
import pytest
import yaml

from engine.config import GenerationSection, load_config
from engine.encoding.conversations import sample_reader
from engine.generation.generator import Generator
from engine.inputs.predictions import read_predictions
from engine.run import main
from engine.samples import Prompt
from engine.storage.run_directory import RunDirectory
from tests.fixtures.places import ROOT
from tests.fixtures.predictions import records

DEMO = ROOT / "data" / "demo-model"


def demo_rows(count):
    rows = json.loads((ROOT / "data" / "predictions_demo.json").read_text())
    return rows[:: len(rows) // count][:count]


def without_answer(row):
    head, _, _ = row["full_model_response"].partition("\nassistant\n")
    kept = {name: row[name] for name in ("company_id", "year", "actual_label")}
    return {**kept, "full_model_response": f"{head}\nassistant\n"}


@pytest.fixture
def demo_config(tmp_path):
    """A config of the demo model, some of whose rows have lost their answers."""
    recorded = demo_rows(6)
    rows = [row if index == 2 else without_answer(row) for index, row in enumerate(recorded)]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    path = tmp_path / "config.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "run": {"name": "test", "output": str(tmp_path / "runs")},
                "predictions": {"path": str(tmp_path / "p.json")},
                "model": {"path": str(DEMO), "dtype": "float32", "device": "cpu"},
                "generation": {"enabled": True, "max_new_tokens": 320, "batch_size": 3},
                "cluster": {"mode": "inline", "samples_per_shard": 2},
                "visualization": {"formats": ["html"]},
                "analysis": {"permutations": 20},
            }
        )
    )
    return path, recorded


def answers_of(path, rows, generation, model=DEMO):
    """Return the answers that a Generator gives to rows, by id."""
    config, _ = load_config(path, [f"generation={json.dumps(generation)}", f"model.path={model}"])
    from engine.workers.replica import Replica

    replica = Replica(config)
    return {answer.sample_id: answer.text for answer in replica.generate(rows)}


def test_greedy_answers_are_those_that_the_demo_recorded(demo_config, capsys):
    path, recorded = demo_config
    assert main([str(path), "--stage", "collect"]) == 0
    run = path.parent / "runs" / "test"
    said = capsys.readouterr().err
    assert "generated 5/5 samples" in said
    written = json.loads((run / "predictions.json").read_text())
    for row, old in zip(written, recorded, strict=True):
        assert row["full_model_response"] == old["full_model_response"]
        assert row["predicted_direction"] == old["predicted_direction"]
        assert row["is_match"] == old["is_match"] and row["certainty"] == old["certainty"]
    assert [row.get("generated") for row in written] == [True, True, None, True, True, True]
    plan = json.loads((run / "plan.json").read_text())
    assert plan["samples_by_flag"]["generated_answer"] == 5 and plan["num_samples"] == 6
    config, _ = load_config(path)
    config.predictions.path = str(run / "predictions.json")
    again = read_predictions(config, sample_reader(config)).samples
    old_rows = path.parent / "old.json"
    old_rows.write_text(json.dumps(recorded))
    config.predictions.path = str(old_rows)
    for one, other in zip(again, read_predictions(config, sample_reader(config)).samples, strict=True):
        assert (one.messages, one.response, one.label_start) == (other.messages, other.response, other.label_start)


def test_a_dry_run_generates_nothing_and_says_what_waits(demo_config, capsys):
    path, _ = demo_config
    assert main([str(path), "--stage", "plan"]) == 0
    plan = json.loads((path.parent / "runs" / "test" / "plan.json").read_text())
    assert plan["rejects_by_reason"] == {"awaits_generation": 5} and plan["num_samples"] == 1
    assert "awaits_generation" in capsys.readouterr().out
    assert not (path.parent / "runs" / "test" / "generation").exists()


def test_a_stopped_generation_goes_on(demo_config, capsys, monkeypatch):
    """What was committed is not generated again; the texts are those of an undisturbed run."""
    path, recorded = demo_config
    answers, calls = Generator.answers, []

    def counted(self, prompts, *others):
        calls.append(len(prompts))
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return answers(self, prompts, *others)

    monkeypatch.setattr(Generator, "answers", counted)
    assert main([str(path)]) == 75 and calls == [2, 2]
    assert "4 of 5 samples are generated" in capsys.readouterr().err
    assert main([str(path), "--stage", "collect"]) == 0 and calls == [2, 2, 1]
    written = json.loads((path.parent / "runs" / "test" / "predictions.json").read_text())
    assert [r["full_model_response"] for r in written] == [r["full_model_response"] for r in recorded]


def test_other_settings_generate_anew(demo_config):
    path, _ = demo_config
    assert main([str(path), "generation.max_new_tokens=4", "--stage", "plan"]) == 0
    assert main([str(path), "generation.max_new_tokens=4", "--stage", "collect"]) in (0, 1, 3)
    run_dir = RunDirectory(path.parent / "runs" / "test")
    short = pq.read_table(run_dir.generation.ledger.shards / "generate-00000" / "answers.parquet")
    assert short["is_cut"].to_pylist() == [True, True] and short["num_tokens"].to_pylist() == [4, 4]
    assert main([str(path), "--stage", "collect", "--fresh"]) == 0
    long = pq.read_table(run_dir.generation.ledger.shards / "generate-00000" / "answers.parquet")
    assert long["is_cut"].to_pylist() == [False, False]


@pytest.mark.parametrize("sampling", [{}, {"do_sample": True, "temperature": 0.9, "top_p": 0.95}])
def test_neighbours_and_order_change_no_text(demo_config, tiny_model_dir, sampling):
    path, _ = demo_config
    prompts = [
        Prompt(f"s{index}", f"<|im_start|>user\n{row['full_model_response'][: 200 + 31 * index]}<|im_end|>\n")
        for index, row in enumerate(records(5))
    ]
    settings = {"enabled": True, "max_new_tokens": 12, **sampling}
    together = answers_of(path, prompts, {**settings, "batch_size": 5}, tiny_model_dir)
    alone = answers_of(path, prompts[::-1], {**settings, "batch_size": 1}, tiny_model_dir)
    some = answers_of(path, prompts[1:3], {**settings, "batch_size": 2}, tiny_model_dir)
    assert together == alone and some.items() <= together.items() and len(set(together.values())) > 1
    if sampling:
        other = answers_of(path, prompts, {**settings, "batch_size": 5, "seed": 1}, tiny_model_dir)
        assert other != together


@pytest.mark.parametrize("source", ["fields", "messages"])
def test_prompts_alone_are_answered_in_their_own_format(demo_config, source, capsys):
    """Every row waits for an answer in a dry run; the real run writes them where the config looks for them."""
    path, recorded = demo_config
    rows = []
    for number, row in enumerate(recorded[:2]):
        question = row["full_model_response"].partition("\nuser\n")[2].partition("\nassistant\n")[0]
        system = "You are a helpful assistant."
        turns = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        shape = {"prompt": question, "system": system} if source == "fields" else {"messages": turns}
        rows.append({"id": number, "actual_label": row["actual_label"], **shape})
    (path.parent / "p.json").write_text(json.dumps(rows))
    overrides = [str(path), f"prompt.source={source}"]
    assert main([*overrides, "--stage", "plan"]) == 0
    assert "None of 2 rows can be measured yet" in capsys.readouterr().out
    assert main([*overrides, "--stage", "collect"]) == 0
    written = json.loads((path.parent / "runs" / "test" / "predictions.json").read_text())
    for row, old in zip(written, recorded, strict=False):
        answer = row["response"] if source == "fields" else row["messages"][-1]["content"]
        assert answer == old["full_model_response"].partition("\nassistant\n")[2]
        assert row["predicted_direction"] == old["predicted_direction"]


@pytest.mark.soak
def test_on_ray_as_inline(demo_config):
    path, recorded = demo_config
    assert main([str(path), "cluster.mode=local", "cluster.replicas=2", "--stage", "collect"]) == 0
    written = json.loads((path.parent / "runs" / "test" / "predictions.json").read_text())
    assert [r["full_model_response"] for r in written] == [r["full_model_response"] for r in recorded]


def test_sampling_follows_the_models_distribution():
    """Drawn tokens of a fixed row of logits have its probabilities, within Monte Carlo error."""
    import torch

    from engine.generation.sampling import SeededSampling

    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    number = 4000
    sampler = SeededSampling([str(i) for i in range(number)], 0, 1.0, 1.0)
    drawn = sampler(torch.zeros((number, 1), dtype=torch.long), logits.expand(number, -1)).argmax(-1)
    share = torch.bincount(drawn, minlength=4) / number
    expected = logits.softmax(0)
    assert (share - expected).abs().max() < 4 * (0.25 / number) ** 0.5


def test_defaults_are_greedy():
    assert GenerationSection().do_sample is False and GenerationSection().enabled is False
