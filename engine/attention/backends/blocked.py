"""Streaming attention in torch: the layer's output and its statistics, one block of query rows at a time.

Any device, differentiable, memory O(block x T): no pattern ever exists in full. Scores and statistics are float32
whatever the model's dtype, because half-precision scores overflow or lose the statistics' digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from engine.attention.backends.backend import Backend, LayerCall, PackedRow
from engine.attention.backends.prefix_rows import Beginning, KeptRows, sequence_by_sequence, write_own
from engine.attention.blocks import chunks, first_key, row_blocks
from engine.attention.group_means import LayerStatistics
from engine.attention.layout import SequenceLayout
from engine.attention.masking import MASKED, Masking, Window, first_visible, first_visible_of
from engine.attention.readers.row_readers import RowReaders
from engine.attention.row_statistics import RowSums, row_statistics
from engine.attention.sinks import grouped_null_mass, null_mass


class BlockedBackend(Backend):
    """Sequence by sequence, block by block."""

    method = "blocked"

    def covers(self, call: LayerCall, row: PackedRow) -> bool:
        """Every layer."""
        return True

    def attend(self, call: LayerCall, row: PackedRow, output: torch.Tensor) -> list[LayerStatistics]:
        """Write a layer's output for all sequences and return the statistics of each."""

        def attend_one(layout: SequenceLayout, beginning: Beginning) -> tuple[LayerStatistics, KeptRows | None]:
            return attend_from(beginning, call.of_sequence(layout), layout, output[layout.own_rows])[1:]

        return sequence_by_sequence(row, attend_one)


def create(device: torch.device, *, is_asked_for: bool) -> BlockedBackend:
    """Return the backend, which runs on any device."""
    return BlockedBackend()


def attend(
    call: LayerCall, layout: SequenceLayout, output: torch.Tensor | None = None
) -> tuple[torch.Tensor, LayerStatistics]:
    """Compute one sequence's attention output and statistics in one layer.

    Parameters
    ----------
    call
        The layer for this sequence alone.
    layout
        The sequence's token ids, key groups and query groups.
    output
        Receives the output, ``[T, H, head_dim]`` of any dtype; float32 and new when None.

    Returns
    -------
    tuple of Tensor and LayerStatistics
        Output ``[T, H, head_dim]``, and the statistics.
    """
    return attend_from(Beginning(), call, layout, output)[:2]


