"""How attention develops over layers, where vocabulary categories stand, and what the decision token looks at.

Heads of a layer are averaged within a sample first; samples, clustered as ``analysis.cluster_by`` says, are then the
unit of every interval. Heads and layers are never pooled as if they were independent observations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from analyses.adjusted_model import adjusted_effects
from analyses.comparisons import Comparison, model_samples
from analyses.key_groups import absent_key_groups, of_kind
from analyses.queries import baseline_values, cluster_codes, mean_without_gaps, over_baseline, value_blocks
from analyses.rare_key_groups import rare_statistics
from analyses.run_tables import RunTables
from analyses.settings import AnalysisSettings
from analyses.significance import adjust_pvalues, clustered_mean
from engine.schema import MASS_PREFIX, NORM_MASS_PREFIX

EVERYONE = "all samples"


def profile_statistics(tables: RunTables) -> tuple[str, ...]:
    """Return the statistics of the layer profiles: all but complements, random vocabularies, what no sample holds."""
    names = *of_kind(tables, "complement", "random"), *absent_key_groups(tables)
    left_out = {f"{prefix}{name}" for name in names for prefix in (MASS_PREFIX, NORM_MASS_PREFIX)}
    return tuple(name for name in tables.statistics if name not in left_out)


def layer_blocks(tables: RunTables) -> Iterator[tuple[str, tuple[str, ...], np.ndarray]]:
    """Yield query group, statistics and each sample's means over heads, ``[samples, statistics, layers]``.

    ``lift_<key group>`` follows the statistics it belongs to where the run has baselines.
    """
    kinds = of_kind(tables, "category", "union", "structure")
    for block in value_blocks(tables, profile_statistics(tables)):
        for slot, query_group in enumerate(block.query_groups):
            cut = block.values[:, slot].reshape(len(tables.samples), -1, tables.num_layers, max(tables.num_heads, 1))
            means = mean_without_gaps(cut, axis=3)
            yield query_group, block.statistics, means
            for place, name in enumerate(block.statistics):
                key_group = name.removeprefix(MASS_PREFIX)
                if name == f"{MASS_PREFIX}{key_group}" and key_group in kinds:
                    baseline = baseline_values(tables, query_group, key_group)
                    if baseline is not None:
                        yield query_group, (f"lift_{key_group}",), over_baseline(means[:, place], baseline)[:, None]


def groups_of(tables: RunTables, comparison: Comparison | None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield all samples, and groups a and b of a comparison, as (label, ``[samples]`` booleans)."""
    yield EVERYONE, np.ones(len(tables.samples), dtype=bool)
    if comparison is not None:
        for label, rows in ((comparison.label_a, comparison.is_a), (comparison.label_b, comparison.is_b)):
            if rows.any():
                yield label, rows


