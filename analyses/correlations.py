"""Whether what a head does goes with how certain the model is, how large a change it says, or the year.

One row per target, query group, statistic, layer and head: Spearman's rho, exactly SciPy's, with errors clustered by
company. Ranks of the statistic, centred and scaled to unit length, are regressed on ranks of the target, scaled alike,
so that the slope *is* rho; its CR2 error s and Satterthwaite's degrees of freedom f give p = 2 P(t_f > |rho| / s).

The interval is Fisher's z with the variance (1 + rho² / 2) / (n - 3) of Bonett and Wright (2000, Psychometrika 65:
23-28), where the clusters leave an effective number of samples: independent ones have s² = (1 - rho²) / (n - 2), so
z ± t_f s ((1 + rho² / 2) / (1 - rho²))^½.

``rho_partial`` is the same with the ranks of the configured covariates (length) in the regression: what is left of a
correlation among samples of the same length.

p-values are adjusted over each family (``analyses.families``), by default all tests of a target. Attention to a key
group that too few samples hold is not tested (``analyses.rare_key_groups``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analyses.clustered_fit import design_of, fit_last
from analyses.correlation_targets import Target, floats, target_values, why_not
from analyses.families import adjust_within, declared_families, family_sizes
from analyses.key_groups import declared_statistics
from analyses.queries import cluster_codes, value_blocks
from analyses.ranks import rank_columns
from analyses.rare_key_groups import rare_for_target
from analyses.run_tables import RunTables
from analyses.settings import LOG_PREFIX, TARGETS, AnalysisSettings, SettingsError
from analyses.significance import constant_columns, missing_patterns
from analyses.wording import count_text, interval_name, p_text, query_group_label, statistic_label

METHOD = "Spearman; CR2 by cluster, t(Satterthwaite)"

SCHEMA: dict[str, Any] = {
    "target": pl.String,
    "query_group": pl.String,
    "statistic": pl.String,
    "layer": pl.Int32,
    "head": pl.Int32,
    "rho": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "pvalue": pl.Float64,
    "pvalue_adjusted": pl.Float64,
    "family": pl.String,
    "family_size": pl.Int32,
    "rho_partial": pl.Float64,
    "pvalue_partial": pl.Float64,
    "pvalue_partial_adjusted": pl.Float64,
    "degrees_of_freedom": pl.Float64,
    "num_samples": pl.Int32,
    "num_clusters": pl.Int32,
    "method": pl.String,
    "note": pl.String,
}


def correlations(tables: RunTables, settings: AnalysisSettings, targets: Sequence[str] = TARGETS) -> pl.DataFrame:
    """Correlate every head x statistic x query group with each target.

    Parameters
    ----------
    targets
        ``certainty``, ``probability``, ``magnitude``, ``year``, or any number in ``samples``.

    Returns
    -------
    DataFrame
        Columns as in ``SCHEMA``. A target that cannot be used has a single row, whose note says why.

    Raises
    ------
    SettingsError
        For a target that is no column of ``samples``.
    """
    cluster = cluster_codes(tables, settings.cluster_by)
    covariates = [_covariate(tables, name) for name in settings.covariates]
    read = [target_values(tables, name) for name in dict.fromkeys(targets)]
    usable = [target for target in read if not why_not(target)]
    rare = [rare_for_target(tables, target.values) for target in usable]
    parts: dict[str, list[dict[str, Any]]] = {target.name: [] for target in read}
    for query_group, statistic, values in _tests(tables) if usable else ():
        places = np.flatnonzero(~np.isnan(values).all(axis=0))
        if not len(places):
            continue
        keys = {"query_group": query_group, "statistic": statistic}
        keys |= {"layer": places // tables.num_heads, "head": places % tables.num_heads}
        results = correlate(
            values[:, places], [target.values for target in usable], cluster, covariates, 1 - settings.alpha
        )
        for target, result, untested in zip(usable, results, rare, strict=True):
            if statistic in untested:
                for name in ("ci_low", "ci_high", "pvalue", "pvalue_partial"):
                    result[name][:] = np.nan
                result["note"][:] = untested[statistic]
            parts[target.name].append(keys | result)
    families = declared_families(settings.families, tables.query_groups, declared_statistics(tables))
    tables_of = [_as_table(target, parts[target.name], families, settings.correction) for target in read]
    return pl.concat([pl.DataFrame(schema=SCHEMA), *tables_of])


def correlate(
    values: np.ndarray,
    targets: Sequence[np.ndarray],
    cluster: np.ndarray,
    covariates: Sequence[np.ndarray] = (),
    confidence: float = 0.95,
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

    Returns
    -------
    list of dict
        Of each target: column name to ``[tests]``, those of ``SCHEMA`` from ``rho`` on that hold for one test alone.
    """
    results = [_no_result(values.shape[1]) for _ in targets]
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
            kept, ranks = columns[~constant], unit_ranks(part[:, ~constant] if constant.any() else part)
            ranked = [unit_ranks(column[rows, None])[:, 0] for column in covariates if np.ptp(column[rows]) > 0]
            for slot in same:
                result = results[slot]
                result["num_samples"][columns] = len(rows)
                result["num_clusters"][columns] = len(np.unique(cluster[rows]))
                result["note"][columns[constant]] = "the statistic is constant"
                _fill(result, kept, ranks, targets[slot][rows], cluster[rows], ranked, confidence)
    return results


