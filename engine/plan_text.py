"""A plan and its estimate as a person reads them: aligned lines, and sentences about what will not work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.config import Config
from engine.machine import Node, misfit


def plan_lines(summary: dict[str, Any]) -> list[str]:
    """Return the plan as an aligned table for a person."""
    model = summary["model"]
    size = None if model["num_layers"] is None else f"{model['num_layers']} layers x {model['num_heads']} heads"
    with_table, number = summary["num_samples_with_statement"], summary["num_samples"]
    facts = [
        ("files", _files(summary["files"])),
        ("rows", f"{summary['num_rows']:,}"),
        *_selection_lines(summary["selection"]),
        ("samples to measure", f"{number:,}"),
        ("decision positions found", f"{summary['num_decision_positions']:,}"),
        ("labels read from", _counts(summary["samples_by_label_source"])),
        ("predicted labels", _counts(summary["samples_by_predicted_label"])),
        ("actual labels", _counts(summary["samples_by_actual_label"])),
        ("predictions", _correctness(summary["samples_by_is_correct"])),
        ("flags", _counts(summary["samples_by_flag"])),
        ("statements", f"{with_table:,} of {number:,} samples hold a table, {summary['num_samples_with_periods']:,} "
                       f"with periods"),
        ("rejects", f"{summary['num_rejects']:,}"),
        *((f"  {reason}", f"{count:,}   such as {_shortened(summary['examples_of_rejects'][reason])}")
          for reason, count in summary["rejects_by_reason"].items()),
        ("tokens", f"{summary['num_tokens']:,} (longest sample {summary['max_sample_tokens']:,})"),
        ("shards", f"{summary['num_shards']:,} ({summary['num_batches']:,} packed batches)"),
        ("model", size or "unknown"),
        ("predicted memory of a replica", _bytes(summary["predicted_memory_bytes"])),
        ("predicted size on disk", _bytes(summary["predicted_disk_bytes"])),
    ]  # fmt: skip
    lines = [f"  {name:<32} {value}" for name, value in facts]
    return ["Plan", *lines, *(f"Warning: {warning}" for warning in summary["warnings"])]


def _files(files: list[str]) -> str:
    return files[0] if len(files) == 1 else f"{len(files):,}, from {files[0]} to {files[-1]}"


def _selection_lines(selection: dict[str, Any]) -> list[tuple[str, str]]:
    """Return how samples were chosen; nothing when all of them were."""
    lines = [("filter", str(selection["filter"]))] if selection["filter"] else []
    if selection["num_selected"] == selection["num_available"]:
        return lines
    balance = f", balanced over {' x '.join(selection['balance'])}" if selection["balance"] else ""
    lines.append(("chosen", f"{selection['num_selected']:,} of {selection['num_available']:,}, drawn with seed "
                            f"{selection['seed']}{balance}"))  # fmt: skip
    if selection["balance"]:
        lines += [
            (f"  {', '.join(f'{name} {value}' for name, value in part['stratum'].items())}",
             f"{part['selected']:,} of {part['available']:,}")
            for part in selection["strata"]
        ]  # fmt: skip
    return lines


def _correctness(by: dict[str, int]) -> str:
    words = {"True": "right", "False": "wrong", "None": "unknown"}
    return _counts({words[name]: count for name, count in by.items()})


def _shortened(text: str, length: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _counts(by_name: dict[str, int]) -> str:
    named = (("unknown" if name == "None" else name, count) for name, count in by_name.items())
    return ", ".join(f"{name} {count:,}" for name, count in named) or "none"


def _bytes(number: int | None) -> str:
    return (
        "unknown" if number is None else f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"
    )


def estimate_lines(config: Config, found: Mapping[str, Any], where: str) -> list[str]:
    """Return an estimate as an aligned table for a person."""
    settings = config.cluster
    kinds = f" ({', '.join(found['accelerators'])})" if found["accelerators"] else ""
    each = f"{settings.cpus_per_replica} CPU(s) and {settings.gpus_per_replica:g} GPU(s)"
    facts = [
        (where, f"{found['num_nodes']} node(s), {found['num_cpus']:g} CPUs, {found['num_gpus']:g} GPUs{kinds}"),
        ("replicas at work", f"{found['num_replicas']} of {each}"),
        ("time", _hours(found)),
        ("  based on", _basis(found)),
        ("memory of a replica", f"{_bytes(found['memory_bytes'])} of {_bytes(found['memory_bytes_offered'])}"),
        ("disk", f"{_bytes(found['disk_bytes'])} of {_bytes(found['disk_bytes_free'])} free in {config.run.output}"),
    ]  # fmt: skip
    return ["Estimate", *(f"  {name:<32} {value}" for name, value in facts)]


def _basis(found: Mapping[str, Any]) -> str:
    if found["replica_hours"] is not None:
        return str(found["basis"])
    if found["memory_bytes"] is None:
        return "nothing: the model's config is not at hand"
    return "nothing yet: measure a few samples first (--max-samples 20 run.name=first), whose rate is then taken"


def _hours(found: Mapping[str, Any]) -> str:
    if found["replica_hours"] is None:
        return "unknown"
    gpus = f", {_duration(found['gpu_hours'])} of GPU time" if found["gpu_hours"] else ""
    alone = f"{_duration(found['replica_hours'])} of one replica{gpus}"
    return alone if found["hours"] is None else f"{_duration(found['hours'])} on the clock; {alone}"


def _duration(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"


def estimate_warnings(
    config: Config, summary: Mapping[str, Any], nodes: Sequence[Node], found: Mapping[str, Any]
) -> list[str]:
    """Return sentences about replicas that cannot be placed or idle, and batches and tables that do not fit."""
    warnings, shards = [], summary["num_shards"]
    wanted, room = found["num_replicas_wanted"], found["num_replicas_placeable"]
    if nodes and (not room or wanted > room):
        warnings.append(f"cluster.replicas: {misfit(config, nodes, max(wanted, 1))}")
    elif wanted > shards > 0:
        warnings.append(
            f"cluster.samples_per_shard: {shards} shard(s) keep {shards} of {wanted} replicas busy, the others idle. "
            f"Lower it from {config.cluster.samples_per_shard}."
        )
    share, gpus = config.cluster.gpus_per_replica, found["num_gpus"]
    takes_all = config.cluster.replicas is None and config.cluster.mode != "inline"
    if takes_all and room and share and (room + 1) * share <= gpus:
        warnings.append(
            f"cluster.cpus_per_replica: {room} replica(s) of {config.cluster.cpus_per_replica} CPU(s) use "
            f"{room * share:g} of {gpus:g} GPUs, since the nodes have no CPUs for more. Lower it."
        )
    needed, offered = found["memory_bytes"], found["memory_bytes_offered"]
    if needed is not None and offered is not None and needed > offered and config.model.device_map is None:
        warnings.append(_too_large(summary, needed, offered))
    if found["disk_bytes"] is not None and found["disk_bytes"] > found["disk_bytes_free"]:
        warnings.append(
            f"run.output: the tables take about {_bytes(found['disk_bytes'])}, and {_bytes(found['disk_bytes_free'])} "
            f"are free in {config.run.output}."
        )
    return warnings


def _too_large(summary: Mapping[str, Any], needed: int, offered: int) -> str:
    """Say what of a replica does not fit into its memory, and what to set."""
    tokens = (offered - (needed - summary["predicted_bytes_per_token"] * summary["max_batch_tokens"])) // summary[
        "predicted_bytes_per_token"
    ]
    said = f"a replica needs about {_bytes(needed)} and has {_bytes(offered)}"
    if tokens <= 0:
        return (
            f"cluster.gpus_per_replica: {said}; the weights alone take {_bytes(summary['predicted_weight_bytes'])}. "
            f"Give each replica more GPUs (or fewer replicas to a node), or set model.device_map=auto, which is slow."
        )
    longest = summary["max_sample_tokens"]
    alone = f" The longest sample alone has {longest:,}, and may be rejected." if longest > tokens else ""
    return (
        f"cluster.tokens_per_batch: {said} with a batch of {summary['max_batch_tokens']:,} tokens; about {tokens:,} "
        f"fit. Lower it, or batches are halved while the run goes.{alone}"
    )
