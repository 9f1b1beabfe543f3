"""Whether heads attend differently in one group of samples than in another, such as right and wrong predictions.

One row per comparison, query group, statistic, layer and head. The quoted test is the adjusted, clustered model of
``analyses.adjusted_model``; Welch and Mann-Whitney stand beside it. p-values are adjusted over each family
(``analyses.families``); by default a comparison is one family of every head x statistic x query group.

Weights are skewed, and where they are, any t-test of a small group finds too much, max-T with random signs included. So
the same model is fitted to normal scores of the ranks as well, and a finding is called significant only where
``pvalue_adjusted``, ``pvalue_max_t`` and ``pvalue_ranks_adjusted`` agree (``is_certain``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from analyses.cluster_errors import Errors
from analyses.comparisons import Comparison, comparisons_of, model_samples
from analyses.families import adjust_within, declared_families, family_sizes
from analyses.key_groups import declared_statistics
from analyses.layer_clusters import SCHEMA as LAYER_SCHEMA
from analyses.layer_clusters import LayerClusters
from analyses.max_t import bootstrap_weights, max_t_pvalues, random_signs
from analyses.queries import Block, baseline_values, mean_without_gaps, value_blocks
from analyses.rare_key_groups import rare_statistics
from analyses.replication import is_replicated, split_clusters
from analyses.run_tables import RunTables
from analyses.settings import WILD_BOOTSTRAP, AnalysisSettings
from analyses.significance import clustered_mean
from analyses.tested_chunks import TestedChunks
from engine.schema import MASS_PREFIX

CHUNK_BYTES = 64 * 2**20
"""Bytes in float64 of the values that are tested at once."""

SCHEMA: dict[str, Any] = {
    "comparison": pl.String,
    "query_group": pl.String,
    "statistic": pl.String,
    "layer": pl.Int32,
    "head": pl.Int32,
    "mean_a": pl.Float64,
    "mean_b": pl.Float64,
    "difference": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "effect_size": pl.Float64,
    "pvalue": pl.Float64,
    "pvalue_adjusted": pl.Float64,
    "pvalue_max_t": pl.Float64,
    "pvalue_welch": pl.Float64,
    "pvalue_mannwhitney": pl.Float64,
    "auc": pl.Float64,
    "num_a": pl.Int32,
    "num_b": pl.Int32,
    "num_clusters": pl.Int32,
    "is_replicated": pl.Boolean,
    "family": pl.String,
    "family_size": pl.Int32,
    "lift": pl.Float64,
    "lift_ci_low": pl.Float64,
    "lift_ci_high": pl.Float64,
    "standard_error": pl.Float64,
    "effect_size_adjusted": pl.Float64,
    "effect_size_discovery": pl.Float64,
    "effect_size_confirmation": pl.Float64,
    "pvalue_ranks": pl.Float64,
    "pvalue_ranks_adjusted": pl.Float64,
    "degrees_of_freedom": pl.Float64,
    "method": pl.String,
    "note": pl.String,
}


def group_differences(
    tables: RunTables, settings: AnalysisSettings
) -> tuple[pl.DataFrame, pl.DataFrame, list[Comparison]]:
    """Test every head x statistic x query group for each configured comparison.

    Returns
    -------
    table
        Columns as in ``SCHEMA``; no rows for a comparison that cannot be tested.
    layer_clusters
        Stretches of layers, as ``analyses.layer_clusters`` has them.
    comparisons
        The groups as they were resolved, with the reason where one could not be tested.
    """
    comparisons = comparisons_of(tables, settings)
    tested = [_test_comparison(tables, settings, comparison) for comparison in comparisons if not comparison.problem]
    table = pl.concat([pl.DataFrame(schema=SCHEMA), *(part[0] for part in tested)])
    layers = pl.concat([pl.DataFrame(schema=LAYER_SCHEMA), *(part[1] for part in tested)])
    return table, layers, comparisons


def is_certain(alpha: float) -> pl.Expr:
    """Say of each row whether every adjusted p that was computed is at most ``alpha``."""
    agrees = [pl.col(name) <= alpha for name in ("pvalue_adjusted", "pvalue_ranks_adjusted")]
    return pl.all_horizontal(*agrees, (pl.col("pvalue_max_t") <= alpha) | pl.col("pvalue_max_t").is_null())


def _test_comparison(
    tables: RunTables, settings: AnalysisSettings, comparison: Comparison
) -> tuple[pl.DataFrame, pl.DataFrame]:
    model = model_samples(tables, settings, comparison)
    member = comparison.is_member
    is_wild = settings.errors == WILD_BOOTSTRAP
    draw = bootstrap_weights if is_wild else random_signs
    signs = draw(settings.permutations, int(model.cluster.max()) + 1, tables.seed)
    in_confirmation = split_clusters(model.cluster, settings.confirmation_fraction, tables.seed)
    statistics, errors = declared_statistics(tables), ERRORS[settings.errors]
    family_of = declared_families(settings.families, tables.query_groups, statistics)
    untested = rare_statistics(tables, comparison)
    collected = TestedChunks(model, errors, signs, is_wild, settings.alpha, in_confirmation, untested)
    layers = LayerClusters(model, signs, errors, untested)
    for block in value_blocks(tables, statistics):
        block = block if member.all() else Block(block.query_groups, block.statistics, block.values[member])
        for slot, query_group in enumerate(block.query_groups):
            cut = block.values[:, slot].reshape(len(model.is_a), -1, tables.num_layers, max(tables.num_heads, 1))
            layers.add(query_group, block.statistics, mean_without_gaps(cut, axis=3))
        for keys, values in _chunks(tables, block):
            pairs = zip(keys["query_group"], keys["statistic"], strict=True)
            keys["family"] = np.array([family_of[pair] for pair in pairs], dtype=object)
            keys |= _lifts(tables, keys, values, member, model.cluster, settings.alpha)
            collected.add(keys, values)
    table = _adjusted_table(comparison.name, collected, settings)
    return table, layers.table(comparison.name, family_of)


def _adjusted_table(name: str, collected: TestedChunks, settings: AnalysisSettings) -> pl.DataFrame:
    if not collected.parts:
        return pl.DataFrame(schema=SCHEMA)
    columns = {key: np.concatenate([part[key] for part in collected.parts]) for key in collected.parts[0]}
    family, halves = columns["family"], collected.halves
    columns["family_size"] = family_sizes(columns["pvalue"], family)
    columns["pvalue_adjusted"] = adjust_within(columns["pvalue"], family, settings.correction)
    columns["pvalue_ranks_adjusted"] = adjust_within(columns["pvalue_ranks"], family, settings.correction)
    if settings.permutations:
        columns["pvalue_max_t"] = np.full(len(family), np.nan)
        for one, maxima in collected.maxima.items():
            columns["pvalue_max_t"][family == one] = max_t_pvalues(columns["t"][family == one], maxima)
    replicated = is_replicated(halves, family, settings.alpha, settings.correction) if halves else None
    return _as_table(name, columns, replicated)


ERRORS: dict[str, Errors] = {"auto": "CR2", "cr1": "CR1", "cr2": "CR2", WILD_BOOTSTRAP: "CR2"}
"""Errors behind each setting: CR2 is right for many clusters and for few, so ``auto`` never needs CR1."""


def _chunks(tables: RunTables, block: Block) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Yield the key columns and the values ``[samples, tests]``, as many tests at a time as ``CHUNK_BYTES`` hold."""
    num_samples, num_heads = len(block.values), max(tables.num_heads, 1)
    shape = block.values.shape[1:]
    num_tests = int(np.prod(shape))
    flat = block.values.reshape(num_samples, num_tests)
    step = max(64, CHUNK_BYTES // max(8 * num_samples, 1))
    for start in range(0, num_tests, step):
        values = flat[:, start : start + step]
        exists = ~np.isnan(values).all(axis=0)
        group, statistic, place = np.unravel_index(start + np.flatnonzero(exists), shape)
        keys = {
            "query_group": np.array(block.query_groups, dtype=object)[group],
            "statistic": np.array(block.statistics, dtype=object)[statistic],
            "layer": place // num_heads,
            "head": place % num_heads,
        }
        yield keys, values if exists.all() else values[:, exists]


def _lifts(
    tables: RunTables,
    keys: dict[str, np.ndarray],
    values: np.ndarray,
    member: np.ndarray,
    cluster: np.ndarray,
    alpha: float,
) -> dict[str, np.ndarray]:
    """Return mean and clustered interval of each test's mass over what uniform attention would give; NaN for others."""
    names = ("lift", "lift_ci_low", "lift_ci_high")
    columns = {name: np.full(len(keys["layer"]), np.nan) for name in names}
    pairs = list(zip(keys["query_group"], keys["statistic"], strict=True))
    for query_group, statistic in dict.fromkeys(pairs):
        if not statistic.startswith(MASS_PREFIX):
            continue
        baseline = baseline_values(tables, query_group, statistic.removeprefix(MASS_PREFIX))
        if baseline is None:
            continue
        here = np.array([pair == (query_group, statistic) for pair in pairs])
        uniform = baseline[member]
        uniform = uniform if uniform.shape[1] == 1 else uniform[:, keys["layer"][here]]
        with np.errstate(divide="ignore", invalid="ignore"):
            lifts = np.where(uniform > 0, values[:, here] / uniform, np.nan)
        estimate = clustered_mean(lifts, cluster, 1 - alpha)
        for name, column in zip(names, (estimate.mean, estimate.ci_low, estimate.ci_high), strict=True):
            columns[name][here] = column
    return columns


def _as_table(name: str, columns: dict[str, np.ndarray], replicated: np.ndarray | None) -> pl.DataFrame:
    series: list[pl.Series] = []
    length = len(columns["layer"])
    for column, kind in SCHEMA.items():
        if column == "comparison":
            series.append(pl.repeat(name, length, dtype=kind, eager=True).alias(column))
        elif column == "is_replicated" and replicated is not None:
            series.append(pl.Series(column, replicated.tolist(), dtype=kind))
        elif column not in columns:
            series.append(pl.repeat(None, length, dtype=kind, eager=True).alias(column))
        else:
            values = columns[column]
            values = values.tolist() if values.dtype == object else values
            series.append(pl.Series(column, values).cast(kind))
    return pl.DataFrame(series).with_columns(pl.col(pl.Float64).fill_nan(None), pl.col("note").replace("", None))
