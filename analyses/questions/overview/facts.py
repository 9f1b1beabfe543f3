"""What was run, in words: model, samples, heads, what attention was measured of."""

from __future__ import annotations

import numpy as np

from analyses.runs.clusters import cluster_codes, noun_of_clusters, noun_of_samples, num_copies
from analyses.runs.key_groups import absent_key_groups, of_kind
from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings
from analyses.wording import count_text, headless_text


def _clusters(run: Run, settings: AnalysisSettings) -> str:
    number = len(np.unique(cluster_codes(run, settings.cluster_by)))
    copied, of = num_copies(run, settings.cluster_by)
    counted = count_text(number, noun_of_clusters(run, settings))
    if copied:
        counted += (
            f", copies apart: {copied:,} samples are copies of {of:,} in several clusters (every number of every head "
            "is the same), and the copies of one are taken as a cluster of their own"
        )
    unknown = run.samples[settings.cluster_by].null_count()
    if not unknown:
        return counted
    if unknown == len(run.samples):
        return f"{counted}; no cluster is known, and each is taken as a cluster of its own"
    return f"{counted}; of {count_text(unknown, 'sample')} it is unknown, and each is taken as a cluster of its own"


def _samples(number: int, settings: AnalysisSettings) -> str:
    noun = noun_of_samples(settings)
    return f"{number:,}" if noun == "sample" else count_text(number, noun)


def run_facts(run: Run, settings: AnalysisSettings) -> list[tuple[str, str]]:
    """Return what was run, as (what, value) in reading order."""
    metadata, samples = run.metadata, run.samples
    tokens = samples["num_tokens"].drop_nulls()
    facts = [
        ("Run", str(run.section("run").get("name") or run.run_dir.name)),
        ("Model", str(run.section("model").get("path") or "not recorded")),
        ("Predictions", str(run.section("predictions").get("path") or "not recorded")),
        ("Samples", _samples(len(samples), settings)),
        ("Independent units", _clusters(run, settings)),
        ("Heads", _heads(run)),
        ("Attention of", ", ".join(run.query_groups)),
        ("Attention to", _key_groups(run)),
    ]
    if len(tokens):
        facts.insert(4, ("Tokens per sample", f"median {tokens.median():,.0f}, {tokens.min():,} to {tokens.max():,}"))
    for name, key in (("Device", "device"), ("Commit", "commit"), ("Seed", "seed")):
        if metadata.get(key) not in (None, "", {}):
            facts.append((name, _plain(metadata[key])))
    return [*facts, ("Integrity", run.verification)]


def _heads(run: Run) -> str:
    # Tables end with the last layer that has heads; a model may not.
    num_layers = max(run.num_layers, 1 + max(run.headless_layers, default=-1))
    text = f"{num_layers} layers x {run.num_heads} query heads"
    return f"{text}; {headless_text(run.headless_layers)}" if run.headless_layers else text


def _key_groups(run: Run) -> str:
    """Name the key groups that some sample holds, the random vocabularies and the empty groups as numbers."""
    randoms, absent = of_kind(run, "random"), absent_key_groups(run)
    named = [name.replace("_", " ") for name in run.key_groups if name not in (*randoms, *absent)]
    more = [count_text(len(randoms), "random vocabulary")] if randoms else []
    empty = [name for name in absent if name not in randoms]
    none = f" ({count_text(len(empty), 'more group')} that no sample holds)" if empty else ""
    return f"{', '.join([*named, *more]) or 'nothing in particular'}{none}"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)
