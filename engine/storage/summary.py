"""What a finished run says of itself at the end: one table, from the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from engine.storage.records import UnitFacts
from engine.storage.run_directory import RunDirectory


def run_lines(run_dir: RunDirectory) -> list[str]:
    """Return a measured and published run's summary as lines."""
    units = run_dir.units()
    manifests = list(run_dir.ledger.manifests(units))
    all_facts = [manifest["facts"] for manifest in manifests]
    measured = [facts for facts in all_facts if "measure_seconds" in facts]
    reasons = Counter(run_dir.merged_rejects()["reason"].to_pylist())
    seconds = [facts["measure_seconds"] for facts in measured if "measure_seconds" in facts]
    tokens = sum(facts["num_tokens"] for facts in measured)
    peaks = [peak for facts in measured if (peak := facts.get("peak_memory_bytes"))]
    divided = {sample_id for facts in measured for sample_id in facts.get("divided_sample_ids", [])}
    num_samples = len({sample_id for manifest in manifests for sample_id in manifest["sample_ids"]})
    rows = [
        ("shards", f"{len(units):,}, holding {num_samples:,} samples"),
        ("rejects", ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common()) or "none"),
        ("tokens", f"{tokens:,}"),
        ("seconds per shard", f"median {median(seconds):.2f}, longest {max(seconds):.2f}" if seconds else "unknown"),
        ("tokens/s of a replica", f"{tokens / sum(seconds):,.0f}" if sum(seconds) else "unknown"),
        ("peak memory of a replica", f"{max(peaks) / 2**20:,.0f} MiB" if peaks else "unknown"),
        ("sudden deaths of replicas", f"{sum(facts.get('num_deaths', 0) for facts in all_facts):,}"),
        *_attributed(measured),
        ("measured in smaller batches", f"{len(divided):,} samples (equal within rounding)" if divided else "none"),
    ]
    return ["Run", *(f"  {name:<32} {value}" for name, value in rows)]


def _attributed(measured: Sequence[UnitFacts]) -> list[tuple[str, str]]:
    """Return how many samples have attributions, and why not where the model's parts are not known."""
    counts = [facts["num_attributed"] for facts in measured if "num_attributed" in facts]
    if not counts:  # of a version that knew none
        return []
    reasons = sorted({reason for facts in measured if (reason := facts.get("why_unattributed"))})
    return [("samples with attributions", "; ".join([f"{sum(counts):,}", *reasons]))]
