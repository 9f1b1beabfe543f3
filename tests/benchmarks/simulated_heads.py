"""Simulated samples of correlated heads and clusters for the calibration of the tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analyses.inference.adjusted.design import ModelSamples, build_design

LAYERS, HEADS = 28, 28
ALPHA = 0.05


@dataclass(frozen=True)
class World:
    """What simulated samples are like; correlations are shares of a head's variance.

    With ``skewed``, what is analysed is e to the power of the values: a few large ones, as of attention weights.
    """

    num_samples: int = 180
    num_clusters: int = 60
    shared: float = 0.3
    of_layer: float = 0.2
    within_cluster: float = 0.3
    length_effect: float = 0.5
    num_planted: int = 0
    effect: float = 0.0
    skewed: bool = False


def draw(rng: np.random.Generator, world: World) -> tuple[np.ndarray, ModelSamples, np.ndarray]:
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
    values = np.exp(values) if world.skewed else values
    return values, ModelSamples(is_a, cluster, labels, {"log_num_tokens": length}), planted


def expected_power(samples: ModelSamples, world: World, freedom: float, alpha: float = ALPHA) -> float:
    """Return the chance that p <= alpha for a planted head: noncentral t with the true error of this design."""
    design = build_design(samples)
    assert design is not None
    weights = design.basis[:, -1] / design.scale
    within = sum(weights[samples.cluster == code].sum() ** 2 for code in np.unique(samples.cluster))
    variance = (1 - world.within_cluster) * (weights**2).sum() + world.within_cluster * within
    limit, shift = stats.t.isf(alpha / 2, freedom), world.effect / np.sqrt(variance)
    return float(stats.nct.sf(limit, freedom, shift) + stats.nct.cdf(-limit, freedom, shift))
