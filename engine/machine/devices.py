"""What went wrong on a device and whose fault it is; how much memory was used, and giving back what is not."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence

import torch

from engine.errors import DeviceLost

Watch = Callable[[Sequence[str]], None]
"""Told the ids of the samples that are in flight from now on; none when the device is done with a unit."""

_MEMORY_WORDS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "alloc_failed",
)
_LOST_WORDS = ("cuda error", "device-side assert", "illegal memory access", "unspecified launch failure")


def ignore(_sample_ids: Sequence[str]) -> None:
    """Watch nothing."""


def fault_of(error: Exception, otherwise: str, whose: str) -> tuple[str, str]:
    """Return reason and detail of a failed forward: out of memory, or ``otherwise``.

    Raises
    ------
    DeviceLost
        When no later forward of this process could work either, as after a failed assertion in a CUDA kernel.
    """
    words = " ".join(str(error).split())
    detail = f"{type(error).__name__}: {words[:300]}"
    if is_out_of_memory(error):
        return "out_of_memory", detail
    if isinstance(error, RuntimeError) and any(known in words.lower() for known in _LOST_WORDS):
        raise DeviceLost(f"model.device: the device cannot be used any more after {whose}: {detail}") from None
    return otherwise, detail


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failure is one of memory that was refused."""
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(known in words for known in _MEMORY_WORDS)


def free_memory(device: torch.device) -> None:
    """Give back memory that nothing holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def wait_for_copies(devices: Sequence[torch.device]) -> None:
    """Wait until copies from these devices have reached the host."""
    for device in devices:
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()


def reset_peak_memory(devices: Sequence[torch.device]) -> None:
    """Begin a new measurement of ``peak_memory_bytes``, where the devices can."""
    for device in devices:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(devices: Sequence[torch.device]) -> int | None:
    """Return the largest memory used: on GPUs by tensors since the last reset, else by this process in its life."""
    if all(device.type == "cuda" for device in devices):
        return sum(torch.cuda.max_memory_allocated(device) for device in devices)
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
