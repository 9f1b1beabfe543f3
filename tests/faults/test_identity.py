"""What may not change under a run, and what a run says of itself: fault 10, provenance and observability."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from engine.storage import identity
from tests.fixtures.laboratory import NUM_SHARDS


@pytest.fixture
def begun(lab, request):
    """A run that lacks its last shard, made from files of its own."""
    name = f"begun-{abs(hash(request.node.name)) % 10**8}"
    model = lab.folder / f"{name}-model"
    shutil.copytree(lab.faulty(), model)
    predictions = lab.folder / f"{name}.json"
    shutil.copy(lab.folder / "predictions.json", predictions)
    options = [f"model.path={model}", f"predictions.path={predictions}"]
    assert lab.here(name, *options) == 0
    shutil.rmtree(lab.run(name) / "shards" / f"measure-{NUM_SHARDS - 1:05d}")
    (lab.run(name) / "_SUCCESS").unlink()
    return name, options, model, predictions


def other_config(_monkeypatch, options, _model, _predictions):
    options.append("statistics.top_keys=3")
    return "statistics.top_keys (10 -> 3)"


def other_batches(_monkeypatch, options, _model, _predictions):
    options.append("cluster.tokens_per_batch=800")
    return "cluster.tokens_per_batch (1600 -> 800)"


def other_input(_monkeypatch, _options, _model, predictions):
    rows = json.loads(predictions.read_text())
    predictions.write_text(json.dumps(rows[::-1]))
    return "input"


def other_weights(_monkeypatch, _options, model, _predictions):
    path = model / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return "model"


def other_tokenizer(_monkeypatch, _options, model, _predictions):
    path = model / "tokenizer_config.json"
    path.write_text(path.read_text() + "\n")
    return "tokenizer"


def other_code(monkeypatch, _options, _model, _predictions):
    monkeypatch.setattr(identity, "_source_digest", lambda: "sha256:other")
    return "code (the files of the package engine changed)"


def other_version(monkeypatch, _options, _model, _predictions):
    monkeypatch.setattr(identity, "_version", lambda: "9.9")
    return "code version ("


def other_torch(monkeypatch, _options, _model, _predictions):
    installed = identity._installed
    monkeypatch.setattr(identity, "_installed", lambda name: "9.9" if name == "torch" else installed(name))
    return "torch ("


CHANGES = [
    other_config,
    other_batches,
    other_input,
    other_weights,
    other_tokenizer,
    other_code,
    other_version,
    other_torch,
]


def test_a_change_under_a_run_is_refused_by_name(lab, begun, capsys):
    """Fault 10: nothing is measured, nothing is deleted; --fresh starts a new run beside the old one."""
    name, options, model, predictions = begun
    before = {path: path.read_bytes() for path in lab.run(name).rglob("*") if path.is_file()}
    kept = {path: path.read_bytes() for path in (*model.iterdir(), predictions) if path.is_file()}
    for change in CHANGES:
        with pytest.MonkeyPatch.context() as monkeypatch:
            changed = list(options)
            words = change(monkeypatch, changed, model, predictions)
            capsys.readouterr()
            assert lab.here(name, *changed) == 2, change
            said = capsys.readouterr().err
            assert words in said and "--fresh" in said and "run.name" in said, said
            for path, content in kept.items():
                path.write_bytes(content)
        assert {path: path.read_bytes() for path in lab.run(name).rglob("*") if path.is_file()} == before
    assert lab.here(name, *options, "statistics.top_keys=3", "--fresh") == 0
    aside = lab.run(name).with_name(f"{name}.previous-1")
    assert {aside / path.relative_to(lab.run(name)): content for path, content in before.items()} == {
        path: path.read_bytes() for path in aside.rglob("*") if path.is_file()
    }
    assert not [path for path in lab.run(name).rglob("*") if path.is_file() and path.stat().st_nlink > 1]


def test_what_numbers_do_not_depend_on_may_change(lab, begun):
    """Fault 10: where and by how many replicas a run is made is free."""
    name, options, _, _ = begun
    free = ("cluster.max_retries=5", "cluster.planning_processes=2", "analysis.alpha=0.01", "cluster.replicas=1")
    assert lab.here(name, *options, *free) == 0
    lab.assert_whole(name)


def test_a_finished_run_may_be_looked_at_by_newer_code(lab, begun, monkeypatch):
    """Fault 10: nothing is left to be measured, so nothing can be mixed."""
    name, options, _, _ = begun
    assert lab.here(name, *options) == 0
    monkeypatch.setattr(identity, "_source_digest", lambda: "sha256:other")
    assert lab.here(name, *options) == 0


def test_run_yaml_repeats_the_run(lab):
    """Provenance: the file alone, nothing of the original command line, and equal tables."""
    from engine.run import main

    assert main([str(lab.run("whole") / "run.yaml"), "run.name=again", "--stage", "collect"]) == 0
    lab.assert_whole("again")
    content = yaml.safe_load((lab.run("again") / "run.yaml").read_text())
    assert {"config", "seed", "versions", "commit", "code", "fingerprints", "device", "timings"} <= set(content)
    assert set(content["fingerprints"]) >= {"model", "tokenizer", "input"} and content["device"] == "cpu"


def test_what_a_run_says_of_itself(lab, capsys):
    """Observability: progress.json, timings and memory of every shard in the ledger, one table at the end."""
    assert lab.here("observed") == 0
    said = capsys.readouterr()
    for line in ("shards ", "rejects ", "tokens ", "seconds per shard", "tokens/s of a replica", "peak memory"):
        assert said.out.count(f"\n  {line}") == 1 or line == "tokens " or line == "rejects " or line == "shards ", line
    assert "measured 40/40 samples" in said.err and "samples/s" in said.err
    progress = json.loads((lab.run("observed") / "progress.json").read_text())
    assert progress["state"] == "measured: done" and progress["num_done"] == progress["num_samples"] == 40
    assert progress["num_units_done"] == NUM_SHARDS and progress["tokens_per_second"] > 0
    for path in lab.run("observed").glob("shards/*/manifest.json"):
        facts = json.loads(path.read_text())["facts"]
        assert facts["measure_seconds"] > 0 and facts["tokens_per_second"] > 0 and facts["load_seconds"] > 0
        assert facts["peak_memory_bytes"] > 100 * 2**20 and facts["num_deaths"] == 0
