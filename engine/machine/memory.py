"""Memory of this process: the job's, by cgroups, not the host's."""

from __future__ import annotations

import os
from pathlib import Path

_NO_LIMIT = 2**60


_CGROUP = Path("/sys/fs/cgroup")


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
