"""``causal.circuit``: edges between heads, from key groups and to the logits, and what the strongest recover."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from engine.causal.circuits.edges import Edge, candidate_edges
from engine.causal.circuits.kept import cut_difference
from engine.causal.circuits.linearised import linearised_edges
from engine.causal.circuits.senders import Baseline, means, of_other, zeros
from engine.causal.circuits.verified import verified_edges
from engine.causal.counterfactuals import counterfactual
from engine.causal.method import CausalMethod, SampleRun, dtype_name
from engine.causal.methods.attribution import Attribution
from engine.causal.tables import Row, Rows, TablePart
from engine.config.causes.circuit import CircuitSection, circuit_sizes
from engine.errors import UnsupportedModelError
from engine.interventions.head_inputs import head_inputs
from engine.interventions.recomputed_attention import recomputed
from engine.interventions.sweeps import Effect
from engine.interventions.unchanged_run import Trace
from engine.model.decoder import Decoder
from engine.samples import RowRejected
from engine.tolerances import tolerance

_BEHIND = (
    "something stands between attention and the output projection of layer {} (a gate or a norm), which causal.circuit "
    "does not cover"
)


class Circuit(CausalMethod[CircuitSection]):
    """What edges between some heads change s by, to first order and on real runs, and what circuits of them recover.

    Every sample's edges are linearised first, so that all samples share one order of edges, by those that choose; the
    strongest are then verified, and circuits of growing size are run beside random ones, on those that are held out.
    """

    tables: ClassVar[tuple[str, ...]] = ("edges", "circuit_curves")

    def explain(self, settings: CircuitSection, run: SampleRun) -> dict[str, TablePart]:
        """Return a row for every edge, and one for every size of the circuit and of its controls.

        A sample that heads and edges were chosen on has no other edges than linearised ones, and no circuit. An edge
        from a key group of which it is not known which tokens it holds (evidence that a record does not name) has none.

        Raises
        ------
        RowRejected
            When a run gives NaN or infinity, or the statement cannot be edited token for token.
        """
        circuit = run.inputs.circuit
        assert circuit is not None
        baseline = baseline_of(settings, run)
        if baseline is None:
            return {name: Rows([]) for name in self.tables}
        effects = circuit.linearised.get(run.sample.sample_id) or linearised(settings, run, baseline)
        by_edge = dict(zip(candidate_edges(circuit.heads, circuit.key_groups), effects, strict=True))
        inner = [edge for edge in circuit.edges if edge.target is not None]
        between = [edge for edge in inner if edge.is_between_heads][: settings.verified]
        read = [edge for edge in inner if not edge.is_between_heads][: settings.verified]
        chosen = [*between, *read, *(edge for edge in circuit.edges if edge.target is None)]
        unknown = run.sample.unknown_groups
        known = [edge for edge in circuit.edges if edge.source not in unknown]
        chosen = [edge for edge in chosen if edge.source not in unknown]
        verifies = circuit.verifies(run.sample.sample_id)
        verified = verified_edges(run, chosen, _positions(run), baseline) if verifies else {}
        rows = [_row(settings, run, edge, by_edge[edge], verified.get(edge)) for edge in known]
        return {"edges": Rows(rows), "circuit_curves": Rows(self._curve(run, baseline) if verifies else [])}

    def _curve(self, run: SampleRun, baseline: Baseline) -> list[Row]:
        """Return s of circuits of growing size, the strongest edges first and in random orders."""
        circuit = run.inputs.circuit
        assert circuit is not None
        edges = [edge for edge in circuit.edges if edge.is_between_heads]
        orders = [edges, *([edges[place] for place in order] for order in circuit.controls)]
        rows: list[Row] = []
        for draw, order in enumerate(orders):
            ends = [0] if draw == 0 else []
            for size in [*ends, *circuit_sizes(len(edges))]:
                difference = cut_difference(run.decoder, run.unchanged, order[size:], baseline)
                rows.append(_point(draw, size, difference))
        return [*rows, _point(0, len(edges), run.unchanged.logit_difference)]

    def check_model(self, decoder: Decoder) -> None:
        """Refuse what attribution refuses: what heads write must be a part of the residual stream."""
        Attribution().check_model(decoder)
        for index in decoder.geometry.softmax_layers:
            if _is_gated(decoder, index):
                raise UnsupportedModelError(_BEHIND.format(index))

    def check_run(self, decoder: Decoder, unchanged: Trace) -> None:
        """Refuse a residual stream that is not the sum of its parts, and what stands behind attention.

        Raises
        ------
        UnsupportedModelError
            Saying what differs.
        """
        Attribution().check_run(decoder, unchanged)
        allowed = tolerance("logits", dtype_name(decoder))
        for index in decoder.geometry.softmax_layers:
            layer = unchanged.layers[index]
            with torch.no_grad():
                given = head_inputs(decoder, unchanged, index, layer.entering[None])
                outputs = recomputed(given.query, given.key, given.value, given.masking)[0].flatten(1)
            gap = (outputs.to(layer.head_outputs) - layer.head_outputs).abs().max()
            if not gap <= allowed.atol + allowed.rtol * layer.head_outputs.abs().max():
                raise UnsupportedModelError(_BEHIND.format(index))


def _is_gated(decoder: Decoder, index: int) -> bool:
    """Whether a layer's attention has a gate or a norm for what it gives, as far as its parts tell."""
    attention = decoder.attentions[index]
    query, inputs = getattr(attention, "q_proj", None), getattr(decoder.projections[index], "in_features", None)
    # Qwen3-Next and Qwen3.5 take their gate from a query projection of twice the size.
    is_doubled = inputs is not None and getattr(query, "out_features", None) == 2 * inputs
    return is_doubled or hasattr(attention, "attn_sub_norm")


