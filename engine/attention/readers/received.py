"""What keys receive from the rows that see them, and sentences from those further on.

``s_j`` is the mean of ``A_ij`` over the rows i that see key j: with plain causality ``sum_{i >= j} A_ij / (T - j)``, in
a window or chunk over as many rows as reach back to it. ``s_0`` is the sink score. Between sentences a and b stands
the mean weight of the pairs of their tokens that see each other; a sentence receives the mean over sentences at least
``SENTENCES_APART`` further on, and a head whose sentences receive unevenly, by Fisher's kurtosis, is a receiver head
(Bogdan et al. 2025, Thought Anchors, arXiv 2506.19143). Sums over rows are kept, no pattern.

Shape legend: ``T`` tokens, ``B`` rows of one block, ``n`` keys of a block, ``H`` query heads, ``K`` named keys, ``S``
sentences, ``R`` receiver heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from engine.attention.masking import Window, first_visible_of
from engine.encoded_samples import IntArray
from engine.schema import FEWEST_SENTENCES, MOST_SENTENCES, SENTENCES_APART

TOGETHER = 16
"""Sentences whose rows are added up by the sentences of their keys in one product."""


@dataclass(frozen=True, slots=True)
class ReceivedRows:
    """What is asked of a sequence; the same for every layer.

    Attributes
    ----------
    top
        Keys that are named per head, at most.
    min_rows
        Rows that must see a key that is named; those of the most seen ones where a window or the text has fewer.
    heads
        Receiver heads whose sentences are kept.
    sentences
        Place of each token's sentence among ``numbers``, int64 ``[T]`` on the host; -1 for tokens of none.
    numbers
        Numbers of the sentences, ``[S]``; empty where there are none, or too many.
    last_rows
        Position of each sentence's last token, ``[S]``.
    """

    top: int
    min_rows: int
    heads: int
    sentences: torch.Tensor
    numbers: IntArray
    last_rows: IntArray = field(compare=False)
    _pairs: dict[Window, torch.Tensor] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, numbers: IntArray, top: int, min_rows: int, heads: int) -> ReceivedRows:
        """Return what is asked, given the number of each token's sentence, -1 for none, ``[T]``."""
        known = np.unique(numbers[numbers >= 0])
        if len(known) > MOST_SENTENCES:
            known = known[:0]
        places = np.searchsorted(known, numbers) if len(known) else np.zeros(len(numbers), dtype=np.int64)
        places = np.where((numbers >= 0) & (len(known) > 0), places, -1)
        last_rows = np.zeros(len(known), dtype=np.int32)
        np.maximum.at(last_rows, places[places >= 0], np.flatnonzero(places >= 0).astype(np.int32))
        return cls(top, min_rows, heads, torch.from_numpy(places.astype(np.int64)), known, last_rows)

    def visible_pairs(self, window: Window) -> torch.Tensor:
        """Return how many pairs of a row of sentence a and a key of sentence b see each other, float64 ``[S, S]``."""
        if window not in self._pairs:
            self._pairs[window] = torch.from_numpy(_pairs(self.sentences.numpy(), len(self.numbers), window))
        return self._pairs[window]


def rows_that_see(num_tokens: int, window: Window) -> IntArray:
    """Return how many rows see each key, its own among them, ``[T]``."""
    first = first_visible_of(np.arange(num_tokens), window)
    return (np.searchsorted(first, np.arange(num_tokens), side="right") - np.arange(num_tokens)).astype(np.int32)


def _pairs(sentences: np.ndarray, number: int, window: Window) -> np.ndarray:
    rows = np.flatnonzero(sentences >= 0)
    rows = rows[np.argsort(sentences[rows], kind="stable")]
    starts = np.searchsorted(sentences[rows], np.arange(number))
    low = first_visible_of(rows, window)
    found = np.zeros((number, number))
    for first in range(0, number, 64):
        columns = np.arange(first, min(first + 64, number))
        before = np.zeros((len(sentences) + 1, len(columns)), dtype=np.int64)
        np.cumsum(sentences[:, None] == columns, axis=0, out=before[1:])
        found[:, columns] = np.add.reduceat(before[rows + 1] - before[low], starts, axis=0)
    return found


