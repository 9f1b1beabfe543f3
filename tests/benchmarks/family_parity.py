"""How closely each model family's statistics and logits agree with its own eager attention.

``python -m tests.benchmarks.family_parity`` prints a table and writes it to ``family_parity.md`` beside this file. The
models are small and random, with biases and norm gains away from their defaults and texts beyond the sliding window;
the samples are measured packed together, eager attention runs them one by one, and the statistics of its patterns are
computed by float64 loops.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from engine.measuring.probe import Probe
from engine.schema import BASE_STATISTICS
from tests.oracles import attention as oracle
from tests.oracles.test_statistics import encoded
from tests.parity.test_parity import FAMILIES, WINDOWS, build, packed

LENGTHS = (71, 18, 40)
ENTROPIES = ("entropy_nats", "entropy_normalized")
DISTANCES = ("mean_distance", "mean_relative_distance")


def deviations(family: str) -> dict[str, float]:
    """Return the largest absolute deviation of logits, entropies, distances and masses."""
    model = build(family)
    samples = [encoded(length, seed=length, vocabulary=23) for length in LENGTHS]
    measured = Probe(model).measure(*packed(samples))
    model.set_attn_implementation("eager")
    worst = dict.fromkeys(("logits", "entropies", "distances", "weights and masses"), 0.0)
    names = [*BASE_STATISTICS, *(f"mass_{name}" for name in samples[0].key_groups)]
    for sample, found in zip(samples, measured, strict=True):
        with torch.no_grad():
            ids = torch.from_numpy(sample.input_ids.astype(np.int64))[None]
            plain = model(ids, output_attentions=True, use_cache=False)
        gap = float((found.logits - plain.logits[0, sample.decision_position]).abs().max())
        worst["logits"] = max(worst["logits"], gap)
        for layer, attention in enumerate(plain.attentions):
            window = WINDOWS.get(family, [None] * len(plain.attentions))[layer]
            for head, pattern in enumerate(attention[0].double().numpy()):
                rows = [
                    oracle.row_statistics(pattern, i, sample.input_ids, sample.key_groups, window)
                    for i in range(sample.num_tokens)
                ]
                for group, positions in enumerate(sample.query_groups.values()):
                    means = oracle.group_mean([rows[i] for i in positions])
                    for index, name in enumerate(names):
                        if means.get(name) is None:
                            continue
                        kind = (
                            "entropies"
                            if name in ENTROPIES
                            else "distances"
                            if name in DISTANCES
                            else "weights and masses"
                        )
                        gap = abs(float(found.layers[layer].means[head, group, index]) - means[name])
                        worst[kind] = max(worst[kind], gap)
    return worst


def main() -> None:
    """Measure and write the table."""
    lines = [
        "| family | logits | entropies (nats) | distances (tokens) | weights and masses |",
        "|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        found = deviations(family)
        lines.append(f"| {family} | " + " | ".join(f"{value:.0e}" for value in found.values()) + " |")
    print("\n".join(lines))
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
