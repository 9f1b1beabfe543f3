"""Whether findings hold in every part of the data: each year, short and long statements, any column that is configured.

The model of ``group_differences`` is fitted again within each stratum. A finding was selected on all samples, so its p
in a stratum is no second, independent proof; what the table shows is whether one part of the data carries it alone.
A part that holds fewer than ``MIN_GROUP`` samples of a group, or in which too few samples hold the key group
(``questions.rare_key_groups``), is not tested and its sign counts for nothing.
``pvalue_heterogeneity`` asks whether the strata's differences differ by more than their errors (Cochran's Q).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from scipy import stats

from analyses.inference.adjusted.effects import AdjustedEffects, adjusted_effects
from analyses.inference.multiplicity import adjust_pvalues
from analyses.questions.comparisons import Comparison, model_samples
from analyses.questions.differences.answer import ERRORS
from analyses.questions.differences.tables import REPLICATION_BY_STRATUM
from analyses.questions.families import is_certain
from analyses.questions.rare_key_groups import rare_statistics
from analyses.runs.derived_columns import ordered_levels
from analyses.runs.run import Run
from analyses.runs.values import shard_values
from analyses.settings.analysis import AnalysisSettings
from analyses.settings.columns import SettingsError, Stratum, stratum_column
from analyses.wording import count_text

NUM_STRONGEST = 20
"""Tests that are looked at per comparison even where there are fewer findings: the smallest p."""

MAX_TESTS = 1000
"""Findings that are looked at per comparison at most, the smallest p first."""

MAX_LEVELS = 12
"""A column of whole numbers or words with at most so many values has a stratum for each; a longer one is cut."""

MIN_GROUP = 10
"""Samples of each group that a part must hold to be tested: the sign of a few is chance."""

_KEYS = ("query_group", "statistic", "layer", "head")


def strata_of(samples: pl.DataFrame, stratum: str | Stratum) -> list[tuple[str, np.ndarray]]:
    """Return the parts of the samples that an entry of ``analysis.strata`` makes, with their names.

    Words and whole numbers of at most ``MAX_LEVELS`` values make a part each, unless ``parts`` is given; numbers are
    cut into ``parts`` of about the same size, three by default. Samples without a value are in no part.
    """
    column = stratum_column(stratum)
    if column not in samples.columns:
        raise SettingsError(
            f"analysis.strata: {column!r} is no column of samples; columns: {', '.join(samples.columns)}"
        )
    values, parts = samples[column], None if isinstance(stratum, str) else stratum.parts
    known = values.drop_nulls()
    if known.is_empty() or values.dtype.is_nested():
        return []
    if not values.dtype.is_numeric() or (parts is None and known.n_unique() <= MAX_LEVELS and _is_whole(known)):
        levels = known.unique().sort().to_list()
        order = ordered_levels(values) if values.dtype == pl.String else None
        if order:
            levels.sort(key=lambda level: order.index(str(level).strip().lower()))
        if len(levels) > MAX_LEVELS:
            raise SettingsError(
                f"analysis.strata: {column!r} has {len(levels)} values; a column of words may have {MAX_LEVELS}"
            )
        return [(str(level), (values == level).fill_null(False).to_numpy()) for level in levels]
    return list(_cut(values.cast(pl.Float64).fill_null(float("nan")).to_numpy(), parts or 3))


def _is_whole(values: pl.Series) -> bool:
    return values.dtype.is_integer() or bool((values == values.round(0)).all())


def _cut(values: np.ndarray, parts: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield parts of about the same size between quantiles; equal values are never torn apart."""
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, parts + 1), method="closest_observation"))
    for slot in range(max(len(edges) - 1, 1)):
        low, high = edges[slot], edges[min(slot + 1, len(edges) - 1)]
        rows = (values >= low if slot == 0 else values > low) & (values <= high)
        if rows.any():
            yield f"{values[rows].min():g} to {values[rows].max():g}", rows


def replication_by_stratum(
    run: Run, settings: AnalysisSettings, comparisons: Sequence[Comparison], differences: pl.DataFrame
) -> pl.DataFrame:
    """Return one row per test looked at and stratum: every finding, and the strongest tests where findings are few."""
    parts = [REPLICATION_BY_STRATUM.empty()]
    for comparison in comparisons:
        tested = differences.filter(pl.col("comparison") == comparison.name).drop_nulls("pvalue").sort("pvalue")
        is_finding = is_certain(settings.alpha)
        chosen = tested.with_columns(is_finding=is_finding).with_row_index("at")
        chosen = chosen.filter(pl.col("is_finding") | (pl.col("at") < NUM_STRONGEST)).head(MAX_TESTS)
        if comparison.problem or chosen.is_empty() or not settings.strata:
            continue
        values = _values_of(run, chosen)
        for stratum in settings.strata:
            parts.extend(_tests_within(run, settings, comparison, chosen, values, stratum))
    return pl.concat(parts)


def _values_of(run: Run, chosen: pl.DataFrame) -> np.ndarray:
    """Return the values of the chosen tests, float64 ``[samples, tests]``."""
    names, groups = chosen["statistic"].unique().to_list(), chosen["query_group"].unique().to_list()
    group, name = (
        [groups.index(one) for one in chosen["query_group"]],
        [names.index(one) for one in chosen["statistic"]],
    )
    place = (chosen["layer"] * run.num_heads + chosen["head"]).to_numpy()
    values = np.full((len(run.samples), len(chosen)), np.nan)
    for rows, piece in shard_values(run, names, groups):
        values[rows] = piece[:, group, name, place]
    return values


