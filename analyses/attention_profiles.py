"""How attention develops over layers, where vocabulary categories stand, and what the decision token looks at.

Heads of a layer are averaged within a sample first; samples, clustered by company, are then the unit of every
interval. Heads and layers are never pooled as if they were independent observations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from analyses.adjusted_model import adjusted_effects
from analyses.group_differences import Comparison, model_samples
from analyses.key_groups import of_kind
from analyses.queries import cluster_codes, layer_means, lift, with_baselines
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings
from analyses.significance import adjust_pvalues, clustered_mean
from engine.schema import MASS_PREFIX

EVERYONE = "all samples"


def profile_statistics(tables: RunTables) -> tuple[str, ...]:
    """Return the statistics of the layer profiles: all but complements and random vocabularies."""
    left_out = {f"{MASS_PREFIX}{name}" for name in of_kind(tables, "complement", "random")}
    return tuple(name for name in tables.statistics if name not in left_out)


def sample_layer_means(tables: RunTables) -> pl.DataFrame:
    """Return one row per sample, query group and layer: means over heads, and ``lift_<key group>``."""
    means = layer_means(tables, profile_statistics(tables)).with_columns(pl.col("sample_id").cast(pl.String))
    joined = with_baselines(tables, means.lazy().with_columns(pl.col("layer").cast(pl.Int32)))
    if joined is None:
        return means
    known = joined.collect_schema().names()
    names = [name for name in of_kind(tables, "category", "union", "structure") if f"baseline_{name}" in known]
    lifts = [lift(name).alias(f"lift_{name}") for name in names]
    return joined.with_columns(lifts).select(*means.columns, *(f"lift_{name}" for name in names)).collect()


def groups_of(tables: RunTables, comparison: Comparison | None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield all samples, and groups a and b of a comparison, as (label, ``[samples]`` booleans)."""
    yield EVERYONE, np.ones(len(tables.samples), dtype=bool)
    if comparison is not None:
        for label, rows in ((comparison.label_a, comparison.is_a), (comparison.label_b, comparison.is_b)):
            if rows.any():
                yield label, rows


def layer_profiles(
    tables: RunTables, means: pl.DataFrame, settings: AnalysisSettings, comparison: Comparison | None
) -> pl.DataFrame:
    """Return the mean of every statistic per query group and layer, with clustered intervals, per group of samples."""
    statistics = [name for name in means.columns if name not in _KEYS]
    cluster = cluster_codes(tables, settings.cluster_by)
    parts: list[pl.DataFrame] = []
    for query_group in tables.query_groups:
        values = _by_sample_and_layer(tables, means.filter(pl.col("query_group") == query_group), statistics)
        for label, rows in groups_of(tables, comparison):
            estimate = clustered_mean(values[rows], cluster[rows], 1 - settings.alpha)
            parts.append(
                pl.DataFrame(
                    {
                        "query_group": [query_group] * values.shape[1],
                        "statistic": np.repeat(statistics, tables.num_layers),
                        "layer": np.tile(np.arange(tables.num_layers, dtype=np.int32), len(statistics)),
                        "group": [label] * values.shape[1],
                        "mean": estimate.mean,
                        "ci_low": estimate.ci_low,
                        "ci_high": estimate.ci_high,
                        "num_samples": estimate.num_samples.astype(np.int32),
                        "num_clusters": estimate.num_clusters.astype(np.int32),
                    }
                )
            )
    return pl.concat(parts).filter(pl.col("num_samples") > 0).with_columns(pl.col(pl.Float64).fill_nan(None))


_KEYS = ("sample_id", "query_group", "layer")


