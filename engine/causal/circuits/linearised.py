r"""Edge attribution patching with integrated gradients: what every edge of some heads changes s by, to first order.

An edge from head u into the query, key or value input of head v, or to the logits, is worth

.. math:: e_{uv} = \frac1m \sum_k \langle \Delta_u,\; \partial s / \partial x_v \rangle_{\alpha_k},

where :math:`\Delta_u` is what the baseline of u in its place changes the residual stream by at the unchanged run, and
x_v that one input of v. One step is edge attribution patching (Syed et al. 2023, 2310.10348): the gradient at the
unchanged run. With m steps it is averaged over runs in which every input of every head in question, and that of the
logits, is moved by :math:`\alpha_k \sum_u \Delta_u`, :math:`\alpha_k = (k + 1/2) / m`. Hanna et al. (2024, 2403.17806)
move the embeddings towards those of another text instead; a zero or a mean is no text, so here the edges themselves are
moved, along a path whose integral is what moving all of them at once does to s:
:math:`\sum e = s(1) - s(0)` over the edges from heads, as m grows. In a model that is linear in what edges carry, e is
what path patching measures, whatever m.

Shape legend: ``T`` tokens up to the decision row, ``H`` query heads, ``K`` heads in question of one layer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from engine.attention.interface import armed
from engine.attention.masking import Masking
from engine.causal.circuits.edges import Edge, Input
from engine.causal.circuits.senders import Baseline, by_layer, residual_change
from engine.causal.circuits.sources import source_changes
from engine.causal.differentiable_attention import differentiable
from engine.causal.targets import Head
from engine.interventions.head_inputs import HeadInputs, head_inputs
from engine.interventions.recomputed_attention import recomputed
from engine.interventions.unchanged_run import Trace, run_layer
from engine.model.decoder import Decoder

_INPUTS: tuple[Input, ...] = ("q", "k", "v")


def linearised_edges(
    decoder: Decoder,
    kept: Trace,
    heads: Collection[Head],
    groups: Mapping[str, torch.Tensor],
    baseline: Baseline,
    steps: int,
) -> dict[Edge, float]:
    """Return what every edge of some heads changes s by to first order, in nats, as ``candidate_edges`` names them.

    Parameters
    ----------
    decoder, kept
        The model and the sample's unchanged run.
    heads
        Layer and query head of each.
    groups
        Token positions of key groups by name.
    baseline
        What edges carry once they are cut.
    steps
        Runs over which gradients are averaged; 1: the unchanged run alone.
    """
    path = _Path(decoder, kept, by_layer(heads), baseline)
    sources = source_changes(decoder, kept, path.layers, groups, baseline)
    found: defaultdict[Edge, float] = defaultdict(float)
    for step in range(steps):
        alpha = 0.0 if steps == 1 else (step + 0.5) / steps
        for edge, value in path.products(alpha, sources).items():
            found[edge] += value / steps
    return dict(found)


@torch.no_grad()
def moved_difference(decoder: Decoder, kept: Trace, heads: Collection[Head], baseline: Baseline, alpha: float) -> float:
    """Return s where all inputs are moved by ``alpha`` of what their edges from heads carry less: an end of the path.

    Parameters
    ----------
    decoder, kept, heads, baseline
        As for ``linearised_edges``.
    alpha
        0: the unchanged run; 1: every edge moved at once.
    """
    path = _Path(decoder, kept, by_layer(heads), baseline)
    _, leaving = path.moved(alpha)
    return float(decoder.logit_difference(leaving, kept.contrast))


@dataclass(slots=True)
class _Through:
    """Gradients that a layer hands on: of its input, its heads' outputs, and the inputs of its heads in question."""

    entering: torch.Tensor
    outputs: torch.Tensor | None
    inputs: dict[tuple[int, Input], torch.Tensor]


