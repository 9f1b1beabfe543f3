"""Path patching: what one edge changes s by on a real run (Wang et al. 2022, 2211.00593; Goldowsky-Dill et al. 2023).

The sender's change is added to the receiver's query, key or value input alone; nothing else that reads the residual
stream at that place sees it. The receiver's new output then runs through all later layers, which compute everything
anew. It is a direct edge: what MLPs or other heads between the two make of the sender is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from engine.causal.circuits.edges import Edge
from engine.causal.circuits.senders import Baseline, residual_change
from engine.causal.circuits.sources import source_changes
from engine.causal.method import SampleRun
from engine.causal.targets import Head
from engine.interventions.edits import HeadEdit
from engine.interventions.head_inputs import HeadInputs, head_inputs
from engine.interventions.recomputed_attention import recomputed
from engine.interventions.sweeps import Effect, Intervention


@torch.no_grad()
def verified_edges(
    run: SampleRun, edges: Sequence[Edge], groups: Mapping[str, torch.Tensor], baseline: Baseline
) -> dict[Edge, Effect]:
    """Return s with each edge alone carrying the baseline, beside s without.

    Parameters
    ----------
    run
        The sample.
    edges
        Which; those to the logits need no run of the model.
    groups
        Token positions of key groups by name.
    baseline
        What the edges carry instead.
    """
    found = {edge: _to_logits(run, edge.head, baseline) for edge in edges if edge.target is None and edge.head}
    inner = [edge for edge in edges if edge.target is not None]
    outputs = _outputs(run, inner, groups, baseline)
    interventions = [
        Intervention(0, (HeadEdit(edge.target[0], (edge.target[1],), values=outputs[edge][:, None]),))
        for edge in inner
        if edge.target is not None
    ]
    return found | dict(zip(inner, run.sweep.run(interventions), strict=True))


def _to_logits(run: SampleRun, source: Head, baseline: Baseline) -> Effect:
    kept, decoder = run.unchanged, run.decoder
    change = residual_change(decoder, kept, source[0], [source[1]], kept.layers[source[0]].head_outputs, baseline)
    rows = torch.stack([kept.leaving, kept.leaving + change[-1].to(kept.leaving)])
    reference, patched = decoder.logit_difference(rows, kept.contrast).tolist()
    return Effect(patched, reference)


def _outputs(
    run: SampleRun, edges: Sequence[Edge], groups: Mapping[str, torch.Tensor], baseline: Baseline
) -> dict[Edge, torch.Tensor]:
    """Return the receiver's output with each edge alone patched, ``[T, head_dim]``."""
    kept, decoder = run.unchanged, run.decoder
    named = {edge.source: groups[edge.source] for edge in edges if isinstance(edge.source, str)}
    layers: dict[int, list[int]] = {}
    for layer, head in sorted({edge.target for edge in edges if edge.target is not None}):
        layers.setdefault(layer, []).append(head)
    sources = source_changes(decoder, kept, layers, named, baseline)
    unmoved: dict[int, HeadInputs] = {}
    moved: dict[tuple[Head, int], HeadInputs] = {}
    found: dict[Edge, torch.Tensor] = {}
    for edge in edges:
        assert edge.target is not None
        layer, head = edge.target
        own = kept.layers[layer].head_outputs.unflatten(-1, (decoder.geometry.num_heads, -1))[:, head]
        if isinstance(edge.source, str):
            found[edge] = own + sources[edge.source, edge.target].to(own)
            continue
        entering = kept.layers[layer].entering
        if layer not in unmoved:
            unmoved[layer] = head_inputs(decoder, kept, layer, entering[None])
        if (edge.source, layer) not in moved:
            below, sender = edge.source
            outputs = kept.layers[below].head_outputs
            change = residual_change(decoder, kept, below, [sender], outputs, baseline)
            moved[edge.source, layer] = head_inputs(decoder, kept, layer, (entering + change.to(entering))[None])
        before = unmoved[layer].of([head])
        other = moved[edge.source, layer].of([head])
        after = replaced(before, other, edge.input)
        # The difference of two equal computations, so that what changes nothing changes no bit.
        found[edge] = own + (_attended(after) - _attended(before)).to(own)
    return found


def replaced(given: HeadInputs, other: HeadInputs, name: str) -> HeadInputs:
    """Return inputs with the queries, keys or values of others in their place."""
    return HeadInputs(
        other.query if name == "q" else given.query,
        other.key if name == "k" else given.key,
        other.value if name == "v" else given.value,
        given.masking,
    )


def _attended(inputs: HeadInputs) -> torch.Tensor:
    return recomputed(inputs.query, inputs.key, inputs.value, inputs.masking)[0, :, 0]
