"""A backend as anybody might add one: ``blocked``, which counts what it computes."""

from __future__ import annotations

import torch

from engine.attention.backends.backend import LayerCall, PackedRow
from engine.attention.backends.blocked import BlockedBackend
from engine.attention.group_means import LayerStatistics


class ToyBackend(BlockedBackend):
    """Computes like ``blocked`` in even layers, and leaves odd ones to others."""

    method = "toy"

    def __init__(self) -> None:
        self.layers: list[int] = []

    def covers(self, call: LayerCall, row: PackedRow) -> bool:
        return call.layer_idx % 2 == 0

    def attend(self, call: LayerCall, row: PackedRow, output: torch.Tensor) -> list[LayerStatistics]:
        self.layers.append(call.layer_idx)
        return super().attend(call, row, output)


def create(device: torch.device, *, is_asked_for: bool) -> ToyBackend:
    return ToyBackend()
