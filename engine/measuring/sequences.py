"""What one forward finds out about one sequence, and the room in which it is collected layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from engine.attention.backends.backend import LayerCall
from engine.attention.group_means import LayerStatistics
from engine.attention.layout import SequenceLayout
from engine.attention.masking import Window
from engine.attention.readers.reading import NUM_READING
from engine.attention.readers.received import ReceiverPool, Receivers
from engine.attention.rollout import LayerScores, rollout
from engine.encoded_samples import IntArray
from engine.errors import UnsupportedModelError
from engine.measuring.attribution import Attribution
from engine.measuring.fetching.retrieval import Retrieval
from engine.model.geometry import Geometry


@dataclass(frozen=True, slots=True)
class SequenceMeasurement:
    """What one forward found out about one sequence.

    Attributes
    ----------
    logits
        Decision row, float32 ``[vocabulary]``.
    layers
        Statistics by layer that has heads.
    windows
        How far back rows of each of these layers see.
    layer_numbers
        Their numbers in the model: layers without heads are not among them.
    rollout
        Rollout of the decision row, float32 ``[T]``, when asked for.
    more_logits
        Further rows at which labels part, by row, float32 ``[vocabulary]``.
    attributions
        One for each target that was asked for; none where the model's parts are not known.
    retrieval
        Whether heads fetch what is written, when asked for.
    receivers
        Receiver heads and what flows between sentences, where they were asked for and there are any.
    sentences
        Numbers of these sentences, ``[S]``.
    """

    logits: torch.Tensor
    layers: list[LayerStatistics]
    windows: tuple[Window, ...]
    layer_numbers: tuple[int, ...]
    rollout: torch.Tensor | None = None
    more_logits: Mapping[int, torch.Tensor] = field(default_factory=dict)
    attributions: Sequence[Attribution] = ()
    retrieval: Retrieval | None = None
    receivers: Receivers | None = None
    sentences: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int32))

    def on_host(self) -> SequenceMeasurement:
        """Return the measurement in the host's memory; from a CUDA device only once its copies have been waited for."""
        return replace(
            self,
            logits=_to_host(self.logits),
            layers=[
                LayerStatistics(
                    _to_host(layer.means),
                    _to_host(layer.decision_pattern),
                    _to_host(layer.is_finite) if isinstance(layer.is_finite, torch.Tensor) else layer.is_finite,
                    {head: _to_host(pattern) for head, pattern in layer.patterns.items()},
                    None if layer.null_mass is None else _to_host(layer.null_mass),
                    None if layer.reading is None else _to_host(layer.reading),
                    None if layer.received is None else layer.received.moved(_to_host),
                )
                for layer in self.layers
            ],
            rollout=None if self.rollout is None else _to_host(self.rollout),
            more_logits={row: _to_host(logits) for row, logits in self.more_logits.items()},
            attributions=[attribution.moved(_to_host) for attribution in self.attributions],
            retrieval=None if self.retrieval is None else self.retrieval.moved(_to_host),
            receivers=None if self.receivers is None else self.receivers.moved(_to_host),
        )


def _to_host(tensor: torch.Tensor) -> torch.Tensor:
    """Copy to pinned memory without waiting, where the device can; return what lies on the host already."""
    return tensor.to("cpu", non_blocking=tensor.device.type == "cuda")


class SequenceStatistics:
    """One sequence's statistics, and room for those of all layers.

    The room is taken before the forward: small tensors that outlive a layer would otherwise be carved out of the large
    blocks that its activations leave free, so that the next layer needs new ones.

    Parameters
    ----------
    layout
        Where the sequence lies and what is reduced.
    geometry
        The model's layers and heads.
    norm_weighted
        Whether norm-weighted masses are measured too.
    with_rollout
        Whether queries and keys of all layers are kept for the decision row's rollout.
    """

    def __init__(self, layout: SequenceLayout, geometry: Geometry, *, norm_weighted: bool, with_rollout: bool):
        self.layout, self.with_rollout = layout, with_rollout
        self._places = {layer: place for place, layer in enumerate(geometry.softmax_layers)}
        num_layers, num_heads = len(self._places), geometry.num_heads
        num_groups, num_statistics = layout.query_weights.shape[0], layout.num_statistics(norm_weighted)
        self._means = layout.indicators.new_empty((num_layers, num_heads, num_groups, num_statistics))
        self._decisions = layout.indicators.new_empty((num_layers, num_heads, layout.num_tokens))
        reads = layout.reading is not None
        shape = (num_layers, num_heads, layout.indicators.shape[1], NUM_READING)
        self._readings = layout.indicators.new_empty(shape) if reads else None
        self._pool = None if layout.received is None else ReceiverPool(layout.received.heads)
        self.sentences = np.zeros(0, dtype=np.int32) if layout.received is None else layout.received.numbers
        self._layers: dict[int, LayerStatistics] = {}
        self._scores: list[LayerScores] = []
        self.gated: set[int] = set()

    def keep(self, call: LayerCall, statistics: LayerStatistics) -> None:
        """Copy a layer's statistics into the room; with rollout, keep what its scores are made of too."""
        place = self._places.get(call.layer_idx)
        if place is None:
            raise UnsupportedModelError(f"layer {call.layer_idx} calls attention, and the config says it has none")
        self._means[place, ..., : statistics.means.shape[-1]] = statistics.means
        self._means[place, ..., statistics.means.shape[-1] :] = math.nan  # until the projection behind is reached
        self._decisions[place] = statistics.decision_pattern
        reading, received = None, statistics.received
        if self._readings is not None and statistics.reading is not None:
            self._readings[place] = statistics.reading
            reading = self._readings[place]
        if self._pool is not None and received is not None:
            received = self._pool.add(place, received)
        self._layers[place] = replace(
            statistics,
            means=self._means[place],
            decision_pattern=self._decisions[place],
            reading=reading,
            received=received,
        )
        if self.with_rollout:
            self._scores.append(LayerScores(call.query, call.key, call.masking))

    def layer(self, layer: int) -> LayerStatistics:
        """Return a layer's statistics."""
        return self._layers[self._places[layer]]

    def keep_gated(self, layer: int, masses: torch.Tensor) -> None:
        """Copy norm-weighted masses of the decision row; other rows have none."""
        self.gated.add(layer)
        means = self._means[self._places[layer]]
        weights = self.layout.query_weights
        is_decision = (weights[:, self.layout.decision] == 1) & (weights.sum(dim=1) == 1)
        means[:, is_decision, -masses.shape[-1] :] = masses[:, None].to(means)

    def in_order(self) -> list[LayerStatistics]:
        """Return the statistics by layer."""
        return [self._layers[layer] for layer in range(len(self._layers))]

    def receivers(self) -> Receivers | None:
        """Return the receiver heads, where they were asked for and there are sentences."""
        return None if self._pool is None else self._pool.receivers()

    def rollout(self) -> torch.Tensor | None:
        """Return the decision row's rollout ``[T]``, when asked for."""
        if not self.with_rollout:
            return None
        # Only now, since a sequence that shares rows gets a copy of them.
        own = [
            LayerScores(self.layout.gathered(layer.query), self.layout.gathered(layer.key), layer.masking)
            for layer in self._scores
        ]
        return rollout(own, self.layout.decision)
