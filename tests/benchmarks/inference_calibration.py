"""Do the tests keep their promises? ``nice -19 python -m tests.benchmarks.inference_calibration [--simulations 1000]``.

Simulated samples of 784 heads that share most of their noise, several samples per cluster, clusters that are right more
often than others, and longer statements in one group. Counts false positives and false discoveries where nothing
differs, and hits where something was planted, each beside what theory promises and its Monte Carlo interval. Also where
values are skewed as weights are, where clusters are few, for correlations, for replication and for the control of the
held-out prediction. Writes ``inference_calibration.md`` beside this file.
The suite runs the same functions on fewer simulations.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analyses.inference.adjusted.effects import adjusted_effects
from analyses.inference.adjusted.max_t import (
    bootstrap_weights,
    flipped_statistics,
    max_t_pvalues,
    random_signs,
)
from analyses.inference.clustered_means import wilson_interval
from analyses.inference.held_out.features import Features
from analyses.inference.held_out.folds import permute_labels
from analyses.inference.held_out.scores import bootstrap_auroc, held_out_scores
from analyses.inference.multiplicity import adjust_pvalues
from analyses.inference.ranks import normal_scores
from analyses.inference.replication import HalfEffects, is_replicated, split_clusters
from analyses.inference.unadjusted import compare_groups
from analyses.questions.correlations.answer import correlate
from analyses.questions.differences.layer_clusters import LayerClusters
from tests.benchmarks.simulated_heads import ALPHA, HEADS, LAYERS, World, draw, expected_power
from tests.fixtures.max_t_maxima import permutation_maxima


@dataclass(frozen=True)
class Rates:
    """Shares over simulations.

    Attributes
    ----------
    alone
        ``[simulations]`` share of heads without an effect whose own p is at most alpha.
    discoveries
        By adjustment, ``[simulations]`` share of false ones among the discoveries (0 without any).
    family_wise, layers
        ``[simulations]`` whether max-T, or the cluster mass along layers, finds a head without an effect.
    naive
        ``[simulations]`` whether Welch's test with Benjamini-Hochberg finds a head without an effect.
    power, expected
        ``[simulations]`` share of planted heads with p <= alpha, and what theory expects.
    """

    alone: np.ndarray
    discoveries: dict[str, np.ndarray]
    family_wise: np.ndarray
    layers: np.ndarray
    naive: np.ndarray
    power: np.ndarray
    expected: np.ndarray


def simulate(world: World, simulations: int, seed: int = 0, permutations: int = 199) -> Rates:
    """Run the simulations."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[float, ...]] = []
    discoveries: dict[str, list[float]] = {"fdr_bh": [], "fdr_by": [], "holm": [], "bonferroni": []}
    for simulation in range(simulations):
        values, samples, planted = draw(rng, world)
        found = adjusted_effects(values, samples)
        for name, shares in discoveries.items():
            hits = adjust_pvalues(found.pvalue, name) <= ALPHA
            shares.append(float((hits & ~planted).sum() / max(hits.sum(), 1)))
        signs = random_signs(permutations, int(samples.cluster.max()) + 1, simulation)
        largest = permutation_maxima(values, samples, signs)
        is_hit = max_t_pvalues(found.statistic, largest) <= ALPHA
        layers = LayerClusters(samples, signs)
        layers.add("all", ["statistic"], values.reshape(len(values), 1, LAYERS, HEADS).mean(axis=3))
        pvalues = layers.table("c", {("all", "statistic"): "f"})["pvalue_adjusted"].drop_nulls().to_numpy()
        welch = adjust_pvalues(compare_groups(values, samples.is_a).pvalue_welch, "fdr_bh") <= ALPHA
        is_powered = found.pvalue[planted] <= ALPHA
        rows.append(
            (
                float((found.pvalue[~planted] <= ALPHA).mean()),
                float((is_hit & ~planted).any()),
                float((pvalues <= ALPHA).any()),
                float((welch & ~planted).any()),
                float(is_powered.mean()) if planted.any() else np.nan,
                expected_power(samples, world, float(found.degrees_of_freedom[0])) if planted.any() else np.nan,
            )
        )
    alone, family_wise, layers_found, naive, power, expected = np.array(rows).T
    counted = {name: np.array(shares) for name, shares in discoveries.items()}
    return Rates(alone, counted, family_wise, layers_found, naive, power, expected)


SKEWED = World(num_samples=120, num_clusters=60, length_effect=0.0, skewed=True)
FEW = World(num_samples=60, num_clusters=14)


