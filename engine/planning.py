"""The plan stage: predictions → encoded samples → units on disk, and what a person wants to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.config import Config
from engine.encoded_units import write_batches
from engine.encoding import Encoder
from engine.errors import InputError
from engine.plan import (
    ModelFacts,
    Unit,
    check_kept_samples,
    check_layers,
    check_vocabulary,
    measure_units,
    plan_summary,
)
from engine.predictions import read_predictions
from engine.samples import SEGMENTS, EncodedSample, Reject, RowRejected
from engine.store import RunStore
from engine.token_groups import TokenGroups
from engine.tokenizer import load_tokenizer


@dataclass(frozen=True, slots=True)
class PreparedPlan:
    """A plan that is not written yet: its units, the rows turned away, and what ``plan.json`` will hold."""

    units: list[Unit]
    rejects: list[Reject]
    summary: dict[str, Any]


def prepare_plan(config: Config, facts: ModelFacts) -> PreparedPlan:
    """Read, encode and cut the predictions; write nothing.

    Raises
    ------
    ConfigError, InputError
        When config or predictions cannot be used.
    """
    check_layers(config, facts)
    groups = TokenGroups.from_config(config)
    predictions = read_predictions(config)
    encoder = Encoder(config, load_tokenizer(config), groups, facts.max_tokens)
    samples: list[EncodedSample] = []
    rejects = list(predictions.rejects)
    for sample in predictions.samples:
        try:
            samples.append(encoder.encode(sample))
        except RowRejected as rejected:
            rejects.append(Reject(sample.sample_id, rejected.stage, rejected.reason, str(rejected)))
    if not samples:
        first = rejects[len(predictions.rejects)]
        raise InputError(
            f"{config.predictions.path}: no sample can be measured; of {len(rejects)} rejects, the first that had a "
            f"label is {first.sample_id}: {first.reason}: {first.detail}"
        )
    if groups.random_groups(config.statistics.random_groups):
        texts = [_without_template(sample) for sample in samples]
        groups = groups.with_random_groups(texts, config.statistics.random_groups, config.run.seed)
        samples = [groups.applied_to(sample) for sample in samples]
    check_vocabulary(facts, samples)
    check_kept_samples(config, samples)
    cluster = config.cluster
    units = measure_units(samples, cluster.samples_per_shard, cluster.tokens_per_batch, facts.rope_regime)
    summary = plan_summary(config, units, rejects, predictions.num_rows, facts)
    summary["key_groups"] = list(groups.names)
    summary["random_vocabularies"] = {
        name: groups.vocabulary[name] for name in groups.names if name in groups.vocabulary and "random" in name
    }
    summary["warnings"] = plan_warnings(samples)
    return PreparedPlan(units, rejects, summary)


def _without_template(sample: EncodedSample) -> str:
    """Return the sample's text with the chat template's own characters blanked: its words are no candidates."""
    text = list(sample.text)
    for position in np.flatnonzero(sample.segments == SEGMENTS.index("template")):
        start, end = int(sample.char_starts[position]), int(sample.char_ends[position])
        text[start:end] = " " * (end - start)
    return "".join(text)


def write_plan(store: RunStore, plan: PreparedPlan) -> None:
    """Write a plan into a run directory that holds no committed unit; ``plan.json`` comes last."""
    store.start()
    for stale in store.encoded.glob("*.parquet"):
        stale.unlink()
    for unit in plan.units:
        write_batches(store.encoded_path(unit.name), unit.batches)
    store.write_rejects(store.root / "plan" / "rejects.parquet", plan.rejects)
    store.write_json("plan/units.json", [{"name": unit.name, "sample_ids": unit.sample_ids} for unit in plan.units])
    store.write_json("plan.json", plan.summary)


def plan_warnings(samples: Sequence[EncodedSample]) -> list[str]:
    """Return sentences about samples that can be measured but not compared."""
    warnings = []
    correct = {sample.metadata["is_correct"] for sample in samples}
    if correct in ({True}, {False}):
        word = "right" if correct == {True} else "wrong"
        warnings.append(f"All {len(samples)} predictions are {word}: correct and incorrect cannot be compared.")
    elif True not in correct and False not in correct:
        warnings.append("No row has a known actual label: correct and incorrect cannot be compared.")
    for column, what in (("predicted_label", "predict"), ("actual_label", "turned out")):
        labels = {sample.metadata[column] for sample in samples}
        if len(labels) == 1 and None not in labels:
            warnings.append(
                f"All {len(samples)} rows {what} {labels.pop()!r}: this label cannot be told from correctness."
            )
    return warnings


def plan_lines(summary: dict[str, Any]) -> list[str]:
    """Return the plan as aligned lines for a person."""
    model = summary["model"]
    size = None if model["num_layers"] is None else f"{model['num_layers']} layers x {model['num_heads']} heads"
    facts = [
        ("rows in the file", summary["num_rows"]),
        ("samples to measure", summary["num_samples"]),
        ("decision positions found", summary["num_decision_positions"]),
        ("rejects", _counts(summary["num_rejects"], summary["rejects_by_reason"])),
        ("labels read from", _counts(None, summary["samples_by_label_source"])),
        ("predicted labels", _counts(None, summary["samples_by_predicted_label"])),
        ("flags", _counts(None, summary["samples_by_flag"])),
        ("tokens", f"{summary['num_tokens']:,} (longest sample {summary['max_sample_tokens']:,})"),
        ("shards", f"{summary['num_shards']} ({summary['num_batches']} packed batches)"),
        ("model", size or "unknown"),
        ("predicted memory of a replica", _bytes(summary["predicted_memory_bytes"])),
        ("predicted size on disk", _bytes(summary["predicted_disk_bytes"])),
    ]
    lines = [f"  {name:<30} {value}" for name, value in facts]
    return ["Plan", *lines, *(f"Warning: {warning}" for warning in summary["warnings"])]


def _counts(total: int | None, by_name: dict[str, int]) -> str:
    detail = ", ".join(f"{name} {count}" for name, count in by_name.items()) or "none"
    return detail if total is None else f"{total}" + (f" ({detail})" if by_name else "")


def _bytes(number: int | None) -> str:
    return (
        "unknown" if number is None else f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"
    )
