"""From what a block of rows adds up to its statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from engine.attention.group_means import defined_rows, visible_keys
from engine.attention.layout import INDEX, NUM_BASE
from engine.attention.masking import Window
from engine.attention.readers.reading import AnswerReading, lookback


@dataclass(frozen=True, slots=True)
class RowSums:
    """What is summed over the keys of ``B`` rows with unnormalised weights ``w = exp(s - m)``, ``m`` the largest score.

    Attributes
    ----------
    total
        Sum of weights (``l``), ``[H, B]``.
    groups
        Sums over each key group, and over the response where reading is measured, ``[H, B, C or C + 1]``.
    distance
        Sums of ``w (i - j)``, ``[H, B]``.
    score, square
        Sums of ``w (s - m)`` and of ``w * w``, ``[H, B]``.
    diagonal, previous, first
        Weights of the row's own key, the one before it and the sequence's first, ``[H, B]``.
    matched
        Weights of duplicate and of induction matches, ``[H, B, 2]``.
    normed
        Sums of key groups and ones, both times the norms of values, ``[H, B, C + 1]``, or None.
    has_match
        Whether there is any such match, bool ``[2, B]``.
    """

    total: torch.Tensor
    groups: torch.Tensor
    distance: torch.Tensor
    score: torch.Tensor
    square: torch.Tensor
    diagonal: torch.Tensor
    previous: torch.Tensor
    first: torch.Tensor
    matched: torch.Tensor
    normed: torch.Tensor | None
    has_match: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[RowSums]) -> RowSums:
        """Return consecutive blocks as one."""
        if len(parts) == 1:
            return parts[0]
        normed = [part.normed for part in parts if part.normed is not None]
        return cls(
            **{name: torch.cat([getattr(part, name) for part in parts], dim=1) for name in _BY_ROW},
            normed=torch.cat(normed, dim=1) if normed else None,
        )


_BY_ROW = ("total", "groups", "distance", "score", "square", "diagonal", "previous", "first", "matched", "has_match")


def row_statistics(
    sums: RowSums, first: int, end: int, window: Window, reading: AnswerReading | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the statistics of rows ``first`` to ``end``, ``[H, B, K]``, and where each is defined ``[B, K]``.

    Formulas as in the statistics' design; norm-weighted masses (Kobayashi et al. 2020) are 0 where every value is 0.
    """
    total = sums.total
    groups = sums.groups / total[..., None]
    position = torch.arange(first, end, device=total.device)
    counts = visible_keys(position, window)
    # Relative to the largest score neither ln l nor - sum p (s - m) is negative: both lie between 0 and ln n, and
    # nothing cancels. lse - sum p s would be the difference of two numbers as large as the scores are.
    entropy = (torch.log(total) - sums.score / total).clamp(min=0)
    # A difference of two sums, which rounding may leave just below 0 in a row that looks at itself.
    distance = (sums.distance / total).clamp(min=0)
    diagonal = sums.diagonal / total
    columns = {
        "entropy_nats": entropy,
        # At least two keys, so that a row of one, which does not count, is divided by ln 2 and stays finite.
        "entropy_normalized": entropy / torch.log(counts.clamp(min=2).float()),
        "diagonal": diagonal,
        "diagonal_excluding_first": diagonal,
        "first_token": sums.first / total,
        "previous_token": sums.previous / total,
        "mean_distance": distance,
        "mean_relative_distance": distance / position.clamp(min=1),
        # The largest score is subtracted, so that the largest weight is exp(0) = 1 before it is normalised.
        "max_weight": 1 / total,
        "collision": sums.square / total.square(),
        "duplicate_token": sums.matched[..., 0] / total,
        "induction": sums.matched[..., 1] / total,
    }
    base = torch.stack([columns[name] for name in sorted(columns, key=INDEX.__getitem__)], dim=-1)
    assert base.shape[-1] == NUM_BASE
    masses = groups if reading is None else groups[..., :-1]
    parts, defined = [base, masses], [defined_rows(position, counts, sums.has_match, masses.shape[-1])]
    if reading is not None:
        ratios, has_both = lookback(groups[..., -1], position, reading.num_prompt, window)
        parts.append(ratios)
        defined.append(has_both[:, None].expand(-1, ratios.shape[-1]))
    if sums.normed is not None:
        whole = sums.normed[..., -1:]
        shares = torch.where(whole > 0, sums.normed[..., :-1] / whole, torch.zeros_like(whole))
        parts.append(shares)
        defined.append(defined[0].new_ones(shares.shape[1:]))
    return torch.cat(parts, dim=-1), torch.cat(defined, dim=-1)
