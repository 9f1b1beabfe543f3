"""What one head does, in detail: how its values spread over samples, and its weight over what chance would give.

Both tables come from one pass over ``head_stats``, as do the samples' profiles by which the report chooses samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from analyses.attention_profiles import groups_of
from analyses.comparisons import Comparison
from analyses.key_groups import declared_statistics, of_kind
from analyses.queries import baseline_values, cluster_codes, mean_without_gaps, over_baseline, value_blocks
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings
from analyses.significance import clustered_mean
from analyses.vocabulary import FIGURES
from engine.schema import MASS_PREFIX

QUANTILES: Mapping[str, float] = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
"""Columns of ``head_distributions`` and the share of samples below each."""

DISTRIBUTIONS_SCHEMA: dict[str, Any] = {
    "query_group": pl.String,
    "statistic": pl.String,
    "layer": pl.Int32,
    "head": pl.Int32,
    "group": pl.String,
    **dict.fromkeys(QUANTILES, pl.Float32),
    "num_samples": pl.Int32,
}

LIFTS_SCHEMA: dict[str, Any] = {
    "query_group": pl.String,
    "key_group": pl.String,
    "kind": pl.String,
    "layer": pl.Int32,
    "head": pl.Int32,
    "mean": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "num_samples": pl.Int32,
    "num_clusters": pl.Int32,
}

TOP_TOKENS_SCHEMA: dict[str, Any] = {
    "layer": pl.Int32,
    "head": pl.Int32,
    "rank": pl.Int32,
    "token": pl.String,
    "mean": pl.Float64,
    "num_samples": pl.Int32,
}

NUM_TOP_TOKENS = 8
"""Tokens kept of each head."""


@dataclass(frozen=True)
class HeadDetails:
    """What the report shows of a head that is chosen, and of samples that are.

    Attributes
    ----------
    distributions, lifts
        Columns as in ``DISTRIBUTIONS_SCHEMA`` and ``LIFTS_SCHEMA``.
    profiles
        ``[samples, statistics]``: each declared statistic of the decision rows (of the first query group where those
        were not measured), averaged over all heads; NaN where a sample has none.
    """

    distributions: pl.DataFrame
    lifts: pl.DataFrame
    profiles: np.ndarray


def head_details(tables: RunTables, settings: AnalysisSettings, comparison: Comparison | None) -> HeadDetails:
    """Describe every head by samples of either group, or of all where there are not two groups."""
    declared = declared_statistics(tables)
    randoms = tuple(f"{MASS_PREFIX}{name}" for name in of_kind(tables, "random"))
    cluster = cluster_codes(tables, settings.cluster_by)
    found = list(groups_of(tables, comparison))
    groups = found[1:] if len(found) == 3 else found[:1]
    profiled = "decision" if "decision" in tables.query_groups else tables.query_groups[0]
    distributions, lifts = [], []
    profiles: dict[str, np.ndarray] = {}
    for block in value_blocks(tables, (*declared, *randoms)):
        for place, query_group in enumerate(block.query_groups):
            for slot, statistic in enumerate(block.statistics):
                values = block.values[:, place, slot]
                if statistic in declared:
                    distributions += [_spread(tables, query_group, statistic, label, values[rows])
                                      for label, rows in groups]  # fmt: skip
                    if query_group == profiled:
                        profiles[statistic] = mean_without_gaps(values, axis=1)
                lifts += _lifts(tables, settings, query_group, statistic, values, cluster)
    empty = np.empty((len(tables.samples), 0))
    return HeadDetails(
        pl.concat([pl.DataFrame(schema=DISTRIBUTIONS_SCHEMA), *distributions]),
        pl.concat([pl.DataFrame(schema=LIFTS_SCHEMA), *lifts]),
        np.column_stack([profiles[name] for name in declared]) if profiles else empty,
    )


def column_quantiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the quantiles of each column without its NaN, and how many values it has.

    Parameters
    ----------
    values
        ``[samples, columns]``.

    Returns
    -------
    quantiles
        ``[len(QUANTILES), columns]``, interpolated linearly (type 7 of Hyndman and Fan 1996); NaN without any value.
    counts
        ``[columns]``.
    """
    ordered = np.sort(values, axis=0)  # NaN last
    counts = (~np.isnan(values)).sum(axis=0)
    at = np.array(list(QUANTILES.values()))[:, None] * np.maximum(counts - 1, 0)
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(counts - 1, 0))
    low, high = np.take_along_axis(ordered, below, axis=0), np.take_along_axis(ordered, above, axis=0)
    return low + (high - low) * (at - below), counts


