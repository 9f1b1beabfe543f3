"""What a finished run says of itself at the end: one table, from the ledger."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

from engine.store import RunStore


def run_lines(store: RunStore) -> list[str]:
    """Return a measured and published run's summary as lines."""
    units = {unit.name: store.manifest(unit.name) or {} for unit in (*store.planned_units(), *store.causal_units())}
    facts: list[dict[str, Any]] = [manifest["facts"] for manifest in units.values() if manifest]
    reasons = Counter(store.merged_rejects()["reason"].to_pylist())
    measured = [found for found in facts if "measure_seconds" in found]
    seconds = [found["measure_seconds"] for found in measured]
    tokens = sum(found["num_tokens"] for found in measured)
    peaks = [found["peak_memory_bytes"] for found in measured if found.get("peak_memory_bytes")]
    divided = {sample_id for found in measured for sample_id in found.get("divided_sample_ids", [])}
    num_samples = len({sample_id for manifest in units.values() for sample_id in manifest.get("sample_ids", [])})
    rows = [
        ("shards", f"{len(units):,}, holding {num_samples:,} samples"),
        ("rejects", ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common()) or "none"),
        ("tokens", f"{tokens:,}"),
        ("seconds per shard", f"median {median(seconds):.2f}, longest {max(seconds):.2f}" if seconds else "unknown"),
        ("tokens/s of a replica", f"{tokens / sum(seconds):,.0f}" if sum(seconds) else "unknown"),
        ("peak memory of a replica", f"{max(peaks) / 2**20:,.0f} MiB" if peaks else "unknown"),
        ("sudden deaths of replicas", f"{sum(found.get('num_deaths', 0) for found in facts):,}"),
        ("measured in smaller batches", f"{len(divided):,} samples (equal within rounding)" if divided else "none"),
    ]  # fmt: skip
    return ["Run", *(f"  {name:<32} {value}" for name, value in rows)]
