"""Which cluster, such as a company, each sample belongs to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from analyses.runs.run import Run
from analyses.settings.analysis import AnalysisSettings, SettingsError
from analyses.wording import cluster_noun

_COPIES = "copies of "


def cluster_codes(run: Run, column: str) -> np.ndarray:
    """Return ``[samples]`` codes of the samples' clusters; a sample without a cluster is one of its own."""
    return np.unique(cluster_names(run, column), return_inverse=True)[1]


def cluster_names(run: Run, column: str) -> np.ndarray:
    """Return ``[samples]`` texts that tell clusters apart, those of several runs too: what is alike is one cluster.

    Copies of one sample in several clusters are one observation, and a cluster of their own.
    """
    if column not in run.samples.columns:
        raise SettingsError(
            f"{run.run_dir}: analysis.cluster_by names {column!r}, which is no column of samples; columns: "
            f"{', '.join(run.samples.columns)}."
        )
    alone = pl.format("sample {}", "sample_id")
    known = pl.format("cluster {}", pl.col(column).cast(pl.String))
    names = run.samples.select(pl.when(pl.col(column).is_null()).then(alone).otherwise(known)).to_series()
    names = names.to_numpy().astype(object)
    for rows in [rows for rows in run.copies if len(set(names[rows])) > 1]:
        names[rows] = f"{_COPIES}{run.samples['sample_id'][int(rows[0])]}"
    return names


def num_copies(run: Run, column: str) -> tuple[int, int]:
    """Return how many samples are copies of one another in several clusters, and of how many samples."""
    copied = [name for name in cluster_names(run, column) if name.startswith(_COPIES)]
    return len(copied), len(set(copied))


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
