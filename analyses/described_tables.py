"""What the columns of ``analysis/tables`` mean, and writing them so that each file explains itself."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from analyses.head_types import SCORES
from engine.schema import SCHEMA_VERSION

GRAINS = {
    "group_differences": "one row per comparison, query group, statistic, layer and head",
    "head_types": "one row per layer and head",
    "head_means": "one row per query group, layer and head: means over samples",
    "layer_profiles": "one row per query group, statistic, layer and group of samples: means over heads and samples",
    "key_group_attention": "one row per query group, key group, measure and group of samples: means over all heads",
    "decision_top_tokens": "one row per token and group of samples",
    "accuracy": "one row per measure of how well the model did",
    "confusion": "one row per actual and predicted label",
    "reject_counts": "one row per stage and reason",
    "decision_tokens": "one row per decision token and predicted label",
    "compared_runs": "one row per run",
}

COLUMNS = SCORES | {
    "comparison": "Name of the comparison (analysis.groups)",
    "query_group": "Whose attention: set of query rows",
    "statistic": "Column of head_stats; lift_<key group> is its mass over that of uniform attention",
    "layer": "Decoder layer, counted from 0",
    "head": "Query head, counted from 0",
    "mean_a": "Mean of the statistic in group a (correct)",
    "mean_b": "Mean of the statistic in group b (incorrect)",
    "difference": "Adjusted difference a - b: average marginal effect of the group, in the statistic's unit",
    "ci_low": "Lower end of the interval (1 - alpha), clustered",
    "ci_high": "Upper end of the interval (1 - alpha), clustered",
    "difference_ci_low": "Lower end of the difference's interval, clustered",
    "difference_ci_high": "Upper end of the difference's interval, clustered",
    "effect_size": "Hedges g of the unadjusted difference",
    "effect_size_adjusted": "The adjusted difference in the units of Hedges g",
    "pvalue": "Two-sided p of the adjusted, cluster-robust difference",
    "pvalue_adjusted": "p adjusted over the whole declared family (analysis.correction)",
    "pvalue_max_t": "Family-wise p by max-T (Westfall-Young), wild clusters; null without permutations",
    "pvalue_welch": "Welch's t-test, unadjusted, samples taken as independent",
    "pvalue_mannwhitney": "Mann-Whitney U, unadjusted, samples taken as independent",
    "auc": "Chance that a sample of a lies above one of b; 0..1",
    "num_a": "Samples of group a with a value",
    "num_b": "Samples of group b with a value",
    "num_clusters": "Clusters with a value",
    "pvalue_ranks": "p of the same model on normal scores of the ranks, two-sided",
    "pvalue_ranks_adjusted": "It, adjusted over the declared family",
    "degrees_of_freedom": "Of the t distribution behind ci_low, ci_high and pvalue",
    "num_samples": "Samples with a value",
    "is_replicated": "Significant on discovery clusters, same sign and p below alpha on the others; null: not tested",
    "method": "How it was computed",
    "note": "Why a p-value is missing",
    "head_type": "First type that fits, in the order of analyses/head_types.py",
    "all_types": "Every type that fits",
    "group": "Samples it is the mean of",
    "mean": "Mean over samples",
    "key_group": "Set of key tokens",
    "kind": "union, category or structure: what the key group is",
    "measure": "mass: share of attention; lift: mass over that of uniform attention; or what was measured",
    "token": "Text of the token",
    "rank": "1 is the heaviest token",
    "value": "Its value; 0..1",
    "actual_label": "What happened",
    "predicted_label": "What the model said",
    "decision_token": "First token in which the labels differ",
    "stage": "Where a row was turned away",
    "reason": "Why",
}


def write_table(frame: pl.DataFrame, folder: Path, name: str) -> None:
    """Write a table as Parquet with its grain and each column's meaning in the Arrow metadata."""
    table = frame.to_arrow()
    described = [
        field.with_metadata({"description": COLUMNS[field.name]}) if field.name in COLUMNS else field
        for field in table.schema
    ]
    metadata = {"headledger_table": name, "headledger_schema_version": str(SCHEMA_VERSION)}
    if name in GRAINS:
        metadata["grain"] = GRAINS[name]
    schema = table.schema
    for slot, field in enumerate(described):
        schema = schema.set(slot, field)
    pq.write_table(table.cast(schema.with_metadata(metadata)), folder / f"{name}.parquet", compression="zstd")
