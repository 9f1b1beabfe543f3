"""Whether what a head does goes with how certain the model is, how large a change it says, or the year.

One row per target, query group, statistic, layer and head: Spearman's rho, exactly SciPy's, with errors clustered by
company. Ranks of the statistic, centred and scaled to unit length, are regressed on ranks of the target, scaled alike,
so that the slope *is* rho; its CR2 error s and Satterthwaite's degrees of freedom f give p = 2 P(t_f > |rho| / s).

The interval is Fisher's z with the variance (1 + rho² / 2) / (n - 3) of Bonett and Wright (2000, Psychometrika 65:
23-28), where the clusters leave an effective number of samples: independent ones have s² = (1 - rho²) / (n - 2), so
z ± t_f s ((1 + rho² / 2) / (1 - rho²))^½.

``rho_partial`` is the same with the ranks of the configured covariates (length) in the regression: what is left of a
correlation among samples of the same length.

``rho_fixed`` is ``rho_partial`` with ``analysis.held_fixed`` in the regression too: head statistics and the target may
drift together over the years. ``pvalue_pooled`` is its p by the variance pooled under the null
(``inference.adjusted.exchange``), which a statistic that is mostly one number cannot fool. A correlation is a finding
where all that could be computed agree (``CHECKS``).

p-values are adjusted over each family (``questions.families``), by default all tests of a target. Attention to a key
group that too few samples hold is not tested (``questions.rare_key_groups``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.cores import in_order
from analyses.inference.adjusted.coefficients import LastCoefficient
from analyses.inference.adjusted.exchange import pooled_pvalues
from analyses.inference.columns import constant_columns, missing_patterns
from analyses.inference.multiplicity import adjust_within, family_sizes
from analyses.questions.comparisons import held_columns
from analyses.questions.correlations.models import Models, models_of, unit_ranks
from analyses.questions.correlations.tables import CORRELATIONS
from analyses.questions.correlations.targets import Target, target_values, why_not
from analyses.questions.families import declared_families
from analyses.questions.rare_key_groups import rare_for_target
from analyses.runs.clusters import cluster_codes
from analyses.runs.key_groups import declared_statistics
from analyses.runs.numbers import numbers_of
from analyses.runs.run import Run
from analyses.runs.values import statistics_apart
from analyses.settings.analysis import LOG_PREFIX, TARGETS, AnalysisSettings, SettingsError

CHECKS = ("pvalue_adjusted", "pvalue_partial_adjusted", "pvalue_fixed_adjusted", "pvalue_pooled_adjusted")
"""Adjusted p-values that a correlation has to pass, those that could be computed."""

METHOD = "Spearman; CR2 by cluster, t(Satterthwaite)"


def correlations(run: Run, settings: AnalysisSettings, targets: Sequence[str] = TARGETS) -> pl.DataFrame:
    """Correlate every head x statistic x query group with each target.

    Parameters
    ----------
    targets
        ``certainty``, ``probability``, ``magnitude``, ``year``, or any number in ``samples``.

    Returns
    -------
    DataFrame
        Columns as in ``CORRELATIONS``. A target that cannot be used has a single row, whose note says why.

    Raises
    ------
    SettingsError
        For a target that is no column of ``samples``.
    """
    cluster = cluster_codes(run, settings.cluster_by)
    covariates = [_covariate(run, name) for name in settings.covariates]
    read = [target_values(run, name) for name in dict.fromkeys(targets)]
    usable = [target for target in read if not why_not(target)]
    held = [_held(run, settings, target.name) for target in usable]
    rare = [rare_for_target(run, target.values) for target in usable]
    models: dict[tuple[int, bytes], Models] = {}
    parts: dict[str, list[dict[str, Any]]] = {target.name: [] for target in read}

    def correlated(query_group: str, statistic: str, values: np.ndarray) -> list[dict[str, Any]]:
        places = np.flatnonzero(~np.isnan(values).all(axis=0))
        if not len(places):
            return []
        keys = {"query_group": query_group, "statistic": statistic}
        keys |= {"layer": places // run.num_heads, "head": places % run.num_heads}
        measured = values if len(places) == values.shape[1] else values[:, places]
        known = [target.values for target in usable]
        results = correlate(measured, known, cluster, covariates, 1 - settings.alpha, held, models)
        for result, untested in zip(results, rare, strict=True):
            if statistic in untested:
                for name in ("ci_low", "ci_high", "pvalue", "pvalue_partial", "pvalue_fixed", "pvalue_pooled"):
                    result[name][:] = np.nan
                result["note"][:] = untested[statistic]
        return [keys | result for result in results]

    apart = statistics_apart(run, declared_statistics(run)) if usable else ()
    for results in in_order(partial(correlated, *one) for one in apart):
        for target, result in zip(usable, results, strict=False):
            parts[target.name].append(result)
    families = declared_families(settings.families, run.query_groups, declared_statistics(run))
    tables_of = [_as_table(target, parts[target.name], families, settings.correction) for target in read]
    return pl.concat([pl.DataFrame(schema=CORRELATIONS.schema), *tables_of])


def correlate(
    values: np.ndarray,
    targets: Sequence[np.ndarray],
    cluster: np.ndarray,
    covariates: Sequence[np.ndarray] = (),
    confidence: float = 0.95,
    held: Sequence[Sequence[np.ndarray]] = (),
    models: dict[tuple[int, bytes], Models] | None = None,
) -> list[dict[str, np.ndarray]]:
    """Correlate every column of ``values`` with every target by ranks, clusters allowed for.

    Parameters
    ----------
    values
        ``[samples, tests]``, NaN where a sample has no value.
    targets
        Each ``[samples]``, NaN where unknown.
    cluster
        ``[samples]`` any labels.
    covariates
        Each ``[samples]`` without NaN, for ``rho_partial``.
    confidence
        Coverage of the interval.
    held
        For each target what is held fixed in ``rho_fixed`` beside the covariates, each ``[samples]`` without NaN.
    models
        Filled, and read by further calls with the same targets, clusters, covariates and ``held``: what regressions on
        all samples of a target share, by the target's place and those samples.

    Returns
    -------
    list of dict
        Of each target: column name to ``[tests]``, those of ``CORRELATIONS`` from ``rho`` on that hold for one test.
    """
    results = [_no_result(values.shape[1]) for _ in targets]
    models = {} if models is None else models
    # Targets that are known of the same samples share the ranks, which take most of the time.
    known = [~np.isnan(target) for target in targets]
    for mask in {rows.tobytes(): rows for rows in known}.values():
        same = [slot for slot, rows in enumerate(known) if np.array_equal(rows, mask)]
        for present, columns in missing_patterns(values if mask.all() else values[mask]):
            rows = np.flatnonzero(mask)[present]
            if not len(rows):
                for slot in same:
                    results[slot]["note"][columns] = "no sample has a value of both"
                continue
            is_whole = len(rows) == len(values) and len(columns) == values.shape[1]
            part = values if is_whole else values[np.ix_(rows, columns)]
            constant = constant_columns(part)
            varying, ranks = columns[~constant], unit_ranks(part[:, ~constant] if constant.any() else part)
            for slot in same:
                result = results[slot]
                result["num_samples"][columns] = len(rows)
                result["num_clusters"][columns] = len(np.unique(cluster[rows]))
                result["note"][columns[constant]] = "the statistic is constant"
                target = targets[slot][rows]
                if len(rows) < 3 or np.ptp(target) == 0:
                    result["note"][varying] = "fewer than three samples" if len(rows) < 3 else "the target is constant"
                    continue
                key = slot, rows.tobytes()
                model = models.get(key) or models_of(
                    target,
                    cluster[rows],
                    [column[rows] for column in covariates],
                    [column[rows] for column in held[slot]] if held else [],
                )
                if len(rows) == mask.sum():  # other patterns of holes are many, and each is met by few statistics
                    models[key] = model
                _fill(result, varying, ranks, model, confidence)
    return results


def _no_result(num_tests: int) -> dict[str, np.ndarray]:
    numbers = ("rho", "ci_low", "ci_high", "pvalue", "rho_partial", "pvalue_partial", "degrees_of_freedom")
    numbers = (*numbers, "rho_fixed", "pvalue_fixed", "pvalue_pooled")
    result = {name: np.full(num_tests, np.nan) for name in numbers}
    result |= {name: np.zeros(num_tests, np.int64) for name in ("num_samples", "num_clusters")}
    return result | {"note": np.full(num_tests, "", dtype=object)}


def _fill(
    result: dict[str, np.ndarray], columns: np.ndarray, ranks: np.ndarray, models: Models, confidence: float
) -> None:
    """Fill in the tests that share all their samples; ``ranks`` are unit ranks."""
    total = np.ones(ranks.shape[1])  # of unit length
    fit = models.plain.fit(ranks, total)
    # Rounding may carry a perfect correlation past 1.
    rho = np.clip(fit.effect, -1, 1)
    result["rho"][columns], result["pvalue"][columns] = rho, fit.pvalue
    result["degrees_of_freedom"][columns] = fit.degrees_of_freedom
    result["note"][columns[np.isnan(fit.pvalue)]] = fit.note or "the ranks agree exactly: no error can be estimated"
    low, high = _interval(rho, fit.standard_error, fit.degrees_of_freedom, confidence)
    result["ci_low"][columns], result["ci_high"][columns] = low, high
    for name, model, scale in zip(("partial", "fixed"), (models.partial, models.fixed), models.scales, strict=True):
        if model is not None:
            result[f"rho_{name}"][columns], result[f"pvalue_{name}"][columns] = _partial(ranks, total, model, scale)
    if models.is_explained:
        result["pvalue_fixed"][columns] = np.where(np.isnan(result["pvalue"][columns]), np.nan, 1.0)
    pooled = pooled_pvalues(ranks, models.fullest, models.codes)
    result["pvalue_pooled"][columns] = np.where(np.isnan(result["pvalue"][columns]), np.nan, pooled)


def _partial(
    ranks: np.ndarray, total: np.ndarray, model: LastCoefficient, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the partial correlation with the design's last column, and its p."""
    fit = model.fit(ranks, total)
    remaining = np.where(fit.residual_length > 1e-9, fit.residual_length, np.nan)
    return np.clip(fit.effect * scale / remaining, -1, 1), fit.pvalue


