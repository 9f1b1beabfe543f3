"""Max-T over a family of adjusted tests: Freedman-Lane residuals times one random sign per cluster."""

from __future__ import annotations

import numpy as np

from analyses.adjusted_model import part_of, why_unreliable, why_untestable
from analyses.cluster_errors import ClusterErrors, Errors, cluster_errors
from analyses.design import Design, Samples, build_design
from analyses.significance import cluster_sums, constant_columns, missing_patterns

PERMUTATION_BLOCK = 256
"""Tests per matrix product of max-T; keeps a block of 1,000 sign flips near 20 MB."""


def random_signs(num_permutations: int, num_clusters: int, seed: int) -> np.ndarray:
    """Return ``[permutations, clusters]`` of -1 and 1, each with probability one half."""
    return np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), size=(num_permutations, num_clusters))


def permutation_maxima(values: np.ndarray, samples: Samples, signs: np.ndarray, errors: Errors = "CR2") -> np.ndarray:
    """Return the largest |T*| over the tests under each set of signs.

    With an orthonormal basis Q of the model (its last column q the group's own part), weights t of the scores,
    residuals e of the model without the group and signs s, both T*'s numerator qᵀ(s·e) and its clustered error are
    linear or quadratic in the signs: with U_g = Σ_{i∈g} t_i e_i, w = Qᵀ(s·e) and D_g = Σ_{i∈g} t_i Q_i, the score of
    cluster g is s_g U_g - D_g w. So a block of tests needs only products of the signs with sums over clusters.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    samples
        As for ``adjusted_effects``; cluster codes index the columns of ``signs``.
    signs
        ``[permutations, clusters]`` as from ``random_signs``; the same array for every part of a family.
    errors
        As for ``adjusted_effects``; tests that it refuses do not count.

    Returns
    -------
    ndarray
        ``[permutations]``; 0 where nothing could be tested. The maximum over a family that is processed in parts is
        the elementwise maximum of the parts' results.
    """
    maxima = np.zeros(len(signs))
    for rows, columns in missing_patterns(values):
        chosen = samples.take(rows)
        present, codes = np.unique(chosen.cluster, return_inverse=True)
        design = build_design(chosen)
        if design is None or why_untestable(chosen, design, len(present)):
            continue
        robust = cluster_errors(design, codes, errors)
        if why_unreliable(chosen, robust):
            continue
        part = part_of(values, rows, columns)
        part = part[:, ~constant_columns(part)]
        for start in range(0, part.shape[1], PERMUTATION_BLOCK):
            block = part[:, start : start + PERMUTATION_BLOCK]
            maxima = np.maximum(maxima, _block_maxima(block, design, robust, signs[:, present]))
    return maxima


def _block_maxima(values: np.ndarray, design: Design, robust: ClusterErrors, signs: np.ndarray) -> np.ndarray:
    basis, num_columns, num_tests = design.basis, design.basis.shape[1], values.shape[1]
    nuisance, overlap = basis[:, :-1], robust.overlap
    residuals = values - nuisance @ (nuisance.T @ values)
    # Scores divided by their size: T* has no unit, and squares of small masses stay far from underflow.
    residuals = residuals / np.maximum(np.abs(residuals).max(axis=0), np.finfo(np.float64).tiny)
    sums = np.stack([cluster_sums(column[:, None] * residuals, robust.codes) for column in basis.T])
    scores = cluster_sums(robust.weights[:, None] * residuals, robust.codes)
    crossed = scores[None] * overlap.T[:, :, None]
    stacked = np.concatenate([sums, crossed]).transpose(1, 0, 2).reshape(signs.shape[1], -1)
    products = (signs @ stacked).reshape(len(signs), 2 * num_columns, num_tests)
    loadings, cross = products[:, :num_columns], products[:, num_columns:]
    quadratic = (overlap.T @ overlap) @ loadings
    variance = (scores**2).sum(axis=0) + ((quadratic - 2 * cross) * loadings).sum(axis=1)
    floor = 1e-12 * (scores**2).sum(axis=0)
    varies = variance > floor
    statistic = np.where(varies, np.abs(loadings[:, -1]) / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    return statistic.max(axis=1)


def max_t_pvalues(statistic: np.ndarray, maxima: np.ndarray) -> np.ndarray:
    """Return (1 + number of maxima at least |statistic|) / (permutations + 1); NaN stays NaN."""
    ordered = np.sort(maxima)
    exceeding = len(ordered) - np.searchsorted(ordered, np.abs(statistic) * (1 - 1e-12), side="left")
    return np.where(np.isnan(statistic), np.nan, (1 + exceeding) / (len(ordered) + 1))
