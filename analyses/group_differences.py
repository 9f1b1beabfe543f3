"""Whether heads attend differently in one group of samples than in another, such as right and wrong predictions.

One row per comparison, query group, statistic, layer and head. The quoted test is the adjusted, company-clustered
model of ``analyses.adjusted_model``; Welch and Mann-Whitney stand beside it. The declared family of a comparison is
every head x statistic x query group; p-values are adjusted over all of it.

Weights are skewed, and where they are, any t-test of a small group finds too much, max-T with random signs included. So
the same model is fitted to normal scores of the ranks as well, and a finding is called significant only where
``pvalue_adjusted``, ``pvalue_max_t`` and ``pvalue_ranks_adjusted`` agree (``is_certain``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from analyses.adjusted_model import adjusted_effects
from analyses.design import Samples
from analyses.key_groups import declared_statistics
from analyses.max_t import max_t_pvalues, permutation_maxima, random_signs
from analyses.queries import cluster_codes, statistic_blocks
from analyses.replication import HalfEffects, is_replicated, split_clusters
from analyses.run_tables import RunTables
from analyses.settings import LOG_PREFIX, AnalysisSettings, SettingsError, group_column, group_name
from analyses.significance import adjust_pvalues, compare_groups, normal_scores

TESTS_PER_CHUNK = 4096
"""Tests that are computed at once; 1,800 samples of them are 59 MB in float64."""

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
    "effect_size_adjusted": pl.Float64,
    "pvalue_ranks": pl.Float64,
    "pvalue_ranks_adjusted": pl.Float64,
    "degrees_of_freedom": pl.Float64,
    "method": pl.String,
    "note": pl.String,
}


@dataclass(frozen=True)
class Comparison:
    """Two groups of samples.

    Attributes
    ----------
    name
        The comparison's name in the tables.
    label_a, label_b
        The groups in words.
    is_a, is_b
        ``[samples]`` booleans.
    problem
        Why it cannot be tested, in a sentence; empty when it can.
    """

    name: str
    label_a: str
    label_b: str
    is_a: np.ndarray
    is_b: np.ndarray
    problem: str = ""

    @property
    def is_member(self) -> np.ndarray:
        """Samples in either group."""
        return self.is_a | self.is_b


def resolve_comparison(samples: pl.DataFrame, group: str | Mapping[str, Any]) -> Comparison:
    """Return the two groups that an entry of ``analysis.groups`` means.

    A column name means true against false, for numbers above the median against the rest, and for text the two values
    it has. A mapping names the values (one or a list) of a and b.

    Raises
    ------
    SettingsError
        When the column is not in ``samples``, is a list, or is text of more than two values and a and b are not given.
    """
    definition: Mapping[str, Any] = {"column": group} if isinstance(group, str) else group
    name, column = group_name(group), group_column(group)
    if column not in samples.columns:
        raise SettingsError(
            f"analysis.groups: {column!r} is no column of samples; columns: {', '.join(samples.columns)}."
        )
    values = samples[column]
    if values.dtype.is_nested():
        raise SettingsError(f"analysis.groups: {column!r} is a list, and samples cannot be grouped by it.")
    if "a" in definition and "b" in definition:
        is_a, label_a = _is_one_of(values, definition["a"])
        is_b, label_b = _is_one_of(values, definition["b"])
    elif values.dtype == pl.Boolean:
        is_a, is_b = values.fill_null(False).to_numpy(), (~values).fill_null(False).to_numpy()
        label_a, label_b = ("correct", "incorrect") if column == "is_correct" else (f"{column}", f"not {column}")
    elif values.dtype.is_numeric():
        median = values.drop_nans().median()
        is_a = (values > median).fill_null(False).to_numpy()
        is_b = (values <= median).fill_null(False).to_numpy()
        label_a, label_b = f"{column} above its median", f"{column} up to its median"
    else:
        levels = sorted(values.drop_nulls().unique().to_list())
        if len(levels) > 2:
            raise SettingsError(
                f"analysis.groups: {column!r} has {len(levels)} values ({', '.join(map(str, levels[:8]))}, …); "
                "write a mapping {name, column, a, b} that says which of them to compare."
            )
        is_a, label_a = _is_one_of(values, levels[-1] if levels else [])
        is_b, label_b = _is_one_of(values, levels[:1] if len(levels) == 2 else [])
    problem = _why_not_comparable(name, (label_a, int(is_a.sum())), (label_b, int(is_b.sum())))
    return Comparison(name, label_a, label_b, is_a, is_b & ~is_a, problem)


def _is_one_of(values: pl.Series, wanted: object) -> tuple[np.ndarray, str]:
    texts = [str(item).lower() for item in (wanted if isinstance(wanted, list | tuple) else [wanted])]
    matches = values.cast(pl.String).str.to_lowercase().is_in(texts).fill_null(False)
    return matches.to_numpy(), " or ".join(texts) or "the other value"


def _why_not_comparable(name: str, a: tuple[str, int], b: tuple[str, int]) -> str:
    counts = f"{a[1]} {a[0]} and {b[1]} {b[0]}"
    if a[1] >= 2 and b[1] >= 2:
        return ""
    return f"Comparison {name}: there are {counts} samples, and each group needs at least two. Nothing was tested."


def group_differences(tables: RunTables, settings: AnalysisSettings) -> tuple[pl.DataFrame, list[Comparison]]:
    """Test every head x statistic x query group for each configured comparison.

    Returns
    -------
    table
        Columns as in ``SCHEMA``; no rows for a comparison that cannot be tested.
    comparisons
        The groups as they were resolved, with the reason where one could not be tested.
    """
    comparisons = [resolve_comparison(tables.samples, group) for group in settings.groups]
    parts = [_test_comparison(tables, settings, comparison) for comparison in comparisons if not comparison.problem]
    table = pl.concat([pl.DataFrame(schema=SCHEMA), *parts])
    return table, comparisons


def is_certain(alpha: float) -> pl.Expr:
    """Say of each row whether every adjusted p that was computed is at most ``alpha``."""
    agrees = [pl.col(name) <= alpha for name in ("pvalue_adjusted", "pvalue_ranks_adjusted")]
    return pl.all_horizontal(*agrees, (pl.col("pvalue_max_t") <= alpha) | pl.col("pvalue_max_t").is_null())


def _test_comparison(tables: RunTables, settings: AnalysisSettings, comparison: Comparison) -> pl.DataFrame:
    model = model_samples(tables, settings, comparison)
    member = comparison.is_member
    num_clusters = int(model.cluster.max()) + 1
    signs = random_signs(settings.permutations, num_clusters, tables.seed)
    maxima = np.zeros(settings.permutations)
    in_confirmation = split_clusters(model.cluster, settings.confirmation_fraction, tables.seed)
    parts: list[dict[str, np.ndarray]] = []
    halves: list[tuple[HalfEffects, HalfEffects]] = []
    for keys, values in _chunks(tables, declared_statistics(tables)):
        values = values[member].astype(np.float64)
        effects = adjusted_effects(values, model, 1 - settings.alpha)
        ranked = adjusted_effects(normal_scores(values), model)
        plain = compare_groups(values, model.is_a)
        if settings.permutations:
            maxima = np.maximum(maxima, permutation_maxima(values, model, signs))
        if in_confirmation is not None:
            halves.append(_half_effects(values, model, in_confirmation))
        parts.append(
            keys
            | {name: getattr(plain, name) for name in _PLAIN_COLUMNS}
            | {name: getattr(effects, name) for name in _EFFECT_COLUMNS}
            | {
                "difference": effects.effect,
                "effect_size_adjusted": effects.effect / plain.standardizer,
                "t": effects.statistic,
                "pvalue_ranks": np.where(np.isnan(effects.pvalue), np.nan, ranked.pvalue),
            }
        )
    if not parts:
        return pl.DataFrame(schema=SCHEMA)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["pvalue_adjusted"] = adjust_pvalues(columns["pvalue"], settings.correction)
    columns["pvalue_ranks_adjusted"] = adjust_pvalues(columns["pvalue_ranks"], settings.correction)
    if settings.permutations:
        columns["pvalue_max_t"] = max_t_pvalues(columns["t"], maxima)
    replicated = is_replicated(halves, settings.alpha, settings.correction) if halves else None
    return _as_table(comparison.name, columns, replicated)


_PLAIN_COLUMNS = (
    "mean_a",
    "mean_b",
    "effect_size",
    "pvalue_welch",
    "pvalue_mannwhitney",
    "auc",
    "num_a",
    "num_b",
)
_EFFECT_COLUMNS = ("ci_low", "ci_high", "pvalue", "num_clusters", "degrees_of_freedom", "method", "note")


def model_samples(tables: RunTables, settings: AnalysisSettings, comparison: Comparison) -> Samples:
    """Return what the adjusted model knows of the samples in either group, in the order of ``tables.samples``."""
    member = comparison.is_member
    labels = tables.samples["predicted_label"].fill_null("unknown").to_numpy()[member]
    covariates = {name: _covariate(tables, name)[member] for name in settings.covariates}
    cluster = np.unique(cluster_codes(tables, settings.cluster_by)[member], return_inverse=True)[1]
    names = comparison.label_a, comparison.label_b
    return Samples(comparison.is_a[member], cluster, labels, covariates, names)


def _covariate(tables: RunTables, name: str) -> np.ndarray:
    """Return a numeric column; missing values take the mean, so that no sample is lost to a covariate."""
    columns = tables.samples.columns
    column = name if name in columns else name.removeprefix(LOG_PREFIX)
    if column not in columns or not tables.samples[column].dtype.is_numeric():
        raise SettingsError(
            f"{tables.run_dir}: analysis.covariates names {name!r}, but {column!r} is no numeric column of samples; "
            f"columns: {', '.join(columns)}."
        )
    values = tables.samples[column].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    if name not in columns:
        values = np.log(np.where(values > 0, values, np.nan))
    known = np.isfinite(values)
    values[~known] = values[known].mean() if known.any() else 0.0
    return values


def _chunks(tables: RunTables, statistics: tuple[str, ...]) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Yield the key columns and the values ``[samples, tests]`` of up to ``TESTS_PER_CHUNK`` tests."""
    num_places = max(tables.num_layers * tables.num_heads, 1)
    step = max(1, TESTS_PER_CHUNK // num_places)
    places = np.arange(num_places)
    for query_group in tables.query_groups:
        for names, block in statistic_blocks(tables, query_group, statistics):
            for start in range(0, len(names), step):
                part = names[start : start + step]
                values = block[:, start : start + step].reshape(len(block), -1)
                keys = {
                    "query_group": np.full(values.shape[1], query_group, dtype=object),
                    "statistic": np.repeat(np.array(part, dtype=object), num_places),
                    "layer": np.tile(places // max(tables.num_heads, 1), len(part)),
                    "head": np.tile(places % max(tables.num_heads, 1), len(part)),
                }
                exists = ~np.isnan(values).all(axis=0)
                yield {name: column[exists] for name, column in keys.items()}, values[:, exists]


def _half_effects(values: np.ndarray, model: Samples, in_confirmation: np.ndarray) -> tuple[HalfEffects, HalfEffects]:
    def effects_of(rows: np.ndarray) -> HalfEffects:
        found = adjusted_effects(values[rows], model.take(rows))
        return HalfEffects(found.effect, found.pvalue)

    return effects_of(~in_confirmation), effects_of(in_confirmation)


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
