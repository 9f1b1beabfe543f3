"""The tables on what differs between groups of samples."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    CI_HIGH,
    CI_LOW,
    COMPARISON,
    DEGREES_OF_FREEDOM,
    FAMILY,
    FAMILY_SIZE,
    HEAD,
    HEDGES_G,
    LAYER,
    METHOD,
    NOTE,
    NUM_A,
    NUM_B,
    NUM_CLUSTERS,
    PVALUE,
    PVALUE_ADJUSTED,
    PVALUE_MAX_T,
    PVALUE_RANKS_ADJUSTED,
    QUERY_GROUP,
    STATISTIC,
)
from analyses.questions.method_text import adjusted_model, correction_text, errors_behind, errors_text


def _max_t(asked: Asked) -> str:
    return f"max-T: {asked.settings.permutations:,} random signs per cluster, errors symmetric about 0"


def _differences_method(asked: Asked) -> str:
    return (
        f"{adjusted_model(asked, errors_text(asked.settings))}; adjusted within each family by "
        f"{correction_text(asked)}; {_max_t(asked)}; Welch and Mann-Whitney take samples as independent"
    )


def _layers_method(asked: Asked) -> str:
    return (
        f"{adjusted_model(asked, errors_behind(asked.settings))}, on means over heads; sums of t over neighbouring "
        f"layers against {_max_t(asked)}"
    )


def _strata_method(asked: Asked) -> str:
    return (
        f"within each stratum: {adjusted_model(asked, errors_behind(asked.settings))}; p adjusted by Holm over the "
        "stratum's tests; heterogeneity by Cochran's Q, which takes strata as independent; findings were chosen on the "
        "same samples"
    )


GROUP_DIFFERENCES = AnswerTable(
    "group_differences",
    "one row per comparison, query group, statistic, layer and head",
    (
        COMPARISON,
        QUERY_GROUP,
        STATISTIC,
        LAYER,
        HEAD,
        Column("mean_a", pl.Float64, "Mean of the statistic in group a (for is_correct: correct)"),
        Column("mean_b", pl.Float64, "Mean of the statistic in group b (for is_correct: incorrect)"),
        Column(
            "difference",
            pl.Float64,
            "Adjusted difference a - b: average marginal effect of the group, in the statistic's unit",
        ),
        CI_LOW,
        CI_HIGH,
        HEDGES_G,
        PVALUE,
        PVALUE_ADJUSTED,
        PVALUE_MAX_T,
        Column("pvalue_welch", pl.Float64, "Welch's t-test, unadjusted, samples taken as independent", span="0..1"),
        Column(
            "pvalue_mannwhitney", pl.Float64, "Mann-Whitney U, unadjusted, samples taken as independent", span="0..1"
        ),
        Column("auc", pl.Float64, "Chance that a sample of a lies above one of b", span="0..1"),
        NUM_A,
        NUM_B,
        NUM_CLUSTERS,
        Column(
            "is_replicated",
            pl.Boolean,
            "Significant on discovery clusters, same sign and p below alpha on the others; null: not tested",
        ),
        FAMILY,
        FAMILY_SIZE,
        Column(
            "is_discovered",
            pl.Boolean,
            "Significant on discovery clusters after adjustment; where it is false, nothing could replicate",
        ),
        Column(
            "lift",
            pl.Float64,
            "Mean over samples of the mass over that of uniform attention; null where that is not known",
        ),
        Column("lift_ci_low", pl.Float64, "Lower end of its interval (1 - alpha), clustered"),
        Column("lift_ci_high", pl.Float64, "Upper end of its interval (1 - alpha), clustered"),
        Column("standard_error", pl.Float64, "Cluster-robust error of the adjusted difference"),
        Column("effect_size_adjusted", pl.Float64, "The adjusted difference in the units of Hedges g"),
        Column(
            "effect_size_discovery",
            pl.Float64,
            "It, on the clusters where findings are looked for; null without a split",
        ),
        Column(
            "effect_size_confirmation",
            pl.Float64,
            "It, on the clusters kept apart to confirm them; null without a split",
        ),
        Column("pvalue_ranks", pl.Float64, "p of the same model on normal scores of the ranks, two-sided", span="0..1"),
        PVALUE_RANKS_ADJUSTED,
        Column(
            "pvalue_pooled",
            pl.Float64,
            "p of normal scores by the variance pooled under the null, analysis.held_fixed held fixed, two-sided",
            span="0..1",
        ),
        Column("pvalue_pooled_adjusted", pl.Float64, "It, adjusted over the declared family", span="0..1"),
        Column(
            "pvalue_exchange",
            pl.Float64,
            "Family-wise p of the same where clusters of like size are exchanged; null without permutations",
            span="0..1",
        ),
        Column(
            "difference_fixed",
            pl.Float64,
            "The difference with analysis.held_fixed held fixed too; null where there is nothing to hold",
        ),
        Column(
            "pvalue_fixed",
            pl.Float64,
            "Its p, two-sided, cluster-robust; 1 where the groups cannot be told from what is held fixed",
            span="0..1",
        ),
        Column("pvalue_fixed_adjusted", pl.Float64, "It, adjusted over the declared family", span="0..1"),
        Column(
            "is_approximate",
            pl.Boolean,
            "Whether ci_low and ci_high cover less often than they say: skewed values in a small group",
        ),
        Column(
            "interaction",
            pl.Float64,
            "Difference among samples predicted interaction_label minus that among the others, in the statistic's unit",
        ),
        Column("interaction_label", pl.String, "The most frequent predicted label"),
        Column(
            "pvalue_interaction",
            pl.Float64,
            "Largest p of that on values, on normal scores, and pooled under the null; two-sided",
            span="0..1",
        ),
        Column("pvalue_interaction_adjusted", pl.Float64, "It, adjusted over the family of interactions", span="0..1"),
        Column(
            "level",
            pl.Float64,
            "What the adjusted p of every check are held against: alpha, or the comparison's share of the second alpha",
            span="0..1",
        ),
        DEGREES_OF_FREEDOM,
        METHOD,
        NOTE,
    ),
    method=_differences_method,
)

LAYER_CLUSTERS = AnswerTable(
    "layer_clusters",
    "one row per comparison, query group, statistic and stretch of layers, or one without any",
    (
        COMPARISON,
        FAMILY,
        QUERY_GROUP,
        STATISTIC,
        Column("first_layer", pl.Int32, "First layer of the stretch; null where no layer passes the threshold"),
        Column("last_layer", pl.Int32, "Last layer of the stretch"),
        Column("peak_layer", pl.Int32, "Layer of the stretch with the largest |t|"),
        Column(
            "difference", pl.Float64, "Mean over the stretch of the adjusted differences a - b, in the statistic's unit"
        ),
        Column("mass", pl.Float64, "Sum of t over the stretch"),
        Column(
            "pvalue",
            pl.Float64,
            "p of the stretch's mass under random signs, among the stretches of its statistic",
            span="0..1",
        ),
        Column(
            "pvalue_adjusted",
            pl.Float64,
            "The larger of pvalue_ranks and of the p of the stretch's mass under random signs, both among all "
            "stretches of its family",
            span="0..1",
        ),
        Column(
            "pvalue_ranks",
            pl.Float64,
            "p of the same stretch on normal scores where clusters are exchanged, among all stretches of its family",
            span="0..1",
        ),
        NUM_A,
        NUM_B,
        NUM_CLUSTERS,
        METHOD,
        NOTE,
    ),
    method=_layers_method,
)

REPLICATION_BY_STRATUM = AnswerTable(
    "replication_by_stratum",
    "one row per finding (or strongest test), stratum column and stratum",
    (
        COMPARISON,
        QUERY_GROUP,
        STATISTIC,
        LAYER,
        HEAD,
        Column(
            "is_finding",
            pl.Boolean,
            "Whether every adjusted p on all samples is at most alpha; false: among the smallest p only",
        ),
        Column("stratum_column", pl.String, "Column of samples by which they are divided"),
        Column("stratum", pl.String, "Value, or range of values, of the samples"),
        Column("difference", pl.Float64, "Adjusted difference a - b within the stratum, in the statistic's unit"),
        CI_LOW,
        CI_HIGH,
        Column(
            "pvalue",
            pl.Float64,
            "Two-sided p of the adjusted, cluster-robust difference within the stratum",
            span="0..1",
        ),
        Column("pvalue_adjusted", pl.Float64, "It, adjusted by Holm over the stratum's tests", span="0..1"),
        Column(
            "keeps_sign", pl.Boolean, "Whether the difference has the sign it has on all samples; null: not tested here"
        ),
        Column(
            "is_significant", pl.Boolean, "Whether pvalue_adjusted is at most alpha in this stratum; null: no p-value"
        ),
        Column(
            "pvalue_heterogeneity",
            pl.Float64,
            "p of Cochran's Q: do the strata's differences differ by more than their errors",
            span="0..1",
        ),
        NUM_A,
        NUM_B,
        NUM_CLUSTERS,
        METHOD,
        NOTE,
    ),
    method=_strata_method,
)