@dataclass(frozen=True, slots=True)
class Received:
    """What was received in one layer.

    Attributes
    ----------
    sink
        ``s_0``, float32 ``[H]``.
    values, keys
        The largest ``s_j`` of each head, descending, and their keys, ``[H, K]``; -1 where there is none.
    num_rows
        Rows that see these keys, ``[H, K]``.
    kurtosis
        Of what sentences receive, float32 ``[H]``; NaN where there are too few. None without sentences.
    scores
        What each sentence receives, float32 ``[H, S]``; NaN for those too near the end. None without sentences.
    flow
        Between sentences, float32 ``[H, S, S]``, NaN where none sees the other; None without, and once it is pooled.
    """

    sink: torch.Tensor
    values: torch.Tensor
    keys: torch.Tensor
    num_rows: torch.Tensor
    kurtosis: torch.Tensor | None = None
    scores: torch.Tensor | None = None
    flow: torch.Tensor | None = None

    def moved(self, move: Callable[[torch.Tensor], torch.Tensor]) -> Received:
        """Return what is kept of a layer, scores and flow not among it, with every tensor moved."""
        kurtosis = None if self.kurtosis is None else move(self.kurtosis)
        return Received(move(self.sink), move(self.values), move(self.keys), move(self.num_rows), kurtosis)


class ReceivedSums:
    """Accumulates the rows of one layer into what keys and sentences receive."""

    def __init__(self, asked: ReceivedRows, num_heads: int, window: Window, device: torch.device):
        self.asked, self.window, self.device = asked, window, device
        self._wide = torch.float32 if device.type == "mps" else torch.float64
        num_tokens, number = len(asked.sentences), len(asked.numbers)
        self._open: dict[int, torch.Tensor] = {}
        self._closed: dict[int, torch.Tensor] = {}
        self._columns = torch.zeros((num_heads, num_tokens), dtype=self._wide, device=device)
        self._matrix = torch.zeros((num_heads, number, number), dtype=torch.float32, device=device)
        self._places = asked.sentences.to(device) if number else None

    def add(self, first: int, end: int, first_key: int, weights: torch.Tensor, total: torch.Tensor | None) -> None:
        """Add a block of rows; arguments as in ``ReadingSums.add``."""
        labels = self.asked.sentences.numpy()[first:end]
        present = np.unique(labels[labels >= 0])
        # The sum over all rows and over those of each sentence, in one product.
        rows = np.concatenate((np.ones((1, end - first), dtype=bool), labels == present[:, None]))
        chosen = torch.from_numpy(rows.astype(np.float32)).to(self.device)[None]
        chosen = chosen.expand(len(weights), -1, -1) if total is None else chosen / total[:, None]
        summed = chosen @ weights
        keys = slice(first_key, first_key + weights.shape[-1])
        self._columns[:, keys] += summed[:, 0].to(self._wide)
        for place, sentence in enumerate(present.tolist(), start=1):
            if sentence not in self._open:
                self._open[sentence] = weights.new_zeros((len(weights), self._columns.shape[1]))
            self._open[sentence][:, keys] += summed[:, place]
            if self.asked.last_rows[sentence] < end:
                self._closed[sentence] = self._open.pop(sentence)
        if len(self._closed) >= TOGETHER:
            self._add_up()

    def _add_up(self) -> None:
        """Add up the rows of whole sentences by the sentences of their keys."""
        if self._places is None or not self._closed:
            return
        inside = self._places[:, None] == torch.arange(len(self.asked.numbers), device=self.device)
        at = torch.tensor(list(self._closed), device=self.device)
        self._matrix[:, at] = torch.stack(list(self._closed.values()), dim=1) @ inside.to(self._matrix)
        self._closed = {}

    def found(self) -> Received:
        """Return what was received."""
        self._add_up()
        seen = rows_that_see(self._columns.shape[1], self.window)
        rows = torch.from_numpy(seen).to(self.device)
        received = (self._columns / rows.to(self._wide)).to(torch.float32)
        is_ranked = rows >= min(self.asked.min_rows, int(seen.max()))
        ranked = torch.where(is_ranked, received, -1.0)
        values, keys = ranked.topk(min(self.asked.top, ranked.shape[1]), dim=-1)
        found = Received(received[:, 0].clone(), values, keys, rows[keys])
        return found if self._places is None else self._with_sentences(found)

    def _with_sentences(self, found: Received) -> Received:
        pairs = self.asked.visible_pairs(self.window).to(self.device, self._wide)
        flow = self._matrix.to(self._wide) / pairs  # 0 / 0 is the NaN that stands for none sees the other
        counts = ((pairs > 0).tril(-SENTENCES_APART)).to(self._wide)
        number = counts.sum(dim=0)
        scores = torch.where(counts > 0, flow, 0.0).sum(dim=1) / number
        kurtosis = _kurtosis(scores, number > 0)
        return replace(found, kurtosis=kurtosis.float(), scores=scores.float(), flow=flow.float())


