"""Sampling with a seed per sample, so that an answer depends on no batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch


class SeededSampling:
    """Turns greedy search into sampling whose draws belong to a sample, not to its place in a batch.

    The largest of ``log p + g`` with standard Gumbel ``g`` is a draw from ``p`` (Gumbel 1954; Maddison et al. 2014);
    each sample has a generator of its own, seeded by ``generation.seed`` and its id.
    """

    def __init__(self, sample_ids: Sequence[str], seed: int, temperature: float, top_p: float):
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        self.warpers: list[Any] = [TemperatureLogitsWarper(temperature)] if temperature != 1 else []
        if top_p < 1:
            self.warpers.append(TopPLogitsWarper(top_p))
        self.generators = [torch.Generator().manual_seed(_seed(seed, sample_id)) for sample_id in sample_ids]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores whose largest entry is the drawn token, ``[batch, vocabulary]``."""
        scores = scores.float()
        for warper in self.warpers:
            scores = warper(input_ids, scores)
        uniform = torch.stack(
            [torch.rand(scores.shape[-1], generator=generator, dtype=torch.float64) for generator in self.generators]
        )
        gumbel = -torch.log(-torch.log(uniform.clamp(min=torch.finfo(torch.float64).tiny)))
        return torch.log_softmax(scores, dim=-1) + gumbel.to(scores)


def _seed(seed: int, sample_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{sample_id}".encode()).digest()[:7], "big")
