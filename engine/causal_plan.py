"""Between measuring and explaining: which samples are explained, and what is needed of all of them beforehand.

Causal units are cut from the measure units, in their order; dataset means, resample partners and screened heads are
made in that order too, stored under ``plan/`` and fingerprinted, so that a run that was stopped goes on with the same.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.config import Config
from engine.errors import ConfigError, RunFailedError
from engine.selection import drawn_rows
from engine.store import CAUSAL_PLAN, PlannedUnit, RunStore

MEANS_SCHEMA = pa.schema(
    [pa.field("layer", pa.int32()), pa.field("head", pa.int32()), pa.field("mean", pa.list_(pa.float32()))]
)


def causal_unit_entries(config: Config, store: RunStore) -> list[dict[str, Any]]:
    """Return name, measure unit and sample ids of every causal unit: measured samples, as many as asked for."""
    measured = [
        (unit.name, sample_id)
        for unit in store.planned_units()
        for sample_id in (store.manifest(unit.name) or {}).get("sample_ids", [])
    ]
    chosen = drawn_rows(list(range(len(measured))), config.causal.max_samples, config.run.seed)
    by_source: dict[str, list[str]] = {}
    for number, (source, sample_id) in enumerate(measured):
        if number in chosen:
            by_source.setdefault(source, []).append(sample_id)
    return [
        {"name": f"causal-{number:05d}", "source": source, "sample_ids": ids}
        for number, (source, ids) in enumerate(by_source.items())
    ]


def preparation_units(config: Config, store: RunStore) -> list[PlannedUnit]:
    """Return the units that prepare the dataset's means and screened heads; none when neither is asked for."""
    if not config.causal.needs_means and not config.causal.num_screened:
        return []
    entries = [
        {**entry, "name": entry["name"].replace("causal-", "prepare-")} for entry in causal_unit_entries(config, store)
    ]
    ledger = store.preparation
    ledger.start()
    ledger.write_json("plan/units.json", entries)
    return ledger.planned_units()


def write_causal_plan(config: Config, store: RunStore) -> None:
    """Write ``plan/causal.json`` once everything it depends on is committed.

    Raises
    ------
    ConfigError
        When there is only one sample to resample from.
    RunFailedError
        When no sample could be prepared.
    """
    units = causal_unit_entries(config, store)
    plan: dict[str, Any] = {"units": units, "partners": {}, "screened": {"top": [], "random": []}, "fingerprints": {}}
    if config.causal.needs_partners:
        plan["partners"] = _partners(units, config.run.seed)
    prepared = store.preparation.planned_units()
    if config.causal.needs_means:
        store.write_plan_table("head_means", _means(store, prepared))
        plan["fingerprints"]["head_means"] = store.plan_table_digest("head_means")
    if config.causal.num_screened:
        plan["screened"] = _screened(store, prepared, config.causal.num_screened, config.run.seed)
    store.write_json(CAUSAL_PLAN, plan)


def _partners(units: list[dict[str, Any]], seed: int) -> dict[str, list[str]]:
    """Return measure unit and id of every sample's partner: the next in one seeded cycle through all samples."""
    everyone = [(unit["source"], sample_id) for unit in units for sample_id in unit["sample_ids"]]
    if len(everyone) < 2:
        raise ConfigError("causal.ablation.replace: 'resample' takes another sample's heads, but there is only one.")
    random.Random(f"{seed}:resample").shuffle(everyone)
    return {
        sample_id: list(partner)
        for (_, sample_id), partner in zip(everyone, [*everyone[1:], everyone[0]], strict=True)
    }  # fmt: skip


def _means(store: RunStore, prepared: list[PlannedUnit]) -> pa.Table:
    """Return every head's mean output, summed in unit order."""
    sums: dict[tuple[int, int], np.ndarray] = {}
    num_rows = 0
    for unit in prepared:
        rows = pq.read_table(store.preparation.shards / unit.name / "head_sums.parquet").to_pylist()
        num_rows += rows[0]["num_rows"] if rows else 0
        for row in rows:
            head = (row["layer"], row["head"])
            sums[head] = sums.get(head, 0) + np.array(row["sum"])
    if not num_rows:
        first = store.preparation.first_reject()
        raise RunFailedError(f"{store.root}: no sample could be prepared for causal.ablation, the first: {first}")
    columns = {
        "layer": [layer for layer, _ in sums],
        "head": [head for _, head in sums],
        "mean": [total / num_rows for total in sums.values()],
    }
    return pa.table(columns, schema=MEANS_SCHEMA)


def _screened(store: RunStore, prepared: list[PlannedUnit], top: int, seed: int) -> dict[str, list[list[int]]]:
    """Return the heads with the largest mean ``|head_gradient|``, and for each a random other head of its layer.

    A layer that has fewer other heads than top ones gives all that it has.
    """
    scores: defaultdict[tuple[int, int], float] = defaultdict(float)
    for unit in prepared:
        table = pq.read_table(store.preparation.shards / unit.name / "screening.parquet")
        names = ("layer", "head", "head_gradient")
        for layer, head, score in zip(*(table[name].to_pylist() for name in names), strict=True):
            scores[layer, head] += abs(score)
    if not scores:
        first = store.preparation.first_reject()
        raise RunFailedError(f"{store.root}: no sample could be screened for causal heads, the first: {first}")
    chosen = sorted(sorted(scores, key=lambda pair: (-scores[pair], pair))[:top])
    generator = random.Random(f"{seed}:screening")
    matched: list[tuple[int, int]] = []
    for layer in sorted({layer for layer, _ in chosen}):
        others = [pair for pair in sorted(scores) if pair[0] == layer and pair not in chosen]
        wanted = sum(pair[0] == layer for pair in chosen)
        matched += generator.sample(others, min(wanted, len(others)))
    return {"top": [list(pair) for pair in chosen], "random": [list(pair) for pair in sorted(matched)]}
