"""Random signs for whole clusters: max-T over a family of adjusted tests, and the wild cluster bootstrap of each.

Residuals of the model without the group (Freedman and Lane 1983) are multiplied by one random number per cluster, the
same for every test, and every test is studentised again. The largest |T*| over a family gives family-wise p-values
(Westfall and Young 1993); a test's own |T*| give its wild cluster bootstrap, null hypothesis imposed (Cameron, Gelbach
and Miller 2008).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analyses.inference.adjusted.cluster_errors import ClusterErrors, Errors
from analyses.inference.adjusted.design import Design, ModelSamples, null_residuals
from analyses.inference.adjusted.effects import prepare
from analyses.inference.clustered_means import cluster_sums
from analyses.inference.columns import constant_columns, missing_patterns, part_of

BLOCK_BYTES = 48 * 2**20
"""Bytes of the larger factor and of the result of one matrix product."""

FEW_CLUSTERS = 12
"""Fewer clusters have too few patterns of signs; they get Webb's six points instead (Webb 2023)."""

SINGLE_PRECISION_CLUSTERS = 50
"""From this many clusters on products are in float32: T* is then right to 1e-4, far below what p can show."""

TIES = 1e-6
"""T* that is below T by less than this share counts as T: the same flips as the data's, but for rounding."""


def random_signs(num_permutations: int, num_clusters: int, seed: int) -> np.ndarray:
    """Return int8 ``[permutations, clusters]`` of -1 and 1, each with probability one half."""
    drawn = np.random.default_rng(seed).integers(0, 2, size=(num_permutations, num_clusters), dtype=np.int8)
    return 2 * drawn - 1


def bootstrap_weights(num_permutations: int, num_clusters: int, seed: int) -> np.ndarray:
    """Return signs, or for few clusters Webb's weights ±sqrt(1/2), ±1, ±sqrt(3/2), each with probability one sixth."""
    if num_clusters >= FEW_CLUSTERS:
        return random_signs(num_permutations, num_clusters, seed)
    points = np.sqrt(np.array([0.5, 1.0, 1.5]))
    return np.random.default_rng(seed).choice(np.concatenate([-points, points]), size=(num_permutations, num_clusters))


def flipped_statistics(
    values: np.ndarray, samples: ModelSamples, signs: np.ndarray, errors: Errors = "CR2"
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield T* under each set of signs, a block of tests at a time.

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
        As for ``adjusted_effects``; tests that it refuses are left out.

    Yields
    ------
    columns
        Indices of the tests of this block.
    statistic
        ``[permutations, tests of the block]``, 0 where its error is.
    """
    for rows, columns in missing_patterns(values) if len(signs) else ():
        model = prepare(samples, rows, errors)
        if model.design is None or model.robust is None or model.unreliable:
            continue
        num_clusters = len(model.clusters)
        # A sign belongs to a cluster, so that what its samples have in common survives, and serves every test, so that
        # the largest |T*| of a family knows how its tests are correlated.
        own = signs if num_clusters == signs.shape[1] else signs[:, model.clusters]
        part = part_of(values, rows, columns)
        varies = np.flatnonzero(~constant_columns(part))
        step = max(8, BLOCK_BYTES // (8 * model.design.basis.shape[1] * max(num_clusters, len(signs))))
        for start in range(0, len(varies), step):
            block = varies[start : start + step]
            yield columns[block], flip(part[:, block], model.design, model.robust, own)


def flip(values: np.ndarray, design: Design, robust: ClusterErrors, signs: np.ndarray) -> np.ndarray:
    """Return T* ``[permutations, tests]`` of one design; arguments as in ``flipped_statistics``, values without NaN."""
    basis, num_columns, num_tests = design.basis, design.basis.shape[1], values.shape[1]
    overlap = robust.overlap
    # Of the null model, so that T* is distributed as if there were no difference; residuals of the full model have lost
    # the noise along the group, and would be too small.
    residuals = null_residuals(values, design)
    # Scores divided by their size: T* has no unit, and squares of small masses stay far from underflow.
    residuals /= np.maximum(np.maximum(residuals.max(axis=0), -residuals.min(axis=0)), np.finfo(np.float64).tiny)
    kind = np.float32 if len(overlap) >= SINGLE_PRECISION_CLUSTERS else np.float64
    scores = cluster_sums(residuals, robust.codes, robust.weights)
    sums = np.empty((2, num_columns, len(overlap), num_tests), dtype=kind)
    for slot, column in enumerate(basis.T):
        sums[0, slot] = cluster_sums(residuals, robust.codes, column)
    # Second halves: 2 Σ_g s_g U_g D_g - (Σ_g D_g D_gᵀ) w, so that the error's square is own - wᵀ (second half).
    gram = (overlap.T @ overlap).astype(kind)
    np.matmul(-gram, sums[0].reshape(num_columns, -1), out=sums[1].reshape(num_columns, -1))
    doubled = (2 * scores).astype(kind)
    for slot, column in enumerate(overlap.T.astype(kind)):
        sums[1, slot] += doubled * column[:, None]
    own = _own_variance(signs, scores).astype(kind)
    return _studentised(sums, signs, own, 1e-5 if kind == np.float32 else 1e-12)


def _studentised(sums: np.ndarray, signs: np.ndarray, own: np.ndarray, floor: float) -> np.ndarray:
    """Return T* from the sums ``[2, columns, clusters, tests]``, one column of the model at a time."""
    variance = np.repeat(own, len(signs) // len(own), axis=0)
    loading = np.empty(0)
    for first, second in zip(sums[0], sums[1], strict=True):
        loading = _product(signs, first)
        variance -= loading * _product(signs, second)
    # The last column is the group's own part, so its loading is T*'s numerator.
    # A difference of sums: what is not above the rounding of the first is no variance, and T* counts as 0.
    varies = variance > floor * own
    np.sqrt(variance, out=variance, where=varies)
    return np.divide(loading, variance, out=np.zeros_like(loading), where=varies)


def _product(signs: np.ndarray, stacked: np.ndarray) -> np.ndarray:
    """Return signs @ stacked; signs become floats a part of the clusters at a time."""
    step = max(1, BLOCK_BYTES // (stacked.itemsize * len(signs)))
    result = signs[:, :step].astype(stacked.dtype) @ stacked[:step]
    for start in range(step, len(stacked), step):
        result += signs[:, start : start + step].astype(stacked.dtype) @ stacked[start : start + step]
    return result


def _own_variance(signs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return Σ_g (s_g U_g)², ``[1 or permutations, tests]``: the same for all signs, but not for Webb's weights."""
    squares = scores**2
    return squares.sum(axis=0)[None] if signs.dtype == np.int8 else signs**2 @ squares


def max_t_pvalues(statistic: np.ndarray, maxima: np.ndarray) -> np.ndarray:
    """Return (1 + number of maxima at least |statistic|) / (permutations + 1); NaN stays NaN."""
    ordered = np.sort(maxima)
    exceeding = len(ordered) - np.searchsorted(ordered, np.abs(statistic) * (1 - TIES), side="left")
    # The data as they are count as one more draw, so that p is never 0.
    return np.where(np.isnan(statistic), np.nan, (1 + exceeding) / (len(ordered) + 1))