def _no_result(num_tests: int) -> dict[str, np.ndarray]:
    numbers = ("rho", "ci_low", "ci_high", "pvalue", "rho_partial", "pvalue_partial", "degrees_of_freedom")
    result = {name: np.full(num_tests, np.nan) for name in numbers}
    result |= {name: np.zeros(num_tests, np.int64) for name in ("num_samples", "num_clusters")}
    return result | {"note": np.full(num_tests, "", dtype=object)}


def _fill(
    result: dict[str, np.ndarray],
    columns: np.ndarray,
    ranks: np.ndarray,
    target: np.ndarray,
    cluster: np.ndarray,
    covariates: Sequence[np.ndarray],
    confidence: float,
) -> None:
    """Fill in the tests that share all their samples; ``ranks`` and ``covariates`` are unit ranks."""
    if len(target) < 3 or np.ptp(target) == 0:
        result["note"][columns] = "fewer than three samples" if len(target) < 3 else "the target is constant"
        return
    ones, ranked = np.ones(len(target)), unit_ranks(target[:, None])[:, 0]
    design = design_of([ones], ranked)
    assert design is not None, "a target that varies is not collinear with the intercept"
    fit = fit_last(ranks, design, cluster)
    # Rounding may carry a perfect correlation past 1.
    rho = np.clip(fit.effect, -1, 1)
    result["rho"][columns], result["pvalue"][columns] = rho, fit.pvalue
    result["degrees_of_freedom"][columns] = fit.degrees_of_freedom
    result["note"][columns[np.isnan(fit.pvalue)]] = fit.note or "the ranks agree exactly: no error can be estimated"
    low, high = _interval(rho, fit.standard_error, fit.degrees_of_freedom, confidence)
    result["ci_low"][columns], result["ci_high"][columns] = low, high
    partial = design_of([ones, *covariates], ranked) if covariates else None
    if partial is not None:
        fit = fit_last(ranks, partial, cluster)
        remaining = np.where(fit.residual_length > 1e-9, fit.residual_length, np.nan)
        result["rho_partial"][columns] = np.clip(fit.effect * partial.scale / remaining, -1, 1)
        result["pvalue_partial"][columns] = fit.pvalue


