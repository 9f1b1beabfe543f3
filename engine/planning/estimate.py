"""What a plan takes: FLOP, memory, time and disk, for a person.

Only this looks at a cluster; how a run is cut never depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from engine.config import Config
from engine.machine.nodes import Node
from engine.model.facts import ModelFacts
from engine.storage.records import Plan

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


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
    """What a replica needs of its device, in bytes: weights, room to work in, and so much per token of a batch."""

    weights: int
    per_token: int
    workspace: int

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
        return cls(weights, activations + riders, workspace)

    def of_batch(self, num_tokens: int) -> int:
        """Return the need with a batch of so many tokens."""
        return self.weights + self.workspace + self.per_token * num_tokens


@dataclass(frozen=True, slots=True)
class Rate:
    """What a replica does a second, in FLOP, and how that is known."""

    flop_per_second: float
    basis: str
    seconds_per_pair: float = 0.0
    """What statistics take beside, per layer, head and pair of a row and a key that it sees."""


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
        On the clock.
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
    hours = _replica_hours(plan, rate)
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
        basis=rate.basis if rate is not None else None,
        memory_bytes=plan.predicted_memory_bytes,
        memory_bytes_offered=_memory_offered(config, nodes, is_local=is_local),
        disk_bytes=plan.predicted_disk_bytes,
        disk_bytes_free=free_disk,
    )


def _replica_hours(plan: Plan, rate: Rate | None) -> float | None:
    """Return the hours that one replica would take for everything."""
    flop = plan.predicted_flop
    if flop is None or rate is None:
        return None
    return (
        (flop.check + flop.measure + flop.causal) / rate.flop_per_second + flop.pairs * rate.seconds_per_pair
    ) / 3600


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
