"""Tidy frames from the tables of a run.

A frame that is collected here has at most one row per sample and query group, or one per head; values per sample and
head come as arrays, in blocks of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from analyses.layouts import file_values
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings, SettingsError
from analyses.wording import cluster_noun
from engine.schema import BASELINE_PREFIX, MASS_PREFIX

BLOCK_BYTES = 512 * 2**20
"""Most bytes of ``head_stats`` values that are in memory at once while tests are made."""


def cluster_codes(tables: RunTables, column: str) -> np.ndarray:
    """Return ``[samples]`` codes of the samples' clusters; a sample without a cluster is one of its own."""
    if column not in tables.samples.columns:
        raise SettingsError(
            f"{tables.run_dir}: analysis.cluster_by names {column!r}, which is no column of samples; columns: "
            f"{', '.join(tables.samples.columns)}."
        )
    alone = pl.format("sample {}", "sample_id")
    known = pl.format("cluster {}", pl.col(column).cast(pl.String))
    labels = tables.samples.select(pl.when(pl.col(column).is_null()).then(alone).otherwise(known)).to_series()
    return np.unique(labels.to_numpy(), return_inverse=True)[1]


def noun_of_clusters(tables: RunTables, settings: AnalysisSettings) -> str:
    """Return what one cluster is, from the field of the predictions that names it: "company"; else "cluster"."""
    fields = tables.section("predictions").get("fields")
    named = fields.get(settings.cluster_by) if isinstance(fields, Mapping) else None
    return cluster_noun(named or settings.cluster_by)


