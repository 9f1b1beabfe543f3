"""What this machine, or each node of a cluster, has for replicas; memory is the job's, not the host's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config import Config

_NO_LIMIT = 2**60
_CGROUP = Path("/sys/fs/cgroup")


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
"""By the name that Ray gives them; from NVIDIA's data sheets, without sparsity."""


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

    @classmethod
    def of_resources(cls, resources: Mapping[str, float]) -> Node:
        """Return what Ray says of a node."""
        kinds = sorted(name.partition(":")[2] for name in resources if name.startswith("accelerator_type:"))
        known = [ACCELERATORS[kind].memory_gib for kind in kinds if kind in ACCELERATORS]
        return cls(
            resources.get("CPU", 0.0), resources.get("GPU", 0.0), int(resources.get("memory", 0)) or None, tuple(kinds),
            int(known[-1] * 2**30) if known else None,
        )  # fmt: skip

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


def this_machine() -> Node:
    """Return what this machine offers to this process."""
    import torch

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not torch.cuda.is_available():
        return Node(cpus, memory_bytes=memory_limit_bytes())
    found = re.search(rf"\b({'|'.join(ACCELERATORS)})\b", torch.cuda.get_device_name(0))
    kinds = (found.group(1),) if found else ()
    memory = torch.cuda.get_device_properties(0).total_memory
    if kinds == ("A100",):
        kinds += ("A100-80G" if memory > 60 * 2**30 else "A100-40G",)
    return Node(cpus, torch.cuda.device_count(), memory_limit_bytes(), kinds, memory)


def free_memory_bytes() -> int:
    """Return the memory that this process could still take: the host's free memory, within the limits of a job."""
    return min(_host_memory("MemAvailable"), memory_limit_bytes())


def memory_limit_bytes() -> int:
    """Return the memory that this machine gives to this job: the host's, or less under a cgroup or in a SLURM job."""
    limits = [_host_memory("MemTotal"), *_cgroup_limits()]
    if megabytes := os.environ.get("SLURM_MEM_PER_NODE"):
        limits.append(int(megabytes) * 2**20)
    elif megabytes := os.environ.get("SLURM_MEM_PER_CPU"):
        limits.append(int(megabytes) * int(os.environ.get("SLURM_CPUS_ON_NODE", "1")) * 2**20)
    return min(limit for limit in limits if limit > 0)


def _host_memory(name: str) -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration):  # no Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroup_limits() -> list[int]:
    """Return the limits of this process's cgroup and those above it, of either version."""
    found: list[int] = []
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}
        if controllers not in names:
            continue
        folder, name = names[controllers]
        place = _CGROUP / folder / path.lstrip("/")
        for part in (place, *place.parents):
            if _CGROUP not in (part, *part.parents):
                break
            try:
                limit = int((part / name).read_text(encoding="ascii"))
            except (OSError, ValueError):  # not there, or "max"
                continue
            if limit < _NO_LIMIT:
                found.append(limit)
    return found
