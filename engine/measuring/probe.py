"""The probe: arms a model's attention for one packed forward, collects statistics, always disarms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from engine.attention.backends.backend import LayerCall, PackedRow
from engine.attention.backends.choice import BackendChoice
from engine.attention.group_means import LayerStatistics
from engine.attention.interface import AttentionCall, armed
from engine.attention.layout import SequenceLayout
from engine.attention.masking import Masking, Window
from engine.attention.readers.reading import NUM_READING
from engine.attention.readers.received import ReceiverPool, Receivers
from engine.attention.rollout import LayerScores, rollout
from engine.errors import UnsupportedModelError
from engine.measuring.attribution import Attribution, Attributor, Target
from engine.measuring.attribution_watch import AttributionWatch
from engine.measuring.fetching.copying import Copier, learnt
from engine.measuring.fetching.retrieval import Retrieval, RetrievalSums, RetrievalTarget
from engine.measuring.forward import logits_by_row
from engine.measuring.gates import GatedNorms, GateWitness
from engine.model.geometry import Geometry
from engine.model.placement import input_device
from engine.model.projections import value_norms
from engine.samples import IntArray


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


class Probe:
    """Measures packed sequences on one model.

    Parameters
    ----------
    model
        A causal language model whose attention can be replaced (any transformers decoder with a registered
        attention interface).
    norm_weighted
        Whether norm-weighted masses are measured too.
    with_rollout
        Whether the decision row's rollout is computed too; keeps queries and keys of all layers for a forward.
    attention
        A name of the backends' registry, or ``auto``.
    is_decision_alone
        Whether decision rows are the only query group: norm-weighted masses of gated models are measured in no other.
    top_tokens
        Keys of each sign that attributions name; None where nothing is attributed.
    contribution
        Whether key groups' shares of heads' output vectors are worked out beside attributions.
    with_retrieval
        Whether heads' largest weights are compared with what is written next, and copy scores worked out.

    Attributes
    ----------
    attributor
        Attributes targets; None where nothing is to be attributed, or the model's parts are not known.
    why_unattributed
        Which part is not known, or what failed; empty where all went well so far.
    copier
        Works out copy scores; None where nothing is retrieved, or the model's parts are not known.
    why_uncopied
        Which part is not known; empty where all are.

    Raises
    ------
    UnsupportedModelError
        When the model's kind of attention is not covered.
    ConfigError
        When a backend is asked for that cannot run here.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        norm_weighted: bool = False,
        with_rollout: bool = False,
        attention: str = "auto",
        is_decision_alone: bool = False,
        top_tokens: int | None = None,
        contribution: bool = False,
        with_retrieval: bool = False,
    ):
        self.model = model
        self.norm_weighted = norm_weighted
        self.with_rollout = with_rollout
        self.geometry = Geometry.of(model.config)
        self.weighs_gates = norm_weighted and is_decision_alone and self.geometry.is_gated
        self.is_packed = self.geometry.is_packable
        self._is_ungated = False
        if with_rollout and len(self.geometry.softmax_layers) < self.geometry.num_layers:
            raise UnsupportedModelError(
                "statistics.rollout follows attention through every layer, and some layers of this model have no "
                "heads (recurrent layers or convolutions); set statistics.rollout=false"
            )
        self.backend = BackendChoice(attention, input_device(model))
        self.attributor, self.why_unattributed = None, ""
        if top_tokens is not None:
            try:
                self.attributor = Attributor(model, top_tokens, contribution)
            except UnsupportedModelError as error:
                self.why_unattributed = str(error)
        self.copier, self.why_uncopied = None, ""
        if with_retrieval:
            try:
                self.copier = Copier(model)
            except UnsupportedModelError as error:
                self.why_uncopied = str(error)

    def measure(
        self,
        input_ids: torch.Tensor,
        layouts: Sequence[SequenceLayout],
        witness: Callable[[AttentionCall], None] | None = None,
        targets: Sequence[Sequence[Target]] = (),
        retrieved: Sequence[RetrievalTarget | None] = (),
    ) -> list[SequenceMeasurement]:
        """Run one packed forward, or, where samples may not share a row, one forward for each.

        Parameters
        ----------
        input_ids
            Token ids of all sequences one after the other, ``[T_total]``.
        layouts
            Where each sequence starts and what to reduce.
        witness
            Is shown every attention call and its answer.
        targets
            What is attributed of each sequence; nothing where empty.
        retrieved
            Which keys each sequence may fetch what it writes from; nothing is looked for where empty.

        Returns
        -------
        list of SequenceMeasurement
            In the order of ``layouts``.
        """
        if not self.is_packed and (len(layouts) > 1 or layouts[0].start):
            each = zip(layouts, targets or [[]] * len(layouts), retrieved or [None] * len(layouts), strict=True)
            return [
                self.measure(layout.token_ids, [replace(layout, start=0)], witness, [own], [fetched])[0]
                for layout, own, fetched in each
            ]
        if self.copier is not None and any(target is not None for target in retrieved):
            self.why_uncopied = learnt(self.copier, layouts[0], self.measure)
            self.copier = None if self.why_uncopied else self.copier
        gates = GateWitness() if self.norm_weighted and not self._is_ungated and not self.weighs_gates else None
        self.backend.prepare(layouts)
        watching = None
        if self.attributor is not None and any(targets):
            watching = AttributionWatch(self.attributor, layouts, targets)
        forward = _Forward(self, layouts, watching, retrieved)
        norms = GatedNorms(layouts, forward.decision_row, forward.keep_gated) if self.weighs_gates else None

        def watch(call: AttentionCall) -> None:
            for witnessing in (witness, gates, norms):
                if witnessing is not None:
                    witnessing(call)

        longest = max(layouts, key=lambda layout: layout.num_tokens)
        with (
            armed(
                self.model,
                forward.attend,
                sequence=(longest.start, longest.num_tokens),
                witness=watch if witness or gates or norms else None,
            ),
            nullcontext() if watching is None else watching.watching(),
        ):
            try:
                logits = logits_by_row(self.model, input_ids, layouts, with_positions=self.is_packed)
            finally:
                if norms is not None:
                    norms.close()
        if gates is not None:
            gates.refuse()
            self._is_ungated = True
        return forward.measurements(logits)


