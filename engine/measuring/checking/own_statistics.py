"""Statistics of some rows of whole attention weights: the slow way, which the check before measuring compares with."""

from __future__ import annotations

import torch

from engine.attention.layout import INDEX, NUM_BASE, SequenceLayout


def statistics_of_rows(
    weights: torch.Tensor, seen: torch.Tensor, rows: torch.Tensor, layout: SequenceLayout
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return every statistic of some rows.

    Parameters
    ----------
    weights
        Rows of the pattern ``[H, R, T]``; rows that sum to less than 1 (a sink takes the rest) are normalised.
    seen
        Which keys are visible, bool ``[R, T]``.
    rows
        Their positions ``[R]``.
    layout
        The sample, on the weights' device.

    Returns
    -------
    tuple of Tensor
        Statistics ``[H, R, NUM_BASE + C]``, NaN where undefined; and by how much each may differ for weights that
        differ by 1, ``[1, R, NUM_BASE + C]``.
    """
    pattern = weights.double() if weights.device.type != "mps" else weights
    pattern = pattern / pattern.sum(dim=-1, keepdim=True)
    keys = torch.arange(pattern.shape[-1], device=pattern.device)
    same = layout.token_ids[rows][:, None] == layout.token_ids[None]
    duplicate = same & (keys[None] < rows[:, None]) & seen
    induction = torch.nn.functional.pad(same[:, :-1], (1, 0)) & (keys[None] <= rows[:, None]) & seen
    count, later = seen.sum(dim=-1), rows >= 1
    entropy = -torch.special.xlogy(pattern, pattern).sum(dim=-1)
    distance = (pattern * (rows[:, None] - keys[None])).sum(dim=-1)
    own = pattern.gather(-1, rows[None, :, None].expand(pattern.shape[0], -1, 1))[..., 0]
    before = pattern.gather(-1, (rows - 1).clamp(min=0)[None, :, None].expand(pattern.shape[0], -1, 1))[..., 0]
    nothing = pattern.new_full((), float("nan"))

    def where(condition: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return torch.where(condition, values, nothing)

    columns = {
        "entropy_nats": entropy,
        "entropy_normalized": where(count > 1, entropy / torch.log(count.clamp(min=2).to(pattern.dtype))),
        "diagonal": own,
        "diagonal_excluding_first": where(later, own),
        "first_token": where(later, pattern[..., 0]),
        "previous_token": where(later, before),
        "mean_distance": distance,
        "mean_relative_distance": where(later, distance / rows.clamp(min=1)),
        "max_weight": pattern.amax(dim=-1),
        "collision": pattern.square().sum(dim=-1),
        "duplicate_token": where(duplicate.any(dim=-1), (pattern * duplicate).sum(dim=-1)),
        "induction": where(induction.any(dim=-1), (pattern * induction).sum(dim=-1)),
    }
    base = torch.stack([columns[name] for name in sorted(columns, key=INDEX.__getitem__)], dim=-1)
    assert base.shape[-1] == NUM_BASE
    scale = base.new_ones((1, len(rows), NUM_BASE))
    # Entropy and distance weigh each weight by its logarithm and by tokens.
    scale[..., INDEX["entropy_nats"]] = scale[..., INDEX["entropy_normalized"]] = 12
    scale[..., INDEX["mean_distance"]] = rows.clamp(min=1)
    masses = pattern @ layout.indicators.to(pattern.dtype)
    return torch.cat((base, masses), dim=-1), torch.cat(
        (scale, scale.new_ones((1, len(rows), masses.shape[-1]))), dim=-1
    )
