"""Whole clusters dealt into folds, drawn with replacement, and exchanged; a cluster is never torn apart."""

from __future__ import annotations

import numpy as np


def deal_folds(is_a: np.ndarray, cluster: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Return each sample's fold 0..num_folds-1, whole clusters together and labels balanced over folds.

    Clusters are sorted by how many samples of the rarer class they have, the most first and ties at random, and dealt
    in rounds of one cluster to each fold: the first of a round to the fold that has the fewest of that class, then the
    fewest samples. So the folds' counts of the rarer class differ by no more than the most that any cluster has.

    Parameters
    ----------
    is_a
        ``[samples]`` booleans.
    cluster
        ``[samples]`` any labels; at least ``num_folds`` different ones.
    """
    rng = np.random.default_rng(seed)
    codes = np.unique(cluster, return_inverse=True)[1]
    num_clusters = int(codes.max()) + 1
    rarer = is_a if 2 * is_a.sum() <= len(is_a) else ~is_a
    of_rarer = np.bincount(codes, rarer, minlength=num_clusters)
    sizes = np.bincount(codes, minlength=num_clusters)
    order = np.lexsort((rng.random(num_clusters), -of_rarer))
    fold, have, total = np.zeros(num_clusters, dtype=np.int64), np.zeros(num_folds), np.zeros(num_folds)
    for start in range(0, num_clusters, num_folds):
        dealt = order[start : start + num_folds]
        to = np.lexsort((rng.random(num_folds), total, have))[: len(dealt)]
        fold[dealt] = to
        have[to] += of_rarer[dealt]
        total[to] += sizes[dealt]
    return fold[codes]


def cluster_counts(cluster: np.ndarray, resamples: int, seed: int | list[int]) -> np.ndarray:
    """Return ``[resamples, samples]``: how often each is drawn when whole clusters are drawn with replacement."""
    codes = np.unique(cluster, return_inverse=True)[1]
    num_clusters = int(codes.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(num_clusters, np.full(num_clusters, 1 / num_clusters), resamples)
    return drawn[:, codes].astype(np.float64)


def permute_labels(is_a: np.ndarray, cluster: np.ndarray, rng: np.random.Generator, min_stratum: int = 5) -> np.ndarray:
    """Return labels exchanged between clusters of like size, so that labels stay as alike within a cluster as they are.

    Clusters are sorted by size into strata of at least ``min_stratum`` clusters, one size to a stratum where there are
    enough of it. In a stratum, the labels of all clusters in one random order are laid on the clusters in another: with
    one size that exchanges whole clusters; where sizes differ a little, few clusters are cut. The number of each label
    stays the same.
    """
    codes, sizes = np.unique(cluster, return_inverse=True, return_counts=True)[1:]
    rows_of = np.split(np.argsort(codes, kind="stable"), np.cumsum(sizes)[:-1])
    result = np.empty_like(is_a)
    for stratum in _strata(sizes, min_stratum):
        source = np.concatenate([rng.permutation(rows_of[code]) for code in rng.permutation(stratum)])
        target = np.concatenate([rows_of[code] for code in rng.permutation(stratum)])
        result[target] = is_a[source]
    return result


def _strata(sizes: np.ndarray, min_stratum: int) -> list[np.ndarray]:
    """Return clusters of like size in strata of at least ``min_stratum`` where there are that many."""
    strata: list[np.ndarray] = []
    waiting = np.zeros(0, dtype=np.int64)
    for size in np.unique(sizes):
        waiting = np.concatenate([waiting, np.flatnonzero(sizes == size)])
        if len(waiting) >= min_stratum:
            strata.append(waiting)
            waiting = waiting[:0]
    if len(waiting):
        strata[-1:] = [np.concatenate([*strata[-1:], waiting])]
    return strata
