"""Attention with statistics on CPUs: tiles of rows by keys that stay in a core's cache, each passed over once in C.

The numbers of ``blocked``, which stays the reference, at about the cost of PyTorch's own flash attention: matrix
products are torch's, everything else is one pass over a tile (``tile_kernel.c``). Gradients, whole patterns and other
devices are left to ``blocked``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from engine.attention.backends import blocked
from engine.attention.backends.backend import Backend, BackendUnavailable, LayerCall, PackedRow
from engine.attention.backends.prefix_rows import Beginning, KeptRows, sequence_by_sequence, write_own
from engine.attention.backends.tile_kernel import STATE, TileKernel, tile_kernel
from engine.attention.backends.tile_reading import LARGEST, TOTAL, TileReading
from engine.attention.blocks import chunks, end_of_block
from engine.attention.group_means import LayerStatistics
from engine.attention.layout import SequenceLayout
from engine.attention.masking import first_visible
from engine.attention.readers.row_readers import RowReaders
from engine.attention.row_statistics import RowSums, row_statistics
from engine.attention.sinks import grouped_null_mass, null_mass

TILE_ELEMENTS = 2**18
"""Scores per tile and thread: 1 MiB of float32, half of a core's second-level cache."""

TILE_ROWS = 256
"""Rows of a tile, the heads of one KV head counted one by one: enough for matrix products at full speed."""

SMALLEST_BLOCK = 8
"""Positions of the first blocks."""

GROWTH = 8
"""A block has at most this share of the positions before it: so little is computed above the diagonal."""


class TiledBackend(Backend):
    """Sequence by sequence, tile by tile; a sequence of which whole patterns are kept is left to ``blocked``.

    Parameters
    ----------
    kernel
        The compiled pass.
    """

    method = "compiled"

    def __init__(self, kernel: TileKernel):
        self.kernel = kernel

    def prepare(self, layouts: Sequence[SequenceLayout]) -> None:
        """Find where tokens come again."""
        for layout in layouts:
            layout.matches.prepare()

    def covers(self, call: LayerCall, row: PackedRow) -> bool:
        """Whether this is a plain computation on a CPU, without gradients."""
        return type(call.query) is torch.Tensor and call.query.device.type == "cpu" and not call.needs_grad

    def attend(self, call: LayerCall, row: PackedRow, output: torch.Tensor) -> list[LayerStatistics]:
        """Write a layer's output for all sequences and return the statistics of each."""

        def attend_one(layout: SequenceLayout, beginning: Beginning) -> tuple[LayerStatistics, KeptRows | None]:
            part, own = call.of_sequence(layout), output[layout.own_rows]
            if layout.pattern_heads.get(call.layer_idx):
                return blocked.attend_from(beginning, part, layout, own)[1:]
            return attend_from(beginning, self.kernel, part, layout, own)

        return sequence_by_sequence(row, attend_one)


def create(device: torch.device, *, is_asked_for: bool) -> TiledBackend:
    """Return the backend.

    Raises
    ------
    BackendUnavailable
        On other devices than CPUs, and where the compiled pass cannot be built.
    """
    if device.type != "cpu":
        raise BackendUnavailable(f"the model is on {device.type}")
    kernel = tile_kernel()
    if kernel is None:
        raise BackendUnavailable("the compiled pass cannot be built")
    return TiledBackend(kernel)


def attend(kernel: TileKernel, call: LayerCall, layout: SequenceLayout, output: torch.Tensor) -> LayerStatistics:
    """Write one sequence's attention output in one layer and return its statistics.

    Parameters
    ----------
    kernel
        The compiled pass.
    call, layout, output
        As in ``blocked.attend``.
    """
    return attend_from(Beginning(), kernel, call, layout, output)[0]


