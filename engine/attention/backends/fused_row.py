"""One packed row through the fused kernels: what they read that does not change from layer to layer, and each launch.

Shape legend: ``T`` tokens of the packed row, ``S`` sequences, ``H`` query heads, ``KV`` key-value heads, ``C`` key
groups, ``Q`` query groups, ``K`` statistics, ``P`` rider columns (key groups and the offset within the tile, padded).
"""

# Triton has no wheels for some platforms; kernels become launchable by subscript only through it.
# pyright: reportMissingImports=false, reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import triton

from engine.attention.backends import blocked
from engine.attention.backends.backend import LayerCall
from engine.attention.backends.fused_kernels import attention_kernel
from engine.attention.backends.fused_row_kernels import decision_kernel, matches_kernel, sums_kernel
from engine.attention.backends.fused_tiling import Tiling, capability, match_warps, padded, tiling
from engine.attention.backends.prefix_rows import SequencesApart
from engine.attention.group_means import LayerStatistics, defined_rows, visible_keys
from engine.attention.layout import INDEX, NUM_BASE, NUM_LOOKBACK, SequenceLayout
from engine.attention.masking import Chunk, Masking, Window, first_visible_of
from engine.attention.readers.reading import lookback
from engine.attention.sinks import grouped_null_mass, null_mass

IS_INTERPRETED = not isinstance(attention_kernel, triton.JITFunction)
NO_WINDOW = 2**30
MEMBERS = 16
"""Rows and keys of a tile of equal tokens: the least that matrix units take, since most come again a few times."""