def _held(run: Run, settings: AnalysisSettings, target: str) -> list[np.ndarray]:
    """Return what is held fixed beside the covariates for a target; a column is not held fixed for itself."""
    names = [name for name in settings.held_fixed if name != target and name in run.samples.columns]
    return [column for name in names for column in held_columns(run.samples[name], name).values()]


def _interval(rho: np.ndarray, error: np.ndarray, freedom: float, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    inside = np.where(np.abs(rho) < 1, rho, np.nan)
    reach = stats.t.ppf(0.5 + confidence / 2, freedom) * error * np.sqrt((1 + inside**2 / 2) / (1 - inside**2))
    return np.tanh(np.arctanh(inside) - reach), np.tanh(np.arctanh(inside) + reach)


def _covariate(run: Run, name: str) -> np.ndarray:
    """Return a numeric column, unknown values at the median: only ranks are used, so a logarithm changes nothing."""
    column = name if name in run.samples.columns else name.removeprefix(LOG_PREFIX)
    if column not in run.samples.columns or not run.samples[column].dtype.is_numeric():
        raise SettingsError(f"analysis.covariates: {column!r} is no numeric column of samples.")
    values = numbers_of(run.samples[column])
    known = ~np.isnan(values)
    return np.where(known, values, np.median(values[known]) if known.any() else 0.0)


def _as_table(
    target: Target, parts: list[dict[str, Any]], families: Mapping[tuple[str, str], str], correction: str
) -> pl.DataFrame:
    if not parts:
        num_samples = int((~np.isnan(target.values)).sum())
        note = why_not(target) or "the run has no statistic to correlate"
        row = {"target": target.name, "num_samples": num_samples, "method": METHOD, "note": note}
        return pl.DataFrame([row], schema=CORRELATIONS.schema)
    keys = [(part["query_group"], part["statistic"]) for part in parts]
    sizes = [len(part["layer"]) for part in parts]
    words = {"query_group": [key[0] for key in keys], "statistic": [key[1] for key in keys]}
    words["family"] = [families[key] for key in keys]
    columns: dict[str, Any] = {name: np.repeat(np.array(values, object), sizes) for name, values in words.items()}
    columns |= {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name not in columns}
    table = pl.DataFrame({"target": target.name, "method": METHOD, **columns}, strict=False)
    table = table.select(pl.col(name).cast(kind) for name, kind in CORRELATIONS.schema.items() if name in table)
    raw, family = table["pvalue"].to_numpy(), table["family"].to_numpy()
    partial = adjust_within(table["pvalue_partial"].to_numpy(), family, correction)
    for name in ("fixed", "pooled"):
        adjusted = adjust_within(table[f"pvalue_{name}"].to_numpy(), family, correction)
        table = table.with_columns(pl.Series(f"pvalue_{name}_adjusted", adjusted, dtype=pl.Float64))
    table = table.with_columns(
        pvalue_adjusted=pl.Series(adjust_within(raw, family, correction), dtype=pl.Float64),
        pvalue_partial_adjusted=pl.Series(partial, dtype=pl.Float64),
        family_size=pl.Series(family_sizes(raw, family), dtype=pl.Int32),
    )
    note = pl.when(pl.col("note") == "").then(pl.lit(target.note)).otherwise(pl.col("note"))
    table = table.select(*CORRELATIONS.schema)
    return table.with_columns(pl.col(pl.Float64).fill_nan(None), note.replace("", None).alias("note"))
