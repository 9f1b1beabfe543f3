"""One packed row through the fused kernels: each launch, and what is made of its numbers.

Shape legend: ``T`` tokens of the packed row, ``S`` sequences, ``H`` query heads, ``KV`` key-value heads, ``C`` key
groups, ``Q`` query groups, ``K`` statistics, ``P`` rider columns (key groups and the offset within the tile, padded).
"""

# Triton has no wheels for some platforms; kernels become launchable by subscript only through it.
# pyright: reportMissingImports=false, reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import triton

from engine.attention.backends import blocked
from engine.attention.backends.backend import LayerCall
from engine.attention.backends.fused.kernels import attention_kernel
from engine.attention.backends.fused.row_kernels import decision_kernel, matches_kernel, sums_kernel
from engine.attention.backends.fused.row_tables import MEMBERS, RowTables
from engine.attention.backends.fused.tiling import capability, match_warps, padded, tiling
from engine.attention.backends.prefix_rows import SequencesApart
from engine.attention.group_means import LayerStatistics
from engine.attention.layout import INDEX, NUM_BASE, NUM_LOOKBACK, SequenceLayout
from engine.attention.masking import Chunk, Masking, Window
from engine.attention.readers.reading import lookback
from engine.attention.sinks import grouped_null_mass, null_mass

IS_INTERPRETED = not isinstance(attention_kernel, triton.JITFunction)
NO_WINDOW = 2**30


