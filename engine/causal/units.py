"""Causal units on a replica: samples prepared, then explained, one by one; a sample at fault is turned away alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from engine.causal.circuits.edges import Edge
from engine.causal.explainer import Explainer
from engine.causal.gradients import head_gradients
from engine.causal.head_effects import head_effects
from engine.causal.method import CausalInputs, CircuitInputs
from engine.causal.methods.circuit import baseline_of, linearised
from engine.causal.tables import HeadValues, Rows
from engine.config.causes.heads import HeadsSection
from engine.encoded_samples import EncodedSample
from engine.errors import RunFailedError, UnsupportedModelError
from engine.machine.devices import Watch, fault_of, free_memory, ignore
from engine.measuring.unit_results import UnitResult
from engine.samples import Reject, RowRejected
from engine.schema import causal_schema
from engine.storage.planned.units import CircuitPlan

logger = logging.getLogger(__name__)

HEAD_SUMS_SCHEMA = pa.schema(
    [
        pa.field("layer", pa.int32()),
        pa.field("head", pa.int32()),
        pa.field("num_rows", pa.int64()),
        pa.field("sum", pa.list_(pa.float64())),
    ]
)
SCREENING_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string()),
        pa.field("layer", pa.int32()),
        pa.field("head", pa.int32()),
        pa.field("head_gradient", pa.float32()),
    ]
)

ABLATED_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string()),
        pa.field("layer", pa.int32()),
        pa.field("head", pa.int32()),
        pa.field("change", pa.float32()),
    ]
)
RANKING_SCHEMA = pa.schema([pa.field("sample_id", pa.string()), pa.field("effects", pa.list_(pa.float64()))])


def explain_unit(
    explainer: Explainer,
    samples: Sequence[EncodedSample],
    inputs: CausalInputs,
    key_groups: Sequence[str],
    watch: Watch = ignore,
) -> UnitResult:
    """Explain a unit's samples.

    Parameters
    ----------
    explainer
        The model and the config's section.
    samples
        In unit order.
    inputs
        What was worked out over the whole dataset.
    key_groups
        Names of the run's key groups.
    watch
        Told which sample is in flight.
    """
    groups = explainer.settings.gradient_groups(key_groups)
    schemas = {name: causal_schema(name, groups) for name in explainer.tables}
    pieces = {name: [schema.empty_table()] for name, schema in schemas.items()}

    def explain(sample: EncodedSample) -> None:
        parts = explainer.explain(sample, inputs)
        tables = {name: part.table(sample.sample_id, schemas[name]) for name, part in parts.items()}
        # Only once all of them are made, so that a sample that is turned away leaves nothing in any table.
        for name, table in tables.items():
            pieces[name].append(table)

    started = time.perf_counter()
    rejects = _each(explainer, samples, explain, watch)
    tables = {name: pa.concat_tables(parts) for name, parts in pieces.items()}
    return UnitResult(tables, rejects, _facts(samples) | {"explain_seconds": time.perf_counter() - started})


def prepare_unit(explainer: Explainer, samples: Sequence[EncodedSample], watch: Watch = ignore) -> UnitResult:
    """Add up a unit's head outputs and differentiate by its heads, as far as the config needs them."""
    settings = explainer.settings
    sums: dict[int, torch.Tensor] = {}
    geometry = explainer.decoder.geometry
    screening: list[pa.Table] = []
    ablated: list[pa.Table] = []
    num_rows = 0

    def prepare(sample: EncodedSample) -> None:
        nonlocal num_rows
        run = explainer.sample_run(sample, CausalInputs())
        unchanged = run.unchanged
        if settings.num_ablated:
            effects = head_effects(HeadsSection(), run, [0.0])
            ablated.append(Rows([effect.columns() for effect in effects]).table(sample.sample_id, ABLATED_SCHEMA))
        if settings.num_screened:
            scores = head_gradients(explainer.decoder, unchanged).heads
            screening.append(
                HeadValues({"head_gradient": scores}, geometry.softmax_layers).table(sample.sample_id, SCREENING_SCHEMA)
            )
        if settings.mean_rows is not None:
            first = unchanged.num_tokens - 1 if settings.mean_rows == "decision" else 0
            for layer in geometry.softmax_layers:
                added = unchanged.layers[layer].head_outputs[first:].double().sum(0).cpu()
                sums[layer] = sums[layer] + added if layer in sums else added
            num_rows += unchanged.num_tokens - first

    rejects = _each(explainer, samples, prepare, watch)
    tables: dict[str, pa.Table] = {}
    if settings.mean_rows is not None:
        tables["head_sums"] = _head_sums(sums, num_rows, geometry.num_heads)
    if settings.num_screened:
        tables["screening"] = pa.concat_tables([SCREENING_SCHEMA.empty_table(), *screening])
    if settings.num_ablated:
        tables["ablated"] = pa.concat_tables([ABLATED_SCHEMA.empty_table(), *ablated])
    return UnitResult(tables, rejects, _facts(samples))


