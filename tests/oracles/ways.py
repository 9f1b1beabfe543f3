"""The ways that one sequence's attention with statistics is computed on a CPU, behind one signature."""

from __future__ import annotations

import pytest
import torch

from engine.attention import blocked, tiled
from engine.attention.tile_kernel import tile_kernel


def tiled_attend(query, key, value, masking, layout, layer_idx, value_norms=None, output=None):
    """Like ``blocked.attend``, by the compiled pass; the test is skipped where there is no C compiler."""
    kernel = tile_kernel()
    if kernel is None:
        pytest.skip("no C compiler here")
    assert tiled.is_supported(query, value, layout, layer_idx)
    if output is None:
        output = torch.empty((query.shape[1], query.shape[0], value.shape[-1]))
    return output, tiled.attend(kernel, query, key, value, masking, layout, value_norms, output)


WAYS = {"blocked": blocked.attend, "tiled": tiled_attend}

both_ways = pytest.mark.parametrize("way", list(WAYS))
"""Runs a test once per way, whose name it takes as ``way``."""


def small_tiles(monkeypatch, elements):
    """Cut blocks and tiles so small that short sequences have many of them."""
    monkeypatch.setattr(blocked, "BLOCK_ELEMENTS", elements)
    monkeypatch.setattr(tiled, "TILE_ELEMENTS", elements)
    monkeypatch.setattr(tiled, "SMALLEST_BLOCK", 3)