class _Forward:
    """One packed forward on its way through the layers: what each measured of each sequence."""

    def __init__(
        self,
        probe: Probe,
        layouts: Sequence[SequenceLayout],
        watching: AttributionWatch | None = None,
        retrieved: Sequence[RetrievalTarget | None] = (),
    ):
        self.probe, self.watching = probe, watching
        self.sequences = [_Sequence(probe, layout) for layout in layouts]
        layers, num_heads = probe.geometry.softmax_layers, probe.geometry.num_heads
        self.retrieving = [
            None if target is None else RetrievalSums(layout, target, layers, num_heads, probe.copier)
            for layout, target in zip(layouts, retrieved or [None] * len(layouts), strict=True)
        ]
        self.windows: dict[int, Window] = {}
        # What layers need of the sequences, on each device that layers are computed on.
        self._rows: dict[torch.device, PackedRow] = {}

    def attend(
        self,
        module: nn.Module,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        masking: Masking,
    ) -> torch.Tensor:
        """Answer one layer's attention call and keep its statistics."""
        if layer in self.windows:
            raise UnsupportedModelError(f"layer {layer} calls attention twice in one forward, which is not covered")
        if query.shape[0] != self.probe.geometry.num_heads:
            raise UnsupportedModelError(
                f"layer {layer} has {query.shape[0]} query heads and the config states "
                f"{self.probe.geometry.num_heads}; layers that differ in heads are not covered"
            )
        weighs = self.probe.norm_weighted and not self.probe.weighs_gates
        norms = value_norms(module, value, query.shape[0]) if weighs else None
        output = query.new_empty((query.shape[1], query.shape[0], value.shape[-1]))
        call = LayerCall(query, key, value, masking, layer, norms)
        statistics = self.probe.backend.attend(call, self._row(query.device), output)
        for sequence, of_sequence in zip(self.sequences, statistics, strict=True):
            sequence.keep(call, of_sequence)
        for sums in self.retrieving:
            if sums is not None:
                sums.add(call)
        if self.watching is not None:
            self.watching.saw(call, output)
        self.windows[layer] = masking.window
        return output

    def decision_row(self, place: int, layer: int) -> torch.Tensor:
        """Return a sequence's decision row in a layer, ``[H, T]``."""
        return self.sequences[place].layer(layer).decision_pattern

    def keep_gated(self, place: int, layer: int, masses: torch.Tensor) -> None:
        """Keep norm-weighted masses of a sequence's decision row, ``[H, C]``."""
        self.sequences[place].keep_gated(layer, masses)

    def _row(self, device: torch.device) -> PackedRow:
        if device not in self._rows:
            self._rows[device] = PackedRow([sequence.layout.to(device) for sequence in self.sequences])
        return self._rows[device]

    def measurements(self, logits: Sequence[Mapping[int, torch.Tensor]]) -> list[SequenceMeasurement]:
        """Return what was measured of each sequence, given its logits ``[vocabulary]`` by row."""
        numbers = self.probe.geometry.softmax_layers
        if set(self.windows) != set(numbers):
            raise UnsupportedModelError(
                f"{len(set(self.windows) & set(numbers))} of {len(numbers)} layers with heads call the replaced "
                f"attention; the others compute it in code of their own, which cannot be measured from outside"
            )
        if self.probe.weighs_gates and any(sequence.gated != set(numbers) for sequence in self.sequences):
            raise UnsupportedModelError(
                "statistics.norm_weighted: not every layer's heads reach a projection that is known; set "
                "statistics.norm_weighted=false"
            )
        windows = tuple(self.windows[layer] for layer in numbers)
        attributed = [[]] * len(logits) if self.watching is None else self.watching.results(logits)
        if self.watching is not None and self.watching.fault:
            self.probe.why_unattributed = self.watching.fault
        for sums in self.retrieving:
            if sums is not None and sums.fault:
                self.probe.copier, self.probe.why_uncopied = None, sums.fault
        return [
            SequenceMeasurement(
                by_row[sequence.layout.decision],
                sequence.in_order(),
                windows,
                numbers,
                sequence.rollout(),
                {row: by_row[row] for row in sequence.layout.more_logits},
                attributions,
                None if sums is None else sums.found(),
                sequence.receivers(),
                sequence.sentences,
            )
            for sequence, by_row, attributions, sums in zip(
                self.sequences, logits, attributed, self.retrieving, strict=True
            )
        ]


class _Sequence:
    """One sequence's statistics, and room for those of all layers.

    The room is taken before the forward: small tensors that outlive a layer would otherwise be carved out of the large
    blocks that its activations leave free, so that the next layer needs new ones.
    """

    def __init__(self, probe: Probe, layout: SequenceLayout):
        self.layout, self.with_rollout = layout, probe.with_rollout
        self._places = {layer: place for place, layer in enumerate(probe.geometry.softmax_layers)}
        num_layers, num_heads = len(self._places), probe.geometry.num_heads
        num_groups, num_statistics = layout.query_weights.shape[0], layout.num_statistics(probe.norm_weighted)
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
            part = call.of_sequence(self.layout)
            self._scores.append(LayerScores(part.query, part.key, part.masking))

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
        return rollout(self._scores, self.layout.decision) if self.with_rollout else None