def rank_unit(
    explainer: Explainer, samples: Sequence[EncodedSample], inputs: CausalInputs, watch: Watch = ignore
) -> UnitResult:
    """Linearise the edges of a unit's samples; a sample without a baseline has an empty list of them."""
    settings = explainer.settings.circuit
    assert settings is not None
    rows: list[pa.Table] = []

    def rank(sample: EncodedSample) -> None:
        run = explainer.sample_run(sample, inputs)
        baseline = baseline_of(settings, run)
        effects = [] if baseline is None else linearised(settings, run, baseline)
        rows.append(pa.table({"sample_id": [sample.sample_id], "effects": [effects]}, schema=RANKING_SCHEMA))

    rejects = _each(explainer, samples, rank, watch)
    table = pa.concat_tables([RANKING_SCHEMA.empty_table(), *rows])
    return UnitResult({"ranking": table}, rejects, _facts(samples))


def circuit_inputs(circuit: CircuitPlan) -> CircuitInputs:
    """Return what a plan holds of circuits as methods take it."""
    edges = tuple(Edge.from_json(entry) for entry in circuit.edges)
    return CircuitInputs(
        circuit.heads, circuit.key_groups, edges, circuit.controls, held_out=frozenset(circuit.held_out)
    )


def read_ranking(path: Path) -> dict[str, list[float]]:
    """Return the linearised edges of a unit's samples by id; empty lists are left out."""
    table = pq.read_table(path)
    pairs = zip(table["sample_id"].to_pylist(), table["effects"].to_pylist(), strict=True)
    return {sample_id: effects for sample_id, effects in pairs if effects}


def read_means(path: Path) -> dict[int, torch.Tensor]:
    """Return every head's mean over the dataset by layer, ``[H, head_dim]``; layers may differ in ``head_dim``."""
    table = pq.read_table(path).sort_by([("layer", "ascending"), ("head", "ascending")])
    by_layer: dict[int, list[list[float]]] = {}
    for layer, mean in zip(table["layer"].to_pylist(), table["mean"].to_pylist(), strict=True):
        by_layer.setdefault(layer, []).append(mean)
    return {layer: torch.tensor(means) for layer, means in by_layer.items()}


def _each(
    explainer: Explainer, samples: Iterable[EncodedSample], work: Callable[[EncodedSample], None], watch: Watch
) -> list[Reject]:
    """Work on samples one by one and return the rejects of those that could not be."""
    rejects: list[Reject] = []
    for sample in samples:
        watch([sample.sample_id])
        try:
            work(sample)
            continue
        except UnsupportedModelError as error:
            raise RunFailedError(f"causal: {explainer.decoder.model.config.model_type!r}: {error}.") from None
        except RowRejected as rejected:
            rejects.append(Reject(sample.sample_id, rejected.stage, rejected.reason, str(rejected)))
            continue
        except Exception as error:  # whatever a sample does to the model is that sample's fault, not its neighbours'
            fault = fault_of(error, "causal_failed", f"sample {sample.sample_id}")
        logger.warning("sample %s could not be explained (%s: %s)", sample.sample_id, *fault)
        free_memory(explainer.decoder.device)
        rejects.append(Reject(sample.sample_id, "causal", *fault))
    watch([])
    return rejects


def _facts(samples: Sequence[EncodedSample]) -> dict[str, float]:
    return {"num_tokens": sum(sample.num_tokens for sample in samples)}


def _head_sums(sums: Mapping[int, torch.Tensor], num_rows: int, num_heads: int) -> pa.Table:
    pairs = [(layer, head) for layer in sums for head in range(num_heads)]
    columns = {
        "layer": [layer for layer, _ in pairs],
        "head": [head for _, head in pairs],
        "num_rows": [num_rows] * len(pairs),
        "sum": [row for total in sums.values() for row in total.unflatten(0, (num_heads, -1)).tolist()],
    }
    return pa.table(columns, schema=HEAD_SUMS_SCHEMA)