def shard_values(
    tables: RunTables, columns: Sequence[str], query_groups: Sequence[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield columns of ``head_stats`` a few samples at a time, as the files hold them.

    Yields
    ------
    rows
        ``[samples of the piece]`` places in ``tables.samples``; every sample comes once.
    values
        float32 ``[samples of the piece, query groups, columns, layers * heads]``; NaN for null and for a head that a
        layer lacks.
    """
    shape = tables.num_layers, tables.num_heads
    for layout in tables.layouts:
        yield from file_values(layout, tables.rows_of, columns, query_groups, shape)


@dataclass(frozen=True)
class Block:
    """Values of some statistics of some query groups, float32 ``[samples, query groups, statistics, places]``.

    A place is ``layer * num_heads + head``; samples are in the order of ``tables.samples``.
    """

    query_groups: tuple[str, ...]
    statistics: tuple[str, ...]
    values: np.ndarray


def value_blocks(tables: RunTables, statistics: Sequence[str], max_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield the values of every statistic and query group, as many at a time as fit; at least one of each.

    Files are read once per block, so memory does not grow with the samples until one statistic of one query group alone
    is larger than ``max_bytes`` (512 MiB: 170,000 samples of 784 heads).
    """
    groups = tables.query_groups
    one = 4 * len(tables.samples) * tables.num_layers * tables.num_heads
    at_once = len(groups) if one * len(groups) <= max_bytes else 1
    step = max(1, max_bytes // max(one * at_once, 1))
    for first in range(0, len(groups), max(at_once, 1)):
        chosen = groups[first : first + at_once]
        for start in range(0, len(statistics), step):
            names = tuple(statistics[start : start + step])
            yield Block(chosen, names, _whole(tables, names, chosen))


def statistic_blocks(
    tables: RunTables, query_group: str, statistics: Sequence[str], max_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Yield names and values ``[samples, statistics, layers * heads]`` of one query group, as many as fit."""
    one = 4 * len(tables.samples) * tables.num_layers * tables.num_heads
    step = max(1, max_bytes // max(one, 1))
    for start in range(0, len(statistics), step):
        names = tuple(statistics[start : start + step])
        yield names, _whole(tables, names, (query_group,))[:, 0]


def _whole(tables: RunTables, names: Sequence[str], query_groups: Sequence[str]) -> np.ndarray:
    shape = len(tables.samples), len(query_groups), len(names), tables.num_layers * tables.num_heads
    result = np.full(shape, np.nan, dtype=np.float32)
    for rows, values in shard_values(tables, names, query_groups):
        result[rows] = values
    return result


def baseline_values(tables: RunTables, query_group: str, key_group: str) -> np.ndarray | None:
    """Return what uniform attention would give a key group, ``[samples, layers]``; None without baselines.

    A baseline row without a layer holds for every layer; a row with one holds for that layer. The array has one column
    where no row has a layer.
    """
    return tables.baselines.get((query_group, f"{BASELINE_PREFIX}{key_group}"))


def over_baseline(values: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Return values ``[samples, layers, …]`` over baselines ``[samples, layers]``; NaN where the baseline is 0."""
    shaped = baseline.reshape(*baseline.shape, *[1] * (values.ndim - 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(shaped > 0, values / shaped, np.nan)


def lift_values(tables: RunTables, query_group: str, key_group: str) -> np.ndarray | None:
    """Return each sample's lift of a key group, ``[samples, layers * heads]``; None without baselines."""
    baseline = baseline_values(tables, query_group, key_group)
    if baseline is None:
        return None
    mass = _whole(tables, (f"{MASS_PREFIX}{key_group}",), (query_group,))[:, 0, 0]
    mass = mass.reshape(len(mass), tables.num_layers, tables.num_heads)
    return over_baseline(mass, baseline).reshape(len(mass), -1)


def mean_without_gaps(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean over an axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    if known.all():
        return values.mean(axis=axis)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def head_means(tables: RunTables) -> pl.DataFrame:
    """Return the mean of every statistic per query group, layer and head, over samples."""
    groups, names = tables.query_groups, tables.statistics
    num_places = tables.num_layers * tables.num_heads
    sums = np.zeros((len(groups), len(names), num_places))
    counts = np.zeros(sums.shape, dtype=np.int64)
    for _, values in shard_values(tables, names, groups):
        known = ~np.isnan(values)
        counts += known.sum(axis=0)
        sums += np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        # Infinities of both signs cancel to NaN; they must stay visible as what they are.
        means = np.where(counts > 0, np.where(np.isnan(sums), np.inf, sums) / np.maximum(counts, 1), np.nan)
    places = np.arange(num_places)
    heads = max(tables.num_heads, 1)
    frame = pl.DataFrame(
        {
            "query_group": np.repeat(np.array(groups, dtype=object), num_places).tolist(),
            "layer": np.tile(places // heads, len(groups)).astype(np.int32),
            "head": np.tile(places % heads, len(groups)).astype(np.int32),
        },
        schema={"query_group": pl.String, "layer": pl.Int32, "head": pl.Int32},
    ).with_columns(
        *(pl.Series(name, means[:, slot].reshape(-1)).fill_nan(None) for slot, name in enumerate(names)),
        num_samples=pl.Series(counts.max(axis=1, initial=0).reshape(-1)).cast(pl.UInt32),
    )
    return frame.sort("query_group", "layer", "head")


def with_baselines(tables: RunTables, frame: pl.LazyFrame) -> pl.LazyFrame | None:
    """Add the ``baseline_*`` columns to a frame with sample_id, query_group and layer; None without the table.

    A baseline row without a layer holds for every layer; a row with one holds for that layer.
    """
    baselines = tables.tables.get("baselines")
    if baselines is None:
        return None
    names = [name for name in baselines.collect_schema().names() if name.startswith(BASELINE_PREFIX)]
    keys = ["sample_id", "query_group"]
    for_all = baselines.filter(pl.col("layer").is_null()).select(*keys, *names)
    for_one = baselines.filter(pl.col("layer").is_not_null()).select(
        *keys, pl.col("layer").cast(pl.Int32), pl.col(names).name.suffix("@layer")
    )
    joined = frame.join(for_all, on=keys, how="left").join(for_one, on=[*keys, "layer"], how="left")
    return joined.with_columns(pl.coalesce(f"{name}@layer", name).alias(name) for name in names).drop(
        f"{name}@layer" for name in names
    )


def lift(key_group: str) -> pl.Expr:
    """Return mass / baseline of a frame ``with_baselines``: 1 is uniform attention; null where the baseline is 0."""
    baseline = pl.col(f"{BASELINE_PREFIX}{key_group}").cast(pl.Float64)
    return pl.when(baseline > 0).then(pl.col(f"{MASS_PREFIX}{key_group}").cast(pl.Float64) / baseline)


def enrichment(key_group: str, random_groups: Sequence[str]) -> pl.Expr:
    """Return a key group's lift over the mean lift of random vocabularies, of a frame ``with_baselines``.

    1 is what words of the same frequency and position get; above 1 the head favours these very words. Null where a
    baseline is 0 or the random vocabularies get nothing.

    Parameters
    ----------
    key_group
        Name of the vocabulary's key group.
    random_groups
        Names of the random vocabularies' key groups, at least one.
    """
    reference = pl.mean_horizontal([lift(name) for name in random_groups])
    return pl.when(reference > 0).then(lift(key_group) / reference)


def log_odds(key_group: str, floor: float = 1e-6) -> tuple[pl.Expr, pl.Expr]:
    """Return logit(mass) - logit(baseline), and whether either had to be clamped to ``floor..1-floor``.

    Both are null where the baseline is 0. Sum the second to report how many values were clamped.
    """
    mass = pl.col(f"{MASS_PREFIX}{key_group}").cast(pl.Float64)
    baseline = pl.col(f"{BASELINE_PREFIX}{key_group}").cast(pl.Float64)

    def logit(share: pl.Expr) -> pl.Expr:
        inside = share.clip(floor, 1 - floor)
        return (inside / (1 - inside)).log()

    is_clamped = ~(mass.is_between(floor, 1 - floor) & baseline.is_between(floor, 1 - floor))
    has_baseline = baseline > 0
    value = pl.when(has_baseline).then(logit(mass) - logit(baseline))
    return value, pl.when(has_baseline).then(is_clamped)


def sink_free_mass(key_group: str) -> pl.Expr:
    """Return mass / (1 - first_token): the share of the attention that is not on the first token; 0..1.

    Only for key groups that do not contain the first token. Null where all attention is on the first token.
    """
    elsewhere = 1 - pl.col("first_token").cast(pl.Float64)
    return pl.when(elsewhere > 0).then((pl.col(f"{MASS_PREFIX}{key_group}").cast(pl.Float64) / elsewhere).clip(0, 1))