def simulate_agreement(simulations: int, seed: int = 3, permutations: int = 199) -> dict[str, np.ndarray]:
    """Return whether anything is found in skewed values without any effect: by one adjusted p, and where all agree."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {"Benjamini-Hochberg alone": [], "max-T alone": [], "all three agree": []}
    for simulation in range(simulations):
        values, samples, _ = draw(rng, SKEWED)
        effects = adjusted_effects(values, samples)
        ranked = adjusted_effects(normal_scores(values), samples)
        signs = random_signs(permutations, int(samples.cluster.max()) + 1, simulation)
        adjusted = adjust_pvalues(effects.pvalue, "fdr_bh") <= ALPHA
        largest = max_t_pvalues(effects.statistic, permutation_maxima(values, samples, signs)) <= ALPHA
        on_ranks = adjust_pvalues(ranked.pvalue, "fdr_bh") <= ALPHA
        for name, hits in zip(found, (adjusted, largest, adjusted & largest & on_ranks), strict=True):
            found[name].append(float(hits.any()))
    return {name: np.array(shares) for name, shares in found.items()}


def simulate_bootstrap(simulations: int, seed: int = 4, draws: int = 199) -> np.ndarray:
    """Return ``[simulations]`` share of heads whose own wild cluster bootstrap p is at most alpha; 14 clusters."""
    rng = np.random.default_rng(seed)
    shares = []
    for simulation in range(simulations):
        values, samples, _ = draw(rng, FEW)
        statistic = np.abs(adjusted_effects(values, samples).statistic)
        weights = bootstrap_weights(draws, int(samples.cluster.max()) + 1, simulation)
        pvalues = np.full(values.shape[1], np.nan)
        for columns, drawn in flipped_statistics(values, samples, weights):
            pvalues[columns] = (1 + (np.abs(drawn) >= statistic[columns]).sum(axis=0)) / (draws + 1)
        shares.append(float((pvalues <= ALPHA).mean()) if np.isfinite(pvalues).all() else np.nan)
    return np.array(shares)


def simulate_correlations(simulations: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return share of heads with p <= alpha, and whether Benjamini-Hochberg finds any: a target of clusters' own."""
    rng = np.random.default_rng(seed)
    alone, discoveries = [], []
    for _ in range(simulations):
        values, samples, _ = draw(rng, World())
        target = rng.normal(size=samples.cluster.max() + 1)[samples.cluster] + rng.normal(size=len(samples.cluster))
        found = correlate(values, [np.round(2 * target)], samples.cluster)[0]["pvalue"]
        alone.append(float((found <= ALPHA).mean()))
        discoveries.append(float((adjust_pvalues(found, "fdr_bh") <= ALPHA).any()))
    return np.array(alone), np.array(discoveries)