def _tests_within(
    run: Run,
    settings: AnalysisSettings,
    comparison: Comparison,
    chosen: pl.DataFrame,
    values: np.ndarray,
    stratum: str | Stratum,
) -> Iterator[pl.DataFrame]:
    model, member = model_samples(run, settings, comparison), comparison.is_member
    within = values[member]
    named = strata_of(run.samples, stratum)
    rows = [part[member] for _, part in named]
    errors = ERRORS[settings.errors]
    effects = [adjusted_effects(within[part], model.take(part), 1 - settings.alpha, errors) for part in rows]
    statistics = chosen["statistic"].to_list()
    for (_, samples_of), part, effect in zip(named, rows, effects, strict=True):
        rare = rare_statistics(run, comparison, samples_of)
        known = ~np.isnan(within[part])
        _leave_out(effect, known, model.is_a[part], model.names, [rare.get(name, "") for name in statistics])
    heterogeneity = heterogeneity_pvalues(effects)
    for (name, _), part, effect in zip(named, rows, effects, strict=True):
        known = ~np.isnan(within[part])
        table = _tests_of_part(chosen, effect, heterogeneity, settings.alpha).with_columns(
            pl.lit(stratum_column(stratum)).alias("stratum_column"),
            pl.lit(name).alias("stratum"),
            pl.Series("num_a", known[model.is_a[part]].sum(axis=0)),
            pl.Series("num_b", known[~model.is_a[part]].sum(axis=0)),
        )
        yield table.select(pl.col(key).cast(kind) for key, kind in REPLICATION_BY_STRATUM.schema.items())


def _tests_of_part(
    chosen: pl.DataFrame, effect: AdjustedEffects, heterogeneity: np.ndarray, alpha: float
) -> pl.DataFrame:
    """Return the chosen tests as one part of the data has them; p is adjusted over the part's tests."""
    adjusted = adjust_pvalues(effect.pvalue, "holm")
    columns = {
        "difference": effect.effect,
        "ci_low": effect.ci_low,
        "ci_high": effect.ci_high,
        "pvalue": effect.pvalue,
        "pvalue_adjusted": adjusted,
        "pvalue_heterogeneity": heterogeneity,
    }
    same = np.sign(effect.effect) == np.sign(chosen["difference"].cast(pl.Float64).to_numpy())
    keeps = [bool(sign) if tested else None for sign, tested in zip(same, ~np.isnan(effect.pvalue), strict=True)]
    significant = [None if np.isnan(pvalue) else bool(pvalue <= alpha) for pvalue in adjusted]
    return chosen.select("comparison", *_KEYS, "is_finding").with_columns(
        *(pl.Series(key, column).fill_nan(None) for key, column in columns.items()),
        pl.Series("keeps_sign", keeps, dtype=pl.Boolean),
        pl.Series("is_significant", significant, dtype=pl.Boolean),
        pl.Series("num_clusters", effect.num_clusters),
        pl.Series("method", [_method(text) for text in effect.method], dtype=pl.String),
        pl.Series("note", [text or None for text in effect.note], dtype=pl.String),
    )


def _leave_out(
    effects: AdjustedEffects, known: np.ndarray, is_a: np.ndarray, names: tuple[str, str], rare: Sequence[str]
) -> None:
    """Take error, interval and p from tests with too few samples of a group, or whose key group is ``rare``."""
    for test, reason in enumerate(rare):
        counts = [(int(known[rows, test].sum()), name) for rows, name in ((is_a, names[0]), (~is_a, names[1]))]
        fewest, name = min(counts)
        if reason or (fewest < MIN_GROUP and not effects.note[test]):
            effects.note[test] = reason or f"only {count_text(fewest, f'{name} sample')} in this part: not tested"
            for column in (effects.standard_error, effects.ci_low, effects.ci_high, effects.statistic, effects.pvalue):
                column[test] = np.nan


def _method(text: str) -> str | None:
    return f"{text}; p adjusted by Holm over the tests of this table in the stratum" if text else None


def heterogeneity_pvalues(effects: Sequence[AdjustedEffects]) -> np.ndarray:
    """Return p of Cochran's Q over the strata, ``[tests]``; NaN with fewer than two strata that have an error.

    Strata are taken as independent, so where clusters reach over strata (years of one company) it is approximate.
    """
    by_stratum = np.array([effect.effect for effect in effects])
    errors = np.array([effect.standard_error for effect in effects])
    if not len(effects):
        return np.array([])
    known = ~np.isnan(by_stratum) & (errors > 0)
    weights = np.where(known, 1 / np.where(known, errors, 1.0) ** 2, 0.0)
    total = weights.sum(axis=0)
    mean = np.where(known, weights * by_stratum, 0.0).sum(axis=0) / np.where(total > 0, total, 1.0)
    statistic = np.where(known, weights * (by_stratum - mean) ** 2, 0.0).sum(axis=0)
    freedom = known.sum(axis=0) - 1
    return np.where(freedom > 0, stats.chi2.sf(statistic, np.maximum(freedom, 1)), np.nan)
