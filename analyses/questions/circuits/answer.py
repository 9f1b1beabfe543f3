"""Edges averaged over samples, and what circuits of growing size recover, with clustered intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from analyses.inference.adjusted.max_t import max_t_pvalues, random_signs
from analyses.inference.adjusted.tested_means import largest_flipped, tested_means
from analyses.inference.clustered_means import clustered_mean
from analyses.inference.joined_clusters import joined_clusters
from analyses.inference.multiplicity import adjust_within, family_sizes
from analyses.questions.answers import Asked
from analyses.questions.circuits.tables import CIRCUIT_EDGES, CIRCUIT_FAITHFULNESS
from analyses.questions.circuits.values import MEASURES, CurveValues, curve_values, edge_values
from analyses.runs.clusters import cluster_codes

NOTHING = 1e-6
"""Nats below which all edges together account for nothing but rounding."""


def circuit_edges(asked: Asked) -> pl.DataFrame:
    """Return every edge with what gradients foretell and what path patching measured, by measure."""
    values, settings = edge_values(asked.run), asked.settings
    cluster = joined_clusters(cluster_codes(asked.run, settings.cluster_by), values.others)
    signs = random_signs(settings.permutations, int(cluster.max(initial=-1)) + 1, asked.run.seed)
    frames = []
    for measure in MEASURES:
        real = tested_means(values.verified[measure], cluster, settings.alpha)
        foretold = clustered_mean(values.linearised[measure], cluster, 1 - settings.alpha)
        real["pvalue_max_t"] = np.full(len(values.keys), np.nan)
        if len(signs):
            largest = largest_flipped(values.verified[measure], cluster, signs)
            real["pvalue_max_t"] = max_t_pvalues(real["statistic"], largest)
        for name in ("pvalue", "pvalue_ranks"):
            real[f"{name}_adjusted"] = _adjusted(real[name], settings.correction)
        real["family_size"] = family_sizes(real["pvalue"], np.full(len(values.keys), measure))
        real["linearised"] = foretold.mean
        real["linearised_ci_low"], real["linearised_ci_high"] = foretold.ci_low, foretold.ci_high
        # A key group's edges that are not verified are there with what gradients foretell.
        real["num_samples"] = np.where(real["num_samples"] > 0, real["num_samples"], foretold.num_samples)
        real["num_clusters"] = np.where(real["num_clusters"] > 0, real["num_clusters"], foretold.num_clusters)
        real["note"] = np.where(real["note"] == "no sample has a value", "not verified", real["note"])
        keys = values.keys.with_columns(
            measure=pl.lit(measure),
            num_choosing=pl.lit(values.num_choosing, pl.Int32),
            contrast=pl.lit(asked.contrast, pl.String),
        )
        frames.append(keys.hstack(_columns(real, CIRCUIT_EDGES.schema)))
    return _clean(pl.concat(frames), CIRCUIT_EDGES.schema)


def circuit_faithfulness(asked: Asked) -> pl.DataFrame:
    """Return what share the strongest edges and as many random ones recover, by number of edges."""
    curve, settings = curve_values(asked.run), asked.settings
    edges = edge_values(asked.run)
    cluster = joined_clusters(cluster_codes(asked.run, settings.cluster_by), edges.others)
    known = ~np.isnan(curve.gap)
    mean_gap = float(curve.gap[known].mean()) if known.any() else float("nan")
    if not curve.sizes or not mean_gap > NOTHING:
        return CIRCUIT_FAITHFULNESS.empty()
    parts = {order: _influences(curve, order, mean_gap) for order in ("strongest", "random")}
    columns: dict[str, np.ndarray] = {}
    for name, order in (("recovered", "strongest"), ("random", "random")):
        mean = clustered_mean(parts[order], cluster, 1 - settings.alpha)
        columns |= {name: mean.mean, f"{name}_ci_low": mean.ci_low, f"{name}_ci_high": mean.ci_high}
    tested = tested_means(parts["strongest"] - parts["random"], cluster, settings.alpha)
    columns |= {name: tested[name] for name in ("ci_low", "ci_high", "pvalue", "pvalue_ranks", "note")}
    columns |= {name: tested[name] for name in ("num_samples", "num_clusters")}
    columns["difference"] = tested["mean"]
    for name in ("pvalue", "pvalue_ranks"):
        columns[f"{name}_adjusted"] = _adjusted(tested[name], "holm")
    number = len(curve.sizes)
    columns["num_edges"], columns["num_all"] = np.array(curve.sizes), np.full(number, curve.num_edges)
    columns["mean_gap"] = np.full(number, mean_gap)
    columns["method"] = np.full(number, "ratio of sums over samples; CR2 by cluster of its linearised error")
    frame = _columns(columns, CIRCUIT_FAITHFULNESS.schema)
    told = {"num_choosing": pl.lit(edges.num_choosing, pl.Int32), "contrast": pl.lit(asked.contrast, pl.String)}
    return _clean(frame.with_columns(**told), CIRCUIT_FAITHFULNESS.schema)


def _influences(curve: CurveValues, order: str, mean_gap: float) -> np.ndarray:
    """Return values whose mean is the ratio of sums r and whose error is the linearised one (Cochran 1977, 6.3)."""
    changes, gaps = curve.recovered[order], curve.gap[:, None]
    ratio = np.nanmean(changes, axis=0) / mean_gap
    return ratio + (changes - ratio * gaps) / mean_gap


def _adjusted(pvalues: np.ndarray, correction: str) -> np.ndarray:
    return adjust_within(pvalues, np.full(len(pvalues), "all"), correction)


def _columns(values: Mapping[str, np.ndarray], schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    return pl.DataFrame(
        {name: pl.Series(part.tolist(), dtype=schema[name]) for name, part in values.items() if name in schema}
    )


def _clean(frame: pl.DataFrame, schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    """Bring columns into order; NaN and empty notes become null."""
    noted = frame.with_columns(pl.col("note").replace("", None))
    return noted.select(pl.col(name).cast(kind) for name, kind in schema.items()).with_columns(
        pl.col(pl.Float64).fill_nan(None)
    )
