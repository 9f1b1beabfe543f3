"""How large the programs of the fused attention are: fixed by head, dtype and card, never by a trial run."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Tiling:
    """Shape of a program: query rows, keys per tile, rider columns at most, warps and stages of the pipeline."""

    rows: int
    keys: int
    columns: int
    warps: int
    stages: int


HOPPER = (9, 0)


def tiling(
    head_dim: int, value_dim: int, dtype: torch.dtype, has_norms: bool, capability: tuple[int, int] = HOPPER
) -> Tiling:
    """Return the tiling for a head: fixed, so that the same input gives the same bits on every run.

    ``tests/parity/fused_builds.py`` reads what each needs: shared memory stays within an A100's 163 KiB per block, and
    on GPUs before Hopper, whose matrix units read registers only, tiles are smaller so that registers suffice.
    """
    width = max(padded(head_dim), padded(value_dim))
    columns = 32 if has_norms or width > 128 else 64
    if dtype == torch.float32:
        return Tiling(32, 32, 32, 8, 1) if width > 64 else Tiling(64, 32, columns, 4, 2)
    if width > 128:
        return Tiling(64, 32, columns, 8, 2)
    return Tiling(128, 64, columns, 8, 3) if capability >= HOPPER else Tiling(128, 32, columns, 8, 2)


def capability(device: torch.device) -> tuple[int, int]:
    """Return a GPU's compute capability; that of Hopper where Triton's interpreter runs."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else HOPPER


def padded(size: int) -> int:
    """Return the least power of two that holds a size and that matrix units take."""
    return max(16, 1 << (size - 1).bit_length())


def match_warps(head_dim: int, dtype: torch.dtype) -> int:
    """Return the warps of a program that looks at equal tokens, so that no register spills (``fused_builds``)."""
    # float32 has no matrix units of its digits: its products are taken apart into registers.
    return max(1, padded(head_dim) * dtype.itemsize**2 // 512)
