"""Tidy frames from the tables of a run.

A frame that is collected here has at most one row per sample, layer and query group, or one per head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from analyses.run_tables import RunTables
from analyses.settings import SettingsError
from engine.schema import BASELINE_PREFIX, MASS_PREFIX

BLOCK_BYTES = 256 * 2**20
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


def statistic_blocks(
    tables: RunTables, query_group: str, statistics: Sequence[str], max_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Yield the values of one query group, as many statistics at a time as fit.

    Yields
    ------
    names
        Statistics of this block.
    values
        float32 ``[samples, statistics, layers * heads]`` in the order of ``tables.samples``; NaN for null and for a
        head that a layer lacks.
    """
    num_places = tables.num_layers * tables.num_heads
    step = max(1, max_bytes // max(4 * len(tables.samples) * num_places, 1))
    rows = tables.head_stats.filter(pl.col("query_group") == query_group)
    for start in range(0, len(statistics), step):
        names = tuple(statistics[start : start + step])
        yield names, _by_sample_and_head(tables, rows, [pl.col(name) for name in names])


def lift_values(tables: RunTables, query_group: str, key_group: str) -> np.ndarray | None:
    """Return each sample's lift of a key group, ``[samples, layers * heads]``; None without baselines."""
    rows = tables.head_stats.filter(pl.col("query_group") == query_group)
    wanted = rows.select("sample_id", "query_group", "layer", "head", f"{MASS_PREFIX}{key_group}")
    joined = with_baselines(tables, wanted)
    if joined is None or f"{BASELINE_PREFIX}{key_group}" not in joined.collect_schema().names():
        return None
    return _by_sample_and_head(tables, joined, [lift(key_group)])[:, 0]


def _by_sample_and_head(tables: RunTables, rows: pl.LazyFrame, values: Sequence[pl.Expr]) -> np.ndarray:
    """Collect expressions into ``[samples, expressions, layers * heads]``."""
    num_samples, num_places = len(tables.samples), tables.num_layers * tables.num_heads
    index = tables.samples.lazy().select("sample_id").with_row_index("row")
    place = (pl.col("layer").cast(pl.Int64) * tables.num_heads + pl.col("head")).alias("place")
    named = [value.cast(pl.Float32).alias(f"value {slot}") for slot, value in enumerate(values)]
    query = rows.select(pl.col("sample_id").cast(pl.String), place, *named)
    frame = query.join(index, on="sample_id", how="inner").drop("sample_id").collect(engine="streaming")
    result = np.full((num_samples, len(values), num_places), np.nan, dtype=np.float32)
    positions = frame["row"].to_numpy(), frame["place"].to_numpy()
    for slot in range(len(values)):
        result[positions[0], slot, positions[1]] = frame[f"value {slot}"].fill_null(float("nan")).to_numpy()
    return result


def head_means(tables: RunTables, by: str | None = None) -> pl.DataFrame:
    """Return the mean of every statistic per query group, layer and head, over samples.

    Parameters
    ----------
    by
        A column of ``samples`` to split by as well, such as ``is_correct``.
    """
    keys = ["query_group", "layer", "head"]
    frame = tables.head_stats
    if by is not None:
        frame = frame.join(tables.samples.lazy().select("sample_id", by), on="sample_id", how="inner")
        keys = [by, *keys]
    values = [pl.col(name).fill_nan(None).mean().cast(pl.Float64) for name in tables.statistics]
    grouped = frame.group_by(keys).agg(values, num_samples=pl.col("sample_id").n_unique())
    return grouped.collect(engine="streaming").sort(keys)


def layer_means(tables: RunTables, statistics: Sequence[str]) -> pl.DataFrame:
    """Return each sample's mean over heads, one row per sample, query group and layer."""
    keys = ["sample_id", "query_group", "layer"]
    values = [pl.col(name).fill_nan(None).mean().cast(pl.Float32) for name in statistics]
    return tables.head_stats.group_by(keys).agg(values).collect(engine="streaming").sort(keys)


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