class _Path:
    """The runs between the unchanged one and that in which every edge is moved."""

    def __init__(self, decoder: Decoder, kept: Trace, layers: Mapping[int, Sequence[int]], baseline: Baseline):
        self.decoder, self.kept, self.layers = decoder, kept, layers
        self.changes: dict[Head, torch.Tensor] = {}
        with torch.no_grad():
            for layer, heads in layers.items():
                outputs = kept.layers[layer].head_outputs
                for head in heads:
                    self.changes[layer, head] = residual_change(decoder, kept, layer, [head], outputs, baseline)
        # What moves the inputs of a layer's heads: everything that heads below write; behind the last layer, of all.
        self.shifts = {layer: self._shift(layer) for layer in layers}
        self.last_shift = self._shift(len(kept.layers))

    def _shift(self, below: int) -> torch.Tensor | None:
        parts = [change for (layer, _), change in self.changes.items() if layer < below]
        return sum((part.to(parts[0].device) for part in parts[1:]), parts[0]) if parts else None

    def products(self, alpha: float, sources: Mapping[tuple[str, Head], torch.Tensor]) -> dict[Edge, float]:
        """Return every edge's change times the gradient at one point of the path."""
        entering, leaving = self.moved(alpha)
        found: dict[Edge, float] = {}
        with torch.enable_grad():
            row = leaving.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.decoder.logit_difference(row, self.kept.contrast), row)
        for head, change in self.changes.items():
            found[Edge(head, None, "logits")] = _dot(change[-1], gradient)
        upstream = torch.zeros_like(self.kept.layers[-1].entering)
        upstream[-1] = gradient.to(upstream)
        for index in reversed(range(min(self.layers), len(self.kept.layers))):
            through = self._through(index, entering[index], alpha, upstream)
            upstream = through.entering
            for (head, name), towards in through.inputs.items():
                for source, change in self.changes.items():
                    if source[0] < index:
                        found[Edge(source, (index, head), name)] = _dot(change, towards)
            for (name, target), change in sources.items():
                if target[0] == index:
                    assert through.outputs is not None
                    of_head = through.outputs.unflatten(-1, (self.decoder.geometry.num_heads, -1))[:, target[1]]
                    found[Edge(name, target, "v")] = _dot(change, of_head)
        return found

    @torch.no_grad()
    def moved(self, alpha: float) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Run the model with every input moved, from the first layer that is on.

        Returns
        -------
        tuple of list and Tensor
            Residual streams that enter the layers, ``[T, hidden]``, and the decision row in front of the final norm.
        """
        entering = [layer.entering for layer in self.kept.layers]
        leaving = self.kept.leaving
        first = min((layer for layer, shift in self.shifts.items() if shift is not None), default=None)
        if alpha and first is not None:
            hidden = entering[first][None]
            for index in range(first, len(entering)):
                entering[index] = hidden[0]
                hidden = self._layer(index, hidden, self._own(index, hidden, alpha))
            leaving = hidden[0, -1]
        if alpha and self.last_shift is not None:
            leaving = leaving + (alpha * self.last_shift[-1]).to(leaving)
        return entering, leaving

    def _own(self, index: int, hidden: torch.Tensor, alpha: float) -> HeadInputs | None:
        """Return what the heads in question of a layer are handed; None where nothing is moved."""
        shift = self.shifts.get(index)
        if shift is None:
            return None
        own = head_inputs(self.decoder, self.kept, index, hidden + (alpha * shift).to(hidden))
        return own.of(self.layers[index])

    def _layer(self, index: int, hidden: torch.Tensor, own: HeadInputs | None) -> torch.Tensor:
        with armed(self.decoder.model, _attention(self.layers.get(index, ()), own), takes_batches=True):
            return run_layer(self.decoder, self.kept, index, hidden)

    def _through(self, index: int, entering: torch.Tensor, alpha: float, upstream: torch.Tensor) -> _Through:
        """Differentiate one layer."""
        outputs: list[torch.Tensor] = []
        with torch.enable_grad():
            leaf = entering.detach().requires_grad_()
            shift, moved, own = self.shifts.get(index), None, None
            if shift is not None:
                moved = leaf[None] + (alpha * shift).to(leaf)
                own = head_inputs(self.decoder, self.kept, index, moved).of(self.layers[index])
            wanted = [leaf]
            with self.decoder.projections[index].register_forward_pre_hook(lambda _, args: outputs.append(args[0])):
                leaving = self._layer(index, leaf[None], own)
            if self.decoder.has_heads(index):
                wanted.append(outputs[0])
            if own is not None:
                wanted += [own.query, own.key, own.value]
            given = upstream[None].to(leaving)
            gradients = torch.autograd.grad(leaving, wanted, given, retain_graph=own is not None)
            inputs = {}
            if own is not None and moved is not None:
                for name, part, towards in zip(_INPUTS, wanted[2:], gradients[2:], strict=True):
                    for place, head in enumerate(self.layers[index]):
                        alone = torch.zeros_like(towards)
                        alone[:, place] = towards[:, place]
                        (back,) = torch.autograd.grad(part, moved, alone, retain_graph=True)
                        inputs[head, cast(Input, name)] = back[0]
        return _Through(gradients[0], gradients[1][0] if len(gradients) > 1 else None, inputs)


def _attention(heads: Sequence[int], own: HeadInputs | None):
    def attend(
        _module: nn.Module, _layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, masking: Masking
    ) -> torch.Tensor:
        given = HeadInputs(query, key, value, masking)
        if own is not None:
            given = given.with_heads(heads, own)
        if not torch.is_grad_enabled():
            return recomputed(given.query, given.key, given.value, masking)
        return differentiable(given.query[0], given.key[0], given.value[0], masking)[None]

    return attend


def _dot(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first.double() * second.to(first.device).double()).sum())
