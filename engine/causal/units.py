"""Causal units on a replica: samples prepared, then explained, one by one; a sample at fault is turned away alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from engine.causal.explainer import Explainer
from engine.causal.gradients import head_gradients
from engine.causal.method import CausalInputs
from engine.causal.tables import HeadValues
from engine.errors import RunFailedError, UnsupportedModelError
from engine.machine.devices import Watch, fault_of, free_memory, ignore
from engine.measuring.unit_results import UnitResult
from engine.samples import EncodedSample, Reject, RowRejected
from engine.schema import causal_schema

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
    sums: list[torch.Tensor] = []
    screening: list[pa.Table] = []
    num_rows = 0

    def prepare(sample: EncodedSample) -> None:
        nonlocal num_rows
        unchanged = explainer.trace(sample)
        if settings.num_screened:
            scores = head_gradients(explainer.decoder, unchanged).heads
            screening.append(HeadValues({"head_gradient": scores}).table(sample.sample_id, SCREENING_SCHEMA))
        if settings.mean_rows is not None:
            first = unchanged.num_tokens - 1 if settings.mean_rows == "decision" else 0
            sums.append(torch.stack([layer.head_outputs[first:].double().sum(0).cpu() for layer in unchanged.layers]))
            num_rows += unchanged.num_tokens - first

    rejects = _each(explainer, samples, prepare, watch)
    tables: dict[str, pa.Table] = {}
    if settings.mean_rows is not None:
        tables["head_sums"] = _head_sums(sums, num_rows, explainer.decoder.geometry.num_heads)
    if settings.num_screened:
        tables["screening"] = pa.concat_tables([SCREENING_SCHEMA.empty_table(), *screening])
    return UnitResult(tables, rejects, _facts(samples))


def read_means(path: Path) -> torch.Tensor:
    """Return every head's mean over the dataset, ``[L, H, head_dim]``."""
    table = pq.read_table(path).sort_by([("layer", "ascending"), ("head", "ascending")])
    values = torch.tensor(table["mean"].to_pylist())
    return values.unflatten(0, (len(set(table["layer"].to_pylist())), -1))


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


def _head_sums(sums: Sequence[torch.Tensor], num_rows: int, num_heads: int) -> pa.Table:
    if not sums:
        return HEAD_SUMS_SCHEMA.empty_table()
    total = torch.stack(list(sums)).sum(0)
    pairs = [(layer, head) for layer in range(len(total)) for head in range(num_heads)]
    by_head = total.unflatten(1, (num_heads, -1))
    columns = {
        "layer": [layer for layer, _ in pairs],
        "head": [head for _, head in pairs],
        "num_rows": [num_rows] * len(pairs),
        "sum": [by_head[pair].tolist() for pair in pairs],
    }
    return pa.table(columns, schema=HEAD_SUMS_SCHEMA)
