"""Which cluster, such as a company, each sample belongs to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings, SettingsError
from analyses.wording import cluster_noun


def cluster_codes(run: Run, column: str) -> np.ndarray:
    """Return ``[samples]`` codes of the samples' clusters; a sample without a cluster is one of its own."""
    if column not in run.samples.columns:
        raise SettingsError(
            f"{run.run_dir}: analysis.cluster_by names {column!r}, which is no column of samples; columns: "
            f"{', '.join(run.samples.columns)}."
        )
    alone = pl.format("sample {}", "sample_id")
    known = pl.format("cluster {}", pl.col(column).cast(pl.String))
    labels = run.samples.select(pl.when(pl.col(column).is_null()).then(alone).otherwise(known)).to_series()
    return np.unique(labels.to_numpy(), return_inverse=True)[1]


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


def noun_of_clusters(run: Run, settings: AnalysisSettings) -> str:
    """Return what one cluster is: by ``analysis.nouns``, or from the field that names it ("company"); else "cluster".

    Where no sample has a cluster, each is one of its own: "sample".
    """
    if settings.cluster_by in run.samples.columns and run.samples[settings.cluster_by].null_count() == len(run.samples):
        return noun_of_samples(settings)
    if "cluster" in settings.nouns:
        return settings.nouns["cluster"]
    fields = run.section("predictions").get("fields")
    named = fields.get(settings.cluster_by) if isinstance(fields, Mapping) else None
    return cluster_noun(named or settings.cluster_by)


def noun_of_samples(settings: AnalysisSettings) -> str:
    """Return what one sample is called."""
    return settings.nouns.get("sample", "sample")