def _interval(rho: np.ndarray, error: np.ndarray, freedom: float, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    inside = np.where(np.abs(rho) < 1, rho, np.nan)
    reach = stats.t.ppf(0.5 + confidence / 2, freedom) * error * np.sqrt((1 + inside**2 / 2) / (1 - inside**2))
    return np.tanh(np.arctanh(inside) - reach), np.tanh(np.arctanh(inside) + reach)


def unit_ranks(values: np.ndarray) -> np.ndarray:
    """Return each column's ranks (ties share theirs), centred, of unit length; ``[samples, tests]`` without NaN."""
    ranks = rank_columns(values).doubled - (len(values) - 1.0)
    ranks /= np.sqrt(np.einsum("ij,ij->i", ranks, ranks))[:, None]
    return np.ascontiguousarray(ranks.T)


def _tests(tables: RunTables) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield query group, statistic and ``[samples, layers * heads]``."""
    for block in value_blocks(tables, declared_statistics(tables)):
        for group, query_group in enumerate(block.query_groups):
            for slot, statistic in enumerate(block.statistics):
                yield query_group, statistic, block.values[:, group, slot]


def _covariate(tables: RunTables, name: str) -> np.ndarray:
    """Return a numeric column, unknown values at the median: only ranks are used, so a logarithm changes nothing."""
    column = name if name in tables.samples.columns else name.removeprefix(LOG_PREFIX)
    if column not in tables.samples.columns or not tables.samples[column].dtype.is_numeric():
        raise SettingsError(f"analysis.covariates: {column!r} is no numeric column of samples.")
    values = floats(tables.samples[column])
    known = ~np.isnan(values)
    return np.where(known, values, np.median(values[known]) if known.any() else 0.0)


def _as_table(
    target: Target, parts: list[dict[str, Any]], families: Mapping[tuple[str, str], str], correction: str
) -> pl.DataFrame:
    if not parts:
        num_samples = int((~np.isnan(target.values)).sum())
        note = why_not(target) or "the run has no statistic to correlate"
        row = {"target": target.name, "num_samples": num_samples, "method": METHOD, "note": note}
        return pl.DataFrame([row], schema=SCHEMA)
    frames: list[pl.DataFrame] = []
    for part in parts:
        family = families[part["query_group"], part["statistic"]]
        frame = pl.DataFrame({"target": target.name, "family": family, "method": METHOD, **part}, strict=False)
        frames.append(frame.select(pl.col(name).cast(SCHEMA[name]) for name in SCHEMA if name in frame))
    table = pl.concat(frames)
    raw, family = table["pvalue"].to_numpy(), table["family"].to_numpy()
    partial = adjust_within(table["pvalue_partial"].to_numpy(), family, correction)
    table = table.with_columns(
        pvalue_adjusted=pl.Series(adjust_within(raw, family, correction), dtype=pl.Float64),
        pvalue_partial_adjusted=pl.Series(partial, dtype=pl.Float64),
        family_size=pl.Series(family_sizes(raw, family), dtype=pl.Int32),
    )
    note = pl.when(pl.col("note") == "").then(pl.lit(target.note)).otherwise(pl.col("note"))
    return table.select(*SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None), note.replace("", None).alias("note"))


NUM_STRONGEST = 3
"""Heads told of as sentences per target, each by its strongest correlation; the table holds all."""

_WORDS = {
    "certainty": "stated certainty",
    "probability": "the model's own probability of its answer",
    "magnitude": "stated magnitude",
}


def sentences(table: pl.DataFrame, alpha: float = 0.05) -> list[str]:
    """Say per target how many heads go with it, and the strongest of them."""
    told: list[str] = []
    for (name,), rows in table.group_by("target", maintain_order=True):
        words = _WORDS.get(str(name), str(name).replace("_", " "))
        tested = rows.drop_nulls("pvalue")
        if tested.is_empty():
            notes = rows["note"].drop_nulls()
            told.append(f"Correlation with {words}: not tested: {notes[0] if len(notes) else 'no value'}.")
            continue
        found = tested.filter(pl.col("pvalue_adjusted") <= alpha).sort("pvalue")
        counts = f"{len(found):,} of {count_text(len(tested), 'test')}"
        size = f"{tested['num_samples'].max():,} samples of {tested['num_clusters'].max():,} clusters"
        verb = "is" if len(found) == 1 else "are"
        told.append(f"Correlation with {words}: {counts} {verb} significant after adjustment ({size}).")
        heads = found.unique(["query_group", "layer", "head"], keep="first", maintain_order=True)
        told.extend(_sentence(row, words, alpha) for row in heads.head(NUM_STRONGEST).to_dicts())
        if found.is_empty():
            told[-1] += " That is no evidence that nothing goes with it, only that this many samples do not show it."
    return told


def _sentence(row: Mapping[str, Any], words: str, alpha: float) -> str:
    more = "higher" if row["rho"] > 0 else "lower"
    left = row["rho_partial"]
    adjusted = p_text(row["pvalue_partial_adjusted"])
    partial = "" if left is None else f"; {left:+.2f} among samples alike in the covariates, adjusted {adjusted}"
    size = f"n = {row['num_samples']:,} in {count_text(row['num_clusters'], 'cluster')}"
    statistic = statistic_label(row["statistic"])
    return (
        f"Head {row['layer']}.{row['head']} ({query_group_label(row['query_group'])}): {statistic[0].lower()}"
        f"{statistic[1:]} is {more} where {words} is higher: rho {row['rho']:+.2f} ({interval_name(alpha)} "
        f"{row['ci_low']:+.2f} to {row['ci_high']:+.2f}, adjusted {p_text(row['pvalue_adjusted'])}{partial}; {size})."
    )
