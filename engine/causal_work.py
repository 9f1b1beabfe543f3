"""Causal units on a replica: samples prepared, then explained, one by one; a sample at fault is turned away alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from engine.attention.interface import UnsupportedModelError
from engine.attribution import head_gradients
from engine.causal import CausalInputs, Explainer
from engine.causal_settings import CausalSection
from engine.device_faults import Watch, fault_of, free_memory, ignore
from engine.errors import RunFailedError
from engine.samples import EncodedSample, Reject, RowRejected
from engine.schema_causal import causal_schema
from engine.unit_results import UnitResult

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
        What was found out over the whole dataset.
    key_groups
        Names of the run's key groups.
    watch
        Told which sample is in flight.
    """
    settings = explainer.settings
    groups = key_groups if settings.attention_gradient is not None else ()
    parts: dict[str, list[pa.Table]] = {name: [] for name in _tables(settings)}

    def explain(sample: EncodedSample) -> None:
        found = explainer.explain(sample, inputs)
        tables = {name: pa.table(columns, schema=causal_schema(name, groups)) for name, columns in found.items()}
        for name, table in tables.items():
            parts[name].append(table)

    started = time.perf_counter()
    rejects = _each(explainer, samples, explain, watch)
    tables = {name: pa.concat_tables([causal_schema(name, groups).empty_table(), *own]) for name, own in parts.items()}
    facts = _facts(samples) | {"explain_seconds": time.perf_counter() - started}
    return UnitResult(tables, rejects, facts)


def prepare_unit(explainer: Explainer, samples: Sequence[EncodedSample], watch: Watch = ignore) -> UnitResult:
    """Add up a unit's head outputs and differentiate by its heads, as far as the config needs them."""
    settings, num_heads = explainer.settings, explainer.decoder.geometry.num_heads
    sums: list[torch.Tensor] = []
    screening: list[pa.Table] = []
    num_rows = 0

    def prepare(sample: EncodedSample) -> None:
        nonlocal num_rows
        kept = explainer.trace(sample)
        if settings.num_screened:
            scores = head_gradients(explainer.decoder, kept).heads
            screening.append(_screening(sample, scores))
        if settings.ablation is not None and settings.needs_means:
            first = kept.num_tokens - 1 if settings.ablation.rows == "decision" else 0
            sums.append(torch.stack([layer.head_outputs[first:].double().sum(0).cpu() for layer in kept.layers]))
            num_rows += kept.num_tokens - first

    rejects = _each(explainer, samples, prepare, watch)
    tables = {"head_sums": _head_sums(sums, num_rows, num_heads)} if settings.needs_means else {}
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


def _tables(settings: CausalSection) -> list[str]:
    wanted = {
        "attributions": settings.attribution is not None or settings.attention_gradient is not None,
        "sample_attributions": settings.attribution is not None,
        "interventions": settings.ablation is not None or settings.amplification is not None,
        "knockouts": settings.knockout is not None,
        "patching": settings.patching is not None,
    }
    return [name for name, is_on in wanted.items() if is_on]


def _facts(samples: Sequence[EncodedSample]) -> dict[str, Any]:
    return {"num_tokens": sum(sample.num_tokens for sample in samples)}


def _screening(sample: EncodedSample, scores: torch.Tensor) -> pa.Table:
    num_layers, num_heads = scores.shape
    pairs = [(layer, head) for layer in range(num_layers) for head in range(num_heads)]
    columns = {
        "sample_id": [sample.sample_id] * len(pairs),
        "layer": [layer for layer, _ in pairs],
        "head": [head for _, head in pairs],
        "head_gradient": scores.flatten().tolist(),
    }
    return pa.table(columns, schema=SCREENING_SCHEMA)


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