def attention_profiles(
    tables: RunTables, settings: AnalysisSettings, comparison: Comparison | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return ``layer_profiles`` and ``key_group_attention``, in one pass over the tables."""
    cluster = cluster_codes(tables, settings.cluster_by)
    profiles: list[pl.DataFrame] = []
    measured: dict[tuple[str, str], np.ndarray] = {}
    for query_group, names, values in layer_blocks(tables):
        for label, rows in groups_of(tables, comparison):
            profiles.append(_profile(query_group, names, values[rows], cluster[rows], label, settings))
        for slot, name in enumerate(names):
            if name.startswith(_MEASURES):
                measured[query_group, name] = mean_without_gaps(values[:, slot], axis=1)
    table = pl.concat(profiles).filter(pl.col("num_samples") > 0).with_columns(pl.col(pl.Float64).fill_nan(None))
    order = pl.DataFrame({"query_group": tables.query_groups}, schema={"query_group": pl.String}).with_row_index("at")
    table = table.join(order, on="query_group", how="left", maintain_order="left")
    sorted_table = table.sort("at", maintain_order=True).drop("at")
    return sorted_table, _key_group_attention(tables, measured, settings, comparison)


_MEASURES = (MASS_PREFIX, "lift_")


def _profile(
    query_group: str,
    names: Sequence[str],
    values: np.ndarray,
    cluster: np.ndarray,
    label: str,
    settings: AnalysisSettings,
) -> pl.DataFrame:
    num_layers = values.shape[2]
    estimate = clustered_mean(values.reshape(len(values), -1).astype(np.float64), cluster, 1 - settings.alpha)
    return pl.DataFrame(
        {
            "query_group": [query_group] * (len(names) * num_layers),
            "statistic": [name for name in names for _ in range(num_layers)],
            "layer": np.tile(np.arange(num_layers, dtype=np.int32), len(names)),
            "group": [label] * (len(names) * num_layers),
            "mean": estimate.mean,
            "ci_low": estimate.ci_low,
            "ci_high": estimate.ci_high,
            "num_samples": estimate.num_samples.astype(np.int32),
            "num_clusters": estimate.num_clusters.astype(np.int32),
        },
        schema_overrides={"query_group": pl.String, "statistic": pl.String, "group": pl.String},
    )


def _key_group_attention(
    tables: RunTables,
    measured: Mapping[tuple[str, str], np.ndarray],
    settings: AnalysisSettings,
    comparison: Comparison | None,
) -> pl.DataFrame:
    """Return weight and lift of each key group per query group and group of samples, averaged over heads and layers.

    ``difference`` to ``pvalue_adjusted`` compare a with b by the adjusted, clustered model; the family is every key
    group x query group x measure of this table. They are repeated on both groups' rows, and null with a note where too
    few samples hold the key group (``analyses.rare_key_groups``).
    """
    kinds = {name: kind for kind in ("union", "category", "structure") for name in of_kind(tables, kind)}
    wanted = [(name, measure) for name in kinds for measure in ("mass", "lift")]
    parts: list[pl.DataFrame] = []
    for query_group in tables.query_groups:
        present = [(name, kind) for name, kind in wanted if (query_group, f"{kind}_{name}") in measured]
        values = np.empty((len(tables.samples), len(present)))
        for slot, (name, measure) in enumerate(present):
            values[:, slot] = measured[query_group, f"{measure}_{name}"]
        keys = pl.DataFrame(
            {
                "query_group": [query_group] * len(present),
                "key_group": [name for name, _ in present],
                "kind": [kinds[name] for name, _ in present],
                "measure": [measure for _, measure in present],
            },
            schema=dict.fromkeys(("query_group", "key_group", "kind", "measure"), pl.String),
        )
        parts.append(_compare(tables, keys, values, settings, comparison))
    table = pl.concat(parts).filter(pl.col("num_samples") > 0)
    rare = rare_statistics(tables, comparison) if comparison is not None else {}
    note = pl.format(f"{MASS_PREFIX}{{}}", "key_group").replace_strict(rare, default=None, return_dtype=pl.String)
    untested = [pl.when(pl.col("note").is_null()).then(name).alias(name) for name in (*_TEST_COLUMNS, "method")]
    table = table.with_columns(note=pl.coalesce(note, "note")).with_columns(untested)
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
    tested: dict[str, np.ndarray] = {name: np.full(len(keys), np.nan) for name in _TEST_COLUMNS}
    why = "no comparison is configured" if comparison is None else comparison.problem.removesuffix(".")
    told = {"method": [None] * len(keys), "note": [why] * len(keys)}
    if comparison is not None and not comparison.problem:
        model = model_samples(tables, settings, comparison)
        effects = adjusted_effects(values[comparison.is_member], model, confidence)
        tested = dict(
            zip(_TEST_COLUMNS, (effects.effect, effects.ci_low, effects.ci_high, effects.pvalue), strict=True)
        )
        told = {name: [text or None for text in getattr(effects, name)] for name in ("method", "note")}
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
        named += [pl.Series(name, column) for name, column in tested.items()]
        named += [pl.Series(name, column, dtype=pl.String) for name, column in told.items()]
        parts.append(keys.with_columns(named))
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
