"""The fused backend: output and statistics of all sequences of a packed row in one causal pass per layer (Triton).

For NVIDIA GPUs; the same code runs on the CPU under Triton's interpreter, where the tests run it. It has no backward
pass and keeps no whole patterns: both take ``blocked``. Numbers are those of ``blocked`` within the tolerance table,
and a sequence's do not depend on what else is packed.
"""

from __future__ import annotations

import importlib.util
import os
import weakref
from typing import TYPE_CHECKING

import torch

from engine.attention.backends.backend import Backend, BackendUnavailable, LayerCall, PackedRow
from engine.attention.group_means import LayerStatistics

if TYPE_CHECKING:
    from engine.attention.backends.fused.row import FusedRow

OLDEST_CAPABILITY = (8, 0)
"""First NVIDIA generation with bfloat16 matrix units (A100)."""

MAX_HEAD_DIM = 256
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

NEEDS = (
    "It needs an NVIDIA GPU of compute capability 8.0 or later and the package triton (pip install triton); "
    "TRITON_INTERPRET=1 runs it on the CPU, very slowly, for tests."
)


class FusedBackend(Backend):
    """All sequences of a packed row at a time, by Triton kernels."""

    method = "fused"

    def __init__(self) -> None:
        # What the kernels read of a packed row is the same in every layer, and goes with the row.
        self._rows: weakref.WeakKeyDictionary[PackedRow, FusedRow] = weakref.WeakKeyDictionary()

    def covers(self, call: LayerCall, row: PackedRow) -> bool:
        """Whether the kernels cover a layer: no gradients, no whole patterns, known dtypes and sizes."""
        num_masses = row.layouts[0].carried.shape[1]
        return (
            not call.needs_grad
            # The largest product is taken for the largest score.
            and call.masking.scaling > 0
            and not any(layout.pattern_heads.get(call.layer_idx) for layout in row.layouts)
            and all(layout.carried.shape[1] == num_masses for layout in row.layouts)
            and all(
                part.dtype in DTYPES and part.shape[-1] <= MAX_HEAD_DIM for part in (call.query, call.key, call.value)
            )
        )

    def attend(self, call: LayerCall, row: PackedRow, output: torch.Tensor) -> list[LayerStatistics]:
        """Write a layer's output for all sequences and return the statistics of each."""
        try:
            if row not in self._rows:
                from engine.attention.backends.fused.row import FusedRow

                self._rows[row] = FusedRow(row.layouts)
            return self._rows[row].attend(call, output)
        # Says nothing about the backend: a smaller batch may fit.
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a compiler or driver that cannot: the reason is theirs, of any type
            raise BackendUnavailable(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error


def create(device: torch.device, *, is_asked_for: bool) -> FusedBackend:
    """Return the backend.

    Raises
    ------
    BackendUnavailable
        Where the kernels cannot run; Triton's interpreter counts only where they are asked for.
    """
    if importlib.util.find_spec("triton") is None:
        raise BackendUnavailable("the package triton is not installed", NEEDS)
    if os.environ.get("TRITON_INTERPRET") == "1" and is_asked_for:
        return FusedBackend()
    if device.type != "cuda" or torch.version.hip is not None:
        place = device.type if torch.version.hip is None else "an AMD GPU"
        raise BackendUnavailable(f"the model is on {place}", NEEDS)
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST_CAPABILITY:
        name = torch.cuda.get_device_name(device)
        raise BackendUnavailable(f"{name} has compute capability {capability[0]}.{capability[1]}", NEEDS)
    return FusedBackend()
