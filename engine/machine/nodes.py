"""What this machine, or each node of a cluster, has for replicas."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.config import Config
from engine.machine.memory import memory_limit_bytes


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A kind of GPU: memory in GiB, the smallest it is sold with, and dense peak TFLOP/s in 16 bit and in float32."""

    memory_gib: float
    half_tflops: float
    float32_tflops: float


ACCELERATORS = {
    "V100": Accelerator(16, 125, 15.7),
    "T4": Accelerator(16, 65, 8.1),
    "A30": Accelerator(24, 165, 10.3),
    "A40": Accelerator(48, 150, 37.4),
    "A100": Accelerator(40, 312, 19.5),
    "A100-80G": Accelerator(80, 312, 19.5),
    "L4": Accelerator(24, 121, 30.3),
    "L40S": Accelerator(48, 362, 91.6),
    "H100": Accelerator(80, 989, 67),
    "H200": Accelerator(141, 989, 67),
    "B200": Accelerator(180, 2250, 75),
}
"""By the names that ``cluster.accelerator_type`` takes; from NVIDIA's data sheets, without sparsity."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a node offers to replicas.

    Attributes
    ----------
    num_cpus, num_gpus
        Cores and GPUs.
    memory_bytes
        Main memory, or None where it is not known.
    accelerators
        Names of its kind of GPU; an A100 has one with its memory too.
    gpu_memory_bytes
        Memory of one GPU, or None where it is not known.
    """

    num_cpus: float
    num_gpus: float = 0.0
    memory_bytes: int | None = None
    accelerators: tuple[str, ...] = ()
    gpu_memory_bytes: int | None = None

    def room(self, config: Config) -> int:
        """Return how many replicas of the configured size fit here; none spans nodes, and no share spans GPUs."""
        settings = config.cluster
        room = int(self.num_cpus // settings.cpus_per_replica)
        share = settings.gpus_per_replica
        if not share:
            return room
        if settings.accelerator_type not in (None, *self.accelerators):
            return 0
        on_gpus = int(self.num_gpus // share) if share >= 1 else int(self.num_gpus) * int(1 / share + 1e-9)
        return min(room, on_gpus)


def misfit(config: Config, nodes: Sequence[Node], wanted: int) -> str:
    """Say in a sentence why so many replicas do not fit on the nodes."""
    settings, room = config.cluster, sum(node.room(config) for node in nodes)
    cpus, gpus = sum(node.num_cpus for node in nodes), sum(node.num_gpus for node in nodes)
    kind = f" ({settings.accelerator_type})" if settings.accelerator_type and settings.gpus_per_replica else ""
    kinds = sorted({kind for node in nodes for kind in node.accelerators})
    of_kinds = f" ({', '.join(kinds)})" if kinds else ""
    return (
        f"{wanted} replica(s) of {settings.cpus_per_replica} CPU(s) and {settings.gpus_per_replica:g} GPU(s){kind} "
        f"each, none of which can span nodes, do not fit: the cluster offers {cpus:g} CPU(s) and "
        f"{gpus:g} GPU(s){of_kinds} on {len(nodes)} node(s), which is room for {room}. Lower cluster.replicas, "
        f"cpus_per_replica or gpus_per_replica{', or set accelerator_type: null' if kind else ''}."
    )


def num_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_machine() -> Node:
    """Return what this machine offers to this process."""
    import torch

    cpus = num_cpus()
    if not torch.cuda.is_available():
        return Node(cpus, memory_bytes=memory_limit_bytes())
    found = re.search(rf"\b({'|'.join(ACCELERATORS)})\b", torch.cuda.get_device_name(0))
    kinds = (found.group(1),) if found else ()
    memory = torch.cuda.get_device_properties(0).total_memory
    if kinds == ("A100",):
        kinds += ("A100-80G" if memory > 60 * 2**30 else "A100-40G",)
    return Node(cpus, torch.cuda.device_count(), memory_limit_bytes(), kinds, memory)
