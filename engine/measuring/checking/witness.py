"""Sees the attention calls of one forward, and compares each with what the model's own attention makes of its inputs.

Shape legend: ``H`` query heads, ``R`` checked rows, ``T`` tokens, ``C`` key groups, ``K`` statistics.
"""

from __future__ import annotations

import math

import torch

from engine.attention.interface import AttentionCall
from engine.attention.layout import SequenceLayout
from engine.errors import UnsupportedModelError
from engine.measuring.checking.own_statistics import statistics_of_rows


class Witness:
    """Sees the attention calls of one forward: what goes into them, and what the model's own attention makes of it.

    Parameters
    ----------
    rows
        Checked rows, counted from the sample's first token.
    layout
        The sample in its row.
    sample_id
        Its name.
    is_local
        Whether the model's own attention answers too.
    """

    def __init__(self, rows: torch.Tensor, layout: SequenceLayout, sample_id: str, *, is_local: bool):
        self.rows, self.layout, self.sample_id, self.is_local = rows, layout, sample_id, is_local
        self.inputs: dict[int, tuple[torch.Tensor, ...]] = {}
        self._own: dict[int, tuple[torch.Tensor, torch.Tensor, float]] = {}
        self._output_share = 0.0

    def __call__(self, call: AttentionCall) -> None:
        """Keep some rows of what goes in, and compare what comes out."""
        rows = self.layout.packed_rows(self.rows.to(call.query.device))
        self.inputs[call.layer_idx] = tuple(part[0][:, rows].float() for part in (call.query, call.key, call.value))
        if not self.is_local:
            return
        own = call.own_rows(self.rows)
        if own is None:
            return
        output, weights, seen = own
        noise = self._noise(call)
        # Outputs are rounded to the model's dtype, and are means of values.
        coarse = torch.finfo(call.output.dtype).eps * 4
        allowed = (noise + coarse) * float(call.value.abs().max().float()) + 1e-6
        gap = float((call.output[0][rows].float() - output.float()).abs().max())
        self._output_share = max(self._output_share, gap / allowed)
        if not gap <= allowed:
            raise UnsupportedModelError(
                f"layer {call.layer_idx} of sample {self.sample_id!r}: the model's own attention and this one answer "
                f"the same queries, keys and values {gap:.3g} apart, where {allowed:.3g} is allowed: its attention is "
                f"not covered, and nothing was written"
            )
        layout = self.layout.to(call.query.device)
        own_values, scale = statistics_of_rows(weights, seen, self.rows.to(weights.device), layout)
        self._own[call.layer_idx] = own_values, scale, noise

    def _noise(self, call: AttentionCall) -> float:
        """Return by how much float32 weights may differ, from the size of the scores of the checked rows."""
        group = call.query.shape[1] // call.key.shape[1]
        keys = call.key[0].float().repeat_interleave(group, dim=0)
        scores = call.query[0][:, self.rows.to(call.query.device)].float() @ keys.mT * call.masking.scaling
        largest = float(scores.abs().max())
        if call.masking.softcap is not None:
            largest = min(largest, call.masking.softcap)
        if call.masking.key_bias is not None:
            largest += float(call.masking.key_bias.up_to(call.key.shape[2], scores).abs().max())
        return 2e-5 + 2e-6 * largest

    def worst(self, means: list[torch.Tensor], numbers: tuple[int, ...]) -> float:
        """Return the largest deviation of statistics and outputs over what is allowed.

        Parameters
        ----------
        means
            By layer, ``[H, R, K]``: each checked row was a query group of its own.
        numbers
            The layers.

        Raises
        ------
        UnsupportedModelError
            Where it exceeds 1.
        """
        worst = self._output_share
        for layer, found in zip(numbers, means, strict=True):
            if layer not in self._own:
                continue
            own, scale, noise = self._own[layer]
            mine = found.double()[..., : own.shape[-1]]
            gaps = ((mine - own.double()).abs() / (noise * scale.double())).nan_to_num(nan=0.0)
            gaps[mine.isnan() != own.isnan()] = math.inf
            share = float(gaps.max())
            worst = max(worst, share)
            if not share <= 1:
                row = int(self.rows[int(gaps.amax(dim=(0, 2)).argmax())])
                raise UnsupportedModelError(
                    f"layer {layer} of sample {self.sample_id!r}: statistics of row {row} differ from those of the "
                    f"model's own attention by {share:.3g} times what is allowed: its attention is not covered, and "
                    f"nothing was written"
                )
        return worst