def _spread(tables: RunTables, query_group: str, statistic: str, label: str, values: np.ndarray) -> pl.DataFrame:
    quantiles, counts = column_quantiles(values)
    frame = _places(tables).with_columns(
        *(pl.Series(name, row, dtype=pl.Float32) for name, row in zip(QUANTILES, quantiles, strict=True)),
        query_group=pl.lit(query_group),
        statistic=pl.lit(statistic),
        group=pl.lit(label),
        num_samples=pl.Series(counts, dtype=pl.Int32),
    )
    return frame.select(*DISTRIBUTIONS_SCHEMA).filter(pl.col("num_samples") > 0)


def _lifts(
    tables: RunTables,
    settings: AnalysisSettings,
    query_group: str,
    statistic: str,
    values: np.ndarray,
    cluster: np.ndarray,
) -> list[pl.DataFrame]:
    """Return the lift of a key group's mass, head by head; nothing for other statistics or without baselines."""
    name = statistic.removeprefix(MASS_PREFIX)
    kind = next((kind for kind in ("union", "category", "random") if name in of_kind(tables, kind)), None)
    kind = "structure" if kind is None and name in FIGURES else kind
    baseline = baseline_values(tables, query_group, name) if statistic.startswith(MASS_PREFIX) else None
    if kind is None or baseline is None:
        return []
    shaped = values.reshape(len(values), tables.num_layers, tables.num_heads)
    lifts = over_baseline(shaped, baseline).reshape(len(values), -1)
    estimate = clustered_mean(lifts.astype(np.float64), cluster, 1 - settings.alpha)
    frame = _places(tables).with_columns(
        query_group=pl.lit(query_group),
        key_group=pl.lit(name),
        kind=pl.lit(kind),
        mean=estimate.mean,
        ci_low=estimate.ci_low,
        ci_high=estimate.ci_high,
        num_samples=pl.Series(estimate.num_samples, dtype=pl.Int32),
        num_clusters=pl.Series(estimate.num_clusters, dtype=pl.Int32),
    )
    shown = frame.select(*LIFTS_SCHEMA).filter(pl.col("num_samples") > 0)
    return [shown.with_columns(pl.col(pl.Float64).fill_nan(None))]


def _places(tables: RunTables) -> pl.DataFrame:
    places = np.arange(tables.num_layers * tables.num_heads)
    heads = {"layer": places // max(tables.num_heads, 1), "head": places % max(tables.num_heads, 1)}
    return pl.DataFrame(heads, schema={"layer": pl.Int32, "head": pl.Int32})


def head_top_tokens(tables: RunTables) -> pl.DataFrame:
    """Return the tokens that each head's decision row weighs most, over all samples.

    ``mean`` is the share of the head's attention, averaged over all samples of the run, ``num_samples`` those in which
    the token is among the kept keys. Only the kept keys count, so both are lower bounds. Empty when none were kept.
    """
    keys = tables.tables.get("decision_top_keys")
    if keys is None or tables.samples.is_empty():
        return pl.DataFrame(schema=TOP_TOKENS_SCHEMA)
    known = keys.filter(pl.col("sample_id").is_in(tables.samples["sample_id"].implode()))
    summed = known.group_by("layer", "head", "token").agg(
        mean=pl.col("weight").cast(pl.Float64).sum() / len(tables.samples),
        num_samples=pl.col("sample_id").n_unique().cast(pl.Int32),
    )
    ranked = summed.collect(engine="streaming").sort(
        "layer", "head", "mean", "token", descending=[False, False, True, False]
    )
    ranked = ranked.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("layer", "head"))
    kept = ranked.filter(pl.col("rank") <= NUM_TOP_TOKENS)
    return kept.select(pl.col(name).cast(kind) for name, kind in TOP_TOKENS_SCHEMA.items())
