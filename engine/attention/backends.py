"""Which backend computes a layer: the fused kernel on NVIDIA GPUs, compiled tiles on CPUs, else ``blocked``."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from engine.attention import blocked, tiled
from engine.attention.blocked import Masking
from engine.attention.reductions import LayerStatistics, SequenceLayout
from engine.attention.tile_kernel import tile_kernel
from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.attention.fused import PackedRow

logger = logging.getLogger(__name__)

OLDEST_CAPABILITY = (8, 0)
"""First NVIDIA generation with bfloat16 matrix units (A100)."""


class Backend:
    """Computes attention with statistics for the sequences of packed rows.

    Parameters
    ----------
    name
        ``model.attention``: ``auto``, ``blocked`` or ``fused``.
    device
        Where the model is.

    Raises
    ------
    ConfigError
        When ``fused`` is asked for where it cannot run.
    """

    def __init__(self, name: str, device: torch.device):
        self.name = name
        obstacle = None if name == "blocked" else _obstacle(name, device)
        if name == "fused" and obstacle is not None:
            raise ConfigError(
                f"model.attention: 'fused' cannot run here: {obstacle}. It needs an NVIDIA GPU of compute capability "
                f"8.0 or later and the package triton (pip install triton); TRITON_INTERPRET=1 runs it on the CPU, "
                f"very slowly, for tests. Allowed are auto, blocked and fused; blocked gives the same numbers on any "
                f"device, and auto takes fused where it can."
            )
        self.is_fused = name != "blocked" and obstacle is None
        self.kernel = tile_kernel() if name == "auto" and device.type == "cpu" else None

    @property
    def method(self) -> str:
        """What computes most layers: ``fused``, ``compiled`` (``blocked`` with its inner pass in C) or ``blocked``."""
        return "fused" if self.is_fused else "compiled" if self.kernel is not None else "blocked"

    def prepare(self, layouts: Sequence[SequenceLayout]) -> None:
        """Find what all layers need to know about the sequences of a packed row, before its forward."""
        if self.kernel is not None:
            for layout in layouts:
                layout.matches.prepare()

    def row(self, layouts: Sequence[SequenceLayout]) -> PackedRow | None:
        """Return what the fused kernel keeps for a packed row over all layers, or None where it is not used."""
        if not self.is_fused:
            return None
        from engine.attention.fused import PackedRow

        return PackedRow(layouts)

    def attend(
        self,
        row: PackedRow | None,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        masking: Masking,
        layouts: Sequence[SequenceLayout],
        layer_idx: int,
        value_norms: torch.Tensor | None,
        output: torch.Tensor,
    ) -> Iterator[LayerStatistics]:
        """Write a layer's output for all sequences of a packed row and yield each one's statistics.

        Parameters
        ----------
        row
            What ``row`` returned for these layouts.
        query, key, value, masking, layer_idx, value_norms
            As in ``blocked.attend``, for the whole packed row.
        layouts
            The sequences.
        output
            Receives the output, ``[T, H, head_dim]``.
        """
        if row is not None and self.is_fused and row.is_supported(query, key, value, layer_idx):
            try:
                yield from row.attend(query, key, value, masking, output, value_norms)
                return
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # a compiler or driver that cannot: the reason is theirs, of any type
                self._give_up(error)
        for layout in layouts:
            rows = slice(layout.start, layout.start + layout.num_tokens)
            norms = None if value_norms is None else value_norms[:, rows]
            parts = (query[:, rows], key[:, rows], value[:, rows])
            if self.kernel is not None and tiled.is_supported(parts[0], parts[2], layout, layer_idx):
                yield tiled.attend(self.kernel, *parts, masking, layout, norms, output[rows])
            else:
                yield blocked.attend(*parts, masking, layout, layer_idx, norms, output[rows])[1]

    def _give_up(self, error: Exception) -> None:
        """Go on with ``blocked``, unless the config insists on the kernel."""
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if self.name == "fused":
            raise ConfigError(
                f"model.attention: 'fused' failed on this machine ({reason}). Use auto or blocked, whose numbers are "
                f"the same."
            ) from error
        logger.warning("the fused attention cannot run here (%s); going on with blocked", reason)
        self.is_fused = False


def _obstacle(name: str, device: torch.device) -> str | None:
    """Return why the fused kernel cannot run on a device, or None where it can."""
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    if os.environ.get("TRITON_INTERPRET") == "1" and name == "fused":
        return None
    if device.type != "cuda" or torch.version.hip is not None:
        return f"the model is on {device.type if torch.version.hip is None else 'an AMD GPU'}"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST_CAPABILITY:
        return f"{torch.cuda.get_device_name(device)} has compute capability {capability[0]}.{capability[1]}"
    return None
