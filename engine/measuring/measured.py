"""What one packed forward measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from engine.attention.group_means import LayerStatistics
from engine.encoded_samples import EncodedSample
from engine.measuring.sequences import SequenceMeasurement
from engine.tolerances import tolerance

TARGET = "answer_target"
"""The query group whose rows are those of a companion, where a sample has one."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One sample and what the probe found."""

    encoded: EncodedSample
    found: SequenceMeasurement
    companion: Measured | None = None

    def with_companion(self, companion: Measured) -> Measured:
        """Return the measurement with the rows of ``answer_target`` taken from those of its companion."""
        place = list(self.encoded.query_groups).index(TARGET) if TARGET in self.encoded.query_groups else None
        if place is None:
            return self
        layers = []
        for own, other in zip(self.layers, companion.layers, strict=True):
            means = own.means.clone()
            means[:, place] = other.means[:, place]
            null = own.null_mass
            if null is not None and other.null_mass is not None:
                null = null.clone()
                null[:, place] = other.null_mass[:, place]
            layers.append(replace(own, means=means, null_mass=null))
        return replace(self, found=replace(self.found, layers=layers), companion=companion)

    @property
    def logits(self) -> torch.Tensor:
        """Decision row over the vocabulary, float32 ``[vocabulary]``."""
        return self.found.logits

    @property
    def logits_by_row(self) -> dict[int, torch.Tensor]:
        """The same of every row that the sample asks for, by row."""
        return {self.encoded.decision_position: self.logits, **self.found.more_logits}

    @property
    def layers(self) -> Sequence[LayerStatistics]:
        """Statistics by layer that has heads."""
        return self.found.layers

    @property
    def layer_numbers(self) -> Sequence[int]:
        """Numbers of these layers in the model."""
        return self.found.layer_numbers

    def of_layer(self, layer: int) -> LayerStatistics:
        """Return the statistics of a layer by its number in the model."""
        return self.layers[self.layer_numbers.index(layer)]

    def is_finite(self) -> bool:
        """Whether logits, decision rows and the sums behind every mean hold neither NaN nor infinity."""
        parts = [*self.logits_by_row.values(), *(layer.decision_pattern for layer in self.layers)]
        return all(bool(torch.isfinite(part).all()) for part in parts) and all(layer.is_finite for layer in self.layers)

    def row_sum_error(self) -> float:
        """Return how far the decision rows' sums lie from 1 at most, over layers and heads."""
        return max(float((layer.decision_pattern.sum(-1) - 1).abs().max()) for layer in self.layers)

    def future_mass(self) -> float:
        """Return the largest weight that a decision row puts beyond itself, over layers and heads."""
        future = [layer.decision_pattern[:, self.encoded.decision_position + 1 :] for layer in self.layers]
        return max((float(part.max()) for part in future if part.numel()), default=0.0)

    def fault(self) -> tuple[str, str] | None:
        """Return reason and detail of what makes the measurement unusable, or None when it is sound."""
        if not self.is_finite():
            return "not_finite", "The model gives NaN or infinity; try model.dtype=float32."
        if self.row_sum_error() > tolerance("row sum").atol:
            return "rows_not_normalised", f"A decision row sums to 1 only within {self.row_sum_error():.2g}."
        if self.future_mass() > 0:
            return "mass_on_the_future", f"A decision row puts {self.future_mass():.2g} beyond itself."
        return None if self.companion is None else self.companion.fault()
