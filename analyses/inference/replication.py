"""Whether findings of one part of the clusters hold on the others.

Clusters are split once, by the run's seed. A finding is replicated when it is significant in the discovery part after
adjustment over its family, and has the same sign and p below alpha in the confirmation part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyses.inference.multiplicity import adjust_within

MIN_CLUSTERS = 10
"""Fewer clusters than this are not split: neither part could say anything."""


@dataclass(frozen=True)
class HalfEffects:
    """Effects and unadjusted p-values of one part of the clusters, each ``[tests]``."""

    effect: np.ndarray
    pvalue: np.ndarray


def split_clusters(cluster: np.ndarray, confirmation_fraction: float, seed: int) -> np.ndarray | None:
    """Return ``[samples]`` booleans, true in the confirmation part; None when there is nothing to split.

    Parameters
    ----------
    cluster
        ``[samples]`` codes.
    confirmation_fraction
        Share of clusters in the confirmation part; 0 turns replication off.
    seed
        The same seed gives the same split.
    """
    present = np.unique(cluster)
    num_confirmation = round(len(present) * confirmation_fraction)
    if len(present) < MIN_CLUSTERS or num_confirmation < 2:
        return None
    chosen = np.random.default_rng([seed, 1]).permutation(present)[:num_confirmation]
    return np.isin(cluster, chosen)


def is_replicated(
    halves: Sequence[tuple[HalfEffects, HalfEffects]], family: np.ndarray, alpha: float, correction: str
) -> np.ndarray:
    """Return ``[tests]`` of True, False or None (a part could not be tested).

    Parameters
    ----------
    halves
        Discovery and confirmation effects, in pieces that together are all tests.
    family
        ``[tests]`` names; p is adjusted within each.
    alpha
        Level of the adjusted p in discovery and of the raw p in confirmation.
    correction
        As for ``adjust_pvalues``.
    """
    discovery, confirmation = _together(halves, 0), _together(halves, 1)
    is_significant = adjust_within(discovery.pvalue, family, correction) <= alpha
    same_sign = np.sign(discovery.effect) == np.sign(confirmation.effect)
    result = (is_significant & same_sign & (confirmation.pvalue <= alpha)).astype(object)
    result[np.isnan(discovery.pvalue) | np.isnan(confirmation.pvalue)] = None
    return result


def is_discovered(
    halves: Sequence[tuple[HalfEffects, HalfEffects]], family: np.ndarray, alpha: float, correction: str
) -> np.ndarray:
    """Return ``[tests]``, whether each was significant on the discovery clusters; None where it was not tested there.

    Arguments as for ``is_replicated``: what was not found on the fewer clusters could not replicate.
    """
    discovery = _together(halves, 0)
    result = (adjust_within(discovery.pvalue, family, correction) <= alpha).astype(object)
    result[np.isnan(discovery.pvalue)] = None
    return result


def _together(halves: Sequence[tuple[HalfEffects, HalfEffects]], side: int) -> HalfEffects:
    return HalfEffects(*(np.concatenate([getattr(half[side], name) for half in halves]) for name in _NAMES))


_NAMES = ("effect", "pvalue")
