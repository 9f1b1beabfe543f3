"""What a replica does a second: as runs of this model have shown, or else by a stated assumption."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine.config import Config
from engine.errors import UserError
from engine.machine.nodes import ACCELERATORS, Node
from engine.planning.estimate import Rate
from engine.schema import layout
from engine.storage.identity import is_measured_alike
from engine.storage.planned.plan import Plan
from engine.storage.records import RunRecord, UnitFacts
from engine.storage.run_directory import RunDirectory

_GPU_SHARE, _CPU_SHARE = 0.35, 0.7
"""Shares of a GPU's peak, and of what a matrix product reaches on a CPU, that a measured forward is taken to reach."""
_PAIR_SECONDS = 5e-9
"""What ``tests.benchmarks.statistics_cost`` found on a CPU core: 0.32 x 11 s over a plain forward, of 705 million."""
_NUM_RUNS = 20
_MATRIX, _MATRIX_SECONDS = 1024, 0.2


def rate_of_replica(config: Config, fingerprint: str, dtype: str, nodes: Sequence[Node]) -> Rate | None:
    """Return what a replica does a second, measured where possible; None where there is nothing to go by.

    Parameters
    ----------
    config
        The run's config.
    fingerprint
        The model's.
    dtype
        What the model computes in.
    nodes
        What the cluster's nodes offer.
    """
    is_gpu = config.model.device == "cuda" or (config.model.device == "auto" and any(node.num_gpus for node in nodes))
    measured = _measured(config, fingerprint, is_gpu)
    if measured is not None or config.model.device == "mps":
        return measured
    return _assumed_gpu(config, dtype, nodes) if is_gpu else _assumed_cpu(config.cluster.cpus_per_replica)


def _measured(config: Config, fingerprint: str, is_gpu: bool) -> Rate | None:
    """Return the rate of a run of this output folder with the same model and settings.

    The newest of the same config is taken; without one, the one that measured most tokens: in a short run the seconds
    of the check before measuring are most of it.
    """
    records = [path for path in Path(config.run.output).glob(f"*/{layout.RUN_YAML}") if path.is_file()]
    best: tuple[int, Rate] | None = None
    for path in sorted(records, key=lambda path: path.stat().st_mtime, reverse=True)[:_NUM_RUNS]:
        try:
            found = _rate_of_run(config, RunDirectory(path.parent), fingerprint, is_gpu)
        except (UserError, KeyError, TypeError):  # another version's run, or a damaged one: no source of numbers
            continue
        if found is not None and found.is_same:
            return found.rate
        if found is not None and (best is None or found.num_tokens > best[0]):
            best = found.num_tokens, found.rate
    return None if best is None else best[1]


class _Shown(NamedTuple):
    """What a run has shown: the rate, tokens that it rests on, and whether the run had this very config."""

    rate: Rate
    num_tokens: int
    is_same: bool


def _rate_of_run(config: Config, run_dir: RunDirectory, fingerprint: str, is_gpu: bool) -> _Shown | None:
    """Return the rate of a run, or None where it says nothing of this config's replicas."""
    record, plan = run_dir.read_run_yaml(), run_dir.plan.read()
    if record is None or plan is None or plan.predicted_flop is None:
        return None
    if record["fingerprints"]["model"] != fingerprint or not _has_replicas_alike(config, record, is_gpu):
        return None
    facts = [manifest["facts"] for manifest in run_dir.ledger.manifests(run_dir.units())]
    spent = [
        (one["num_tokens"], seconds, device)
        for one in facts
        if (device := one.get("device")) and (seconds := one.get("measure_seconds"))
        if (device in ("cpu", "mps")) != is_gpu
    ]
    if not spent:
        return None
    tokens, seconds = sum(tokens for tokens, _, _ in spent), sum(seconds for _, seconds, _ in spent)
    # The seconds of the units hold those of the check before measuring.
    flop = plan.predicted_flop.check + plan.predicted_flop.measure * tokens / plan.num_tokens
    is_same = is_measured_alike(config, record)
    basis = f"measured: {tokens / seconds:,.0f} tokens/s of a replica on {spent[0][2]}, {len(spent)} shard(s) of"
    whole = tokens == plan.num_tokens
    rate = Rate(
        flop / seconds,
        f"{basis} {run_dir.root}{', a run of the same config' if is_same else ''}",
        causal_flop_per_second=_causal_rate(plan, facts) if whole else None,
        starting_seconds=_starting(record, facts) if is_same and whole else None,
        analysis_seconds=record["timings"].get("analyze_seconds") if is_same and _tests_alike(config, record) else None,
    )
    return _Shown(rate, tokens, is_same)