class FusedRow:
    """The sequences of one packed row, layer after layer.

    Parameters
    ----------
    layouts
        The sequences; where they share rows, the kernels see each with all of its own.
    """

    def __init__(self, layouts: Sequence[SequenceLayout]):
        self.apart = SequencesApart(layouts) if any(layout.prefix for layout in layouts) else None
        self.tables = RowTables(layouts if self.apart is None else self.apart.layouts)

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
            if self.tables.has_lookback:
                self._look_back(rows, call.masking.window)
            sums = self._sums(rows)
        counts = self.tables.counts_of(call.masking.window)
        if norms is not None:
            counts = torch.cat((counts, counts[..., NUM_BASE : NUM_BASE + self.tables.num_masses]), dim=-1)
        means = (sums / counts).to(torch.float32)
        is_finite = torch.isfinite(sums).flatten(1).all(dim=1)
        statistics: list[LayerStatistics] = []
        for index, layout in enumerate(self.tables.layouts):
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
        first = NUM_BASE + self.tables.num_masses - 1
        for layout in self.tables.layouts:
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
        num_statistics = self.tables.num_carried + (0 if norms is None else self.tables.num_masses)
        rows = query.new_empty((num_heads, num_statistics, self.tables.total), dtype=torch.float32)
        softmax = query.new_empty((num_heads, 2, self.tables.total), dtype=torch.float32)
        blocks, bias = self.tables.row_blocks(shape.rows), self._bias(masking)
        for part in self.tables.passes(shape, query.dtype):
            attention_kernel[(len(blocks) * num_heads,)](
                query, key, value, output, rows, softmax, softmax if norms is None else norms,
                blocks, part.riders, softmax if bias is None else bias,
                softmax if masking.sinks is None else masking.sinks.to(query.device),
                query.stride(0), query.stride(1), key.stride(0), key.stride(1), value.stride(0), value.stride(1),
                output.stride(0), self.tables.total, _size(masking.window), num_statistics, self.tables.longest,
                float(masking.scaling), float(masking.softcap or 1.0),
                HEADS=num_heads, GROUP=num_heads // key.shape[0], HEAD_DIM=query.shape[-1], VALUE_DIM=value.shape[-1],
                FIRST_MASS=NUM_BASE + part.first, NUM_MASSES=part.count,
                FIRST_NORMED=self.tables.num_carried + part.first,
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
        if not len(self.tables.member_blocks):
            return
        num_heads = query.shape[0]
        bias = self._bias(masking)
        matches_kernel[(len(self.tables.member_blocks) * num_heads,)](
            query, key, softmax, rows, self.tables.members, self.tables.member_blocks,
            softmax if bias is None else bias,
            query.stride(0), query.stride(1), key.stride(0), key.stride(1), self.tables.total, _size(masking.window),
            rows.shape[1], self.tables.longest, float(masking.scaling), float(masking.softcap or 1.0),
            HEADS=num_heads, GROUP=num_heads // key.shape[0], HEAD_DIM=query.shape[-1], D=padded(query.shape[-1]),
            M=MEMBERS, **_kind(masking), IS_WIDENED=IS_INTERPRETED,
            num_warps=match_warps(query.shape[-1], query.dtype), enable_fp_fusion=True,
        )  # fmt: skip

    def _decision_rows(self, call: LayerCall, softmax: torch.Tensor) -> torch.Tensor:
        query, key, masking = call.query, call.key, call.masking
        decisions = query.new_zeros((query.shape[0], self.tables.total), dtype=torch.float32)
        keys = 64
        grid = (query.shape[0], -(-self.tables.longest // keys), len(self.tables.layouts))
        bias = self._bias(masking)
        decision_kernel[grid](
            query, key, softmax, decisions, self.tables.sequences, softmax if bias is None else bias,
            query.stride(0), query.stride(1), key.stride(0), key.stride(1), self.tables.total, _size(masking.window),
            self.tables.longest, float(masking.scaling), float(masking.softcap or 1.0),
            GROUP=query.shape[0] // key.shape[0], HEAD_DIM=query.shape[-1], N=keys, D=padded(query.shape[-1]),
            **_kind(masking), num_warps=4, enable_fp_fusion=True,
        )  # fmt: skip
        return decisions

    def _sums(self, rows: torch.Tensor) -> torch.Tensor:
        """Return float64 sums over query groups, ``[S, H, Q, K]``."""
        num_heads, num_statistics, _ = rows.shape
        # float64 as in GroupMeans: sums of thousands of rows would lose float32's last digits.
        sums = rows.new_empty(
            (len(self.tables.layouts), num_heads, self.tables.num_groups, num_statistics), dtype=torch.float64
        )
        columns = 32
        grid = (num_heads, len(self.tables.layouts) * self.tables.num_groups, -(-num_statistics // columns))
        sums_kernel[grid](
            rows, self.tables.weights, sums, self.tables.sequences, self.tables.total, num_statistics,
            self.tables.num_groups,
            HEADS=num_heads, ROWS=128, COLUMNS=columns, num_warps=4, enable_fp_fusion=True,
        )  # fmt: skip
        return sums

    def _shares_of_largest(self, norms: torch.Tensor) -> torch.Tensor:
        """Return norms over the largest of sequence and head: only ratios count, and half precision holds them."""
        shares = torch.empty_like(norms, memory_format=torch.contiguous_format)
        for layout in self.tables.layouts:
            span = slice(layout.start, layout.start + layout.num_tokens)
            largest = norms[:, span].amax(dim=1, keepdim=True)
            shares[:, span] = norms[:, span] / torch.where(largest == 0, 1.0, largest)
        return shares

    def _bias(self, masking: Masking) -> torch.Tensor | None:
        """Return what is added to the keys of a sequence, float32 ``[H, tokens of the longest]``."""
        if masking.key_bias is None:
            return None
        return masking.key_bias.up_to(self.tables.longest, self.tables.weights).contiguous()


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


def _same_dtype(*parts: torch.Tensor) -> list[torch.Tensor]:
    """Return tensors of one dtype whose last dimension is contiguous."""
    dtype = parts[0].dtype
    for part in parts[1:]:
        dtype = torch.promote_types(dtype, part.dtype)
    return [part.to(dtype) if part.stride(-1) == 1 else part.to(dtype).contiguous() for part in parts]
