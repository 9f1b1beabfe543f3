"""Columns that several tables of an analysis share; a table that means something else declares its own."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import Column

CI_HIGH = Column("ci_high", pl.Float64, "Upper end of the interval (1 - alpha), clustered")
CI_LOW = Column("ci_low", pl.Float64, "Lower end of the interval (1 - alpha), clustered")
COMPARISON = Column("comparison", pl.String, "Name of the comparison (analysis.groups)")
CONTRAST = Column(
    "contrast",
    pl.String,
    "What the margin compares: two sides, or the rule that finds them in each sample, with the pairs that it found",
)
DEGREES_OF_FREEDOM = Column("degrees_of_freedom", pl.Float64, "Of the t distribution behind ci_low, ci_high and pvalue")
DIFFERENCE_CI_HIGH = Column("difference_ci_high", pl.Float64, "Upper end of the difference's interval, clustered")
DIFFERENCE_CI_LOW = Column("difference_ci_low", pl.Float64, "Lower end of the difference's interval, clustered")
FAMILY = Column("family", pl.String, "Declared family of tests that are adjusted together (analysis.families)")
FAMILY_SIZE = Column("family_size", pl.Int32, "Tests with a p-value in that family")
GROUP = Column("group", pl.String, "Samples it is the mean of")
HEAD = Column("head", pl.Int32, "Query head, counted from 0", span="0..num_heads-1")
HEDGES_G = Column("effect_size", pl.Float64, "Hedges g of the unadjusted difference")
KEY_GROUP = Column("key_group", pl.String, "Set of key tokens")
KIND_OF_KEY_GROUP = Column("kind", pl.String, "union, category, structure or random: what the key group is")
LAYER = Column("layer", pl.Int32, "Decoder layer, counted from 0", span="0..num_layers-1")
METHOD = Column("method", pl.String, "How it was computed")
NOTE = Column("note", pl.String, "Why a p-value is missing, or what was left out")
NUM_A = Column("num_a", pl.Int32, "Samples of group a with a value")
NUM_B = Column("num_b", pl.Int32, "Samples of group b with a value")
NUM_CLUSTERS = Column("num_clusters", pl.Int32, "Clusters with a value")
NUM_RIGHT = Column("num_a", pl.Int32, "Right predictions with a value")
NUM_SAMPLES = Column("num_samples", pl.Int32, "Samples with a value")
NUM_WRONG = Column("num_b", pl.Int32, "Wrong predictions with a value")
PVALUE = Column("pvalue", pl.Float64, "Two-sided p of the adjusted, cluster-robust difference", span="0..1")
PVALUE_ADJUSTED = Column(
    "pvalue_adjusted",
    pl.Float64,
    "p adjusted over its family (analysis.correction, or the table's method)",
    span="0..1",
)
PVALUE_CLAIM_OVER_TABLE = Column(
    "pvalue_claim",
    pl.Float64,
    "Largest p of all checks (values, ranks, pooled variance, analysis.held_fixed), adjusted over the table",
    span="0..1",
)
PVALUE_ADJUSTED_OVER_TABLE = Column("pvalue_adjusted", pl.Float64, "It, adjusted over the table", span="0..1")
PVALUE_MAX_T = Column(
    "pvalue_max_t",
    pl.Float64,
    "Family-wise p by max-T (Westfall-Young), wild clusters; null without permutations",
    span="0..1",
)
PVALUE_RANKS_ADJUSTED = Column(
    "pvalue_ranks_adjusted", pl.Float64, "It, adjusted over the declared family", span="0..1"
)
QUERY_GROUP = Column("query_group", pl.String, "Whose attention: set of query rows")
RHO = Column("rho", pl.Float64, "Spearman's rank correlation", span="-1..1")
STATISTIC = Column("statistic", pl.String, "Column of head_stats")
TOKEN = Column("token", pl.String, "Text of the token")
RIGHT_AGAINST_WRONG = (
    CI_LOW,
    CI_HIGH,
    HEDGES_G,
    PVALUE,
    PVALUE_ADJUSTED,
    PVALUE_CLAIM_OVER_TABLE,
    FAMILY_SIZE,
    DEGREES_OF_FREEDOM,
    NUM_RIGHT,
    NUM_WRONG,
    NUM_CLUSTERS,
)
"""What a table of differences between right and wrong predictions says of each, where the table is one family."""
