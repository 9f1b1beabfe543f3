"""How an answer reads what stands before it: where in each key group its rows look, and how much they look back.

Over the answer's rows i and the keys j of a group F that stand before the first of them, with ``m_i = sum_j A_ij``:
``mu_i = sum_j A_ij j / m_i`` is where the row reads, ``c_i = sum_j (A_ij / m_i)^2`` on how few keys it rests (Chen et
al. 2026, arXiv 2604.19149, drift and concentration of the reading focus). A row counts for a group that it gives at
least ``LEAST_MASS``. Keys of the answer itself are left out: a group that grows with the row drifts by construction.

Shape legend: ``T`` tokens, ``R`` rows of the answer, ``B`` rows of one block, ``n`` keys of a block, ``H`` query heads,
``C`` key groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from engine.attention.masking import Window, first_visible_of
from engine.encoded_samples import EncodedSample

LEAST_MASS = 1e-6
"""Weight of a group below which a row does not read it: what is less is the rounding of float32 weights."""

NUM_READING = 3
"""Centroid, drift and concentration."""


@dataclass(frozen=True, slots=True)
class AnswerReading:
    """What a sequence's reading is measured of; the same for every layer.

    Attributes
    ----------
    rows
        Rows of the answer, sorted, int64 ``[R]``, on the host; empty where there is none.
    groups
        Key groups before the first of them as 0/1 columns, float32 ``[T, C]``.
    centres
        Mean position of each, float32 ``[C]``: positions are counted from it, so that they keep their digits.
    response
        1 for tokens behind the prompt, float32 ``[T, 1]``.
    num_prompt
        Tokens of the prompt.
    """

    rows: torch.Tensor
    groups: torch.Tensor
    centres: torch.Tensor
    response: torch.Tensor
    num_prompt: int

    @classmethod
    def of(cls, encoded: EncodedSample, indicators: torch.Tensor) -> AnswerReading:
        """Return what is measured of a sample, given its key groups ``[T, C]``."""
        rows = encoded.answer_rows
        groups = indicators.clone()
        groups[int(rows[0]) if len(rows) else 0 :] = 0
        position = torch.arange(len(indicators), dtype=torch.float32, device=indicators.device)
        response = (position >= encoded.num_prompt_tokens).float()[:, None]
        centres = (position @ groups) / groups.sum(dim=0).clamp(min=1)
        return cls(torch.from_numpy(rows), groups, centres.round(), response, encoded.num_prompt_tokens)

    @property
    def first_row(self) -> int:
        """The answer's first row, behind the last key that is read."""
        return int(self.rows[0]) if len(self.rows) else 0

    def to(self, device: torch.device) -> AnswerReading:
        """Return the same on a device."""
        groups, centres, response = (part.to(device) for part in (self.groups, self.centres, self.response))
        return AnswerReading(self.rows, groups, centres, response, self.num_prompt)


class ReadRows(NamedTuple):
    """Sums over each group's keys of ``R`` rows: weights, weights times positions from its centre, squared weights.

    Each ``[H, R, C]``.
    """

    mass: torch.Tensor
    moment: torch.Tensor
    square: torch.Tensor