class FusedRow:
    """What does not change from layer to layer for the sequences of one packed row.

    Parameters
    ----------
    layouts
        The sequences; where they share rows, the kernels see each with all of its own.
    """

    def __init__(self, layouts: Sequence[SequenceLayout]):
        self.apart = SequencesApart(layouts) if any(layout.prefix for layout in layouts) else None
        layouts = layouts if self.apart is None else self.apart.layouts
        self.layouts = list(layouts)
        self.device = layouts[0].indicators.device
        self.total = max(layout.start + layout.num_tokens for layout in layouts)
        self.num_groups = max(layout.query_weights.shape[0] for layout in layouts)
        # With the response as one more, whose place lookback ratios take.
        self.num_masses = layouts[0].carried.shape[1]
        self.num_carried = NUM_BASE + self.num_masses
        self.has_lookback = layouts[0].reading is not None
        if self.has_lookback:
            self.num_carried += NUM_LOOKBACK - 1
        self.weights = torch.zeros((self.num_groups, self.total), dtype=torch.float32, device=self.device)
        for layout in layouts:
            rows = slice(layout.start, layout.start + layout.num_tokens)
            self.weights[: layout.query_weights.shape[0], rows] = layout.query_weights
        self.sequences = self._table([(layout.start, layout.num_tokens, layout.decision) for layout in layouts])
        self.longest = max(layout.num_tokens for layout in layouts)
        self._last_same = [_last_same(layout.token_ids) for layout in layouts]
        self.members, self.member_blocks = self._equal_tokens()
        self._blocks: dict[int, torch.Tensor] = {}
        self._riders: dict[tuple[int, int, bool], list[_Pass]] = {}
        self._counts: dict[Window, torch.Tensor] = {}

    def attend(self, call: LayerCall, output: torch.Tensor) -> list[LayerStatistics]:
        """Write one layer's output for all sequences and return their statistics.

        Parameters
        ----------
        call
            A call that the backend covers.
        output
            Receives the output, ``[T, H, head_dim]`` in any floating dtype.

        Returns
        -------
        list of LayerStatistics
            By sequence; ``is_finite`` is a tensor, so that nothing waits for the device.
        """
        if self.apart is None:
            return self._attend(call, output)
        room = output.new_empty((self.apart.total, *output.shape[1:]))
        statistics = self._attend(self.apart.call(call), room)
        self.apart.write(output, room)
        return statistics

    def _attend(self, call: LayerCall, output: torch.Tensor) -> list[LayerStatistics]:
        query, key, value = _same_dtype(call.query, call.key, call.value)
        call = replace(call, query=query, key=key, value=value)
        norms = None if call.value_norms is None else self._shares_of_largest(call.value_norms)
        with torch.cuda.device_of(query):  # Triton launches on the current device
            rows, softmax = self.launch(call, output, norms)
            self._match(call, rows, softmax)
            decisions = self._decision_rows(call, softmax)
            if self.has_lookback:
                self._look_back(rows, call.masking.window)
            sums = self._sums(rows)
        counts = self._counts_of(call.masking.window)
        if norms is not None:
            counts = torch.cat((counts, counts[..., NUM_BASE : NUM_BASE + self.num_masses]), dim=-1)
        means = (sums / counts).to(torch.float32)
        is_finite = torch.isfinite(sums).flatten(1).all(dim=1)
        statistics: list[LayerStatistics] = []
        for index, layout in enumerate(self.layouts):
            span = slice(layout.start, layout.start + layout.num_tokens)
            of_groups = means[index, :, : layout.query_weights.shape[0], : layout.num_statistics(norms is not None)]
            null = None
            if call.masking.sinks is not None:
                # By rows, as null_mass does with a largest score and the sum of what is left of the others.
                rest = softmax[:, 1, span]
                null = grouped_null_mass(null_mass(rest, torch.ones_like(rest), call.masking.sinks), layout)
            found = LayerStatistics(of_groups, decisions[:, span], is_finite[index], null_mass=null)
            statistics.append(blocked.read_again(call.of_sequence(layout), layout, softmax[:, 1, span]).added_to(found))
        return statistics

    def _look_back(self, rows: torch.Tensor, window: Window) -> None:
        """Put lookback ratios of rows ``[H, K, T]`` where the mass on the response stands, and behind it."""
        first = NUM_BASE + self.num_masses - 1
        for layout in self.layouts:
            assert layout.reading is not None
            span = slice(layout.start, layout.start + layout.num_tokens)
            position = torch.arange(layout.num_tokens, device=rows.device)
            ratios, has_both = lookback(rows[:, first, span], position, layout.reading.num_prompt, window)
            rows[:, first : first + NUM_LOOKBACK, span] = (ratios * has_both[:, None]).transpose(1, 2)

    def launch(
        self, call: LayerCall, output: torch.Tensor, norms: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the output; return statistics ``[H, K, T]``, and rows' largest score and log-sum-exp ``[H, 2, T]``."""
        query, key, value, masking = call.query, call.key, call.value, call.masking
        num_heads = query.shape[0]
        shape = tiling(query.shape[-1], value.shape[-1], query.dtype, norms is not None, capability(query.device))
        num_statistics = self.num_carried + (0 if norms is None else self.num_masses)
        rows = query.new_empty((num_heads, num_statistics, self.total), dtype=torch.float32)
        softmax = query.new_empty((num_heads, 2, self.total), dtype=torch.float32)
        blocks, bias = self._row_blocks(shape.rows), self._bias(masking)
        for part in self._passes(shape, query.dtype):
            attention_kernel[(len(blocks) * num_heads,)](
                query, key, value, output, rows, softmax, softmax if norms is None else norms,
                blocks, part.riders, softmax if bias is None else bias,
                softmax if masking.sinks is None else masking.sinks.to(query.device),
                query.stride(0), query.stride(1), key.stride(0), key.stride(1), value.stride(0), value.stride(1),
                output.stride(0), self.total, _size(masking.window), num_statistics, self.longest,
                float(masking.scaling), float(masking.softcap or 1.0),
                HEADS=num_heads, GROUP=num_heads // key.shape[0], HEAD_DIM=query.shape[-1], VALUE_DIM=value.shape[-1],
                FIRST_MASS=NUM_BASE + part.first, NUM_MASSES=part.count,
                FIRST_NORMED=self.num_carried + part.first,
                M=shape.rows, N=shape.keys, D=padded(query.shape[-1]), DV=padded(value.shape[-1]),
                P=part.riders.shape[1], **_kind(masking), HAS_SINKS=masking.sinks is not None,
                HAS_NORMS=norms is not None, IS_MAIN=part.first == 0, IS_FLOAT32=query.dtype == torch.float32,
                IS_WIDENED=IS_INTERPRETED,
                num_warps=shape.warps, num_stages=shape.stages, enable_fp_fusion=True,
            )  # fmt: skip
        return rows, softmax

    def _match(self, call: LayerCall, rows: torch.Tensor, softmax: torch.Tensor) -> None:
        """Put weights on equal tokens, and on what followed them, into rows ``[H, K, T]``; 0 where there are none."""
        query, key, masking = call.query, call.key, call.masking
        first = INDEX["duplicate_token"]
        assert INDEX["induction"] == first + 1
        rows[:, first : first + 2] = 0
        if not len(self.member_blocks):
            return
        num_heads = query.shape[0]
        bias = self._bias(masking)
        matches_kernel[(len(self.member_blocks) * num_heads,)](
            query, key, softmax, rows, self.members, self.member_blocks, softmax if bias is None else bias,
            query.stride(0), query.stride(1), key.stride(0), key.stride(1), self.total, _size(masking.window),
            rows.shape[1], self.longest, float(masking.scaling), float(masking.softcap or 1.0),
            HEADS=num_heads, GROUP=num_heads // key.shape[0], HEAD_DIM=query.shape[-1], D=padded(query.shape[-1]),
            M=MEMBERS, **_kind(masking), IS_WIDENED=IS_INTERPRETED,
            num_warps=match_warps(query.shape[-1], query.dtype), enable_fp_fusion=True,
        )  # fmt: skip

    def _decision_rows(self, call: LayerCall, softmax: torch.Tensor) -> torch.Tensor:
        query, key, masking = call.query, call.key, call.masking
        decisions = query.new_zeros((query.shape[0], self.total), dtype=torch.float32)
        keys = 64
        grid = (query.shape[0], -(-self.longest // keys), len(self.layouts))
        bias = self._bias(masking)
        decision_kernel[grid](
            query, key, softmax, decisions, self.sequences, softmax if bias is None else bias,
            query.stride(0), query.stride(1), key.stride(0), key.stride(1), self.total, _size(masking.window),
            self.longest, float(masking.scaling), float(masking.softcap or 1.0),
            GROUP=query.shape[0] // key.shape[0], HEAD_DIM=query.shape[-1], N=keys, D=padded(query.shape[-1]),
            **_kind(masking), num_warps=4, enable_fp_fusion=True,
        )  # fmt: skip
        return decisions

    def _sums(self, rows: torch.Tensor) -> torch.Tensor:
        """Return float64 sums over query groups, ``[S, H, Q, K]``."""
        num_heads, num_statistics, _ = rows.shape
        # float64 as in GroupMeans: sums of thousands of rows would lose float32's last digits.
        sums = rows.new_empty((len(self.layouts), num_heads, self.num_groups, num_statistics), dtype=torch.float64)
        columns = 32
        grid = (num_heads, len(self.layouts) * self.num_groups, -(-num_statistics // columns))
        sums_kernel[grid](
            rows, self.weights, sums, self.sequences, self.total, num_statistics, self.num_groups,
            HEADS=num_heads, ROWS=128, COLUMNS=columns, num_warps=4, enable_fp_fusion=True,
        )  # fmt: skip
        return sums

    def _row_blocks(self, size: int) -> torch.Tensor:
        """Return start, tokens and first row of every block of rows, those with most keys first."""
        if size not in self._blocks:
            blocks = [
                (layout.start, layout.num_tokens, first)
                for layout in self.layouts
                for first in range(0, layout.num_tokens, size)
            ]
            self._blocks[size] = self._table(sorted(blocks, key=lambda block: -block[2]))
        return self._blocks[size]

    def _passes(self, shape: Tiling, dtype: torch.dtype) -> list[_Pass]:
        """Cut the key groups into passes that a program has room for; the first also carries offsets within tiles."""
        at = (shape.keys, shape.columns, dtype == torch.float32)
        if at not in self._riders:
            # float16 beside bfloat16 too: weights take part as two numbers of 11 bits (_carry), where bfloat16 has 8.
            kind = torch.float32 if dtype == torch.float32 else torch.float16
            bounds = [0, *range(shape.columns - 1, self.num_masses, shape.columns), self.num_masses]
            passes: list[_Pass] = []
            for first, end in pairwise(bounds):
                if first and end == first:
                    continue
                width = end - first + (1 if first == 0 else 0)
                riders = torch.zeros((self.total, padded(width)), dtype=kind, device=self.device)
                for layout in self.layouts:
                    part = riders[layout.start : layout.start + layout.num_tokens]
                    part[:, : end - first] = layout.carried[:, first:end]
                    if first == 0:
                        part[:, end] = torch.arange(layout.num_tokens, device=self.device) % shape.keys
                passes.append(_Pass(first, end - first, riders))
            self._riders[at] = passes
        return self._riders[at]

    def _equal_tokens(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where tokens stand that come again in their sequence, by id, and their blocks (``matches_kernel``)."""
        members: list[torch.Tensor] = []
        blocks: list[tuple[int, int, int, int]] = []
        begin = 0
        for layout in self.layouts:
            # On the host: a launch needs the number of blocks, and they are the same in every layer.
            ids = layout.token_ids.cpu()
            _, of_place, numbers = torch.unique(ids, return_inverse=True, return_counts=True)
            order = torch.argsort(of_place, stable=True)
            members.append(order[numbers[of_place[order]] > 1] + layout.start)
            for number in numbers[numbers > 1].tolist():
                blocks += [(layout.start, begin, number, first) for first in range(0, number, MEMBERS)]
                begin += number
        return torch.cat(members).to(self.device, torch.int32), self._table(sorted(blocks, key=lambda block: -block[3]))

    def _counts_of(self, window: Window) -> torch.Tensor:
        """Return how many rows of each query group count, float64 ``[S, 1, Q, K]``."""
        if window not in self._counts:
            counts = torch.zeros(
                (len(self.layouts), 1, self.num_groups, self.num_carried),
                dtype=torch.float64,
                device=self.device,
            )
            for index, (layout, last) in enumerate(zip(self.layouts, self._last_same, strict=True)):
                rows = torch.arange(layout.num_tokens, device=self.device)
                # The key after the row's last equal token is the nearest of all induction matches.
                first = first_visible_of(rows, window)
                has_match = (last >= 0) & torch.stack((last >= first, last + 1 >= first))
                masses = layout.indicators.shape[1]
                defined = defined_rows(rows, visible_keys(rows, window), has_match, masses).double()
                if layout.reading is not None:
                    _, has_both = lookback(rows.new_ones((1, len(rows))), rows, layout.reading.num_prompt, window)
                    defined = torch.cat((defined, has_both.double()[:, None].expand(-1, NUM_LOOKBACK)), dim=1)
                counts[index, 0, : layout.query_weights.shape[0]] = layout.query_weights.double() @ defined
            self._counts[window] = counts
        return self._counts[window]

    def _shares_of_largest(self, norms: torch.Tensor) -> torch.Tensor:
        """Return norms over the largest of sequence and head: only ratios count, and half precision holds them."""
        shares = torch.empty_like(norms, memory_format=torch.contiguous_format)
        for layout in self.layouts:
            span = slice(layout.start, layout.start + layout.num_tokens)
            largest = norms[:, span].amax(dim=1, keepdim=True)
            shares[:, span] = norms[:, span] / torch.where(largest == 0, 1.0, largest)
        return shares

    def _bias(self, masking: Masking) -> torch.Tensor | None:
        """Return what is added to the keys of a sequence, float32 ``[H, tokens of the longest]``."""
        if masking.key_bias is None:
            return None
        return masking.key_bias.up_to(self.longest, self.weights).contiguous()

    def _table(self, rows: Sequence[tuple[int, ...]]) -> torch.Tensor:
        return torch.tensor(rows, dtype=torch.int32).to(self.device)


@dataclass(frozen=True, slots=True)
class _Pass:
    """Key groups that one launch carries: the first of them, how many, and their columns ``[T, P]``."""

    first: int
    count: int
    riders: torch.Tensor


def _size(window: Window) -> int:
    return window.size if isinstance(window, Chunk) else window or NO_WINDOW


def _kind(masking: Masking) -> dict[str, bool]:
    """Return what kernels are compiled for."""
    return {
        "HAS_WINDOW": masking.window is not None,
        "IS_CHUNKED": isinstance(masking.window, Chunk),
        "HAS_CAP": masking.softcap is not None,
        "HAS_BIAS": masking.key_bias is not None,
    }


def _last_same(token_ids: torch.Tensor) -> torch.Tensor:
    """Return for each row the last earlier position with the same token, or -1."""
    order = torch.argsort(token_ids, stable=True)
    last = torch.full_like(token_ids, -1)
    ordered = token_ids[order]
    last[order[1:]] = torch.where(ordered[1:] == ordered[:-1], order[:-1], -1)
    return last


def _same_dtype(*parts: torch.Tensor) -> list[torch.Tensor]:
    """Return tensors of one dtype whose last dimension is contiguous."""
    dtype = parts[0].dtype
    for part in parts[1:]:
        dtype = torch.promote_types(dtype, part.dtype)
    return [part.to(dtype) if part.stride(-1) == 1 else part.to(dtype).contiguous() for part in parts]