def attend_from(
    beginning: Beginning, call: LayerCall, layout: SequenceLayout, output: torch.Tensor | None = None
) -> tuple[torch.Tensor, LayerStatistics, KeptRows | None]:
    """Compute one sequence's attention in one layer from a row on, that of all rows before it being known.

    Whole patterns, and what is read of rows before, need these rows again: then it begins with the first one.

    Parameters
    ----------
    beginning
        Where to begin, and where to keep what there is.
    call, layout
        As in ``attend``.
    output
        As in ``attend``, of the rows that are the sequence's own.

    Returns
    -------
    tuple of Tensor, LayerStatistics and KeptRows or None
        As ``attend``, and what others go on from where the beginning has stops.
    """
    query, key, value, masking, value_norms = call.query, call.key, call.value, call.masking, call.value_norms
    num_heads, num_tokens, _ = query.shape
    num_kv = key.shape[0]
    grouped = query.reshape(num_kv, num_heads // num_kv, num_tokens, -1)
    # Once per layer. A product in half precision would round, or overflow, every score before softmax sees it.
    keys = key.float()
    carried_groups = layout.carried
    riders, num_groups = _riders(value.float(), carried_groups), carried_groups.shape[1]
    normed = None if value_norms is None else _normed_riders(value_norms, layout)
    if output is None:
        shape = (num_tokens - layout.num_shared, num_heads, value.shape[-1])
        output = torch.empty(shape, dtype=torch.float32, device=query.device)
    readers = RowReaders(layout, num_heads, masking.window)
    decision = torch.zeros((num_heads, num_tokens), dtype=torch.float32, device=query.device)
    heads = layout.pattern_heads.get(call.layer_idx, ())
    patterns: dict[int, list[torch.Tensor]] = {head: [] for head in heads}
    if heads or readers.reads_before(beginning.first):
        beginning = beginning.whole()
    stops = beginning.stops
    blocks = row_blocks(num_tokens, num_heads, masking.window, query.device, beginning.first, stops)
    means = beginning.means(layout, num_heads, layout.num_statistics(value_norms is not None))
    sink_rows = beginning.null_mass()
    kept = KeptRows(beginning.log_sum_exp(num_heads, num_tokens, query.device)) if stops else None
    if layout.decision < beginning.first:
        decision[:, : layout.decision + 1] = _pattern_of_row(layout.decision, grouped, keys, masking)
    space = _Workspace(blocks, num_heads, masking.window, (grouped, keys, riders))
    for chunk in chunks(blocks, stops):
        parts = []
        for first, end in chunk:
            block = _Block(first, end, masking.window)
            weights, shifted = block.weights(grouped, keys, masking, space)
            carried = (weights @ riders[:, block.first_key : end]).reshape(num_heads, end - first, -1)
            total = carried[..., value.shape[-1], None]
            mixed = carried[..., : value.shape[-1]] / total
            if masking.sinks is not None:
                nothing = null_mass(block.largest.reshape(num_heads, -1), total[..., 0], masking.sinks)
                mixed = mixed * (1 - nothing[..., None])
                sink_rows.append(nothing.detach())
            write_own(output, first, mixed.transpose(0, 1), layout.num_shared)
            # Gradients are wanted of the output alone; through the statistics they would keep the graph of every block.
            weights, total = weights.detach().reshape(num_heads, end - first, -1), total.detach()
            if kept is not None:
                kept.log_sum_exp[:, first:end] = block.largest.reshape(num_heads, -1) + torch.log(total[..., 0])
            groups = carried.detach()[..., value.shape[-1] + 1 :][..., :num_groups]
            readers.add(first, end, block.first_key, weights, total[..., 0])
            parts.append(block.sums(weights, shifted.detach(), total[..., 0], groups, layout, normed))
            if first <= layout.decision < end:
                row = layout.decision - first
                decision[:, block.first_key : end] = weights[:, row] / total[:, row]
            for head in heads:
                patterns[head].append(block.triangle(weights[head], total[head], layout.pattern_dtype))
        first, end = chunk[0][0], chunk[-1][1]
        means.add(first, end, *row_statistics(RowSums.joined(parts), first, end, masking.window, layout.reading))
        if kept is not None and end in stops:
            kept.means[end] = means.continued()
    whole = {head: torch.cat(parts) for head, parts in patterns.items()}
    nothing = torch.cat(sink_rows, dim=1) if sink_rows else None
    null = None if nothing is None else grouped_null_mass(nothing, layout)
    if kept is not None:
        kept.null_mass = nothing
    found = readers.added_to(LayerStatistics(means.means(), decision, means.is_finite(), whole, null))
    return output, found, kept


def read_again(call: LayerCall, layout: SequenceLayout, log_sum_exp: torch.Tensor) -> RowReaders:
    """Hand the rows that a layout asks for to what reads them, in a pass of its own.

    Parameters
    ----------
    call, layout
        As in ``attend``.
    log_sum_exp
        Of the scores of each row ``[H, T]``, as the first pass found it.
    """
    num_heads, num_tokens, _ = call.query.shape
    readers, masking = RowReaders(layout, num_heads, call.masking.window), call.masking
    blocks = readers.blocks(call.query.device)
    if not blocks:
        return readers
    grouped = call.query.reshape(call.key.shape[0], -1, num_tokens, call.query.shape[-1])
    keys = call.key.float()
    space = _Workspace(blocks, num_heads, masking.window, (grouped, keys))
    for first, end in blocks:
        # Backends count a key's bias from different keys, so that their sums tell nothing to each other.
        is_told = masking.key_bias is None
        block = _Block(first, end, masking.window, readers.end_key(end) if is_told else end)
        if block.end_key <= block.first_key:
            continue
        if is_told:
            scores = block.scores(grouped, keys, masking, space)
            rows = log_sum_exp[:, first:end].reshape(scores.shape[0], -1, 1)
            weights, total = scores.sub_(rows).exp_().reshape(num_heads, end - first, -1), None
        else:
            weights = block.weights(grouped, keys, masking, space)[0].reshape(num_heads, end - first, -1)
            total = weights.sum(dim=-1)
        readers.add(first, end, block.first_key, weights, total)
    return readers


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


def _pattern_of_row(row: int, grouped: torch.Tensor, keys: torch.Tensor, masking: Masking) -> torch.Tensor:
    """Return one row of every head's pattern, ``[H, row + 1]``, 0 for keys that it does not see."""
    block = _Block(row, row + 1, masking.window)
    weights = block.weights(grouped, keys, masking)[0].flatten(0, 1)
    return torch.nn.functional.pad(weights / weights.sum(dim=-1, keepdim=True), (block.first_key, 0))


def _riders(value: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Return what rides along in the product with the weights, ``[KV, T, head_dim + 1 + C + padding]``.

    Values, ones, whose product is the sum that normalises the others, and key groups; filled up with zeros to a
    multiple of 16 columns, for which matrix products are fastest.
    """
    num_kv, num_tokens, head_dim = value.shape
    num_groups = groups.shape[1]
    riders = value.new_zeros((num_kv, num_tokens, -(head_dim + 1 + num_groups) // 16 * -16))
    riders[..., :head_dim] = value
    riders[..., head_dim] = 1
    riders[..., head_dim + 1 : head_dim + 1 + num_groups] = groups
    return riders


def _normed_riders(value_norms: torch.Tensor, layout: SequenceLayout) -> torch.Tensor:
    """Return key groups and a column of ones, both times the norms, per query head, ``[H, T, C + 1]``."""
    ones = torch.ones((layout.num_tokens, 1), dtype=torch.float32, device=value_norms.device)
    return value_norms[:, :, None] * torch.cat((layout.indicators, ones), dim=1)


class _Workspace:
    """Room for one block's scores and one block's weights, allocated once; none where gradients need every block."""

    def __init__(
        self,
        blocks: list[tuple[int, int]],
        num_heads: int,
        window: Window,
        inputs: tuple[torch.Tensor, ...],
    ):
        needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        size = max(((end - first) * (end - first_key(first, window)) for first, end in blocks), default=0) * num_heads
        self._flat = None if needs_grad else torch.empty((2, size), dtype=torch.float32, device=inputs[0].device)

    def take(self, slot: int, *shape: int) -> torch.Tensor | None:
        """Return the room of a slot in a shape, or None."""
        return None if self._flat is None else self._flat[slot, : math.prod(shape)].view(shape)


class _Block:
    """One block of query rows ``[first, end)`` and the keys visible to any of them, all or those before ``end_key``."""

    def __init__(self, first: int, end: int, window: Window, end_key: int | None = None):
        self.first, self.end, self.window = first, end, window
        self.first_key, self.end_key = first_key(first, window), end if end_key is None else end_key
        self.largest = torch.empty(0)

    def weights(
        self, grouped: torch.Tensor, keys: torch.Tensor, masking: Masking, space: _Workspace | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return unnormalised weights and the scores minus their row's largest, each ``[KV, G x B, n]``."""
        scores = self.scores(grouped, keys, masking, space)
        # The largest score becomes 0, so that exp cannot overflow and no row's total is below 1.
        # Weights do not depend on what is subtracted, so that no gradient need pass through it.
        self.largest = scores.detach().amax(dim=-1, keepdim=True)
        shifted = scores.sub_(self.largest)
        return torch.exp(shifted, out=space and space.take(1, *scores.shape)), shifted

    def scores(
        self, grouped: torch.Tensor, keys: torch.Tensor, masking: Masking, space: _Workspace | None = None
    ) -> torch.Tensor:
        """Return the scores ``[KV, G x B, n]``, those of hidden keys at ``MASKED``."""
        num_kv, group, _, head_dim = grouped.shape
        size, num_keys = self.end - self.first, self.end_key - self.first_key
        shape = (num_kv, group * size, num_keys)
        rows = (grouped[:, :, self.first : self.end].float() * masking.scaling).reshape(num_kv, -1, head_dim)
        scores = torch.bmm(rows, keys[:, self.first_key : self.end_key].mT, out=space and space.take(0, *shape))
        if masking.softcap is not None:
            scores = scores.div_(masking.softcap).tanh_() * masking.softcap
        if masking.key_bias is not None:
            bias = masking.key_bias.beside(self.first_key, self.end_key, scores)
            scores.view(num_kv, group, size, num_keys).add_(bias.view(num_kv, group, 1, num_keys))
        self._hide(scores.view(num_kv, group, size, num_keys))
        return scores

    def _hide(self, scores: torch.Tensor) -> None:
        """Give keys after their row, and those that its window has left behind, a weight of zero."""
        size, own = self.end - self.first, self.first - self.first_key
        if size > 1 and self.end_key == self.end:
            later = torch.ones((size, size), dtype=torch.bool, device=scores.device).triu(1)
            scores[..., own:].masked_fill_(later, MASKED)
        left = min(first_visible(self.end - 1, self.window), self.end_key) - self.first_key
        if left:
            query = torch.arange(self.first, self.end, device=scores.device)[:, None]
            key = torch.arange(self.first_key, self.first_key + left, device=scores.device)[None, :]
            scores[..., :left].masked_fill_(key < first_visible_of(query, self.window), MASKED)

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
            # A hidden key adds 0 x its finite score; with -inf in place of MASKED it would add NaN.
            score=shifted.view(weights.shape).mul_(weights).sum(dim=-1),
            square=torch.linalg.vector_norm(weights, dim=-1).square(),
            # Copies, not views: the next block overwrites the room of these weights.
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