class ReadingSums:
    """Accumulates rows of one layer into centroid, drift and concentration by head and key group."""

    def __init__(self, reading: AnswerReading, num_heads: int):
        device = reading.groups.device
        self.reading = reading
        # Slopes are differences of sums of squares of positions.
        self._wide = torch.float32 if device.type == "mps" else torch.float64
        num_groups = reading.groups.shape[1]
        self._sums = torch.zeros((6, num_heads, num_groups), dtype=self._wide, device=device)

    def add(self, first: int, end: int, first_key: int, weights: torch.Tensor, total: torch.Tensor | None) -> None:
        """Add the answer's rows among those of a block.

        Parameters
        ----------
        first, end
            The block.
        first_key
            First key that any of its rows sees.
        weights
            ``[H, B, n]``, 0 for keys that a row does not see; on keys from ``first_key`` on.
        total
            What normalises them ``[H, B]``; None where rows sum to 1.
        """
        low, high = torch.searchsorted(self.reading.rows, self.reading.rows.new_tensor([first, end])).tolist()
        if low == high:
            return
        reached = min(self.reading.first_row - first_key, weights.shape[-1])
        if reached <= 0:
            return
        chosen, weights = (self.reading.rows[low:high] - first).to(weights.device), weights[..., :reached]
        if high - low < end - first:
            weights = weights.index_select(1, chosen)
            total = None if total is None else total.index_select(1, chosen)
        groups = self.reading.groups[first_key : first_key + reached]
        offset = torch.arange(first_key, first_key + len(groups), dtype=torch.float32, device=weights.device)
        moments = groups * (offset[:, None] - self.reading.centres)
        mass, moment = (weights @ torch.cat((groups, moments), dim=1)).chunk(2, dim=-1)
        self.add_rows(chosen + first, ReadRows(mass, moment, weights.square() @ groups), total)

    def add_rows(self, rows: torch.Tensor, read: ReadRows, total: torch.Tensor | None) -> None:
        """Add rows of the answer.

        Parameters
        ----------
        rows
            Their positions ``[R]``.
        read
            What they read.
        total
            What normalises their weights ``[H, R]``; None where they sum to 1.
        """
        mass, moment, square = (part.to(self._wide) for part in read)
        if total is not None:
            each = total.to(self._wide)[..., None]
            mass, moment, square = mass / each, moment / each, square / each.square()
        # NaN of a broken row stays NaN: it is no mass below the least.
        counts = ~(mass < LEAST_MASS)
        divisor = torch.where(counts, mass, 1.0)
        centre = torch.where(counts, moment / divisor, 0.0)
        focus = torch.where(counts, square / divisor.square(), 0.0)
        row = (rows - self.reading.first_row).to(self._wide)[:, None]
        counted = counts.to(self._wide)
        parts = (counted, row * counted, row.square() * counted, centre, row * centre, focus)
        self._sums += torch.stack([part.sum(dim=1) for part in parts])

    def means(self) -> torch.Tensor:
        """Return centroid, drift and concentration, float32 ``[H, C, NUM_READING]``; NaN where no row counts."""
        count, row, square, centre, product, focus = self._sums
        spread = square - row.square() / count
        drift = torch.where(count >= 2, (product - row * centre / count) / spread, torch.nan)
        mean = self.reading.centres.to(self._wide) + centre / count
        return torch.stack((mean, drift, focus / count), dim=-1).to(torch.float32)


def lookback(
    response: torch.Tensor, position: torch.Tensor, num_prompt: int, window: Window
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return lookback ratios of rows, ``[H, B, 2]``, and for which rows they are defined, bool ``[B]``.

    ``m_P / (m_P + m_R)`` of the masses on prompt and response, the row's own token included, which is the latest one of
    the response when the next is chosen; and the same of the mean weights per visible token (Chuang et al. 2024). A row
    counts that sees tokens of both: without the response the ratio would be 1, without the prompt 0, whatever the head.

    Parameters
    ----------
    response
        Mass on the response ``[H, B]``.
    position
        Positions of the rows ``[B]``.
    num_prompt
        Tokens of the prompt.
    window
        How far back rows see.
    """
    first = first_visible_of(position, window)
    of_prompt = (num_prompt - first).clamp(min=0)
    of_response = (position + 1 - first.clamp(min=num_prompt)).clamp(min=0)
    prompt = (1 - response).clamp(min=0)
    on_prompt, on_response = prompt / of_prompt.clamp(min=1), response / of_response.clamp(min=1)
    ratios = torch.stack((prompt / (prompt + response), on_prompt / (on_prompt + on_response)), dim=-1)
    return ratios, (of_prompt > 0) & (of_response > 0)
