"""Whether heads attend differently in one group of samples than in another, such as right and wrong predictions.

One row per comparison, query group, statistic, layer and head. The quoted test is the adjusted, clustered model of
``inference.adjusted.effects``; Welch and Mann-Whitney stand beside it. p-values are adjusted over each family
(``questions.families``); by default a comparison is one family of every head x statistic x query group.

Weights are skewed, and where they are, any t-test of a small group finds too much, max-T with random signs included. So
the same model is fitted to normal scores of the ranks as well, and a finding is called significant only where
every adjusted p of ``families.CHECKS`` agrees (``families.is_certain``; ``inference.adjusted.checks`` has the others).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl

from analyses.cores import in_order
from analyses.inference.adjusted.cluster_errors import Errors
from analyses.inference.adjusted.exchange import Exchange
from analyses.inference.adjusted.max_t import bootstrap_weights, max_t_pvalues, random_signs
from analyses.inference.clustered_means import clustered_mean
from analyses.inference.multiplicity import adjust_within, family_sizes
from analyses.inference.replication import is_discovered, is_replicated, split_clusters
from analyses.questions.comparisons import Comparison, comparisons_of, fixed_samples, model_samples
from analyses.questions.differences.chunks import TestedChunks
from analyses.questions.differences.layer_clusters import LayerClusters
from analyses.questions.differences.tables import GROUP_DIFFERENCES, LAYER_CLUSTERS
from analyses.questions.families import declared_families
from analyses.questions.rare_key_groups import rare_statistics
from analyses.runs.key_groups import declared_statistics
from analyses.runs.lifts import mean_without_gaps
from analyses.runs.run import Run
from analyses.runs.values import Block, baseline_values, value_blocks
from analyses.settings.analysis import WILD_BOOTSTRAP, AnalysisSettings
from engine.schema import MASS_PREFIX

CHUNK_BYTES = 32 * 2**20
"""Bytes in float64 of the values that are tested at once."""


class GroupDifferences(NamedTuple):
    """Tests of heads, stretches of layers, and the groups as they were resolved."""

    table: pl.DataFrame
    layer_clusters: pl.DataFrame
    comparisons: list[Comparison]


def group_differences(run: Run, settings: AnalysisSettings) -> GroupDifferences:
    """Test every head x statistic x query group for each configured comparison.

    Returns
    -------
    table
        Columns as in ``GROUP_DIFFERENCES``; no rows for a comparison that cannot be tested.
    layer_clusters
        Stretches of layers, as ``questions.differences.layer_clusters`` has them.
    comparisons
        The groups as they were resolved, with the reason where one could not be tested.
    """
    comparisons = comparisons_of(run, settings)
    tested = [_test_comparison(run, settings, comparison) for comparison in comparisons if not comparison.problem]
    table = pl.concat([GROUP_DIFFERENCES.empty(), *(part[0] for part in tested)])
    layers = pl.concat([LAYER_CLUSTERS.empty(), *(part[1] for part in tested)])
    return GroupDifferences(table, layers, comparisons)


def _test_comparison(run: Run, settings: AnalysisSettings, comparison: Comparison) -> tuple[pl.DataFrame, pl.DataFrame]:
    model = model_samples(run, settings, comparison)
    member = comparison.is_member
    is_wild = settings.errors == WILD_BOOTSTRAP
    draw = bootstrap_weights if is_wild else random_signs
    signs = draw(settings.permutations, int(model.cluster.max()) + 1, run.seed)
    in_confirmation = split_clusters(model.cluster, settings.confirmation_fraction, run.seed)
    statistics, errors = declared_statistics(run), ERRORS[settings.errors]
    family_of = declared_families(settings.families, run.query_groups, statistics)
    untested = rare_statistics(run, comparison)
    fixed = fixed_samples(run, settings, comparison)
    exchange = Exchange(fixed or model, settings.permutations, run.seed) if settings.permutations else None
    collected = TestedChunks(
        model, errors, signs, is_wild, settings.alpha, in_confirmation, untested, fixed=fixed, exchange=exchange
    )
    layers = LayerClusters(model, signs, errors, untested, exchange)

    def of_layers(query_group: str, names: tuple[str, ...], cut: np.ndarray) -> Callable[[], None]:
        part = layers.tested(query_group, names, mean_without_gaps(cut, axis=3))
        return partial(layers.join, part)

    def of_heads(keys: dict[str, np.ndarray], values: np.ndarray) -> Callable[[], None]:
        lifts = _lifts(run, keys, values, member, model.cluster, settings.alpha)
        return partial(collected.add, collected.tested(keys | lifts, values))

    def pieces() -> Iterator[Callable[[], Callable[[], None]]]:
        for block in value_blocks(run, statistics):
            block = block if member.all() else Block(block.query_groups, block.statistics, block.values[member])
            for slot, query_group in enumerate(block.query_groups):
                cut = block.values[:, slot].reshape(len(model.is_a), -1, run.num_layers, max(run.num_heads, 1))
                yield partial(of_layers, query_group, block.statistics, cut)
            for keys, values in _chunks(run, block):
                pairs = zip(keys["query_group"], keys["statistic"], strict=True)
                keys["family"] = np.array([family_of[pair] for pair in pairs], dtype=object)
                yield partial(of_heads, keys, values)

    for take_in in in_order(pieces()):
        take_in()
    table = _adjusted_table(comparison.name, collected, settings)
    return table, layers.table(comparison.name, family_of)


def _adjusted_table(name: str, collected: TestedChunks, settings: AnalysisSettings) -> pl.DataFrame:
    if not collected.parts:
        return GROUP_DIFFERENCES.empty()
    columns = {key: np.concatenate([part[key] for part in collected.parts]) for key in collected.parts[0]}
    family, halves = columns["family"], collected.halves
    columns["family_size"] = family_sizes(columns["pvalue"], family)
    columns["pvalue_adjusted"] = adjust_within(columns["pvalue"], family, settings.correction)
    for check in ("ranks", "pooled", "fixed", "interaction"):
        columns[f"pvalue_{check}_adjusted"] = adjust_within(columns[f"pvalue_{check}"], family, settings.correction)
    if settings.permutations:
        columns["pvalue_max_t"] = np.full(len(family), np.nan)
        for one, maxima in collected.maxima.items():
            columns["pvalue_max_t"][family == one] = max_t_pvalues(columns["t"][family == one], maxima)
        columns["pvalue_exchange"] = np.full(len(family), np.nan)
        for one, maxima in collected.exchanged.items():
            here = family == one
            columns["pvalue_exchange"][here] = max_t_pvalues(columns["exchange"][here], maxima)
    columns["interaction_label"] = np.full(len(family), collected.labels[0] or None, dtype=object)
    replicated = is_replicated(halves, family, settings.alpha, settings.correction) if halves else None
    if halves:
        columns["is_discovered"] = is_discovered(halves, family, settings.alpha, settings.correction)
    return _as_table(name, columns, replicated)


ERRORS: dict[str, Errors] = {"auto": "CR2", "cr1": "CR1", "cr2": "CR2", WILD_BOOTSTRAP: "CR2"}
"""Errors behind each setting: CR2 is right for many clusters and for few, so ``auto`` never needs CR1."""


def _chunks(run: Run, block: Block) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Yield the key columns and the values ``[samples, tests]``, as many tests at a time as ``CHUNK_BYTES`` hold."""
    num_samples, num_heads = len(block.values), max(run.num_heads, 1)
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
    run: Run,
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
        baseline = baseline_values(run, query_group, statistic.removeprefix(MASS_PREFIX))
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
    for column, kind in GROUP_DIFFERENCES.schema.items():
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
