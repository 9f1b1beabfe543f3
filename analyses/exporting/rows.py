"""What a run found of each sample: margin, surprisal, correctness, statistics of heads, or why it was rejected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from analyses.runs.run import Run

Head = tuple[int, int]
_EPOCH = re.compile(r"(.+)_epoch_(\d+)")
_COLUMNS = {
    "margin": "logit_difference",
    "surprisal": "label_surprisal",
    "contrast": "contrast",
    "contrast_probability": "contrast_probability",
    "predicted_label": "predicted_label",
    "actual_label": "actual_label",
    "is_correct": "is_correct",
    "flags": "flags",
}
"""Columns of ``samples`` that are exported, by the names that they get."""


class ExportError(ValueError):
    """Something was asked for that the run does not have."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One sample's results.

    Attributes
    ----------
    sample_id
        As the run has it.
    log_id, epoch
        As the log has them: ``predictions.keep`` may hold both, and else they are told by the id.
    values
        Results by name; empty where it was rejected.
    heads
        Statistics by head (``L3H7``) and name.
    reject
        Stage, reason and detail of what was rejected.
    """

    sample_id: str
    log_id: str
    epoch: int
    values: dict[str, object] = field(default_factory=dict)
    heads: dict[str, dict[str, float]] = field(default_factory=dict)
    reject: dict[str, str] = field(default_factory=dict)


def measured_rows(run: Run, heads: Sequence[Head], statistics: Sequence[str], query_group: str) -> Iterator[Measured]:
    """Yield the results of every sample, and every reject.

    Parameters
    ----------
    run
        A run, opened.
    heads
        Layers and heads whose statistics are exported.
    statistics
        Columns of ``head_stats``; all where none are named.
    query_group
        Whose rows the statistics are of.

    Raises
    ------
    ExportError
        When a head, a statistic or the query group is none of the run's.
    """
    by_sample = _heads(run, heads, statistics, query_group) if heads else {}
    for row in run.samples.sort("sample_id").iter_rows(named=True):
        sample_id = str(row["sample_id"])
        log_id, epoch = _ids(sample_id, row)
        values = {name: row[column] for name, column in _COLUMNS.items() if column in row}
        yield Measured(sample_id, log_id, epoch, values, by_sample.get(sample_id, {}))
    rejects = run.tables.get("rejects")
    for row in [] if rejects is None else rejects.collect().sort("sample_id").iter_rows(named=True):
        sample_id = str(row["sample_id"])
        log_id, epoch = _ids(sample_id, row)
        yield Measured(sample_id, log_id, epoch, reject={key: str(row[key]) for key in ("stage", "reason", "detail")})


def _ids(sample_id: str, row: dict[str, object]) -> tuple[str, int]:
    kept, epoch = row.get("field_id"), row.get("field_epoch")
    match = _EPOCH.fullmatch(sample_id)
    log_id = str(kept) if kept is not None else match[1] if match else sample_id
    number = epoch if isinstance(epoch, int | float) else match[2] if match else 1
    return log_id, int(number)


def _heads(
    run: Run, heads: Sequence[Head], statistics: Sequence[str], query_group: str
) -> dict[str, dict[str, dict[str, float]]]:
    table, known = run.head_stats, run.statistics
    if unknown := [name for name in statistics if name not in known]:
        raise ExportError(f"--statistics: the run has no {unknown[0]!r}; it has {', '.join(known)}.")
    wanted = list(statistics) or known
    if query_group not in run.query_groups:
        raise ExportError(f"--query-group: the run has no {query_group!r}; it has {', '.join(run.query_groups)}.")
    is_wanted = pl.any_horizontal([(pl.col("layer") == layer) & (pl.col("head") == head) for layer, head in heads])
    found: dict[str, dict[str, dict[str, float]]] = {}
    rows = table.filter((pl.col("query_group") == query_group) & is_wanted)
    for row in rows.select("sample_id", "layer", "head", *wanted).collect().iter_rows(named=True):
        name = f"L{row['layer']}H{row['head']}"
        numbers = {key: row[key] for key in wanted if row[key] is not None}
        found.setdefault(str(row["sample_id"]), {})[name] = numbers
    seen = {name for per_sample in found.values() for name in per_sample}
    if missing := [f"L{layer}H{head}" for layer, head in heads if f"L{layer}H{head}" not in seen]:
        raise ExportError(f"--heads: the run has no head {missing[0]}.")
    return found
