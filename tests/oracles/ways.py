"""The ways that one sequence's attention with statistics is computed on a CPU, behind one signature."""

from __future__ import annotations

import pytest
import torch

from engine.attention import blocks
from engine.attention.backends import blocked, tiled
from engine.attention.backends.backend import LayerCall, PackedRow
from engine.attention.backends.tile_kernel import tile_kernel


def blocked_attend(query, key, value, masking, layout, layer_idx, value_norms=None, output=None):
    """Compute one sequence block by block."""
    return blocked.attend(LayerCall(query, key, value, masking, layer_idx, value_norms), layout, output)


def tiled_attend(query, key, value, masking, layout, layer_idx, value_norms=None, output=None):
    """Compute one sequence by the compiled pass; the test is skipped where there is no C compiler."""
    kernel = tile_kernel()
    if kernel is None:
        pytest.skip("no C compiler here")
    call = LayerCall(query, key, value, masking, layer_idx, value_norms)
    assert tiled.TiledBackend(kernel).covers(call, PackedRow([layout])) and not layout.pattern_heads.get(layer_idx)
    if output is None:
        output = torch.empty((query.shape[1], query.shape[0], value.shape[-1]))
    return output, tiled.attend(kernel, call, layout, output)


WAYS = {"blocked": blocked_attend, "tiled": tiled_attend}

both_ways = pytest.mark.parametrize("way", list(WAYS))
"""Runs a test once per way, whose name it takes as ``way``."""


def small_tiles(monkeypatch, elements):
    """Cut blocks and tiles so small that short sequences have many of them."""
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", elements)
    monkeypatch.setattr(tiled, "TILE_ELEMENTS", elements)
    monkeypatch.setattr(tiled, "SMALLEST_BLOCK", 3)
