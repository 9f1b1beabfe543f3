"""Attention sinks: what a learnt score that stands for no key takes of each row's softmax.

With ``lse_i`` the logarithm of the sum of ``exp`` over a row's keys and ``b_h`` the sink of head h, the null mass is
``1 / (1 + exp(lse_i - b_h))``. Patterns are softmax over keys alone, so that models with and without sinks compare; the
output is the pattern's times one minus the null mass.
"""

from __future__ import annotations

import torch

from engine.attention.layout import SequenceLayout


def null_mass(largest: torch.Tensor, total: torch.Tensor, sinks: torch.Tensor) -> torch.Tensor:
    """Return the null mass of rows, ``[H, B]``.

    Parameters
    ----------
    largest
        Each row's largest score ``[H, B]``.
    total
        Sum of ``exp(score - largest)`` over its keys ``[H, B]``.
    sinks
        ``[H]``.
    """
    return torch.sigmoid(sinks.to(total)[:, None] - largest - torch.log(total))


def grouped_null_mass(rows: torch.Tensor, layout: SequenceLayout) -> torch.Tensor:
    """Return means over query groups and the decision row's null mass, float32 ``[H, Q + 1]``, from rows ``[H, T]``."""
    wide = torch.float32 if rows.device.type == "mps" else torch.float64
    weights = layout.query_weights.to(wide)
    means = rows.to(wide) @ weights.T / weights.sum(dim=1)
    return torch.cat((means, rows[:, layout.decision, None].to(wide)), dim=1).float()
