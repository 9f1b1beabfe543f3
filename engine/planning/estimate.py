"""What a plan takes: FLOP, memory, time and disk, for a person.

Only this looks at a cluster; how a run is cut never depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from engine.config import Config
from engine.machine.nodes import Node
from engine.model.facts import ModelFacts
from engine.storage.planned.plan import Plan

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_PROCESS_BYTES = 640 * 2**20
"""Python with torch, transformers and pyarrow (480 MiB), and what their allocators and a unit's tables hold beside: the
difference of measured peaks (748 to 852 MiB) and all else of a replica of the demo model."""
_LIBRARY_SECONDS, _RAY_SECONDS = 7.0, 9.0
"""Until torch and transformers are loaded (8 CPU seconds on this project's machine), and until a local Ray answers."""
_DISK_BYTES_PER_SECOND = 500e6
"""A network file system or a disk gives weights at about this rate; what is in the page cache comes sooner."""
_STATISTICS, _REPORT_SECONDS, _SECONDS_PER_VALUE = 14, 20.0, 4e-7
"""Statistics beside the masses, and what ``tests.benchmarks.inference_cost`` found for 127 million values: 46.5 s. The
demo's report takes 22 CPU seconds, nearly all of it libraries, held-out prediction and charts."""


def forward_flop(facts: ModelFacts, num_tokens: int, num_pairs: int) -> float | None:
    """Return the multiplications and additions of plain forwards; None where the model is not known.

    Parameters
    ----------
    facts
        What is known of the model; all experts of a mixture count, though only some work.
    num_tokens
        Tokens of all samples.
    num_pairs
        Pairs of a row and a key that it sees, of all samples.
    """
    if facts.num_body_parameters is None or facts.num_layers is None or facts.num_heads is None:
        return None
    by_weights = 2.0 * facts.num_body_parameters * num_tokens
    return by_weights + 4.0 * (facts.num_layers_with_heads or 0) * facts.num_heads * (facts.head_dim or 0) * num_pairs


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What a replica needs of its device, in bytes: weights, room to work in, and so much per token of a batch.

    Where the device is the machine's own memory, the process is in it too: ``process``.
    """

    weights: int
    per_token: int
    workspace: int
    process: int = 0

    @classmethod
    def of(cls, facts: ModelFacts, num_groups: int, device: str) -> MemoryNeed | None:
        """Return the need of a model on a device; None where it is not known."""
        if facts.num_parameters is None or facts.hidden_size is None or facts.num_heads is None:
            return None
        size = _BYTES.get(facts.dtype, 4)
        # A layer at a time: residual stream, norms, queries, keys, values and output; gate, up and their product.
        activations = (6 * facts.hidden_size + 3 * (facts.intermediate_size or 4 * facts.hidden_size)) * size
        riders = (4 * facts.hidden_size + facts.num_heads * (num_groups + 1)) * 4
        # Blocks of scores, which are larger on GPUs, and what CUDA keeps for itself.
        workspace = 2**30 if device in ("cuda", "mps") else 64 * 2**20
        weights = facts.num_parameters * size if facts.weight_bytes is None else facts.weight_bytes
        return cls(weights, activations + riders, workspace, 0 if device == "cuda" else _PROCESS_BYTES)

    def of_batch(self, num_tokens: int) -> int:
        """Return the need with a batch of so many tokens."""
        return self.weights + self.workspace + self.process + self.per_token * num_tokens


@dataclass(frozen=True, slots=True)
class Rate:
    """What a replica does a second, in FLOP, and how that is known."""

    flop_per_second: float
    basis: str
    seconds_per_pair: float = 0.0
    """What statistics take beside, per layer, head and pair of a row and a key that it sees."""
    causal_flop_per_second: float | None = None
    """The same of causes, where a run has shown it; else they are taken to be as fast."""
    starting_seconds: float | None = None
    """From the command to the first sample, where a run of the same config has shown it."""
    analysis_seconds: float | None = None
    """Of tests, charts and report, where a run of the same config has shown it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a plan will take on a cluster, in the order of ``plan/estimate.json``; None where it is not known.

    Attributes
    ----------
    num_nodes, num_cpus, num_gpus, accelerators
        What the cluster has.
    num_replicas
        Replicas at work, at most one for each shard.
    num_replicas_wanted, num_replicas_placeable
        Replicas that the config asks for, and those that find room.
    replica_hours, gpu_hours
        Of all replicas together.
    hours
        On the clock, for measuring and causes.
    starting_seconds, measuring_seconds, causes_seconds, analysis_seconds
        The parts of a run on the clock: until the first sample is measured; measuring; causes, 0 without any; tests,
        charts and report.
    seconds
        All of it on the clock.
    basis
        How the rate of a replica is known.
    memory_bytes, memory_bytes_offered
        What a replica needs, and what the one that gets least has.
    disk_bytes, disk_bytes_free
        What the tables take, and what is free where they will lie.
    """

    num_nodes: int
    num_cpus: float
    num_gpus: float
    accelerators: list[str]
    num_replicas: int
    num_replicas_wanted: int
    num_replicas_placeable: int
    replica_hours: float | None
    gpu_hours: float | None
    hours: float | None
    starting_seconds: float | None
    measuring_seconds: float | None
    causes_seconds: float | None
    analysis_seconds: float | None
    seconds: float | None
    basis: str | None
    memory_bytes: int | None
    memory_bytes_offered: int | None
    disk_bytes: int | None
    disk_bytes_free: int

    def to_json(self) -> dict[str, object]:
        """Return the content of ``plan/estimate.json``, but for its warnings."""
        return asdict(self)


def estimate(
    config: Config, plan: Plan, nodes: Sequence[Node], rate: Rate | None, free_disk: int, *, is_local: bool = False
) -> Estimate:
    """Return what a plan will take on a cluster: replicas, hours, memory and disk.

    Parameters
    ----------
    config
        The run's config.
    plan
        What was planned.
    nodes
        What the cluster's nodes offer; none where it is not known.
    rate
        What a replica does a second, or None where nobody knows.
    free_disk
        Free bytes where the run directory will be.
    is_local
        Whether units run in this very process: one replica at most, whatever the config asks for.
    """
    settings = config.cluster
    room = sum(node.room(config) for node in nodes)
    room = min(room, 1) if is_local else room
    wanted = 1 if is_local else settings.replicas or room
    replicas = min(wanted, room, plan.num_shards)
    measuring, causes = _replica_seconds(plan, rate)
    hours = None if measuring is None or causes is None else (measuring + causes) / 3600
    starting = _starting_seconds(config, plan, rate)
    analysis = _analysis_seconds(config, plan, rate)
    clock = [None if seconds is None or not replicas else seconds / replicas for seconds in (measuring, causes)]
    parts = [seconds for seconds in (starting, *clock, analysis) if seconds is not None]
    return Estimate(
        num_nodes=len(nodes),
        num_cpus=sum(node.num_cpus for node in nodes),
        num_gpus=sum(node.num_gpus for node in nodes),
        accelerators=sorted({kind for node in nodes for kind in node.accelerators}),
        num_replicas=replicas,
        num_replicas_wanted=wanted,
        num_replicas_placeable=room,
        replica_hours=hours,
        gpu_hours=None if hours is None else hours * settings.gpus_per_replica,
        hours=None if hours is None or not replicas else hours / replicas,
        starting_seconds=starting,
        measuring_seconds=clock[0],
        causes_seconds=clock[1],
        analysis_seconds=analysis,
        seconds=sum(parts) if len(parts) == 4 else None,
        basis=rate.basis if rate is not None else None,
        memory_bytes=plan.predicted_memory_bytes,
        memory_bytes_offered=_memory_offered(config, nodes, is_local=is_local),
        disk_bytes=plan.predicted_disk_bytes,
        disk_bytes_free=free_disk,
    )


def _replica_seconds(plan: Plan, rate: Rate | None) -> tuple[float | None, float | None]:
    """Return the seconds that one replica would take for measuring, and for causes."""
    flop = plan.predicted_flop
    if flop is None or rate is None:
        return None, None
    measuring = (flop.check + flop.measure) / rate.flop_per_second + flop.pairs * rate.seconds_per_pair
    return measuring, flop.causal / (rate.causal_flop_per_second or rate.flop_per_second)


def _starting_seconds(config: Config, plan: Plan, rate: Rate | None) -> float | None:
    """Return the seconds until the first sample: libraries, Ray, weights from a disk; all replicas start together."""
    if rate is not None and rate.starting_seconds is not None:
        return rate.starting_seconds
    if plan.predicted_weight_bytes is None:
        return None
    own = _LIBRARY_SECONDS if config.cluster.mode == "inline" else _LIBRARY_SECONDS + _RAY_SECONDS
    return own + plan.predicted_weight_bytes / _DISK_BYTES_PER_SECOND


def _analysis_seconds(config: Config, plan: Plan, rate: Rate | None) -> float | None:
    """Return the seconds of tests, charts and report: a constant, and so much for each value that is tested."""
    if rate is not None and rate.analysis_seconds is not None:
        return rate.analysis_seconds
    if plan.model.num_layers is None or plan.model.num_heads is None:
        return None
    heads = (plan.model.num_layers - len(plan.model.headless_layers)) * plan.model.num_heads
    tests = heads * len(config.statistics.query_groups) * (len(plan.key_groups) + _STATISTICS)
    return _REPORT_SECONDS + tests * plan.num_samples * max(len(config.analysis.groups), 1) * _SECONDS_PER_VALUE


def _memory_offered(config: Config, nodes: Sequence[Node], *, is_local: bool) -> int | None:
    """Return the memory that the replica which gets least has for itself, on its GPUs or else of its node."""
    share = config.cluster.gpus_per_replica
    offers = []
    for node in nodes:
        room = min(node.room(config), 1) if is_local else node.room(config)
        if room and share and config.model.device in ("auto", "cuda"):
            offers.append(None if node.gpu_memory_bytes is None else int(node.gpu_memory_bytes * share))
        elif room:
            wanted = min(room, config.cluster.replicas or room)
            offers.append(None if node.memory_bytes is None else node.memory_bytes // wanted)
    known = [offer for offer in offers if offer is not None]
    return min(known) if known else None