def simulate_replication(simulations: int, seed: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return whether any head without an effect is called replicated, and the share of 40 planted ones that are."""
    rng = np.random.default_rng(seed)
    false, true = [], []
    for simulation in range(simulations):
        values, samples, planted = draw(rng, World(num_samples=360, num_clusters=120, num_planted=40, effect=0.6))
        held = split_clusters(samples.cluster, 0.3, simulation)
        assert held is not None
        halves = [adjusted_effects(values[rows], samples.take(rows)) for rows in (~held, held)]
        first, second = (HalfEffects(half.effect, half.pvalue) for half in halves)
        family = np.full(len(planted), "all", dtype=object)
        hits = is_replicated([(first, second)], family, ALPHA, "fdr_bh") == True  # noqa: E712
        false.append(float((hits & ~planted).sum() / max(hits.sum(), 1)))
        true.append(float(hits[planted].mean()))
    return np.array(false), np.array(true)


def simulate_control(simulations: int, seed: int = 7, controls: int = 19) -> np.ndarray:
    """Return whether the permuted-label control's p is at most alpha where the heads know nothing of the labels."""
    rng = np.random.default_rng(seed)
    found = []
    for simulation in range(simulations):
        values, samples, _ = draw(rng, World(length_effect=0.0))
        labels = rng.normal(size=samples.cluster.max() + 1)[samples.cluster] + rng.normal(size=len(values)) > 0
        features = Features.of(values)

        def value(is_a: np.ndarray, draw_of: int, simulation=simulation, features=features, samples=samples) -> float:
            scores = held_out_scores(features, is_a, samples.cluster, seed=[simulation, draw_of])
            return bootstrap_auroc(scores, is_a, np.zeros((0, len(is_a))))[0]

        own = value(labels, 0)
        drawn = [value(permute_labels(labels, samples.cluster, rng), number) for number in range(1, controls + 1)]
        found.append(float((1 + sum(one >= own for one in drawn)) / (controls + 1) <= ALPHA))
    return np.array(found)


def told(name: str, shares: np.ndarray, promise: str) -> str:
    """Return a line with a rate and its 95 % Monte Carlo interval; Wilson's where each simulation says yes or no."""
    shares = shares[~np.isnan(shares)]
    reach = 1.96 * shares.std(ddof=1) / np.sqrt(len(shares))
    low, high = max(shares.mean() - reach, 0.0), shares.mean() + reach
    if set(np.unique(shares)) <= {0.0, 1.0}:
        low, high = wilson_interval(int(shares.sum()), len(shares))
    return f"| {name} | {len(shares):,} | {shares.mean():.4f} | {low:.4f} to {high:.4f} | {promise} |"


def _lines_of_null(name: str, rates: Rates) -> list[str]:
    return [
        told(f"{name}: single test", rates.alone, "0.05"),
        *(told(f"{name}: any discovery, {kind}", shares, "≤ 0.05") for kind, shares in rates.discoveries.items()),
        told(f"{name}: any discovery, max-T", rates.family_wise, "≤ 0.05"),
        told(f"{name}: any stretch of layers", rates.layers, "≤ 0.05"),
        told(f"{name}: any discovery, Welch and fdr_bh", rates.naive, "≤ 0.05, and not kept: why it is not quoted"),
    ]


def _lines_of_planted(count: int) -> list[str]:
    rates = simulate(World(num_planted=40, effect=0.6), count, seed=1)
    kinds = rates.discoveries.items()
    return [
        *(told(f"40 heads planted: false discoveries, {kind}", shares, "≤ 0.05") for kind, shares in kinds),
        told("40 heads planted: single test of the others", rates.alone, "0.05"),
        told("40 heads planted: power of a single test", rates.power, f"{rates.expected.mean():.4f} (noncentral t)"),
    ]


def _lines_of_others(count: int) -> list[str]:
    agreed = simulate_agreement(count)
    alone, discoveries = simulate_correlations(count)
    false, true = simulate_replication(count)
    promises = ("≤ 0.05, and may not be kept", "≤ 0.05, and may not be kept", "≤ 0.05")
    return [
        *(
            told(f"skewed values, nothing differs: any discovery, {name}", shares, promise)
            for (name, shares), promise in zip(agreed.items(), promises, strict=True)
        ),
        told("nothing differs, 14 clusters: single test, wild bootstrap", simulate_bootstrap(count), "0.05"),
        told("nothing correlates: single test", alone, "0.05"),
        told("nothing correlates: any discovery, fdr_bh", discoveries, "≤ 0.05"),
        told("40 heads planted, 120 clusters: false ones among the replicated", false, "≤ 0.05"),
        told("40 heads planted, 120 clusters: planted ones replicated", true, "no promise"),
    ]


PARTS: dict[str, Callable[[int], list[str]]] = {
    "null": lambda count: _lines_of_null("nothing differs", simulate(World(), count)),
    "few clusters": lambda count: _lines_of_null("nothing differs, 14 clusters", simulate(FEW, count, seed=2)),
    "planted": _lines_of_planted,
    "others": _lines_of_others,
    "control": lambda count: [
        told("heads know nothing: p of the permuted-label control ≤ 0.05", simulate_control(count // 4), "≤ 0.05")
    ],
}


def main() -> None:
    """Measure, print, and write the table beside this file."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    options = parser.parse_args()
    started = time.process_time()
    rows = [line for part in PARTS.values() for line in part(options.simulations)]
    world = World()
    text = "\n".join(
        [
            "# Do the tests keep their promises?",
            "",
            f"{LAYERS * HEADS} heads that share {world.shared:.0%} of their noise with all others and "
            f"{world.of_layer:.0%} with their layer, {world.num_samples} samples of {world.num_clusters} clusters "
            "(60 of 14 where it says so), labels correlated within clusters, right samples longer, alpha 0.05. Written "
            f"by `nice -19 python -m tests.benchmarks.inference_calibration --simulations {options.simulations}` "
            f"({time.process_time() - started:,.0f} CPU s).",
            "",
            "| | simulations | rate | 95 % Monte Carlo interval | promised |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    print(text)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
