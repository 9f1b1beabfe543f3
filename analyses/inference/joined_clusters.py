"""Clusters that pairs of samples tie together: what is measured of a pair is independent of no other pair of either."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def joined_clusters(cluster: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the codes of clusters in which those are one that have a sample's number and its other sample's in common.

    What is measured of a pair varies with both samples, so that pairs of two clusters are independent only where
    neither sample of the one is alike to one of the other.

    Parameters
    ----------
    cluster
        ``[samples]`` codes 0..clusters-1.
    others
        The row of each sample's other one, ``[samples]``; -1: none.

    Returns
    -------
    ndarray
        ``[samples]`` codes 0..n-1, n at most as large as before.
    """
    number = int(cluster.max(initial=-1)) + 1
    rows = np.flatnonzero(others >= 0)
    links = coo_array((np.ones(len(rows)), (cluster[rows], cluster[others[rows]])), shape=(number, number))
    return connected_components(links, directed=False)[1][cluster].astype(np.int64)
