"""A faulty sample costs itself, never its neighbours."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.config import load_config
from engine.errors import RunFailedError
from engine.measuring import measurer as measurer_module
from engine.storage.run_directory import RunDirectory
from engine.workers.journal import UnitJournal, Witness
from engine.workers.worker import UnitWorker


@pytest.fixture
def worker(config_file):
    from engine.run import main

    assert main([str(config_file), "--stage", "plan"]) == 0
    config, _ = load_config(config_file)
    run_dir = RunDirectory(config_file.parent / "runs" / "test")
    return UnitWorker(config, run_dir.root, run_dir.plan.read().key_groups)


def read(worker, unit, table):
    return pl.read_parquet(worker.run_dir.ledger.shards / unit / f"{table}.parquet")


def length_of(worker, unit, sample_id):
    rows = pl.read_parquet(worker.run_dir.plan.encoded_path(unit)).filter(sample_id=sample_id)
    return rows["input_ids"].list.len()[0]


def test_a_sample_that_raises_is_rejected_alone(worker, monkeypatch):
    victim = "1001-1990"
    measure = worker.replica.measurer._forward

    def fails_for_one(batch):
        if any(sample.sample_id == victim for sample in batch):
            raise RuntimeError("no such kernel")
        return measure(batch)

    monkeypatch.setattr(worker.replica.measurer, "_forward", fails_for_one)
    row = worker.run("measure-00000")
    assert (row.num_samples, row.num_rejects) == (4, 1)
    rejects = read(worker, "measure-00000", "rejects").to_dicts()
    assert [(r["sample_id"], r["stage"], r["reason"]) for r in rejects] == [(victim, "measure", "measurement_failed")]
    assert "no such kernel" in rejects[0]["detail"]
    assert victim in worker.run_dir.ledger.manifest("measure-00000")["facts"]["divided_sample_ids"]


def test_out_of_memory_halves_the_batch(worker, monkeypatch):
    """A device that holds one sample at a time still measures all of them."""
    measure, sizes = worker.replica.measurer._forward, []

    def small_device(batch):
        sizes.append(len(batch))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("device is full")
        return measure(batch)

    monkeypatch.setattr(worker.replica.measurer, "_forward", small_device)
    row = worker.run("measure-00000")
    assert (row.num_samples, row.num_rejects) == (5, 0) and max(sizes) > 1


def test_not_a_number_is_rejected_and_neighbours_kept(worker):
    """A row of the embedding that is NaN poisons exactly the samples that hold its token."""
    units = pl.read_parquet(worker.run_dir.plan.encoded_path("measure-00000"))
    ids = {row["sample_id"]: set(row["input_ids"]) for row in units.to_dicts()}
    token, victims = next(
        (token, {s for s in ids if token in ids[s]})
        for token in sorted(set.union(*ids.values()))
        if 0 < sum(token in members for members in ids.values()) < len(ids)
    )
    with torch.no_grad():
        worker.replica.model.get_input_embeddings().weight[token] = float("nan")
        # The output head is tied to it; other samples' logits must stay finite.
        head = worker.replica.model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.detach().nan_to_num())
    row = worker.run("measure-00000")
    rejects = read(worker, "measure-00000", "rejects")
    assert set(rejects["sample_id"]) == victims and set(rejects["reason"]) == {"not_finite"}
    assert row.num_samples == 5 - len(victims) > 0


def lose_weight(pattern, _decision):
    pattern.mul_(0.9)


def leak_into_the_future(pattern, decision):
    pattern[0] = pattern[0].roll(len(pattern[0]) - decision)


def change_nothing(_pattern, _decision):
    """The control: an untouched measurement passes."""


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(lose_weight, "rows_not_normalised"), (leak_into_the_future, "mass_on_the_future"), (change_nothing, "")],
)
def test_a_measurement_that_fails_its_checks_is_rejected(worker, monkeypatch, spoil, reason):
    """A backend that loses weight or leaks it into the future costs the sample, and the shard says why."""
    measure = worker.replica.measurer._forward

    def spoiled(batch):
        found = measure(batch)
        for sample in found:
            if sample.encoded.sample_id == "1001-1990":
                spoil(sample.layers[1].decision_pattern, sample.encoded.decision_position)
        return found

    monkeypatch.setattr(worker.replica.measurer, "_forward", spoiled)
    worker.run("measure-00000")
    rejects = read(worker, "measure-00000", "rejects")
    expected = [("1001-1990", reason)] if reason else []
    assert rejects.select("sample_id", "reason").rows() == expected
    facts = worker.run_dir.ledger.manifest("measure-00000")["facts"]
    assert facts["max_row_sum_error"] < 1e-5 and facts["max_future_mass"] == 0 and facts["num_layers"] == 2
    assert facts["logit_deviation"] < 1e-4


def test_attention_that_the_probe_does_not_reproduce_stops_the_run(worker, monkeypatch):
    """The logits are compared with the model's own attention before anything is written."""
    attend = measurer_module.Probe.measure

    def wrong(self, input_ids, layouts, witness=None):
        found = attend(self, input_ids, layouts, witness)
        return [dataclasses.replace(f, logits=f.logits + 0.01 * f.logits.abs().max()) for f in found]

    monkeypatch.setattr(measurer_module.Probe, "measure", wrong)
    with pytest.raises(RunFailedError, match="its attention is not covered"):
        worker.run("measure-00000")
    assert not list(worker.run_dir.ledger.shards.iterdir())


