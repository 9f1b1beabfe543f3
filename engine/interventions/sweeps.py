"""Many interventions on one sample: only what an intervention changes is computed again.

The unchanged run keeps the residual stream that enters each layer and each layer's keys and values. An intervention
starts at the layer that it changes, from the kept heads' outputs; interventions that start at one layer run as one
batch beside an unmodified element of their own, the reference. Texts of which only a few fit into a batch run one by
one, and so does their reference, in the same shape. Rows before the first changed one keep their keys and values, and
in the last layer only the decision row is computed; where layers need all rows (``Decoder.needs_all_rows``), all are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine.attention.interface import armed
from engine.attention.masking import Masking
from engine.interventions.edits import HeadEdit, edited_elements
from engine.interventions.knockouts import Knockout, keys_of_knockouts
from engine.interventions.recomputed_attention import HiddenKeys, recomputed
from engine.interventions.unchanged_run import Trace, run_layer
from engine.model.decoder import Decoder, adds_residual
from engine.model.placement import forward_replaced

_FEWEST = 12
"""Interventions beside a reference at least; with fewer of them the reference would cost too much of a batch."""


@dataclass(frozen=True, slots=True)
class Intervention:
    """What is changed at a time: edits of heads, knockouts, or both.

    Attributes
    ----------
    first_row
        First row that differs from the unchanged run.
    """

    first_row: int
    edits: tuple[HeadEdit, ...] = ()
    knockouts: tuple[Knockout, ...] = ()

    @property
    def first_layer(self) -> int:
        """First layer that differs from the unchanged run."""
        return min([*(edit.layer for edit in self.edits), *(knockout.first_layer for knockout in self.knockouts)])

    def is_identity(self, num_tokens: int) -> bool:
        """Whether it changes nothing by its very definition."""
        is_hiding = any(key < num_tokens for knockout in self.knockouts for key in knockout.keys)
        return not is_hiding and all(edit.is_identity for edit in self.edits)


@dataclass(frozen=True, slots=True)
class Effect:
    """s under an intervention and of its unmodified reference."""

    logit_difference: float
    reference: float


class Sweep:
    """Runs interventions on one sample.

    Parameters
    ----------
    decoder
        The model.
    kept
        The sample's unchanged run.
    tokens_per_batch
        Recomputed tokens of a batch at most; a single intervention always runs.
    """

    def __init__(self, decoder: Decoder, kept: Trace, tokens_per_batch: int):
        self.decoder, self.kept, self.tokens_per_batch = decoder, kept, tokens_per_batch

    def run(self, interventions: Sequence[Intervention]) -> list[Effect]:
        """Return the effect of each intervention, in their order.

        Raises
        ------
        torch.OutOfMemoryError
            When even a single intervention does not fit.
        """
        found: dict[int, Effect] = {}
        groups: dict[tuple[int, int, bool], list[int]] = {}
        for number, own in enumerate(interventions):
            # Knockouts need the first layer's attention anew, edits only its heads' outputs: no batch can do both.
            groups.setdefault((own.first_layer, own.first_row, bool(own.knockouts)), []).append(number)
        for (_, first_row, _), numbers in sorted(groups.items()):
            num_rows = self.kept.num_tokens - (0 if self.decoder.needs_all_rows else first_row)
            size = self.tokens_per_batch // num_rows - 1
            if size < _FEWEST:
                size = len(numbers)
                run = self._one_by_one
            else:
                run = self._halving
            for start in range(0, len(numbers), size):
                part = numbers[start : start + size]
                found.update(zip(part, run([interventions[number] for number in part]), strict=True))
        return [found[number] for number in range(len(interventions))]

    def _halving(self, batch: Sequence[Intervention]) -> list[Effect]:
        """Run interventions beside their reference; when they do not fit into memory, halves of them."""
        try:
            return self._beside_reference(batch)
        except torch.OutOfMemoryError:
            if self.kept.leaving.device.type == "cuda":
                torch.cuda.empty_cache()
        # Outside of the except block: its exception would keep alive what the failed batch holds.
        if len(batch) == 1:
            return self._one_by_one(batch)
        # Halves: what fits is not known beforehand. Each has a reference of its own, as rounding depends on batch size.
        middle = len(batch) // 2
        return [*self._halving(batch[:middle]), *self._halving(batch[middle:])]

    def _beside_reference(self, batch: Sequence[Intervention]) -> list[Effect]:
        reference, *differences = self._differences([Intervention(batch[0].first_row), *batch], batch[0])
        return [Effect(reference if value is None else value, reference) for value in differences]

    def _one_by_one(self, batch: Sequence[Intervention]) -> list[Effect]:
        """Run interventions in batches of one; equal shapes give equal bits, so one reference serves all of them."""
        (reference,) = self._differences([Intervention(batch[0].first_row)], batch[0])
        values = [self._differences([own], own)[0] for own in batch]
        return [Effect(reference if value is None else value, reference) for value in values]

    @torch.no_grad()
    def _differences(self, elements: Sequence[Intervention], like: Intervention) -> list[Any]:
        """Return s of interventions that start at the same layer and row as one of them.

        None stands for an intervention that changes nothing; the first is the reference, or else all alone.
        """
        state = _Recomputation(self.decoder, self.kept, elements, like)
        values = self.decoder.logit_difference(state.run(), self.kept.contrast).tolist()
        is_reference = [not own.edits and not own.knockouts for own in elements]
        return [
            None if element in state.unchanged and not is_reference[element] else value
            for element, value in enumerate(values)
        ]


class _KeysTaken(Exception):  # noqa: N818 - ends a forward of which only keys and values are wanted
    pass


class _Recomputation:
    """One batch on its way from its first layer to the decision row's end."""

    def __init__(self, decoder: Decoder, kept: Trace, elements: Sequence[Intervention], like: Intervention):
        self.decoder, self.kept, self.elements = decoder, kept, elements
        self.first_layer = first_layer = like.first_layer
        self.hidden_from = elements[0].first_row
        self.first_row = 0 if decoder.needs_all_rows else self.hidden_from
        self.last = len(kept.layers) - 1
        # What changes nothing is the reference itself, whatever rounding its place in the batch brings.
        self.unchanged = {index for index, own in enumerate(elements) if own.is_identity(kept.num_tokens)}
        self.hides_keys = bool(like.knockouts)
        # The first layer of edits alone starts from its heads' outputs, which are changed there and then.
        start = first_layer if self.hides_keys else first_layer + 1
        self.edits: dict[int | None, Sequence[HeadEdit]] = {
            element: [edit for edit in own.edits if edit.layer >= start] for element, own in enumerate(elements)
        }
        self._taken: tuple[torch.Tensor, torch.Tensor] | None = None
        self._only_keys = False

    def run(self) -> torch.Tensor:
        """Return the decision row behind the last layer, ``[B, hidden]``."""
        with armed(self.decoder.model, self._attend, takes_batches=True), edited_elements(self.decoder, self.edits):
            if self.hides_keys:
                start, hidden = self.first_layer, self._entering(self.first_layer)
            else:
                start, hidden = self.first_layer + 1, self._first()
            for index in range(start, self.last + 1):
                if index == self.last and hidden.shape[1] > 1 and not self.decoder.needs_all_rows:
                    hidden = self._last(hidden)
                else:
                    hidden = run_layer(self.decoder, self.kept, index, hidden)
        return hidden[:, -1]

    def _entering(self, index: int) -> torch.Tensor:
        rows = self.kept.layers[index].entering[self.first_row :]
        return rows.expand(len(self.elements), -1, -1)

    def _first(self) -> torch.Tensor:
        """Run the first layer from its kept heads' outputs: neither its projections nor its attention change."""
        index = self.first_layer
        # Behind the last layer's attention, the decision row depends on no other row.
        is_cut = index == self.last and not self.decoder.needs_all_rows
        first_row = self.kept.num_tokens - 1 if is_cut else self.first_row
        layer = self.kept.layers[index]
        kept = layer.head_outputs[first_row:]
        outputs = kept.repeat(len(self.elements), 1, 1)
        by_head = outputs.unflatten(-1, (self.decoder.geometry.num_heads, -1))
        for element, own in enumerate(self.elements):
            for edit in own.edits:
                if edit.layer == index:
                    edit.change(by_head[element])
            if not self.edits[element] and torch.equal(outputs[element], kept):
                self.unchanged.add(element)
        projection, attention = self.decoder.projections[index], self.decoder.attentions[index]

        def project(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
            projected = projection(outputs)
            if not adds_residual(attention):
                return projected, None
            residual = kwargs["residual"] if "residual" in kwargs else args[1]
            return residual.to(projected.device) + projected, None

        with forward_replaced(attention, project):
            hidden = layer.entering[first_row:].expand(len(self.elements), -1, -1)
            return run_layer(self.decoder, self.kept, index, hidden)

    def _last(self, hidden: torch.Tensor) -> torch.Tensor:
        """Run the last layer for the decision row: of the other rows only keys and values are computed."""
        self._only_keys = True
        try:
            run_layer(self.decoder, self.kept, self.last, hidden)
        except _KeysTaken:
            pass
        finally:
            self._only_keys = False
        return run_layer(self.decoder, self.kept, self.last, hidden[:, -1:])

    def _attend(
        self,
        _module: nn.Module,
        index: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        masking: Masking,
    ) -> torch.Tensor:
        if self._only_keys:
            self._taken = (key, value)
            raise _KeysTaken
        num_rows = query.shape[2]
        layer = self.kept.layers[index]
        before = self.first_row
        if self._taken is not None:
            key, value = self._taken  # of all rows from the first changed one on
        prefix = (layer.key[:, :before], layer.value[:, :before]) if before else None
        hiding = [[k for k in own.knockouts if k.covers(index)] for own in self.elements]
        knockout = None
        if any(hiding):
            keys = keys_of_knockouts(hiding, self.kept.num_tokens, query.device)
            rows = torch.arange(self.kept.num_tokens - num_rows, self.kept.num_tokens, device=query.device)
            knockout = HiddenKeys(rows >= self.hidden_from, keys)
        return recomputed(query, key, value, masking, prefix, knockout)
