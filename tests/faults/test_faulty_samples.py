"""Samples fault for real, in the model's own forward: faults 6 and 8, and a device that is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from engine.storage.run_directory import RunDirectory
from tests.faults.test_processes import victim_shard
from tests.fixtures.laboratory import VICTIM
from tests.fixtures.places import ROOT


@pytest.mark.parametrize(("fault", "reason"), [("raise", "measurement_failed"), ("nan", "not_finite")])
def test_a_faulty_sample_costs_itself(lab, fault, reason):
    """Fault 6: one reject; whoever shared its batch is kept, everyone else bit for bit."""
    unit, neighbour = victim_shard(lab)
    assert lab.here(fault, f"model.path={lab.faulty(fault)}") == 0
    assert lab.rejects(fault) == [(VICTIM, "measure", reason)]
    lab.assert_whole(fault, without=(VICTIM, neighbour) if fault == "raise" else (VICTIM,))
    facts = json.loads((lab.run(fault) / "shards" / unit / "manifest.json").read_text())["facts"]
    assert (neighbour in facts["divided_sample_ids"]) == (fault == "raise")


def test_a_sample_longer_than_the_context_costs_itself(lab):
    """Fault 6: turned away while planning."""
    content = json.loads((lab.model / "config.json").read_text())
    longest = max(lab.tables("whole")["samples"]["num_tokens"])
    model = lab.faulty(max_position_embeddings=longest - 1)
    assert content["max_position_embeddings"] > longest
    assert lab.here("context", f"model.path={model}") == 0
    rejects = lab.rejects("context")
    too_long = lab.tables("whole")["samples"].filter(num_tokens=longest)["sample_id"].to_list()
    assert sorted(rejects) == sorted((sample_id, "encode", "longer_than_context") for sample_id in too_long)


def test_a_lost_device_is_left_and_its_sample_rejected(lab, capsys):
    """Fault 6 on a GPU: after a failed assertion in a kernel no forward of the process works; a new start goes on."""
    _, neighbour = victim_shard(lab)
    options = [f"model.path={lab.faulty('assert')}", "cluster.max_retries=0"]
    codes = [lab.here("lost-device", *options)]
    while codes[-1]:
        assert "the device cannot be used any more" in capsys.readouterr().err
        codes.append(lab.here("lost-device", *options))
        assert len(codes) < 6
    # The second start works on that unit in processes of its own, and lives on.
    assert len(codes) == 2 and lab.rejects("lost-device") == [(VICTIM, "measure", "killed_its_process")]
    lab.assert_whole("lost-device", without=(VICTIM, neighbour))


LIMITED = """
import resource, sys
from engine.workers import replica
from engine.run import main
load, megabytes = replica.load_model, int(sys.argv.pop(1))
def load_then_limit(*arguments):
    model = load(*arguments)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20,) * 2)
    return model
replica.load_model = load_then_limit
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited as Linux does it")
@pytest.mark.soak
@pytest.mark.parametrize("fits_alone", [True, False])
def test_out_of_memory_halves_the_token_budget(lab, fits_alone):
    """Fault 8: the system refuses memory to a batch of eight; what fits alone is measured, what does not is rejected.

    The limit is set on the process after the model is loaded. The model takes a quarter of a megabyte for every token,
    or ten times as much for the victim's, and has room for one and a half samples.
    """
    longest = max(lab.tables("whole")["samples"]["num_tokens"])
    name = f"memory-{fits_alone}"
    model = lab.faulty("hoard", fault_bytes_per_token=2**18, fault_factor=1 if fits_alone else 10)
    overrides = [f"model.path={model}", "cluster.samples_per_shard=8", "cluster.tokens_per_batch=4000"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(int(1.5 * longest / 4)), *lab.arguments(name, *overrides)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr
    run_dir = RunDirectory(lab.run(name))
    facts = [manifest["facts"] for manifest in run_dir.ledger.manifests(run_dir.plan.units())]
    assert all(found["divided_sample_ids"] and found["smallest_token_budget"] < 2000 for found in facts)
    rejected = [row for row in lab.rejects(name) if row[1] == "measure"]
    assert rejected == ([] if fits_alone else [(VICTIM, "measure", "out_of_memory")])
    samples = lab.tables(name)["samples"]
    assert samples.height + len(rejected) == 40
    whole = lab.tables("whole")["head_stats"].join(samples.select("sample_id"), on="sample_id", how="semi")
    found = lab.tables(name)["head_stats"]
    assert (found["entropy_nats"] - whole["entropy_nats"]).abs().max() < 1e-5
