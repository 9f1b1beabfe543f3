"""What the columns of ``analysis/tables`` mean, and writing them so that each file explains itself."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from analyses.head_types import SCORES
from engine.schema import SCHEMA_VERSION

GRAINS = {
    "group_differences": "one row per comparison, query group, statistic, layer and head",
    "layer_clusters": "one row per comparison, query group, statistic and stretch of layers, or one without any",
    "replication_by_stratum": "one row per finding (or strongest test), stratum column and stratum",
    "head_types": "one row per layer and head",
    "head_distributions": "one row per query group, statistic, layer, head and group of samples: quantiles",
    "head_lifts": "one row per query group, key group, layer and head: weight over that of uniform attention",
    "head_top_tokens": "one row per layer, head and rank: tokens that the decision row weighs most",
    "shown_samples": "one row per sample that the report shows in full",
    "head_means": "one row per query group, layer and head: means over samples",
    "layer_profiles": "one row per query group, statistic, layer and group of samples: means over heads and samples",
    "key_group_attention": "one row per query group, key group, measure and group of samples: means over all heads",
    "decision_top_tokens": "one row per token and group of samples",
    "decodability": "one row per target and model: the heads, each model without heads, the control",
    "hypotheses": "one row per hypothesis",
    "correlations": "one row per target, query group, statistic, layer and head, or one for a target without any",
    "causal_effects": "one row per cause (kind, setting, part of the model) and measure",
    "causal_differences": "one row per cause and measure: right against wrong predictions",
    "head_agreement": "one row per pair of measures of heads and layer; layer null: over all heads",
    "head_screening": "one row per group of heads: ablation against the forecast of the head gradient",
    "power": "one row per comparison, query group and statistic: medians over heads",
    "accuracy": "one row per measure of how well the model did",
    "confusion": "one row per actual and predicted label",
    "reject_counts": "one row per stage and reason",
    "decision_tokens": "one row per decision token and predicted label",
    "compared_runs": "one row per run",
    "compared_layers": "one row per run, query group, statistic and layer: means over heads and samples",
    "compared_heads": "one row per other run, query group and statistic: do both runs rank the heads alike",
    "compared_pairs": "one row per other run: answers to common samples, head types and findings against the first run",
    "compared_changes": "one row per other run, query group, statistic, layer and head: change in common samples",
}

COLUMNS = SCORES | {
    "comparison": "Name of the comparison (analysis.groups)",
    "query_group": "Whose attention: set of query rows",
    "statistic": "Column of head_stats; lift_<key group> is its mass over that of uniform attention",
    "layer": "Decoder layer, counted from 0",
    "head": "Query head, counted from 0",
    "mean_a": "Mean of the statistic in group a (for is_correct: correct)",
    "mean_b": "Mean of the statistic in group b (for is_correct: incorrect)",
    "difference": "Adjusted difference a - b: average marginal effect of the group, in the statistic's unit",
    "ci_low": "Lower end of the interval (1 - alpha), clustered",
    "ci_high": "Upper end of the interval (1 - alpha), clustered",
    "difference_ci_low": "Lower end of the difference's interval, clustered",
    "difference_ci_high": "Upper end of the difference's interval, clustered",
    "effect_size": "Hedges g of the unadjusted difference",
    "effect_size_adjusted": "The adjusted difference in the units of Hedges g",
    "effect_size_discovery": "It, on the clusters where findings are looked for; null without a split",
    "effect_size_confirmation": "It, on the clusters kept apart to confirm them; null without a split",
    "pvalue": "Two-sided p of the adjusted, cluster-robust difference, or of what the table's method says",
    "pvalue_adjusted": "p adjusted over its family (analysis.correction, or the table's method)",
    "family": "Declared family of tests that are adjusted together (analysis.families)",
    "family_size": "Tests with a p-value in that family",
    "lift": "Mean over samples of the mass over that of uniform attention; null where that is not known",
    "lift_ci_low": "Lower end of its interval (1 - alpha), clustered",
    "lift_ci_high": "Upper end of its interval (1 - alpha), clustered",
    "standard_error": "Cluster-robust error of the adjusted difference",
    "first_layer": "First layer of the stretch; null where no layer passes the threshold",
    "last_layer": "Last layer of the stretch",
    "peak_layer": "Layer of the stretch with the largest |t|",
    "mass": "Sum of t over the stretch",
    "is_finding": "Whether every adjusted p on all samples is at most alpha; false: among the smallest p only",
    "stratum_column": "Column of samples by which they are divided",
    "stratum": "Value, or range of values, of the samples",
    "keeps_sign": "Whether the difference has the sign it has on all samples; null: not tested here",
    "is_significant": "Whether pvalue_adjusted is at most alpha in this stratum; null: no p-value",
    "pvalue_heterogeneity": "p of Cochran's Q: do the strata's differences differ by more than their errors",
    "type_runner_up": "Type that the other resamples of the clusters give most often",
    "pvalue_max_t": "Family-wise p by max-T (Westfall-Young), wild clusters; null without permutations",
    "pvalue_welch": "Welch's t-test, unadjusted, samples taken as independent",
    "pvalue_mannwhitney": "Mann-Whitney U, unadjusted, samples taken as independent",
    "auc": "Chance that a sample of a lies above one of b; 0..1",
    "q05": "5 % of the samples lie below",
    "q25": "25 % of the samples lie below",
    "median": "Half of the samples lie below",
    "q75": "75 % of the samples lie below",
    "q95": "95 % of the samples lie below",
    "run": "Name of the run; of a comparison, of the first run",
    "other_run": "Name of the run it is compared with; differences are this one minus the first",
    "depth": "Layer over the last layer; 0..1",
    "is_same_shape": "Whether both have the same number of layers and heads",
    "share_same_answer": "Of the samples of the same id, those with the same predicted label; 0..1",
    "accuracy": "Share of right answers, in common samples where a comparison has them; 0..1",
    "model_path": "The model, as the config names it",
    "accuracy_ci_low": "Lower end of its interval (1 - alpha)",
    "accuracy_ci_high": "Upper end of its interval (1 - alpha)",
    "num_layers": "Decoder layers",
    "smallest_pvalue_adjusted": "Smallest adjusted p of all tests",
    "num_replicated": "Significant by every check and replicated",
    "accuracy_other": "The same in the other run",
    "share_same_type": "Share of heads with the same type in both; 0..1",
    "num_tests": "Tests with a p-value, in both runs where two are compared",
    "num_significant": "Of them significant by every check",
    "num_significant_other": "The same in the other run",
    "num_agreeing": "Significant in both with the same sign",
    "num_changed": "Statistics of heads that changed significantly in common samples, after adjustment",
    "sample_id": "Identifier of the prediction, unique in a run",
    "reasons": "Rules that chose it",
    "num_a": "Samples of group a with a value",
    "num_b": "Samples of group b with a value",
    "num_clusters": "Clusters with a value",
    "pvalue_ranks": "p of the same model on normal scores of the ranks, two-sided",
    "pvalue_ranks_adjusted": "It, adjusted over the declared family",
    "degrees_of_freedom": "Of the t distribution behind ci_low, ci_high and pvalue",
    "num_samples": "Samples with a value",
    "is_replicated": "Significant on discovery clusters, same sign and p below alpha on the others; null: not tested",
    "method": "How it was computed",
    "note": "Why a p-value is missing, or what was left out",
    "head_type": "First type that fits, in the order of analyses/head_types.py",
    "all_types": "Every type that fits",
    "group": "Samples it is the mean of",
    "mean": "Mean over samples",
    "key_group": "Set of key tokens",
    "kind": "union, category, structure or random: what the key group is; or of a cause: what was done",
    "measure": "mass: share of attention; lift: over that of uniform attention; lead, change (nats), flip (share): of "
    "the label that the model favours, of contrast[0] over contrast[1], of the answers; or what was measured",
    "token": "Text of the token",
    "rank": "1 is the heaviest token",
    "value": "Its value; 0..1",
    "share": "Of the samples of that true label; 0..1",
    "actual_label": "The true label",
    "predicted_label": "What the model said",
    "target": "What is predicted, or correlated with",
    "label_a": "The class that is predicted",
    "label_b": "The other class",
    "model": "What predicts: heads, a set of features that needs no head, or heads on permuted labels",
    "auroc": "Held-out area under the ROC curve; 0.5 is chance, 1 is certainty",
    "best_baseline": "Model without heads that predicts best; difference is the heads' AUROC minus its AUROC",
    "num_features": "Features the model may choose from",
    "num_used": "Features with a weight, on average over the outer fits",
    "most_used": "Features that most outer fits use, with the share of fits",
    "hypothesis": "Name of the hypothesis",
    "text": "What was asked, as the config has it",
    "tested_as": "The number per sample that was tested",
    "verdict": "supported, contradicted, not decided, cannot be tested, not understood",
    "effect": "Mean of that number, or its adjusted difference a - b",
    "direction": "Expected: greater or less than 0, or two-sided",
    "rho": "Spearman's rank correlation; -1..1",
    "rho_partial": "It, with the ranks of the covariates held fixed",
    "pvalue_partial": "p of rho_partial, two-sided",
    "pvalue_partial_adjusted": "It, adjusted over its family",
    "num_heads": "Heads with a value",
    "standard_deviation": "Within the groups, pooled; in the statistic's unit",
    "intraclass_correlation": "Correlation of samples of one cluster; 0..1",
    "design_effect": "Variance of the difference over that of independent samples",
    "smallest_effect_size": "Hedges g that a single test finds with the given power",
    "smallest_difference": "It, in the statistic's unit",
    "smallest_effect_size_family": "Hedges g that one test of the family finds with the given power (Bonferroni)",
    "smallest_difference_family": "It, in the statistic's unit",
    "alpha": "Two-sided level of a single test",
    "alpha_family": "Two-sided level of one test of the family",
    "power": "Chance of finding a difference of the smallest detectable size",
    "unit": "Unit of effect, ci_low and ci_high; of a cause: what is changed at a time",
    "replace": "What takes the heads' place: zero, mean or resample",
    "rows": "Rows that are changed, or kept from the key group",
    "factor": "What the heads' outputs are multiplied with",
    "counterfactual": "Kind of edit of the statement",
    "members": "Query heads that are changed together, as layer.head",
    "measure_a": "mass and norm_mass: attention of the decision row; others: size of the mean lead",
    "measure_b": "The other measure",
    "heads": "top: chosen by attribution; random: matched to them by layer; all: every ablated head",
    "rho_ci_low": "Lower end of rho's interval, clusters resampled",
    "rho_ci_high": "Upper end of rho's interval, clusters resampled",
    "slope": "Measured change per nat that the gradient foretells; 1: calibrated",
    "slope_ci_low": "Lower end of the slope's interval, clusters resampled",
    "slope_ci_high": "Upper end of the slope's interval, clusters resampled",
    "intercept": "Measured change where the gradient foretells none; nats",
    "mean_size": "Mean over heads of |mean change of the lead| by ablation; nats",
    "decision_token": "First token in which the labels differ",
    "stage": "Where a row was turned away",
    "reason": "Why",
}


def _description(table: str, column: str) -> str | None:
    """Return what a column means; those of ``head_means`` are named after the statistics that they are means of."""
    if table == "head_means" and column not in ("query_group", "layer", "head", "num_samples"):
        return f"Mean over samples of head_stats' {column}"
    return COLUMNS.get(column)


def write_table(frame: pl.DataFrame, folder: Path, name: str, method: str | None = None) -> None:
    """Write a table as Parquet with its grain, method and each column's meaning in the Arrow metadata."""
    table = frame.to_arrow()
    described = [
        field.with_metadata({"description": text}) if (text := _description(name, field.name)) else field
        for field in table.schema
    ]
    metadata = {"headledger_table": name, "headledger_schema_version": str(SCHEMA_VERSION)}
    if name in GRAINS:
        metadata["grain"] = GRAINS[name]
    if method:
        metadata["method"] = method
    schema = table.schema
    for slot, field in enumerate(described):
        schema = schema.set(slot, field)
    pq.write_table(table.cast(schema.with_metadata(metadata)), folder / f"{name}.parquet", compression="zstd")