def _by_sample_and_layer(tables: RunTables, frame: pl.DataFrame, statistics: Sequence[str]) -> np.ndarray:
    """Return ``[samples, statistics * layers]``, NaN where missing."""
    index = tables.samples.select("sample_id").with_row_index("row")
    joined = frame.join(index, on="sample_id", how="inner")
    values = np.full((len(tables.samples), len(statistics), tables.num_layers), np.nan)
    rows, layers = joined["row"].to_numpy(), joined["layer"].to_numpy()
    for slot, name in enumerate(statistics):
        values[rows, slot, layers] = joined[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return values.reshape(len(values), -1)


def key_group_attention(
    tables: RunTables, means: pl.DataFrame, settings: AnalysisSettings, comparison: Comparison | None
) -> pl.DataFrame:
    """Return weight and lift of each key group per query group and group of samples, averaged over heads and layers.

    ``difference`` to ``pvalue_adjusted`` compare a with b by the adjusted, clustered model; the family is every key
    group x query group x measure of this table. They are repeated on both groups' rows.
    """
    kinds = {name: kind for kind in ("union", "category", "structure") for name in of_kind(tables, kind)}
    columns = [
        f"{measure}_{name}" for name in kinds for measure in ("mass", "lift") if f"{measure}_{name}" in means.columns
    ]
    parts: list[pl.DataFrame] = []
    for query_group in tables.query_groups:
        rows = means.filter(pl.col("query_group") == query_group)
        wide = rows.group_by("sample_id").agg(pl.col(columns).fill_nan(None).mean())
        aligned = tables.samples.select("sample_id").join(wide, on="sample_id", how="left", maintain_order="left")
        values = aligned.select(pl.col(columns).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
        values = values.reshape(len(aligned), len(columns))
        keys = pl.DataFrame(
            {
                "query_group": [query_group] * len(columns),
                "key_group": [name.split("_", 1)[1] for name in columns],
                "kind": [kinds[name.split("_", 1)[1]] for name in columns],
                "measure": [name.split("_", 1)[0] for name in columns],
            },
            schema=dict.fromkeys(("query_group", "key_group", "kind", "measure"), pl.String),
        )
        parts.append(_compare(tables, keys, values, settings, comparison))
    table = pl.concat(parts).filter(pl.col("num_samples") > 0)
    tested = table.unique(["query_group", "key_group", "measure"], maintain_order=True)
    adjusted = adjust_pvalues(tested["pvalue"].cast(pl.Float64).fill_null(float("nan")).to_numpy(), settings.correction)
    keyed = tested.select("query_group", "key_group", "measure").with_columns(pvalue_adjusted=adjusted)
    joined = table.join(keyed, on=["query_group", "key_group", "measure"], how="left", maintain_order="left")
    return joined.with_columns(pl.col(pl.Float64).fill_nan(None))


def _compare(
    tables: RunTables,
    keys: pl.DataFrame,
    values: np.ndarray,
    settings: AnalysisSettings,
    comparison: Comparison | None,
) -> pl.DataFrame:
    cluster = cluster_codes(tables, settings.cluster_by)
    confidence = 1 - settings.alpha
    tested = {name: np.full(len(keys), np.nan) for name in _TEST_COLUMNS}
    if comparison is not None and not comparison.problem:
        model = model_samples(tables, settings, comparison)
        effects = adjusted_effects(values[comparison.is_member], model, confidence)
        tested = dict(
            zip(_TEST_COLUMNS, (effects.effect, effects.ci_low, effects.ci_high, effects.pvalue), strict=True)
        )
    parts: list[pl.DataFrame] = []
    for label, rows in groups_of(tables, comparison):
        estimate = clustered_mean(values[rows], cluster[rows], confidence)
        columns = {
            "mean": estimate.mean,
            "ci_low": estimate.ci_low,
            "ci_high": estimate.ci_high,
            "num_samples": estimate.num_samples.astype(np.int32),
            "num_clusters": estimate.num_clusters.astype(np.int32),
        }
        named = [pl.lit(label).alias("group"), *(pl.Series(name, column) for name, column in columns.items())]
        parts.append(keys.with_columns(*named, *(pl.Series(name, column) for name, column in tested.items())))
    return pl.concat(parts)


_TEST_COLUMNS = ("difference", "difference_ci_low", "difference_ci_high", "pvalue")


def decision_top_tokens(
    tables: RunTables, settings: AnalysisSettings, comparison: Comparison | None, max_tokens: int
) -> pl.DataFrame | None:
    """Return the tokens the decision token weighs most: their weight per head, averaged over heads and layers.

    Only the kept top keys count, so a token's weight is a lower bound. None when the run kept no top keys.
    """
    keys = tables.tables.get("decision_top_keys")
    if keys is None:
        return None
    num_places = max(tables.num_layers * tables.num_heads, 1)
    per_sample = keys.group_by(pl.col("sample_id").cast(pl.String), "token").agg(
        weight=pl.col("weight").cast(pl.Float64).sum() / num_places
    )
    heaviest = (
        per_sample.group_by("token").agg(pl.col("weight").sum()).sort("weight", "token", descending=[True, False])
    )
    chosen = heaviest.head(max_tokens).collect(engine="streaming")["token"]
    if not len(chosen):
        return None
    found = per_sample.filter(pl.col("token").is_in(chosen.implode())).collect(engine="streaming")
    index = tables.samples.select("sample_id").with_row_index("row")
    slots = pl.DataFrame({"token": chosen, "slot": np.arange(len(chosen))})
    found = found.join(index, on="sample_id").join(slots, on="token")
    values = np.zeros((len(tables.samples), len(chosen)))
    values[found["row"].to_numpy(), found["slot"].to_numpy()] = found["weight"].to_numpy()
    keyed = pl.DataFrame({"token": chosen, "rank": np.arange(1, len(chosen) + 1)})
    table = _compare(tables, keyed, values, settings, comparison)
    tests = table.filter(pl.col("group") == EVERYONE)
    raw = tests["pvalue"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    adjusted = tests.select("token").with_columns(pvalue_adjusted=adjust_pvalues(raw, settings.correction))
    return table.join(adjusted, on="token", how="left").with_columns(pl.col(pl.Float64).fill_nan(None))