def _kurtosis(scores: torch.Tensor, is_known: torch.Tensor) -> torch.Tensor:
    """Return Fisher's kurtosis, biased, of the known scores ``[H, S]`` of each head; NaN of too few or equal ones."""
    count = is_known.sum()
    mean = torch.where(is_known, scores, 0.0).sum(dim=1, keepdim=True) / count
    gaps = torch.where(is_known, scores - mean, 0.0)
    variance, fourth = gaps.square().sum(dim=1) / count, gaps.square().square().sum(dim=1) / count
    # Equal but for the rounding of float32 sums.
    is_even = variance.sqrt() <= 1e-6 * mean[:, 0].abs()
    kurtosis = fourth / variance.square() - 3
    return torch.where(is_even | (count < FEWEST_SENTENCES), torch.nan, kurtosis)


@dataclass(frozen=True, slots=True)
class Receivers:
    """A sequence's receiver heads over all layers, and what flows between its sentences.

    Attributes
    ----------
    places
        Layer (its place among those with heads) times heads plus head, the largest kurtosis first, int64 ``[R]``.
    kurtosis
        Of these, float32 ``[R]``; minus infinity where there are fewer.
    scores
        What their sentences receive, float32 ``[R, S]``.
    flow
        Between sentences, mean over all heads whose window reaches so far, float32 ``[S, S]``.
    receiver_flow
        Mean over the receiver heads.
    """

    places: torch.Tensor
    kurtosis: torch.Tensor
    scores: torch.Tensor
    flow: torch.Tensor
    receiver_flow: torch.Tensor

    def moved(self, move: Callable[[torch.Tensor], torch.Tensor]) -> Receivers:
        """Return the same with every tensor moved."""
        parts = (self.places, self.kurtosis, self.scores, self.flow, self.receiver_flow)
        return Receivers(*(move(part) for part in parts))


class ReceiverPool:
    """Keeps the receiver heads of the layers so far, so that a forward holds their matrices alone."""

    def __init__(self, number: int):
        self.number = number
        self._best: tuple[torch.Tensor, ...] | None = None
        self._flow: torch.Tensor | None = None
        self._counts: torch.Tensor | None = None

    def add(self, place: int, found: Received) -> Received:
        """Add a layer by its place among those with heads, and return what was received without its matrices."""
        if found.flow is None or found.kurtosis is None or found.scores is None:
            return found
        num_heads = len(found.kurtosis)
        order = torch.where(found.kurtosis.isnan(), -torch.inf, found.kurtosis)
        places = place * num_heads + torch.arange(num_heads, device=order.device)
        new = (order, places, found.scores, found.flow)
        if self._best is not None:
            new = tuple(torch.cat((old.to(part.device), part)) for old, part in zip(self._best, new, strict=True))
        # Stable, so that of equal ones the earlier head stays.
        kept = new[0].sort(descending=True, stable=True).indices[: self.number]
        self._best = tuple(part[kept] for part in new)
        total, counts = found.flow.nansum(dim=0), (~found.flow.isnan()).sum(dim=0)
        self._flow = total if self._flow is None else self._flow.to(total.device) + total
        self._counts = counts if self._counts is None else self._counts.to(counts.device) + counts
        return replace(found, scores=None, flow=None)

    def receivers(self) -> Receivers | None:
        """Return the receiver heads; None without sentences."""
        if self._best is None or self._flow is None or self._counts is None:
            return None
        kurtosis, places, scores, flow = self._best
        among = flow[kurtosis > -torch.inf].nanmean(dim=0)
        return Receivers(places, kurtosis, scores, self._flow / self._counts, among)
