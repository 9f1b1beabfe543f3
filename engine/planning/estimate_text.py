"""An estimate as a person reads it: aligned lines, and sentences about replicas, batches and tables that do not fit."""

from __future__ import annotations

from collections.abc import Sequence

from engine.config import Config
from engine.machine.nodes import Node, misfit
from engine.planning.estimate import Estimate
from engine.planning.plan_text import size_text
from engine.storage.planned.plan import Plan


def estimate_lines(config: Config, needs: Estimate, where: str) -> list[str]:
    """Return an estimate as an aligned table for a person."""
    settings = config.cluster
    kinds = f" ({', '.join(needs.accelerators)})" if needs.accelerators else ""
    each = f"{settings.cpus_per_replica} CPU(s) and {settings.gpus_per_replica:g} GPU(s)"
    rows = [
        (where, f"{needs.num_nodes} node(s), {needs.num_cpus:g} CPUs, {needs.num_gpus:g} GPUs{kinds}"),
        ("replicas at work", f"{needs.num_replicas} of {each}"),
        ("time", _seconds(needs.seconds)),
        ("  starting", _seconds(needs.starting_seconds)),
        ("  measuring and causes" if needs.causes_seconds else "  measuring", _hours(needs)),
        *([("    of which causes", _seconds(needs.causes_seconds))] if needs.causes_seconds else []),
        ("  analysis and report", _seconds(needs.analysis_seconds)),
        ("  based on", _basis(needs)),
        ("memory of a replica", f"{size_text(needs.memory_bytes)} of {size_text(needs.memory_bytes_offered)}"),
        ("disk", f"{size_text(needs.disk_bytes)} of {size_text(needs.disk_bytes_free)} free in {config.run.output}"),
    ]
    return ["Estimate", *(f"  {name:<32} {value}" for name, value in rows)]


def _basis(needs: Estimate) -> str:
    if needs.replica_hours is not None:
        return str(needs.basis)
    if needs.memory_bytes is None:
        return "nothing: the model's config is not at hand"
    return "nothing yet: measure a few samples first (--max-samples 20 run.name=first), whose rate is then taken"


def _hours(needs: Estimate) -> str:
    if needs.replica_hours is None:
        return "unknown"
    gpus = f", {_duration(needs.gpu_hours)} of GPU time" if needs.gpu_hours else ""
    alone = f"{_duration(needs.replica_hours)} of one replica{gpus}"
    return alone if needs.hours is None else f"{_duration(needs.hours)} on the clock; {alone}"


def _seconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else _duration(seconds / 3600)


def _duration(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"


def estimate_warnings(
    config: Config, plan: Plan, nodes: Sequence[Node], needs: Estimate, *, is_local: bool = False
) -> list[str]:
    """Return sentences about replicas that cannot be placed or idle, and batches and tables that do not fit.

    Parameters
    ----------
    config, plan, nodes
        The run's config, what was planned, and what the cluster's nodes offer.
    needs
        What the plan takes on them.
    is_local
        Whether units run in this very process: one replica at most, whatever the config asks for.
    """
    warnings = _warnings_of_replicas(config, plan, nodes, needs, is_local=is_local)
    needed, offered = needs.memory_bytes, needs.memory_bytes_offered
    if needed is not None and offered is not None and needed > offered and config.model.device_map is None:
        warnings.append(_too_large(plan, needed, offered))
    if needs.disk_bytes is not None and needs.disk_bytes > needs.disk_bytes_free:
        warnings.append(
            f"run.output: the tables take about {size_text(needs.disk_bytes)}, and {size_text(needs.disk_bytes_free)} "
            f"are free in {config.run.output}."
        )
    return warnings


def _warnings_of_replicas(
    config: Config, plan: Plan, nodes: Sequence[Node], needs: Estimate, *, is_local: bool
) -> list[str]:
    """Return why replicas cannot be placed, idle, or leave GPUs without work."""
    settings, shards = config.cluster, plan.num_shards
    wanted, room = needs.num_replicas_wanted, needs.num_replicas_placeable
    warnings: list[str] = []
    if nodes and (not room or wanted > room):
        warnings.append(f"cluster.replicas: {misfit(config, nodes, max(wanted, 1))}")
    elif wanted > shards > 0:
        warnings.append(
            f"cluster.samples_per_shard: {shards} shard(s) keep {shards} of {wanted} replicas busy, the others idle. "
            f"Lower it from {settings.samples_per_shard}."
        )
    share, gpus = settings.gpus_per_replica, needs.num_gpus
    takes_all = settings.replicas is None and not is_local
    if takes_all and room and share and (room + 1) * share <= gpus:
        warnings.append(
            f"cluster.cpus_per_replica: {room} replica(s) of {settings.cpus_per_replica} CPU(s) use "
            f"{room * share:g} of {gpus:g} GPUs, since the nodes have no CPUs for more. Lower it."
        )
    return warnings


def _too_large(plan: Plan, needed: int, offered: int) -> str:
    """Return what of a replica does not fit into its memory, and what to set."""
    weights, per_token = plan.predicted_weight_bytes, plan.predicted_bytes_per_token
    assert weights is not None and per_token is not None, "a need is known of known models only"
    tokens = (offered - (needed - per_token * plan.max_batch_tokens)) // per_token
    problem = f"a replica needs about {size_text(needed)} and has {size_text(offered)}"
    if tokens <= 0:
        return (
            f"cluster.gpus_per_replica: {problem}; the weights alone take {size_text(weights)}. "
            f"Give each replica more GPUs (or fewer replicas to a node), or set model.device_map=auto, which is slow."
        )
    longest = plan.max_sample_tokens
    alone = f" The longest sample alone has {longest:,}, and may be rejected." if longest > tokens else ""
    return (
        f"cluster.tokens_per_batch: {problem} with a batch of {plan.max_batch_tokens:,} tokens; about {tokens:,} "
        f"fit. Lower it, or batches are halved while the run goes.{alone}"
    )
