"""How often do intervals that redraw clusters hold the truth? ``nice -19 python -m tests.benchmarks.interval_coverage``

The report calls them approximate; this says by how much. **Held-out prediction**: worlds of ``worlds.py`` are written
as runs and asked the report's own question. The truth that an interval is held against is the mean AUROC of all
simulations, what the procedure reaches on average with so many samples. **Agreement of measures**: heads have true
means, samples scatter around them, and the truth is the rank correlation of the true means. Nothing is written.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from analyses.inference.clustered_means import wilson_interval
from analyses.questions.causes.agreement import _agreement, _HeadSums, _resamples, spearman_rows
from analyses.questions.decodability.answer import HEADS, decodability
from analyses.runs.run import open_tables
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.decodability import DecodabilitySettings
from tests.benchmarks.worlds import ALONE, EVEN, STATISTICS, ZIPF, World, write_world

PREDICTIONS = {
    "nothing to know, 60 clusters of 5": World(EVEN, 0.3),
    "one head, 0.9 sd, 60 clusters of 5": World(EVEN, 0.3, planted={"head": 0.9}),
    "one head, 0.9 sd, 300 alone": World(ALONE, 0.3, planted={"head": 0.9}),
    "one head, 0.9 sd, Zipf": World(ZIPF, 0.3, planted={"head": 0.9}),
}

AGREEMENTS = {
    "60 clusters, noise a tenth of the spread of heads": (60, 0.1),
    "60 clusters, noise as large as the spread of heads": (60, 1.0),
    "60 clusters, noise twice the spread of heads": (60, 2.0),
    "14 clusters, noise half the spread of heads": (14, 0.5),
}


def prediction_intervals(world: World, simulations: int) -> np.ndarray:
    """Return ``[simulations, 3]``: AUROC of the heads, and both ends of its interval."""
    choices = DecodabilitySettings(targets=("is_correct",), statistics=STATISTICS, repeats=1, permutations=19)
    rows = []
    for seed in range(simulations):
        with tempfile.TemporaryDirectory() as folder:
            run = open_tables(write_world(Path(folder) / "run", world, seed))
            table = decodability(run, AnalysisSettings.from_mapping(run.config["analysis"]), choices)
        row = table.row(0, named=True)
        assert row["model"] == HEADS
        rows.append([row["auroc"], row["ci_low"], row["ci_high"]])
    return np.array(rows, dtype=float)


def agreement_intervals(num_clusters: int, noise: float, simulations: int) -> tuple[float, np.ndarray]:
    """Return the true rank correlation of two measures of 32 heads, and ``[simulations, 3]`` estimates with ends.

    ``noise`` is the error of a head's mean over all samples, in standard deviations of the heads' true means.
    """
    rng = np.random.default_rng(17)
    first = rng.normal(size=32)
    second = 0.7 * first + 0.7 * rng.normal(size=32)
    shift = 5.0  # measures are sizes; far from 0 their absolute value is themselves
    heads = [(0, slot) for slot in range(32)]
    rows = []
    for seed in range(simulations):
        scale = noise * np.sqrt(num_clusters)
        measured = {
            name: _HeadSums(
                heads, shift + mean + scale * rng.normal(size=(num_clusters, 32)), np.ones((num_clusters, 32))
            )
            for name, mean in (("mass", first), ("ablation", second))
        }
        weights = _resamples(num_clusters, np.arange(num_clusters), seed)
        row = _agreement(measured, weights, 0.05, {"num_samples": num_clusters, "num_clusters": num_clusters}).row(
            0, named=True
        )
        rows.append([row["rho"], row["ci_low"], row["ci_high"]])
    return float(spearman_rows(first[None], second[None])[0]), np.array(rows, dtype=float)


def told(name: str, truth: float, found: np.ndarray) -> str:
    """Return one row of the table."""
    known = found[~np.isnan(found).any(axis=1)]
    held = int(((known[:, 1] <= truth) & (truth <= known[:, 2])).sum())
    low, high = wilson_interval(held, len(known))
    return (
        f"| {name} | {len(known)} | {truth:.3f} | {known[:, 0].mean():.3f} | {held / len(known):.3f} "
        f"({low:.3f} to {high:.3f}) | {(known[:, 2] - known[:, 1]).mean():.3f} |"
    )


def main() -> None:
    """Print one table, as Markdown."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--simulations", type=int, default=200)
    count = parser.parse_args().simulations
    print("| interval | simulations | truth | mean estimate | coverage | mean width |\n|---|---|---|---|---|---|")
    for name, (num_clusters, noise) in AGREEMENTS.items():
        print(told(f"agreement: {name}", *agreement_intervals(num_clusters, noise, count)), flush=True)
    for name, world in PREDICTIONS.items():
        found = prediction_intervals(world, count)
        print(told(f"AUROC: {name}", float(found[:, 0].mean()), found), flush=True)


if __name__ == "__main__":
    main()
