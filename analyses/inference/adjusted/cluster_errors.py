"""Cluster-robust errors of the group's effect: CR2 with Satterthwaite's degrees of freedom, or CR1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from analyses.inference.adjusted.design import Design
from analyses.inference.clustered_means import cluster_sums

Errors = Literal["CR2", "CR1"]


@dataclass(frozen=True)
class ClusterErrors:
    """What clustered errors need to know of a design, the same for every test on it.

    Attributes
    ----------
    codes
        ``[samples]`` clusters 0..clusters-1.
    weights
        ``[samples]``: the score of a cluster is the sum of weight x residual over its samples.
    overlap
        ``[clusters, columns]``: sums of weight x basis over the samples of a cluster.
    degrees_of_freedom
        Of Student's t; NaN when a cluster that weighs in the contrast is fitted exactly.
    dominance
        Share of the contrast that the cluster with the most of it carries, Σ_{i in g} q_i²; 0..1. Stays 0 for CR1,
        which is there to compare with and knows no such caution.
    """

    codes: np.ndarray
    weights: np.ndarray
    overlap: np.ndarray
    degrees_of_freedom: float
    dominance: float = 0.0


DOMINANT = 1 / 3
"""A cluster that carries more than this share of a contrast decides it: its error rests on that one cluster."""

MIN_DEGREES_OF_FREEDOM = 4.0
"""Fewer Satterthwaite degrees of freedom give no p-value (Pustejovsky and Tipton 2018: unreliable below 4)."""

EXACT_FIT = 1e-8
"""An eigenvalue of I - H_gg below this means that the model fits a combination of this cluster's samples exactly."""


def cluster_errors(design: Design, codes: np.ndarray, errors: Errors = "CR2") -> ClusterErrors:
    """Return the weights of CR2 (or CR1) scores of the group's effect and their degrees of freedom."""
    basis = design.basis
    num_samples, num_columns = basis.shape
    num_clusters = int(codes.max()) + 1
    if errors == "CR1":
        correction = num_clusters / (num_clusters - 1) * (num_samples - 1) / (num_samples - num_columns)
        weights = np.sqrt(correction) * basis[:, -1]
        return ClusterErrors(codes, weights, cluster_sums(weights[:, None] * basis, codes), num_clusters - 1)
    dominance = float(np.bincount(codes, basis[:, -1] ** 2).max())
    products = cluster_sums((basis[:, :, None] * basis[:, None, :]).reshape(num_samples, -1), codes)
    shares, axes = np.linalg.eigh(products.reshape(num_clusters, num_columns, num_columns))
    # Residuals are smaller than errors by what the model fits to their cluster; CR2 undoes this axis by axis.
    remaining = 1 - shares
    is_exact = remaining < EXACT_FIT
    decides_alone = bool((is_exact & (axes[:, -1, :] ** 2 > EXACT_FIT)).any())
    # A generalised inverse: an axis that is fitted exactly has no residual, and 1 / sqrt(rounding) would make one.
    root = np.where(is_exact, 0.0, 1 / np.sqrt(np.where(is_exact, 1.0, remaining)))
    short = np.einsum("gij,gj->gi", axes, root * axes[:, -1, :])
    weights = (basis * short[codes]).sum(axis=1)
    overlap = cluster_sums(weights[:, None] * basis, codes)
    # Scores of independent errors have the covariance diag(own) - overlap overlapᵀ (Satterthwaite's approximation).
    own = np.bincount(codes, weights**2, num_clusters)
    lengths = (overlap**2).sum(axis=1)
    trace = own.sum() - lengths.sum()
    squares = (own**2).sum() - 2 * (own * lengths).sum() + ((overlap.T @ overlap) ** 2).sum()
    freedom = float("nan") if decides_alone or squares <= 0 else float(trace**2 / squares)
    return ClusterErrors(codes, weights, overlap, freedom, dominance)


def why_unreliable(degrees_of_freedom: float, units: str, quantity: str, dominance: float = 0.0) -> str:
    """Say why no p-value can be given, or return the empty string.

    Parameters
    ----------
    degrees_of_freedom
        Of the clustered error; NaN where a cluster is fitted exactly.
    units, quantity
        What there is too little of, and what it has to carry: "clusters", "it".
    dominance
        Share that the largest cluster carries.
    """
    if np.isnan(degrees_of_freedom):
        return f"one cluster alone decides a part of {quantity}"
    if degrees_of_freedom < MIN_DEGREES_OF_FREEDOM:
        return f"too few {units} to carry {quantity}: {degrees_of_freedom:.1f} degrees of freedom"
    if dominance > DOMINANT:
        return f"one cluster carries {100 * dominance:.0f} % of {quantity}, too much for an error of its own"
    return ""
