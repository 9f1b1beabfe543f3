"""The tables of several runs side by side."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.columns import (
    CI_HIGH,
    CI_LOW,
    HEAD,
    LAYER,
    NOTE,
    NUM_CLUSTERS,
    NUM_SAMPLES,
    PVALUE_ADJUSTED_OVER_TABLE,
    QUERY_GROUP,
    STATISTIC,
)

RUN = Column("run", pl.String, "Name of the first run")

OTHER_RUN = Column(
    "other_run", pl.String, "Name of the run it is compared with; differences are this one minus the first"
)

COMPARED_RUNS = AnswerTable(
    "compared_runs",
    "one row per run",
    (
        Column("run", pl.String, "Name of the run"),
        Column("model_path", pl.String, "The model, as the config names it"),
        Column("num_samples", pl.Int64, "Samples with a known true label"),
        Column("accuracy", pl.Float64, "Share of right answers", span="0..1"),
        Column("accuracy_ci_low", pl.Float64, "Lower end of its interval (1 - alpha)"),
        Column("accuracy_ci_high", pl.Float64, "Upper end of its interval (1 - alpha)"),
        Column("num_layers", pl.Int64, "Decoder layers"),
        Column("num_heads", pl.Int64, "Heads"),
        Column("num_tests", pl.Int64, "Tests with a p-value"),
        Column("num_significant", pl.Int64, "Of them significant by every check"),
        Column("smallest_pvalue_adjusted", pl.Float64, "Smallest adjusted p of all tests", span="0..1"),
        Column("num_replicated", pl.Int64, "Significant by every check and replicated"),
        Column("type_rows", pl.String, "Whose rows the head types come from"),
    ),
    others="Share of the heads with the type that {} names",
)

COMPARED_LAYERS = AnswerTable(
    "compared_layers",
    "one row per run, query group, statistic and layer: means over heads and samples",
    (
        Column("run", pl.String, "Name of the run"),
        Column("depth", pl.Float64, "Layer over the last layer", span="0..1"),
        QUERY_GROUP,
        Column(
            "statistic", pl.String, "Column of head_stats; lift_<key group> is its mass over that of uniform attention"
        ),
        LAYER,
        Column("mean", pl.Float64, "Mean over the heads of the layer and over samples"),
        CI_LOW,
        CI_HIGH,
        NUM_SAMPLES,
        NUM_CLUSTERS,
    ),
)

COMPARED_HEADS = AnswerTable(
    "compared_heads",
    "one row per other run, query group and statistic: do both runs rank the heads alike",
    (
        RUN,
        OTHER_RUN,
        QUERY_GROUP,
        STATISTIC,
        Column("rho", pl.Float64, "Spearman's rank correlation over heads between both runs' means", span="-1..1"),
        Column("num_heads", pl.Int32, "Heads with a value"),
    ),
)

COMPARED_PAIRS = AnswerTable(
    "compared_pairs",
    "one row per other run: answers to common samples, head types and findings against the first run",
    (
        RUN,
        OTHER_RUN,
        Column("is_same_shape", pl.Boolean, "Whether both have the same number of layers and heads"),
        Column("num_samples", pl.Int32, "Samples of the same id"),
        Column("num_clusters", pl.Int32, "Clusters of these samples, as the first run has them"),
        Column(
            "share_same_answer",
            pl.Float64,
            "Of the samples of the same id, those with the same predicted label",
            span="0..1",
        ),
        Column("accuracy", pl.Float64, "Share of right answers to common samples in the first run", span="0..1"),
        Column("accuracy_other", pl.Float64, "The same in the other run"),
        Column("difference", pl.Float64, "Accuracy of the other run minus that of the first, in common samples"),
        CI_LOW,
        CI_HIGH,
        Column("pvalue", pl.Float64, "Two-sided p of the paired difference, cluster-robust", span="0..1"),
        Column(
            "level_answers",
            pl.Float64,
            "Level that pvalue is held against: the page's answers and changes share alpha (Holm over families)",
            span="0..1",
        ),
        Column("share_same_type", pl.Float64, "Share of heads with the same type in both", span="0..1"),
        Column("num_tests", pl.Int32, "Tests with a p-value in both runs"),
        Column("num_significant", pl.Int32, "Of them significant by every check in the first run"),
        Column("num_significant_other", pl.Int32, "Of them significant by every check in the other run"),
        Column("num_agreeing", pl.Int32, "Significant in both with the same sign"),
        Column(
            "rho",
            pl.Float64,
            "Spearman's rank correlation over tests between both runs' adjusted effect sizes",
            span="-1..1",
        ),
        Column("num_tested", pl.Int32, "Statistics of heads whose change in common samples has a p-value"),
        Column(
            "num_changed",
            pl.Int32,
            "Of them changed significantly after adjustment, on ranks too, at level_changes",
        ),
        Column("level_changes", pl.Float64, "Level that adjusted p of changes are held against", span="0..1"),
        Column("num_unchanged", pl.Int32, "Of them not changed, the interval of the change within the bound"),
        NOTE,
    ),
)

COMPARED_CHANGES = AnswerTable(
    "compared_changes",
    "one row per other run, query group, statistic, layer and head: change in common samples",
    (
        RUN,
        OTHER_RUN,
        QUERY_GROUP,
        STATISTIC,
        LAYER,
        HEAD,
        Column(
            "difference",
            pl.Float64,
            "Mean over common samples of the other run's value minus the first's, in the statistic's unit",
        ),
        CI_LOW,
        CI_HIGH,
        Column("pvalue", pl.Float64, "Two-sided p of the mean change, cluster-robust", span="0..1"),
        PVALUE_ADJUSTED_OVER_TABLE,
        Column("pvalue_ranks", pl.Float64, "p of the signed normal scores of the change, two-sided", span="0..1"),
        Column("pvalue_ranks_adjusted", pl.Float64, "It, adjusted over the table", span="0..1"),
        Column(
            "equivalence_bound",
            pl.Float64,
            "0.2 standard deviations of the first run's common samples: smaller changes count as none",
        ),
        Column(
            "is_unchanged",
            pl.Boolean,
            "Whether the interval of the change (1 - 2 alpha) lies within the bound; null: cannot be told",
        ),
        NUM_SAMPLES,
        NUM_CLUSTERS,
    ),
)
