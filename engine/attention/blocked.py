"""Streaming attention in torch: the layer's output and its statistics, one block of query rows at a time.

Any device, differentiable, memory O(block x T): no pattern ever exists in full. Scores and statistics are float32
whatever the model's dtype, because half-precision scores overflow or lose the statistics' digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from engine.attention.reductions import GroupMeans, LayerStatistics, SequenceLayout
from engine.attention.row_statistics import RowSums, row_statistics

BLOCK_ELEMENTS = 2**19
"""Scores per block: 2 MiB of float32, about a core's second-level cache; more on accelerators."""

ACCELERATOR_BLOCK_ELEMENTS = 2**25

CHUNK_ROWS = 512
"""Rows at least whose sums are kept before they become statistics."""

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
    output: torch.Tensor | None = None,
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
    output
        Receives the output, ``[T, H, head_dim]`` of any dtype; float32 and new when None.

    Returns
    -------
    tuple of Tensor and LayerStatistics
        Output ``[T, H, head_dim]``, and the statistics.
    """
    num_heads, num_tokens, _ = query.shape
    num_kv = key.shape[0]
    grouped = query.reshape(num_kv, num_heads // num_kv, num_tokens, -1)
    keys = key.float()
    riders, num_groups = _riders(value.float(), layout), layout.indicators.shape[1]
    normed = None if value_norms is None else _normed_riders(value_norms, layout)
    if output is None:
        output = torch.empty((num_tokens, num_heads, value.shape[-1]), dtype=torch.float32, device=query.device)
    means = GroupMeans(layout, num_heads, layout.num_statistics(value_norms is not None))
    decision = torch.zeros((num_heads, num_tokens), dtype=torch.float32, device=query.device)
    heads = layout.pattern_heads.get(layer_idx, ())
    patterns: dict[int, list[torch.Tensor]] = {head: [] for head in heads}
    blocks = row_blocks(num_tokens, num_heads, masking.window, query.device)
    space = _Workspace(blocks, num_heads, masking.window, (grouped, keys, riders))
    for chunk in chunks(blocks):
        parts = []
        for first, end in chunk:
            block = _Block(first, end, masking.window)
            weights, shifted = block.weights(grouped, keys, masking, space)
            carried = (weights @ riders[:, block.first_key : end]).reshape(num_heads, end - first, -1)
            total = carried[..., value.shape[-1], None]
            output[first:end] = (carried[..., : value.shape[-1]] / total).transpose(0, 1)
            weights, total = weights.detach().reshape(num_heads, end - first, -1), total.detach()
            groups = carried.detach()[..., value.shape[-1] + 1 :][..., :num_groups]
            parts.append(block.sums(weights, shifted.detach(), total[..., 0], groups, layout, normed))
            if first <= layout.decision < end:
                row = layout.decision - first
                decision[:, block.first_key : end] = weights[:, row] / total[:, row]
            for head in heads:
                patterns[head].append(block.triangle(weights[head], total[head], layout.pattern_dtype))
        first, end = chunk[0][0], chunk[-1][1]
        means.add(first, end, *row_statistics(RowSums.joined(parts), first, end, masking.window))
    kept = {head: torch.cat(parts) for head, parts in patterns.items()}
    return output, LayerStatistics(means.means(), decision, means.is_finite(), kept)


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
    grouped = query.reshape(num_kv, num_heads // num_kv, query.shape[1], -1)
    keys = key.float()
    for first, end in row_blocks(num_rows, num_heads, masking.window, query.device):
        block = _Block(first, end, masking.window)
        weights, _ = block.weights(grouped, keys, masking)
        pattern = weights.reshape(num_heads, end - first, -1)
        pattern = pattern / pattern.sum(dim=-1, keepdim=True)
        yield first, end, block.first_key, pattern.mean(dim=0)


def _riders(value: torch.Tensor, layout: SequenceLayout) -> torch.Tensor:
    """Return what rides along in the product with the weights, ``[KV, T, head_dim + 1 + C + padding]``.

    Values, ones, whose product is the sum that normalises the others, and key groups; filled up with zeros to a
    multiple of 16 columns, for which matrix products are fastest.
    """
    num_kv, num_tokens, head_dim = value.shape
    num_groups = layout.indicators.shape[1]
    riders = value.new_zeros((num_kv, num_tokens, -(head_dim + 1 + num_groups) // 16 * -16))
    riders[..., :head_dim] = value
    riders[..., head_dim] = 1
    riders[..., head_dim + 1 : head_dim + 1 + num_groups] = layout.indicators
    return riders


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


def chunks(blocks: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Gather blocks whose sums become statistics together, which spares small operations; memory O(chunk x K)."""
    chunk: list[tuple[int, int]] = []
    for block in blocks:
        chunk.append(block)
        if block[1] - chunk[0][0] >= CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class _Workspace:
    """Room for one block's scores and one block's weights, allocated once; none where gradients need every block."""

    def __init__(
        self,
        blocks: list[tuple[int, int]],
        num_heads: int,
        window: int | None,
        inputs: tuple[torch.Tensor, ...],
    ):
        needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        size = max((end - first) * (end - _first_key(first, window)) for first, end in blocks) * num_heads
        self._flat = None if needs_grad else torch.empty((2, size), dtype=torch.float32, device=inputs[0].device)

    def take(self, slot: int, *shape: int) -> torch.Tensor | None:
        """Return the room of a slot in a shape, or None."""
        return None if self._flat is None else self._flat[slot, : math.prod(shape)].view(shape)