def test_a_unit_committed_by_another_attempt_is_success(worker):
    first = worker.run("measure-00001")
    manifest = worker.run_dir.ledger.manifest("measure-00001")
    assert dataclasses.replace(worker.run("measure-00001"), seconds=0) == dataclasses.replace(first, seconds=0)
    assert worker.run_dir.ledger.manifest("measure-00001") == manifest
    assert not list(worker.run_dir.incoming.iterdir())


def test_a_model_is_given_back_and_loaded_again(worker):
    """While a unit is done apart the device need not hold two; what is measured afterwards is the same."""
    row = worker.run("measure-00000")
    table = read(worker, "measure-00000", "head_stats")
    shutil.rmtree(worker.run_dir.ledger.shards / "measure-00000")
    with worker.without_model():
        assert not hasattr(worker, "replica")
    again = worker.run("measure-00000")
    assert again.state == "committed" and again.num_samples == row.num_samples
    assert table.equals(read(worker, "measure-00000", "head_stats"))


def test_the_model_is_left_in_inference_state(worker):
    assert isinstance(
        worker.replica.model, type(AutoModelForCausalLM.from_pretrained(worker.replica.config.model.path))
    )
    assert not worker.replica.model.training


def test_a_unit_is_written_while_the_next_one_has_the_model(worker, monkeypatch):
    commit, second_is_measured = worker.run_dir.ledger.commit, threading.Event()

    def slow_commit(unit, *rest):
        assert unit != "measure-00000" or second_is_measured.wait(60), "the second unit waited for the first"
        return commit(unit, *rest)

    def noticing(batches, *rest):
        found = measure(batches, *rest)
        if sorted(sample.sample_id for batch in batches for sample in batch) == second:
            second_is_measured.set()
        return found

    measure = worker.replica.measurer.forward_passes
    (second,) = (sorted(unit.sample_ids) for unit in worker.run_dir.plan.units() if unit.name == "measure-00001")
    monkeypatch.setattr(worker.run_dir.ledger, "commit", slow_commit)
    monkeypatch.setattr(worker.replica.measurer, "forward_passes", noticing)
    with ThreadPoolExecutor(2) as threads:
        rows = list(threads.map(worker.run, ["measure-00000", "measure-00001"]))
    assert [row.state for row in rows] == ["committed", "committed"]
    assert not list(worker.run_dir.journals.iterdir())


def test_a_death_while_a_unit_is_written_beside_others_is_not_its_own(tmp_path):
    """It may be the doing of the samples that were in flight; written alone next time, the unit answers for itself."""

    def dies(notes):
        journal = UnitJournal(tmp_path, "measure-00000", max_retries=1, witness=Witness.DRIVER)
        journal.__enter__()
        for note in notes:
            note(journal)
        return journal

    beside = [
        lambda journal: journal.at_work_on(["a"]),
        lambda journal: journal.at_work_on([]),
        UnitJournal.is_written_beside_others,
    ]
    assert not dies(beside).is_written_alone
    after = dies(beside[:2])
    assert after.is_written_alone and (after.deaths, after.num_outside) == ([], 0)
    assert dies(beside[:2]).num_outside == 1
    with pytest.raises(RunFailedError, match="died 2 times while it read or wrote the unit"):
        dies([])