def attend_from(
    beginning: Beginning, kernel: TileKernel, call: LayerCall, layout: SequenceLayout, output: torch.Tensor
) -> tuple[LayerStatistics, KeptRows]:
    """Write the rows of one sequence's attention output from one on; arguments as in ``blocked.attend_from``."""
    masking = call.masking
    num_heads, num_tokens, _ = call.query.shape
    tiles = _Tiles(kernel, call, layout, beginning.first)
    shape = (num_heads // tiles.group, tiles.group)
    means = beginning.means(layout, num_heads, layout.num_statistics(call.value_norms is not None))
    has_match = layout.matches.rows_with_match(masking.window)
    sink_rows = beginning.null_mass()
    kept = KeptRows(beginning.log_sum_exp(num_heads, num_tokens, call.query.device))
    readers = RowReaders(layout, num_heads, masking.window)
    for chunk in chunks(_blocks(num_tokens, tiles.group, beginning.first, beginning.stops), beginning.stops):
        first, end = chunk[0][0], chunk[-1][1]
        state, carried = tiles.rows(chunk)
        total, largest = state[TOTAL], state[LARGEST].flatten(0, 1)
        kept.log_sum_exp[:, first:end] = largest + torch.log(total.flatten(0, 1))
        # Normalised once, at the end: until its last tile a row's largest score, and the scale of its sums, may change.
        mixed = carried[..., : tiles.value_dim] / total.transpose(1, 2)[..., None]
        if masking.sinks is not None:
            nothing = null_mass(largest, total.flatten(0, 1), masking.sinks)
            mixed = mixed * (1 - nothing.unflatten(0, shape).transpose(1, 2)[..., None])
            sink_rows.append(nothing)
        write_own(output.unflatten(1, shape), first, mixed.transpose(0, 1), layout.num_shared)
        sums = tiles.row_sums(state, carried, has_match[:, first:end])
        means.add(first, end, *row_statistics(sums, first, end, masking.window, layout.reading))
        if tiles.reading is not None:
            tiles.reading.hand_over(readers, end, total.flatten(0, 1))
        if end in beginning.stops:
            kept.means[end] = means.continued()
    kept.null_mass = torch.cat(sink_rows, dim=1) if sink_rows else None
    null = None if kept.null_mass is None else grouped_null_mass(kept.null_mass, layout)
    pattern = tiles.pattern_of_row(layout.decision)
    statistics = LayerStatistics(means.means(), pattern, means.is_finite(), null_mass=null)
    if tiles.reading is None:
        readers = blocked.read_again(call, layout, kept.log_sum_exp)
    return readers.added_to(statistics), kept


def _blocks(num_tokens: int, group: int, first: int = 0, stops: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    """Cut the rows, from one on, into blocks that grow with the keys before them; none reaches over a stop."""
    blocks: list[tuple[int, int]] = []
    size = SMALLEST_BLOCK
    while first < num_tokens:
        while size * 2 * group <= TILE_ROWS and size * 2 * GROWTH <= first:
            size *= 2
        blocks.append((first, end_of_block(first, size, num_tokens, stops)))
        first = blocks[-1][1]
    return blocks


class _Tiles:
    """One sequence in one layer: its operands, laid out so that the rows of products are contiguous.

    Rows are pairs of a position and a head of the KV head's group, heads next to each other: all heads that read the
    same keys take part in one product.
    """

    def __init__(self, kernel: TileKernel, call: LayerCall, layout: SequenceLayout, first: int):
        query, value, value_norms = call.query, call.value, call.value_norms
        num_heads, num_tokens, _ = query.shape
        num_kv, self.value_dim = call.key.shape[0], value.shape[-1]
        self.kernel, self.masking, self.group = kernel, call.masking, num_heads // num_kv
        self.token_ids = layout.matches.preceded_ids
        self.query = query.unflatten(0, (num_kv, self.group)).transpose(1, 2)
        self.keys = call.key.float().mT.contiguous()
        groups = layout.carried.expand(num_kv, -1, -1)
        self.riders = torch.cat((value.float(), groups), dim=-1)
        self.normed = None
        if value_norms is not None:
            weighed = torch.cat((layout.indicators, layout.indicators.new_ones((num_tokens, 1))), dim=1)
            self.normed = (value_norms[..., None] * weighed).unflatten(0, (num_kv, self.group))
        self.reading = TileReading.of(layout, self.group, first)
        self._room = torch.empty(0)

    def rows(self, blocks: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what consecutive blocks of ``B`` positions add up and carry.

        Returns
        -------
        tuple of Tensor
            State ``[len(STATE), KV, G, B]``, and the products of unnormalised weights with values, key groups and, when
            asked, key groups by norms, ``[KV, B, G, W]``.
        """
        first, end = blocks[0][0], blocks[-1][1]
        num_kv, width = self.riders.shape[0], self.riders.shape[-1]
        if self.normed is not None:
            width += self.normed.shape[-1]
        queries = self._queries(first, end)
        num_rows = queries.shape[1]
        state = torch.zeros((num_kv, num_rows, len(STATE)))
        carried = torch.zeros((num_kv, num_rows, width))
        if self.reading is not None:
            self.reading.begin(first, end, num_kv)
        for block_first, block_end in blocks:
            rows = slice((block_first - first) * self.group, (block_end - first) * self.group)
            for kv in range(num_kv):
                self._add(kv, block_first, block_end, queries[kv, rows], state[kv, rows], carried[kv, rows])
        by_head = state.unflatten(1, (-1, self.group)).permute(3, 0, 2, 1).contiguous()
        return by_head, carried.unflatten(1, (-1, self.group))

    def _queries(self, first: int, end: int) -> torch.Tensor:
        """Return scaled queries of some positions, ``[KV, B x G, head_dim]``, those of one position side by side."""
        part = self.query[:, first:end].float()
        queries = torch.empty(part.shape, dtype=torch.float32)
        return torch.mul(part, self.masking.scaling, out=queries).flatten(1, 2)

    def _add(
        self, kv: int, first: int, end: int, queries: torch.Tensor, state: torch.Tensor, carried: torch.Tensor
    ) -> None:
        """Add all visible keys to a block of rows of one KV head, tile by tile."""
        width = self.riders.shape[-1]
        bias = self._bias(end)
        reading = self.reading if self.reading is not None and len(self.reading.rows(first, end)) else None
        for first_key, end_key in self._tiles(first, end):
            num_scores = queries.shape[0] * (end_key - first_key)
            if num_scores > self._room.numel():
                self._room = torch.empty(num_scores)
            scores = self._room[:num_scores].view(queries.shape[0], -1)
            torch.mm(queries, self.keys[kv, :, first_key:end_key], out=scores)
            if self.masking.softcap is not None:
                scores.div_(self.masking.softcap).tanh_().mul_(self.masking.softcap)
            if bias is not None:
                scores.unflatten(0, (-1, self.group)).add_(bias[kv, :, first_key:end_key])
            before = state if reading is None else state.clone()
            # Before the products: it scales down what is carried already when this tile holds a larger score.
            self.kernel(scores, self.group, first, first_key, self.masking.window, self.token_ids, state, carried)
            carried[:, :width].addmm_(scores, self.riders[kv, first_key:end_key])
            if reading is not None:
                reading.add(kv, first, first_key, scores, before, state)
            if self.normed is not None:
                by_head = scores.view(end - first, self.group, -1).transpose(0, 1)
                added = by_head @ self.normed[kv, :, first_key:end_key]
                carried[:, width:].unflatten(0, (-1, self.group)).add_(added.transpose(0, 1))

    def _bias(self, end: int) -> torch.Tensor | None:
        """Return what is added to the keys before a row, ``[KV, G, end]``: the same in all tiles of its block."""
        if self.masking.key_bias is None:
            return None
        return self.masking.key_bias.beside(0, end, self.keys).unflatten(0, (-1, self.group))

    def _tiles(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Cut the keys that a block of rows sees into tiles of nearly the same size."""
        first_key = first_visible(first, self.masking.window)
        largest = TILE_ELEMENTS * torch.get_num_threads() // ((end - first) * self.group)
        number = -(-(end - first_key) // max(largest, 1))
        size = -(-(end - first_key) // number // 16) * 16
        for key in range(first_key, end, size):
            yield key, min(key + size, end)

    def row_sums(self, state: torch.Tensor, carried: torch.Tensor, has_match: torch.Tensor) -> RowSums:
        """Return the sums of ``B`` rows from their state and what they carry."""
        named = dict(zip(STATE, state.flatten(1, 2), strict=True))
        width = self.riders.shape[-1]
        by_head = carried[..., self.value_dim :].transpose(1, 2).flatten(0, 1)
        num_groups = width - self.value_dim
        return RowSums(
            total=named["total"],
            groups=by_head[..., :num_groups],
            distance=named["distance"],
            score=named["score"],
            square=named["square"],
            diagonal=named["diagonal"],
            previous=named["previous"],
            first=named["first"],
            matched=torch.stack((named["duplicate"], named["induction"]), dim=-1),
            normed=None if self.normed is None else by_head[..., num_groups:],
            has_match=has_match,
        )

    def pattern_of_row(self, position: int) -> torch.Tensor:
        """Return one row of every head's pattern, ``[H, T]``, 0 for keys that it does not see."""
        num_kv, _, num_tokens = self.keys.shape
        first_key = first_visible(position, self.masking.window)
        scores = self._queries(position, position + 1) @ self.keys[:, :, first_key : position + 1]
        if self.masking.softcap is not None:
            scores = scores.div_(self.masking.softcap).tanh_().mul_(self.masking.softcap)
        if (bias := self._bias(position + 1)) is not None:
            scores += bias[:, :, first_key:]
        pattern = torch.zeros((num_kv * self.group, num_tokens))
        pattern[:, first_key : position + 1] = scores.softmax(dim=-1).flatten(0, 1)
        return pattern