def _first_key(first: int, window: int | None) -> int:
    return 0 if window is None else max(0, first - window + 1)


class _Block:
    """One block of query rows ``[first, end)`` and the keys visible to any of them."""

    def __init__(self, first: int, end: int, window: int | None):
        self.first, self.end, self.window = first, end, window
        self.first_key = _first_key(first, window)

    def weights(
        self, grouped: torch.Tensor, keys: torch.Tensor, masking: Masking, space: _Workspace | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return unnormalised weights and the scores minus their row's largest, each ``[KV, G x B, n]``."""
        num_kv, group, _, head_dim = grouped.shape
        size, num_keys = self.end - self.first, self.end - self.first_key
        shape = (num_kv, group * size, num_keys)
        rows = (grouped[:, :, self.first : self.end].float() * masking.scaling).reshape(num_kv, -1, head_dim)
        scores = torch.bmm(rows, keys[:, self.first_key : self.end].mT, out=space and space.take(0, *shape))
        if masking.softcap is not None:
            scores = scores.div_(masking.softcap).tanh_() * masking.softcap
        self._hide(scores.view(num_kv, group, size, num_keys))
        # Weights do not depend on what is subtracted, so that no gradient need pass through it.
        shifted = scores.sub_(scores.detach().amax(dim=-1, keepdim=True))
        return torch.exp(shifted, out=space and space.take(1, *shape)), shifted

    def _hide(self, scores: torch.Tensor) -> None:
        """Give keys after their row, and those that its window has left behind, a weight of zero."""
        size, own = self.end - self.first, self.first - self.first_key
        if size > 1:
            later = torch.ones((size, size), dtype=torch.bool, device=scores.device).triu(1)
            scores[..., own:].masked_fill_(later, MASKED)
        if self.window is not None and (left := max(0, self.end - self.window - self.first_key)):
            query = torch.arange(self.first, self.end, device=scores.device)[:, None]
            key = torch.arange(self.first_key, self.first_key + left, device=scores.device)[None, :]
            scores[..., :left].masked_fill_(key <= query - self.window, MASKED)

    def sums(
        self,
        weights: torch.Tensor,
        shifted: torch.Tensor,
        total: torch.Tensor,
        groups: torch.Tensor,
        layout: SequenceLayout,
        normed: torch.Tensor | None,
    ) -> RowSums:
        """Return what the block adds up per row; ``shifted`` is overwritten."""
        own = self.first - self.first_key
        matches = layout.matches.block(self.first, self.end, self.first_key, self.window)
        # Counted from the block on, so that distances to what lies near keep their digits.
        offset = torch.arange(-own, self.end - self.first, device=weights.device, dtype=torch.float32)
        reached = torch.mv(weights.reshape(-1, weights.shape[-1]), offset).view(total.shape)
        return RowSums(
            total=total,
            groups=groups,
            distance=offset[own:] * total - reached,
            # H = ln l - sum p (s - m) with the largest score subtracted, which does not cancel as lse - q.(PK) does.
            score=shifted.view(weights.shape).mul_(weights).sum(dim=-1),
            square=torch.linalg.vector_norm(weights, dim=-1).square(),
            diagonal=torch.diagonal(weights, own, 1, 2).clone(),
            previous=self._previous(weights, own),
            first=weights[..., 0].clone() if self.first_key == 0 else torch.zeros_like(total),
            matched=matches.weigh(weights),
            normed=None if normed is None else weights @ normed[:, self.first_key : self.end],
            has_match=matches.has_match,
        )

    def _previous(self, weights: torch.Tensor, own: int) -> torch.Tensor:
        """Return each row's weight of the key before it; 0 where there is none."""
        found = torch.diagonal(weights, own - 1, 1, 2)
        return torch.nn.functional.pad(found, (1, 0)) if own == 0 else found.clone()

    def triangle(self, weights: torch.Tensor, sums: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return one head's rows of this block, each up to its own position."""
        size = self.end - self.first
        full = torch.zeros((size, self.end), dtype=dtype, device=weights.device)
        full[:, self.first_key :] = (weights / sums).to(dtype)
        rows, columns = torch.tril_indices(size, self.end, offset=self.first, device=weights.device)
        return full[rows, columns]