@torch.no_grad()
def baseline_of(settings: CircuitSection, run: SampleRun) -> Baseline | None:
    """Return what cut edges of a sample carry; None for a sample that has no match.

    Raises
    ------
    RowRejected
        When the statement cannot be edited token for token.
    """
    decoder, kept = run.decoder, run.unchanged
    if settings.replace == "zero":
        return zeros(decoder, kept)
    if settings.replace == "mean":
        assert run.inputs.means is not None
        return means(decoder, kept, run.inputs.means)
    if settings.replace == "resample":
        return of_other(decoder, kept, run.run_unchanged(run.inputs.partners[run.sample.sample_id]))
    if settings.replace == "matched":
        match = run.inputs.matched.get(run.sample.sample_id)
        return None if match is None else of_other(decoder, kept, run.run_unchanged(match))
    assert run.tokenize is not None and run.settings.patching is not None
    edited = counterfactual(run.sample, run.settings.patching, run.tokenize)
    return of_other(decoder, kept, run.run_unchanged(edited.sample))


def linearised(settings: CircuitSection, run: SampleRun, baseline: Baseline) -> list[float]:
    """Return what every edge of a sample changes s by to first order, in the order of ``candidate_edges``.

    NaN where it is not known which tokens the edge's key group holds.

    Raises
    ------
    RowRejected
        When one is NaN or infinite.
    """
    circuit = run.inputs.circuit
    assert circuit is not None
    found = linearised_edges(run.decoder, run.unchanged, circuit.heads, _positions(run), baseline, settings.steps)
    edges = candidate_edges(circuit.heads, circuit.key_groups)
    if not np.isfinite([found[edge] for edge in edges]).all():
        raise RowRejected("causal", "not_finite", "A gradient is NaN or infinite; try model.dtype=float32.")
    unknown = run.sample.unknown_groups
    return [float("nan") if edge.source in unknown else found[edge] for edge in edges]


def _positions(run: SampleRun) -> dict[str, torch.Tensor]:
    circuit = run.inputs.circuit
    assert circuit is not None
    groups = run.sample.key_groups
    return {name: torch.from_numpy(groups[name].astype(np.int64)) for name in circuit.key_groups}


def _row(settings: CircuitSection, run: SampleRun, edge: Edge, effect: float, real: Effect | None) -> Row:
    source, target = edge.head or (None, None), edge.target or (None, None)
    circuit = run.inputs.circuit
    assert circuit is not None
    matched = run.inputs.matched.get(run.sample.sample_id) if settings.replace == "matched" else None
    change = None if real is None else real.logit_difference - real.reference
    if change is not None and not np.isfinite(change):
        raise RowRejected("causal", "not_finite", "A patched path gives NaN or infinity; try model.dtype=float32.")
    return {
        "source_layer": source[0],
        "source_head": source[1],
        "key_group": edge.source if isinstance(edge.source, str) else None,
        "target_layer": target[0],
        "target_head": target[1],
        "input": edge.input,
        "replace": settings.replace,
        "matched_id": matched and matched.sample_id,
        "is_held_out": run.sample.sample_id in circuit.held_out,
        "effect": effect,
        "verified": change,
        "logit_difference": run.unchanged.logit_difference,
    }


def _point(draw: int, size: int, difference: float) -> Row:
    if not np.isfinite(difference):
        raise RowRejected("causal", "not_finite", "A run with cut edges gives NaN or infinity; try model.dtype=float32")
    return {
        "order": "random" if draw else "strongest",
        "draw": draw,
        "num_edges": size,
        "logit_difference": difference,
    }
