"""Streaming attention in torch: the layer's output and its statistics, one block of query rows at a time.

Any device, differentiable, memory O(block x T): no pattern ever exists in full. Scores and statistics are float32
whatever the model's dtype, because half-precision scores overflow or lose the statistics' digits.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from engine.attention.backends.backend import Backend, LayerCall, PackedRow
from engine.attention.backends.block import Block, Workspace
from engine.attention.backends.prefix_rows import Beginning, KeptRows, sequence_by_sequence, write_own
from engine.attention.blocks import chunks, row_blocks
from engine.attention.group_means import LayerStatistics
from engine.attention.layout import SequenceLayout
from engine.attention.masking import Masking
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
    space = Workspace(blocks, num_heads, masking.window, (grouped, keys, riders))
    for chunk in chunks(blocks, stops):
        parts = []
        for first, end in chunk:
            block = Block(first, end, masking.window)
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
    space = Workspace(blocks, num_heads, masking.window, (grouped, keys))
    for first, end in blocks:
        # Backends count a key's bias from different keys, so that their sums tell nothing to each other.
        is_told = masking.key_bias is None
        block = Block(first, end, masking.window, readers.end_key(end) if is_told else end)
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
        block = Block(first, end, masking.window)
        weights, _ = block.weights(grouped, keys, masking)
        pattern = weights.reshape(num_heads, end - first, -1)
        pattern = pattern / pattern.sum(dim=-1, keepdim=True)
        yield first, end, block.first_key, pattern.mean(dim=0)


def _pattern_of_row(row: int, grouped: torch.Tensor, keys: torch.Tensor, masking: Masking) -> torch.Tensor:
    """Return one row of every head's pattern, ``[H, row + 1]``, 0 for keys that it does not see."""
    block = Block(row, row + 1, masking.window)
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
