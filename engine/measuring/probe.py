"""The probe: arms a model's attention for one packed forward, collects statistics, always disarms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import nn
from transformers import PreTrainedModel

from engine.attention.backends.backend import LayerCall, PackedRow
from engine.attention.backends.choice import BackendChoice
from engine.attention.interface import AttentionCall, armed
from engine.attention.layout import SequenceLayout
from engine.attention.masking import Masking, Window
from engine.errors import UnsupportedModelError
from engine.measuring.attribution import Attributor, Target
from engine.measuring.attribution_watch import AttributionWatch
from engine.measuring.fetching.copying import Copier, learnt
from engine.measuring.fetching.retrieval import RetrievalSums, RetrievalTarget
from engine.measuring.forward import logits_by_row
from engine.measuring.gates import GatedNorms, GateWitness
from engine.measuring.sequences import SequenceMeasurement, SequenceStatistics
from engine.model.geometry import Geometry
from engine.model.placement import input_device
from engine.model.projections import value_norms


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
            Token ids of the packed row, ``[T_total]``: all sequences one after the other, but for what they share.
        layouts
            Where each sequence lies and what to reduce.
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
                self.measure(layout.token_ids, [layout.alone()], witness, [own], [fetched])[0]
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

        # Behind a prefix that lies elsewhere rows do not see what masks are learnt from; the longest shares none.
        longest = max((layout for layout in layouts if not layout.prefix), key=lambda layout: layout.num_tokens)
        assert all(layout.num_tokens <= longest.num_tokens for layout in layouts), "a longer one begins with its rows"
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
        self.sequences = [
            SequenceStatistics(
                layout, probe.geometry, norm_weighted=probe.norm_weighted, with_rollout=probe.with_rollout
            )
            for layout in layouts
        ]
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
