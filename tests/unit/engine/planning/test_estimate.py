"""The estimate of a plan: arithmetic against a counter of operations, room node by node, and what it warns of."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.config import Config
from engine.executors.over_ray.ray_cluster import node_of_resources
from engine.machine.nodes import Node
from engine.model.facts import ModelFacts
from engine.planning.estimate import Rate, estimate
from engine.planning.estimate_text import estimate_lines, estimate_warnings
from engine.run import main
from engine.storage.planned.plan import Plan, PlannedModel, PredictedFlop

GIB = 2**30
A100 = Node(32, 4, 256 * GIB, ("A100",), 40 * GIB)
PLAN = Plan(
    num_rows=3200,
    num_samples=3200,
    num_rejects=0,
    rejects_by_reason={},
    samples_by_label_source={},
    samples_by_predicted_label={},
    samples_by_actual_label={},
    samples_by_is_correct={},
    samples_by_flag={},
    num_decision_positions=3200,
    num_samples_with_statement=0,
    num_samples_with_periods=0,
    empty_key_groups=[],
    num_tokens=10**7,
    max_sample_tokens=4000,
    num_shards=100,
    num_batches=1000,
    max_batch_tokens=16384,
    predicted_memory_bytes=15 * GIB + 2**18 * 16384,
    predicted_weight_bytes=15 * GIB,
    predicted_bytes_per_token=2**18,
    predicted_flop=PredictedFlop(measure=3.6e18, causal=0.0, pairs=3.6e12),
    predicted_disk_bytes=3 * GIB,
    model=PlannedModel(28, 28, 7 * 10**9, 32768, "bfloat16"),
    files=["x"],
    selection={
        "max_samples": None,
        "seed": 0,
        "balance": [],
        "filter": {},
        "num_available": 3200,
        "num_selected": 3200,
        "strata": [],
    },
    examples_of_rejects={},
    key_groups=["numbers"],
)


def config(**cluster):
    return Config.model_validate({"predictions": {"path": "x"}, "model": {"path": "x"}, "cluster": cluster})


@pytest.mark.parametrize(
    ("cluster", "node", "room"),
    [
        ({"cpus_per_replica": 3}, Node(8), 2),
        ({"gpus_per_replica": 1, "cpus_per_replica": 4}, A100, 4),
        ({"gpus_per_replica": 2}, A100, 2),
        ({"gpus_per_replica": 8}, A100, 0),
        ({"gpus_per_replica": 0.5}, A100, 8),
        ({"gpus_per_replica": 0.4}, A100, 8),  # two to a GPU: no share spans two
        ({"gpus_per_replica": 1, "cpus_per_replica": 12}, A100, 2),
        ({"gpus_per_replica": 1, "accelerator_type": "H100"}, A100, 0),
        ({"gpus_per_replica": 0, "accelerator_type": "H100"}, A100, 32),
        ({"gpus_per_replica": 1}, Node(8), 0),
    ],
    ids=[
        "three CPUs each",
        "one GPU each",
        "two GPUs each",
        "more GPUs than there are",
        "half a GPU each",
        "less than half a GPU each",
        "CPUs are the bound",
        "another kind of GPU",
        "no GPU asked for",
        "no GPU there",
    ],
)
def test_replicas_that_a_node_holds(cluster, node, room):
    assert node.room(config(**cluster)) == room


def test_what_ray_says_of_a_node():
    resources = {"CPU": 8.0, "GPU": 2.0, "memory": 1e9, "accelerator_type:A100": 1.0, "node:10.0.0.1": 1.0}
    assert node_of_resources(resources) == Node(8.0, 2.0, 10**9, ("A100",), 40 * GIB)
    larger = node_of_resources(resources | {"accelerator_type:A100-80G": 1.0})
    assert larger.gpu_memory_bytes == 80 * GIB
    assert larger.room(config(gpus_per_replica=1, accelerator_type="A100")) == 2
    assert larger.room(config(gpus_per_replica=1, accelerator_type="A100-80G")) == 2


def test_hours_of_a_cluster():
    settings = config(gpus_per_replica=1, cpus_per_replica=4)
    found = estimate(settings, PLAN, [A100, A100], Rate(1e14, "so said"), 10 * GIB)
    assert (found.num_replicas, found.replica_hours) == (8, 10.0)
    assert (found.gpu_hours, found.hours) == (10.0, 1.25)
    assert estimate_warnings(settings, PLAN, [A100, A100], found) == []
    printed = "\n".join(estimate_lines(settings, found, "Ray at x"))
    assert "2 node(s), 64 CPUs, 8 GPUs (A100)" in printed and "1.2 h on the clock" in printed and "so said" in printed
    slower = estimate(settings, PLAN, [A100, A100], Rate(1e14, "so said", 1e-8), 10 * GIB)
    assert slower.replica_hours == pytest.approx(20.0)
    two = estimate(config(gpus_per_replica=2), PLAN, [A100], Rate(1e14, ""), 10 * GIB)
    assert (two.num_replicas, two.gpu_hours, two.memory_bytes_offered) == (2, 20.0, 80 * GIB)


@pytest.mark.parametrize(
    ("cluster", "nodes", "change", "words"),
    [
        ({"gpus_per_replica": 2}, [Node(8, 1)] * 4, {}, ["2 GPU(s)", "4 node(s)", "room for 0"]),
        ({"replicas": 9, "gpus_per_replica": 1}, [A100, A100], {}, ["9 replica(s)", "room for 8"]),
        ({"gpus_per_replica": 1, "accelerator_type": "H100"}, [A100], {}, ["(H100)", "(A100)", "type: null"]),
        ({"gpus_per_replica": 1}, [A100], {"num_shards": 3}, ["3 shard(s) keep 3 of 4 replicas busy"]),
        ({"gpus_per_replica": 1, "cpus_per_replica": 12}, [A100], {}, ["2 of 4 GPUs", "cpus_per_replica"]),
        ({"gpus_per_replica": 1}, [A100],
         {"predicted_memory_bytes": 15 * GIB + 2**18 * 2**18, "max_batch_tokens": 2**18},
         ["about 102,400 fit", "tokens_per_batch"]),
        ({"gpus_per_replica": 1}, [A100], {"predicted_weight_bytes": 140 * GIB, "predicted_memory_bytes": 144 * GIB},
         ["weights alone take 140.00 GiB", "gpus_per_replica"]),
        ({"replicas": 4}, [Node(8, 0, 32 * GIB)], {}, ["has 8.00 GiB"]),
        ({}, [Node(1)], {"predicted_disk_bytes": 11 * GIB}, ["run.output", "11.00 GiB"]),
    ],
    ids=[
        "GPUs on several nodes", "too many replicas", "another kind of GPU", "few shards", "idle GPUs", "large batches",
        "large weights", "small memory", "small disk",
    ],
)  # fmt: skip
def test_what_will_not_work_is_said(cluster, nodes, change, words):
    settings, plan = config(**cluster), replace(PLAN, **change)
    found = estimate(settings, plan, nodes, None, 10 * GIB)
    (warning,) = estimate_warnings(settings, plan, nodes, found)
    assert all(word in warning for word in words), warning


def test_the_arithmetic_of_a_forward_is_what_torch_counts(tiny_model_dir):
    from transformers import AutoModelForCausalLM

    from engine.model.facts import read_model_facts
    from engine.planning.estimate import forward_flop

    settings = Config.model_validate({"predictions": {"path": "x"}, "model": {"path": str(tiny_model_dir)}})
    facts, _ = read_model_facts(settings, needs_model=False)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, attn_implementation="eager")
    number = 50
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.model(torch.zeros(1, number, dtype=torch.int64))
    # Eager attention computes all pairs; norms and biases are parameters, but no matrix products.
    expected = forward_flop(facts, number, number * number)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.03)
    assert forward_flop(ModelFacts(), 1, 1) is None


def test_the_plan_counts_what_retrieval_takes(config_file, capsys):
    found, printed = {}, {}
    for is_on in (False, True):
        name = f"retrieval-{is_on}"
        assert main([str(config_file), "--stage", "plan", f"run.name={name}", f"statistics.retrieval={is_on}"]) == 0
        content = json.loads((config_file.parent / "runs" / name / "plan.json").read_text())
        found[is_on], printed[is_on] = content["predicted_flop"], capsys.readouterr().out
    assert found[False]["fetching"] == 0 < found[True]["fetching"]
    assert found[True]["measure"] - found[False]["measure"] == pytest.approx(found[True]["fetching"])
    assert "retrieval and copying" in printed[True] and "retrieval and copying" not in printed[False]


def test_rows_that_are_written_see_the_keys_up_to_them():
    from engine.planning.planned_samples import _written_pairs

    for prompt, number in ((1, 2), (7, 20), (19, 20), (20, 20)):
        assert _written_pairs(prompt, number) == sum(row + 1 for row in range(prompt - 1, number - 1))


def test_the_plan_is_estimated_by_the_rate_of_an_earlier_run(config_file, capsys):
    assert main([str(config_file), "--stage", "plan", "run.name=before"]) == 0
    assert "assumed: 70% of the" in capsys.readouterr().out
    assert main([str(config_file), "--stage", "collect", "run.name=first"]) == 0
    capsys.readouterr()
    assert main([str(config_file), "--stage", "plan", "run.name=second"]) == 0
    printed = capsys.readouterr().out
    assert "tokens/s of a replica on cpu, 3 shard(s)" in printed and "runs/first" in printed
    runs = config_file.parent / "runs"
    found = json.loads((runs / "second" / "plan" / "estimate.json").read_text())
    manifests = [json.loads(path.read_text()) for path in (runs / "first" / "shards").glob("*/manifest.json")]
    spent = sum(manifest["facts"]["measure_seconds"] for manifest in manifests)
    assert found["replica_hours"] * 3600 == pytest.approx(spent) and found["num_replicas"] == 1


def test_a_cluster_that_does_not_answer_is_said_and_the_plan_made(config_file, capsys, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert main([str(config_file), "--stage", "plan", "cluster.mode=auto"]) == 0
    printed = capsys.readouterr().out
    assert "Warning: RAY_ADDRESS=127.0.0.1:1: no Ray cluster answers there" in printed and "The plan is in" in printed


def test_the_check_before_measuring_is_counted_once_for_each_regime_of_lengths():
    from engine.planning.estimate import forward_flop
    from engine.planning.planned_samples import PlannedSample
    from engine.planning.tally import PlanTally
    from engine.planning.units import Unit
    from tests.oracles.test_statistics import encoded

    sizes = {"num_layers": 2, "num_heads": 2, "num_body_parameters": 1000, "head_dim": 4}
    facts = ModelFacts(**sizes, limits=(16,))
    tally = PlanTally(config(), facts)
    lengths = (10, 12, 30, 20)
    metadata = dict.fromkeys(("label_source", "predicted_label", "actual_label", "is_correct"))
    samples = [replace(encoded(n, seed=n, vocabulary=23), sample_id=str(n), metadata=metadata) for n in lengths]
    tally.add(Unit("measure-00000", [list(map(PlannedSample.of, samples))]))
    found = tally._flop(0)
    checked = [forward_flop(facts, n, n * (n + 1) // 2) for n in (12, 30)]
    assert found is not None and found.check == 3 * sum(checked)
    assert found.pairs == 4 * sum(n * (n + 1) // 2 for n in lengths)


def test_the_process_is_part_of_what_a_replica_takes_of_a_machine_but_not_of_a_gpu():
    from engine.planning.estimate import MemoryNeed

    facts = ModelFacts(num_layers=2, num_heads=2, num_parameters=1000, hidden_size=8)
    cpu, cuda = (MemoryNeed.of(facts, 4, device) for device in ("cpu", "cuda"))
    assert cpu is not None and cuda is not None
    assert cpu.process > 400 * 2**20 and cuda.process == 0
    assert cpu.of_batch(100) == cpu.weights + cpu.workspace + cpu.process + 100 * cpu.per_token


def test_the_parts_of_a_run_are_told_apart():
    causes = replace(PLAN, predicted_flop=PredictedFlop(measure=3.6e18, causal=1.8e18, pairs=0.0))
    settings = config(gpus_per_replica=1, cpus_per_replica=4)
    rate = Rate(1e14, "so said", causal_flop_per_second=5e13, starting_seconds=60.0, analysis_seconds=90.0)
    found = estimate(settings, causes, [A100, A100], rate, 10 * GIB)
    assert (found.starting_seconds, found.measuring_seconds, found.causes_seconds) == (60.0, 4500.0, 4500.0)
    assert (found.analysis_seconds, found.seconds, found.replica_hours) == (90.0, 9150.0, 20.0)
    printed = "\n".join(estimate_lines(settings, found, "Ray at x"))
    for line in (
        "time  ",
        "  starting  ",
        "  measuring and causes  ",
        "    of which causes  ",
        "  analysis and report  ",
    ):
        assert line in printed
    # Weights from a disk, and tests that grow with samples, where no run has shown them.
    assumed = estimate(settings, PLAN, [A100, A100], Rate(1e14, "so said"), 10 * GIB)
    assert assumed.starting_seconds is not None and assumed.starting_seconds > 15 * GIB / 1e9
    fewer = estimate(settings, replace(PLAN, num_samples=32), [A100], Rate(1e14, ""), 10 * GIB)
    assert assumed.analysis_seconds is not None and fewer.analysis_seconds is not None
    assert assumed.analysis_seconds > fewer.analysis_seconds
    nowhere = estimate(settings, PLAN, [], Rate(1e14, "so said"), 10 * GIB)
    assert nowhere.seconds is None and nowhere.replica_hours == 10.0


def test_a_run_of_the_same_config_is_believed_before_a_newer_one(config_file, capsys):
    """And with it what its start and its analysis took; a short run of another choice of samples does not count."""
    from engine.storage.identity import record_timing
    from engine.storage.run_directory import RunDirectory

    runs = config_file.parent / "runs"
    assert main([str(config_file), "--stage", "collect", "run.name=whole"]) == 0
    record_timing(RunDirectory(runs / "whole"), "analyze_seconds", 123.0)
    assert main([str(config_file), "--stage", "collect", "run.name=short", "predictions.max_samples=2"]) == 0
    capsys.readouterr()
    assert main([str(config_file), "--stage", "plan", "run.name=next"]) == 0
    printed = capsys.readouterr().out
    assert f"{runs / 'whole'}, a run of the same config" in printed and "2.0 min" in printed
    found = json.loads((runs / "next" / "plan" / "estimate.json").read_text())
    assert found["analysis_seconds"] == 123.0 and found["starting_seconds"] >= 0
    assert found["seconds"] == pytest.approx(found["starting_seconds"] + found["measuring_seconds"] + 123.0)
    # Without one of the same config, the one that measured most is taken, whose start and analysis say nothing here.
    assert main([str(config_file), "--stage", "plan", "run.name=seeded", "run.seed=5"]) == 0
    printed = capsys.readouterr().out
    assert f"3 shard(s) of {runs / 'whole'}\n" in printed
    found = json.loads((runs / "seeded" / "plan" / "estimate.json").read_text())
    assert found["analysis_seconds"] != 123.0


def test_tokens_that_are_computed_once_are_counted_once_and_said(monkeypatch):
    from engine import shared_prefixes
    from engine.planning.estimate import forward_flop
    from engine.planning.plan_text import _rows_of_sharing
    from engine.planning.planned_samples import PlannedSample
    from engine.planning.tally import PlanTally
    from engine.planning.units import Unit, pack
    from tests.oracles.test_shared_rows import OWN, family

    monkeypatch.setattr(shared_prefixes, "LEAST_SHARED", 8)
    sizes = {"num_layers": 2, "num_heads": 2, "num_body_parameters": 1000, "head_dim": 4}
    metadata = dict.fromkeys(("label_source", "predicted_label", "actual_label", "is_correct"))
    samples = [PlannedSample.of(replace(one, metadata=metadata)) for one in family()]
    lengths = [one.num_tokens for one in samples]
    pairs, shared = ([n * (n + 1) // 2 for n in part] for part in (lengths, [a - b for a, b in zip(lengths, OWN)]))  # noqa: B905

    def tally_of(section, **facts):
        tally = PlanTally(config(**section), ModelFacts(**sizes, **facts))
        for number in range(2):
            batches = pack(samples, 4096, shares=section.get("share_prefixes", True))
            tally.add(Unit(f"measure-0000{number}", batches))
        return tally

    tally = tally_of({})
    found, known = tally._flop(0), ModelFacts(**sizes)
    assert found is not None and found.pairs == 2 * 4 * (sum(pairs) - sum(shared))
    once = forward_flop(known, sum(lengths), sum(pairs)) - forward_flop(known, sum(lengths) - sum(OWN), sum(shared))
    assert found.measure == 2 * once and tally.max_batch_tokens == sum(OWN)
    assert (tally.num_shared_tokens, tally.num_sharing_samples) == (2 * (sum(lengths) - sum(OWN)), 12)
    plan = replace(PLAN, num_tokens=2 * sum(lengths), num_shared_tokens=tally.num_shared_tokens, num_sharing_samples=12)
    ((name, said), (again, more)) = _rows_of_sharing(replace(plan, num_prefixes_again=tally.num_prefixes_again))
    assert name.strip() == "shared" and said.startswith(f"{tally.num_shared_tokens:,} of {2 * sum(lengths):,} tokens")
    assert again.strip() == "computed again" and "cluster.samples_per_shard" in more
    assert _rows_of_sharing(PLAN) == []
    for section, facts, words in (
        ({"share_prefixes": False}, {}, "share_prefixes"),
        ({}, {"is_packable": False}, "row"),
    ):
        apart = tally_of(section, **facts)
        flop = apart._flop(0)
        assert flop is not None and flop.pairs == 2 * 4 * sum(pairs) and words in apart._why_unshared()
        assert apart.num_shared_tokens == 0
