"""Which samples verify a circuit: other clusters than those on which its heads and edges are chosen."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence


def held_out(
    sample_ids: Sequence[str],
    clusters: Mapping[str, str | None],
    pairs: Mapping[str, str],
    share: float,
    seed: int,
) -> list[str]:
    """Return the ids of the samples that are held out from choosing heads and edges, in their order.

    Whole clusters are chosen on or held out, and clusters that a pair ties together go the same way, so that nothing
    of a held-out sample is in what chooses. Empty where the samples are of one such cluster, or all of them choose.

    Parameters
    ----------
    sample_ids
        Samples that can have edges.
    clusters
        Cluster of every measured sample by id; None: one of its own.
    pairs
        Another measured sample whose outputs a sample's edges carry, by the sample's id.
    share
        Share of the clusters that choose, 0..1: at least one, and fewer than all below 1.
    seed
        The run's.
    """
    root = {_name(sample_id, clusters): _name(sample_id, clusters) for sample_id in clusters}

    def find(name: tuple[str, str]) -> tuple[str, str]:
        while root[name] != name:
            root[name] = name = root[root[name]]
        return name

    for sample_id in sample_ids:
        if sample_id in pairs:
            first, second = (find(_name(one, clusters)) for one in (sample_id, pairs[sample_id]))
            root[max(first, second)] = min(first, second)
    of_sample = {sample_id: find(_name(sample_id, clusters)) for sample_id in sample_ids}
    everyone = sorted(set(of_sample.values()))
    if share >= 1 or len(everyone) < 2:
        return []
    random.Random(f"{seed}:circuit:held_out").shuffle(everyone)
    number = min(max(1, round(share * len(everyone))), len(everyone) - 1)
    choosing = set(everyone[:number])
    return [sample_id for sample_id in sample_ids if of_sample[sample_id] not in choosing]


def _name(sample_id: str, clusters: Mapping[str, str | None]) -> tuple[str, str]:
    cluster = clusters[sample_id]
    return ("alone", sample_id) if cluster is None else ("cluster", cluster)
