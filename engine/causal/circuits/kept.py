"""What a circuit recovers: s of a run in which every edge that is not kept carries the baseline.

Edges from heads in question can be cut: into the query, key and value input of other heads in question, and to the
logits. MLPs, all other heads and the norms read the residual stream as it is in that run, and what they write is not
cut: the share that is recovered is one of what the edges together account for, not of the whole model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import nn

from engine.attention.interface import armed
from engine.attention.masking import Masking
from engine.causal.circuits.edges import Edge
from engine.causal.circuits.senders import Baseline, by_layer, residual_change
from engine.causal.circuits.verified import replaced
from engine.causal.targets import Head
from engine.interventions.head_inputs import HeadInputs, head_inputs
from engine.interventions.recomputed_attention import recomputed
from engine.interventions.unchanged_run import Trace, run_layer
from engine.model.decoder import Decoder


@torch.no_grad()
def cut_difference(decoder: Decoder, kept: Trace, cut: Collection[Edge], baseline: Baseline) -> float:
    """Return s of a run in which some edges carry the baseline, whatever their senders write in that run.

    Parameters
    ----------
    decoder, kept
        The model and the sample's unchanged run.
    cut
        Edges from heads.
    baseline
        What they carry instead.
    """
    run = _CutRun(decoder, kept, cut, baseline)
    return float(decoder.logit_difference(run.leaving(), kept.contrast))


class _CutRun:
    """One run with edges cut."""

    def __init__(self, decoder: Decoder, kept: Trace, cut: Collection[Edge], baseline: Baseline):
        self.decoder, self.kept, self.baseline = decoder, kept, baseline
        self.senders: dict[tuple[Head, str], frozenset[Head]] = {}
        self.last: frozenset[Head] = frozenset()
        for edge in cut:
            assert edge.head is not None, "only edges from heads can be cut"
            if edge.target is None:
                self.last |= {edge.head}
            else:
                place = (edge.target, edge.input)
                self.senders[place] = self.senders.get(place, frozenset()) | {edge.head}
        self.written: dict[int, torch.Tensor] = {}

    def leaving(self) -> torch.Tensor:
        """Return the decision row in front of the final norm, with what is cut from it."""
        targets = [target[0] for target, _ in self.senders]
        first = min(targets, default=None)
        for index in range(len(self.kept.layers) if first is None else first):
            self.written[index] = self.kept.layers[index].head_outputs
        leaving = self.kept.leaving
        if first is not None:
            hidden = self.kept.layers[first].entering[None]
            for index in range(first, len(self.kept.layers)):
                hidden = self._layer(index, hidden)
            leaving = hidden[0, -1]
        if not self.last:
            return leaving
        return leaving + self._change(self.last)[-1].to(leaving)

    def _change(self, senders: frozenset[Head]) -> torch.Tensor:
        """Return what the residual stream loses and gains, ``[T, hidden]``, by what senders wrote in this run."""
        parts = [
            residual_change(self.decoder, self.kept, layer, heads, self.written[layer], self.baseline)
            for layer, heads in by_layer(senders).items()
        ]
        return sum((part.to(parts[0]) for part in parts[1:]), parts[0])

    def _layer(self, index: int, hidden: torch.Tensor) -> torch.Tensor:
        own = self._own(index, hidden)

        def attend(
            _module: nn.Module,
            _layer: int,
            query: torch.Tensor,
            key: torch.Tensor,
            value: torch.Tensor,
            masking: Masking,
        ) -> torch.Tensor:
            given = HeadInputs(query, key, value, masking)
            for head, inputs in own.items():
                parts = given.of([head])
                for name, other in inputs.items():
                    parts = replaced(parts, other, name)
                given = given.with_heads([head], parts)
            return recomputed(given.query, given.key, given.value, masking)

        def keep(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            self.written[index] = args[0][0]

        with (
            armed(self.decoder.model, attend, takes_batches=True),
            self.decoder.projections[index].register_forward_pre_hook(keep),
        ):
            return run_layer(self.decoder, self.kept, index, hidden)

    def _own(self, index: int, hidden: torch.Tensor) -> Mapping[int, dict[str, HeadInputs]]:
        """Return the inputs of the layer's heads that differ from what they would read, by head and input."""
        found: dict[int, dict[str, HeadInputs]] = {}
        moved: dict[frozenset[Head], HeadInputs] = {}
        for (target, name), senders in self.senders.items():
            if target[0] != index:
                continue
            if senders not in moved:
                change = self._change(senders).to(hidden)
                moved[senders] = head_inputs(self.decoder, self.kept, index, hidden + change)
            found.setdefault(target[1], {})[name] = moved[senders].of([target[1]])
        return found
