"""Do the tests keep their promises? ``python -m tests.benchmarks.inference_calibration [--simulations 1000]``.

Simulated samples of 784 heads that share most of their noise, several samples per cluster, clusters that are right more
often than others, and longer statements in one group. Counts false positives and false discoveries where nothing
differs, and hits where something was planted, each beside what theory promises and its Monte Carlo error.
The suite runs the same functions on fewer simulations.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analyses.adjusted_model import adjusted_effects
from analyses.design import Samples, build_design
from analyses.layer_clusters import LayerClusters
from analyses.max_t import max_t_pvalues, permutation_maxima, random_signs
from analyses.significance import adjust_pvalues, compare_groups

LAYERS, HEADS = 28, 28
ALPHA = 0.05


@dataclass(frozen=True)
class World:
    """What simulated samples are like; correlations are shares of a head's variance."""

    num_samples: int = 180
    num_clusters: int = 60
    shared: float = 0.3
    of_layer: float = 0.2
    within_cluster: float = 0.3
    length_effect: float = 0.5
    num_planted: int = 0
    effect: float = 0.0


def draw(rng: np.random.Generator, world: World) -> tuple[np.ndarray, Samples, np.ndarray]:
    """Return values ``[samples, 784]``, samples and the planted heads.

    Each part of the noise (common to all heads, common to a layer, a head's own) is made of a cluster's and a sample's
    share, so that every head has variance 1 and correlation ``within_cluster`` within a cluster.
    """
    count, heads = world.num_samples, LAYERS * HEADS
    cluster = np.unique(rng.integers(0, world.num_clusters, count), return_inverse=True)[1]
    leaning = rng.normal(size=world.num_clusters)[cluster]
    is_a = rng.random(count) < 1 / (1 + np.exp(-0.4 - leaning))
    labels = np.where(rng.random(count) < np.where(is_a, 0.65, 0.5), "increase", "decrease")
    length = rng.normal(7, 0.3, count) + 0.2 * is_a

    def noise(width: int) -> np.ndarray:
        company = rng.normal(size=(world.num_clusters, width))[cluster] * np.sqrt(world.within_cluster)
        return company + rng.normal(size=(count, width)) * np.sqrt(1 - world.within_cluster)

    own = np.sqrt(1 - world.shared - world.of_layer)
    values = own * noise(heads) + np.sqrt(world.shared) * noise(1)
    values += np.sqrt(world.of_layer) * np.repeat(noise(LAYERS), HEADS, axis=1)
    values += world.length_effect * (length - 7)[:, None] / 0.3 + 0.5 * (labels == "increase")[:, None]
    planted = np.zeros(heads, dtype=bool)
    planted[rng.choice(heads, world.num_planted, replace=False)] = True
    values[:, planted] += world.effect * is_a[:, None]
    return values, Samples(is_a, cluster, labels, {"log_num_tokens": length}), planted


def expected_power(samples: Samples, world: World, freedom: float, alpha: float = ALPHA) -> float:
    """Return the chance that p <= alpha for a planted head: noncentral t with the true error of this design."""
    design = build_design(samples)
    assert design is not None
    weights = design.basis[:, -1] / design.scale
    within = sum(weights[samples.cluster == code].sum() ** 2 for code in np.unique(samples.cluster))
    variance = (1 - world.within_cluster) * (weights**2).sum() + world.within_cluster * within
    limit, shift = stats.t.isf(alpha / 2, freedom), world.effect / np.sqrt(variance)
    return float(stats.nct.sf(limit, freedom, shift) + stats.nct.cdf(-limit, freedom, shift))


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


def told(name: str, shares: np.ndarray, promise: str) -> str:
    """Return a line with a rate and its Monte Carlo error."""
    error = shares.std(ddof=1) / np.sqrt(len(shares))
    return f"| {name} | {shares.mean():.3f} ± {error:.3f} | {promise} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    options = parser.parse_args()
    null = simulate(World(), options.simulations)
    planted = simulate(World(num_planted=40, effect=0.6), options.simulations, seed=1)
    few = simulate(World(num_samples=60, num_clusters=14), options.simulations, seed=2)
    print(f"{options.simulations:,} simulations each; rate ± Monte Carlo standard error\n")
    print("| | rate | promised |\n|---|---|---|")
    for name, rates in (("nothing differs", null), ("nothing differs, 14 clusters", few)):
        print(told(f"{name}: single test", rates.alone, "0.05"))
        for correction, shares in rates.discoveries.items():
            print(told(f"{name}: any discovery, {correction}", shares, "at most 0.05"))
        print(told(f"{name}: any discovery, max-T", rates.family_wise, "0.05"))
        print(told(f"{name}: any stretch of layers", rates.layers, "0.05"))
        print(told(f"{name}: any discovery, Welch", rates.naive, "0.05, and not kept"))
    for correction, shares in planted.discoveries.items():
        print(told(f"40 planted: false discoveries, {correction}", shares, "at most 0.05"))
    print(told("40 planted: single test without effect", planted.alone, "0.05"))
    print(told("40 planted: power", planted.power, f"{planted.expected.mean():.3f}"))


if __name__ == "__main__":
    main()