def _causal_rate(plan: Plan, facts: Sequence[UnitFacts]) -> float | None:
    """Return what a replica did a second of causes, in FLOP; None for a run without them."""
    seconds = sum(one.get("explain_seconds", 0.0) for one in facts)
    assert plan.predicted_flop is not None, "the caller looked"
    return plan.predicted_flop.causal / seconds if seconds and plan.predicted_flop.causal else None


def _starting(record: RunRecord, facts: Sequence[UnitFacts]) -> float | None:
    """Return the seconds of collecting in which a run's replicas were not at work; None where nobody can tell."""
    cluster, collected = record["config"]["cluster"], record["timings"].get("collect_seconds")
    replicas = 1 if cluster["mode"] == "inline" else cluster["replicas"]
    if collected is None or replicas is None:
        return None
    busy = sum(one.get("measure_seconds", 0.0) + one.get("explain_seconds", 0.0) for one in facts)
    loading = max((one.get("load_seconds", 0.0) for one in facts), default=0.0)
    return max(collected - busy / min(replicas, len(facts)), loading)


def _tests_alike(config: Config, record: RunRecord) -> bool:
    now = config.model_dump(mode="json")
    return all(record["config"].get(name) == now[name] for name in ("analysis", "visualization"))


def _has_replicas_alike(config: Config, record: RunRecord, is_gpu: bool) -> bool:
    """Whether a run's replicas were like those of this config in all that their rate depends on."""
    before = record["config"]
    share = "gpus_per_replica" if is_gpu else "cpus_per_replica"
    return before["cluster"][share] == getattr(config.cluster, share) and all(
        before["model"][name] == getattr(config.model, name) for name in ("dtype", "attention")
    )


def _assumed_gpu(config: Config, dtype: str, nodes: Sequence[Node]) -> Rate | None:
    kinds = [kind for node in nodes for kind in node.accelerators if kind in ACCELERATORS]
    kind = config.cluster.accelerator_type or (kinds[0] if kinds else None)
    if kind not in ACCELERATORS:
        return None
    data_sheet = ACCELERATORS[kind]
    peak = data_sheet.float32_tflops if dtype == "float32" else data_sheet.half_tflops
    share = config.cluster.gpus_per_replica if 0 < config.cluster.gpus_per_replica < 1 else 1.0
    basis = f"assumed: {_GPU_SHARE:.0%} of the {peak:g} TFLOP/s that the data sheet of the {kind} gives for {dtype}"
    return Rate(peak * 1e12 * _GPU_SHARE * share, f"{basis}, statistics included; not measured")


def _assumed_cpu(num_threads: int) -> Rate:
    """Return a share of what a matrix product reaches on this machine, which takes a fraction of a second to see."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        matrix = torch.rand(_MATRIX, _MATRIX)
        torch.mm(matrix, matrix)
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < _MATRIX_SECONDS:
            torch.mm(matrix, matrix)
            count += 1
        reached = 2.0 * _MATRIX**3 * count / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    return Rate(
        reached * _CPU_SHARE,
        f"assumed: {_CPU_SHARE:.0%} of the {reached / 1e9:,.0f} GFLOP/s that a float32 matrix product reaches here "
        f"with {num_threads} thread(s), and {_PAIR_SECONDS * 1e9:g} ns for the statistics of each weight; small models "
        f"reach less",
        _PAIR_SECONDS,
    )
