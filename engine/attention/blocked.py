"""Streaming attention in torch: the layer's output and its statistics, one block of query rows at a time.

Any device, differentiable, memory O(block x T): no pattern ever exists in full. Scores and statistics are float32
whatever the model's dtype, because half-precision scores overflow or lose the statistics' digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from engine.attention.reductions import (
    INDEX,
    NUM_BASE,
    GroupMeans,
    LayerStatistics,
    SequenceLayout,
    defined_rows,
    token_matches,
    visible_keys,
)

BLOCK_ELEMENTS = 2**18
"""Scores per block: 1 MiB of float32, which stays in a core's second-level cache; more on accelerators."""

ACCELERATOR_BLOCK_ELEMENTS = 2**25

MASKED = -1e30
"""Score of an invisible key: its weight underflows to exactly 0, and 0 x score stays finite."""


@dataclass(frozen=True, slots=True)
class Masking:
    """How a layer turns queries and keys into scores.

    Attributes
    ----------
    scaling
        Factor of ``q . k``.
    window
        Number of keys a row sees under a sliding window (itself included), or None.
    softcap
        Gemma's soft-capping, ``cap * tanh(score / cap)``, or None.
    """

    scaling: float
    window: int | None = None
    softcap: float | None = None


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    masking: Masking,
    layout: SequenceLayout,
    layer_idx: int,
    value_norms: torch.Tensor | None = None,
) -> tuple[torch.Tensor, LayerStatistics]:
    """Compute one sequence's attention output and statistics in one layer.

    Parameters
    ----------
    query
        ``[H, T, head_dim]``.
    key, value
        ``[KV, T, head_dim]``; query head ``h`` reads KV head ``h // (H / KV)``.
    masking
        Scaling, sliding window and soft-capping.
    layout
        The sequence's token ids, key groups and query groups.
    layer_idx
        Layer, for the patterns asked for.
    value_norms
        Norm of what each position's value adds to the residual stream through each query head, float32 ``[H, T]``;
        when given, norm-weighted masses follow the masses.

    Returns
    -------
    tuple of Tensor and LayerStatistics
        Output ``[T, H, head_dim]`` float32, and the statistics.
    """
    num_heads, num_tokens, _ = query.shape
    num_kv = key.shape[0]
    grouped = query.float().reshape(num_kv, num_heads // num_kv, num_tokens, -1) * masking.scaling
    keys = key.float()
    riders = _riders(value.float(), layout)
    output = torch.empty((num_tokens, num_heads, value.shape[-1]), dtype=torch.float32, device=query.device)
    normed = None if value_norms is None else _normed_riders(value_norms, layout)
    means = GroupMeans(layout, num_heads, layout.num_statistics(value_norms is not None))
    decision = torch.zeros((num_heads, num_tokens), dtype=torch.float32, device=query.device)
    heads = layout.pattern_heads.get(layer_idx, ())
    patterns: dict[int, list[torch.Tensor]] = {head: [] for head in heads}
    for first, end in row_blocks(num_tokens, num_heads, masking.window, query.device):
        block = _Block(first, end, masking.window)
        weights, sums, shifted = block.weights(grouped, keys, masking)
        carried = (weights @ riders[:, block.first_key : end]).reshape(num_heads, end - first, -1) / sums
        output[first:end] = carried[..., : value.shape[-1]].transpose(0, 1)
        rows, defined = block.rows(weights, sums, shifted, carried[..., value.shape[-1] :], layout)
        if normed is not None:
            shares = block.norm_weighted(weights, normed[:, block.first_key : end])
            rows, defined = torch.cat((rows, shares), -1), torch.cat((defined, defined.new_ones(shares.shape[1:])), -1)
        means.add(first, end, rows.detach(), defined)
        if first <= layout.decision < end:
            row = layout.decision - first
            decision[:, block.first_key : end] = weights.reshape(num_heads, end - first, -1)[:, row] / sums[:, row]
        for head in heads:
            patterns[head].append(block.triangle(weights, sums, head, layout.pattern_dtype))
    kept = {head: torch.cat(parts) for head, parts in patterns.items()}
    return output, LayerStatistics(means.means(), decision.detach(), means.is_finite(), kept)


def head_averaged_blocks(
    query: torch.Tensor, key: torch.Tensor, masking: Masking, num_rows: int
) -> Iterator[tuple[int, int, int, torch.Tensor]]:
    """Yield the pattern averaged over heads, block by block, for the first rows of a sequence.

    Parameters
    ----------
    query, key
        ``[H, T, head_dim]`` and ``[KV, T, head_dim]``.
    masking
        As in ``attend``.
    num_rows
        Rows wanted, from the first on.

    Yields
    ------
    tuple
        First row, one past the last, first key, and the rows float32 ``[B, n]``.
    """
    num_heads, num_kv = query.shape[0], key.shape[0]
    grouped = query.float().reshape(num_kv, num_heads // num_kv, query.shape[1], -1) * masking.scaling
    keys = key.float()
    for first, end in row_blocks(num_rows, num_heads, masking.window, query.device):
        block = _Block(first, end, masking.window)
        weights, sums, _ = block.weights(grouped, keys, masking)
        pattern = weights.reshape(num_heads, end - first, -1) / sums
        yield first, end, block.first_key, pattern.mean(dim=0)


def _riders(value: torch.Tensor, layout: SequenceLayout) -> torch.Tensor:
    """Return what rides along in the product with the weights: values, key groups, key position, ``[KV, T, ...]``."""
    num_kv, num_tokens, _ = value.shape
    position = torch.arange(num_tokens, dtype=torch.float32, device=value.device)[:, None]
    shared = torch.cat((layout.indicators, position), dim=1)
    return torch.cat((value, shared.expand(num_kv, -1, -1)), dim=2)


def _normed_riders(value_norms: torch.Tensor, layout: SequenceLayout) -> torch.Tensor:
    """Return key groups and a column of ones, both times the norms, per query head, ``[H, T, C + 1]``."""
    ones = torch.ones((layout.num_tokens, 1), dtype=torch.float32, device=value_norms.device)
    return value_norms[:, :, None] * torch.cat((layout.indicators, ones), dim=1)


def row_blocks(num_tokens: int, num_heads: int, window: int | None, device: torch.device) -> list[tuple[int, int]]:
    """Cut the rows so that each block has about the same number of scores."""
    budget = BLOCK_ELEMENTS if device.type == "cpu" else ACCELERATOR_BLOCK_ELEMENTS
    blocks: list[tuple[int, int]] = []
    first = 0
    while first < num_tokens:
        reach = first if window is None else min(first, window)
        size = 8
        while size < 1024 and num_heads * size * 2 * (reach + size * 2) <= budget:
            size *= 2
        blocks.append((first, min(first + size, num_tokens)))
        first += size
    return blocks


class _Block:
    """One block of query rows ``[first, end)`` and the keys visible to any of them."""

    def __init__(self, first: int, end: int, window: int | None):
        self.first, self.end, self.window = first, end, window
        self.first_key = 0 if window is None else max(0, first - window + 1)

    def weights(
        self, grouped: torch.Tensor, keys: torch.Tensor, masking: Masking
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return unnormalised weights ``[KV, G, B, n]``, their sums ``[H, B, 1]`` and the shifted scores."""
        visible = keys[:, None, self.first_key : self.end]
        num_kv, group, _, head_dim = grouped.shape
        rows = grouped[:, :, self.first : self.end].reshape(num_kv, -1, head_dim)
        scores = (rows @ visible[:, 0].mT).reshape(num_kv, group, self.end - self.first, -1)
        if masking.softcap is not None:
            scores = torch.tanh(scores / masking.softcap) * masking.softcap
        hidden = self._hidden(scores.device)
        if hidden is not None:
            scores = scores.masked_fill(hidden, MASKED)
        shifted = scores - scores.amax(dim=-1, keepdim=True)
        weights = torch.exp(shifted)
        sums = weights.sum(dim=-1).reshape(num_kv * group, -1, 1)
        return weights.reshape(num_kv, -1, weights.shape[-1]), sums, shifted

    def _hidden(self, device: torch.device) -> torch.Tensor | None:
        query = torch.arange(self.first, self.end, device=device)[:, None]
        key = torch.arange(self.first_key, self.end, device=device)[None, :]
        hidden = key > query
        if self.window is not None:
            hidden |= key <= query - self.window
        return hidden if self.end - self.first > 1 or bool(hidden.any()) else None

    def rows(
        self,
        weights: torch.Tensor,
        sums: torch.Tensor,
        shifted: torch.Tensor,
        carried: torch.Tensor,
        layout: SequenceLayout,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the block's row statistics ``[H, B, K]`` and where each is defined ``[B, K]``."""
        num_heads, size, _ = sums.shape
        weights = weights.reshape(num_heads, size, -1)
        shifted = shifted.reshape(num_heads, size, -1)
        total = sums[..., 0]
        position = torch.arange(self.first, self.end, device=weights.device)
        counts = visible_keys(position, self.window)
        matches, has_match = self._matches(layout)
        # H = ln l - sum p (s - m) with the largest score subtracted, which does not cancel as lse - q.(PK) does.
        entropy = torch.log(total) - (weights * shifted).sum(dim=-1) / total
        distance = (position - carried[..., -1]).clamp(min=0)
        diagonal = self._at(weights, 0) / total
        matched = torch.matmul(weights.transpose(0, 1), matches) / sums.transpose(0, 1)
        first_token = weights[..., 0] / total if self.first_key == 0 else torch.zeros_like(total)
        columns = {
            "entropy_nats": entropy.clamp(min=0),
            "entropy_normalized": entropy.clamp(min=0) / torch.log(counts.clamp(min=2).float()),
            "diagonal": diagonal,
            "diagonal_excluding_first": diagonal,
            "first_token": first_token,
            "previous_token": self._at(weights, 1) / total,
            "mean_distance": distance,
            "mean_relative_distance": distance / position.clamp(min=1),
            "max_weight": 1 / total,
            "collision": torch.linalg.vector_norm(weights, dim=-1).square() / total.square(),
            "duplicate_token": matched[..., 0].T,
            "induction": matched[..., 1].T,
        }
        base = torch.stack([columns[name] for name in sorted(columns, key=INDEX.__getitem__)], dim=-1)
        groups = carried[..., :-1]
        defined = defined_rows(position, counts, has_match, groups.shape[-1])
        assert base.shape[-1] == NUM_BASE
        return torch.cat((base, groups), dim=-1), defined

    def norm_weighted(self, weights: torch.Tensor, normed: torch.Tensor) -> torch.Tensor:
        """Return norm-weighted masses ``[H, B, C]`` (Kobayashi et al. 2020); 0 where every value is 0."""
        num_heads = normed.shape[0]
        carried = weights.reshape(num_heads, self.end - self.first, -1) @ normed
        total = carried[..., -1:]
        return torch.where(total > 0, carried[..., :-1] / total, torch.zeros_like(total))

    def _at(self, weights: torch.Tensor, back: int) -> torch.Tensor:
        """Return each row's weight ``back`` positions before its own; 0 where there is no such visible key."""
        position = torch.arange(self.first, self.end, device=weights.device)
        column = position - back - self.first_key
        found = weights.gather(-1, column.clamp(min=0)[None, :, None].expand(weights.shape[0], -1, 1))[..., 0]
        return found * (column >= 0)

    def _matches(self, layout: SequenceLayout) -> tuple[torch.Tensor, torch.Tensor]:
        """Return visible token matches as float32 ``[B, n, 2]`` and whether a row has any, bool ``[2, B]``."""
        matches = token_matches(layout.token_ids, self.first, self.end, self.first_key)
        query = torch.arange(self.first, self.end, device=matches.device)[:, None]
        key = torch.arange(self.first_key, self.end, device=matches.device)[None, :]
        visible = key <= query
        if self.window is not None:
            visible = visible & (key > query - self.window)
        matches = matches & visible
        matches[0] &= key < query
        return matches.permute(1, 2, 0).to(torch.float32), matches.any(dim=-1)

    def triangle(self, weights: torch.Tensor, sums: torch.Tensor, head: int, dtype: torch.dtype) -> torch.Tensor:
        """Return the head's rows of this block, each up to its own position."""
        num_heads, size, _ = sums.shape
        pattern = (weights.reshape(num_heads, size, -1)[head] / sums[head]).to(dtype)
        full = torch.zeros((size, self.end), dtype=dtype, device=weights.device)
        full[:, self.first_key :] = pattern
        rows, columns = torch.tril_indices(size, self.end, offset=self.first, device=weights.device)
        return full[rows, columns]
