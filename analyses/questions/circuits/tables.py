"""The tables on circuits."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    CI_HIGH,
    CI_LOW,
    CONTRAST,
    DEGREES_OF_FREEDOM,
    FAMILY_SIZE,
    METHOD,
    NOTE,
    NUM_CLUSTERS,
    NUM_SAMPLES,
    PVALUE_ADJUSTED,
    PVALUE_MAX_T,
    PVALUE_RANKS_ADJUSTED,
)
from analyses.questions.method_text import correction_text, independence


def _edges_method(asked: Asked) -> str:
    return (
        f"of the margin of {asked.contrast}; edge attribution patching with integrated gradients, and path patching "
        f"on real runs, of which mean over samples with CR2 errors by {asked.cluster_noun}, Satterthwaite's degrees "
        f"of freedom; also on signed normal scores; assumes that {independence(asked)}; adjusted within each measure "
        f"by {correction_text(asked)}; heads and edges are those that looked strongest on num_choosing other samples, "
        "of other clusters, or on the same samples where that is null; where edges carry what a matched prediction's "
        "do, clusters that lend to each other or borrow from the same one are one; a direct edge leaves out what MLPs "
        "and other heads between the two make of it"
    )


def _curve_method(asked: Asked) -> str:
    return (
        "ratio of sums over samples, sum (s_k - s_0) / sum |s_n - s_0|, signed towards s_n; its linearised error is "
        f"CR2 by {asked.cluster_noun}; assumes that {independence(asked)}; edges are ordered by mean size on "
        "num_choosing other samples, of other clusters, or on the same where that is null; only "
        "edges from the circuit's heads are cut, MLPs and other heads are as they are; p by Holm over "
        "the table"
    )


_NUM_CHOOSING = Column(
    "num_choosing",
    pl.Int32,
    "Samples, of other clusters, on which heads and edges were chosen; null where they were chosen on the same ones",
    span="1..",
)

CIRCUIT_EDGES = AnswerTable(
    "circuit_edges",
    "one row per edge of the circuit and measure",
    (
        Column("source_layer", pl.Int32, "Layer of the head that writes; null where a key group is the source"),
        Column("source_head", pl.Int32, "Query head that writes; null where a key group is the source"),
        Column("key_group", pl.String, "Key group whose values are read; null where a head is the source"),
        Column("target_layer", pl.Int32, "Layer of the head that reads; null for the logits"),
        Column("target_head", pl.Int32, "Query head that reads; null for the logits"),
        Column("input", pl.String, "What the edge ends in", span="q|k|v|logits"),
        Column("replace", pl.String, "What the edge carries once it is cut"),
        Column(
            "measure",
            pl.String,
            "lead, change (nats): of the side of the contrast that the model favours, of its first side over its "
            "second",
        ),
        Column("linearised", pl.Float64, "Mean over samples of what gradients foretell", unit="nats"),
        Column("linearised_ci_low", pl.Float64, "Lower end of its interval (1 - alpha), clustered", unit="nats"),
        Column("linearised_ci_high", pl.Float64, "Upper end of its interval (1 - alpha), clustered", unit="nats"),
        Column(
            "mean",
            pl.Float64,
            "Mean over samples of what path patching measured; null where it was not run",
            unit="nats",
        ),
        CI_LOW,
        CI_HIGH,
        Column("effect_size", pl.Float64, "The mean over the standard deviation of the samples"),
        Column("pvalue", pl.Float64, "Two-sided p of the mean against 0, cluster-robust", span="0..1"),
        PVALUE_ADJUSTED,
        Column("pvalue_ranks", pl.Float64, "p of the signed normal scores of the ranks, two-sided", span="0..1"),
        PVALUE_RANKS_ADJUSTED,
        PVALUE_MAX_T,
        FAMILY_SIZE,
        DEGREES_OF_FREEDOM,
        NUM_SAMPLES,
        NUM_CLUSTERS,
        _NUM_CHOOSING,
        CONTRAST,
        METHOD,
        NOTE,
    ),
    method=_edges_method,
    is_optional=True,
)

CIRCUIT_FAITHFULNESS = AnswerTable(
    "circuit_faithfulness",
    "one row per number of kept edges",
    (
        Column("num_edges", pl.Int32, "Edges from the circuit's heads that are kept", span="1.."),
        Column("num_all", pl.Int32, "Edges that can be kept"),
        Column("recovered", pl.Float64, "Share of what all edges account for that the strongest keep"),
        Column("recovered_ci_low", pl.Float64, "Lower end of its interval (1 - alpha), clustered"),
        Column("recovered_ci_high", pl.Float64, "Upper end of its interval (1 - alpha), clustered"),
        Column("random", pl.Float64, "The same of as many random edges, mean over random orders"),
        Column("random_ci_low", pl.Float64, "Lower end of its interval (1 - alpha), clustered"),
        Column("random_ci_high", pl.Float64, "Upper end of its interval (1 - alpha), clustered"),
        Column("difference", pl.Float64, "The strongest minus random ones"),
        CI_LOW,
        CI_HIGH,
        Column("pvalue", pl.Float64, "Two-sided p of the difference, cluster-robust", span="0..1"),
        PVALUE_ADJUSTED,
        Column("pvalue_ranks", pl.Float64, "p of its signed normal scores, two-sided", span="0..1"),
        PVALUE_RANKS_ADJUSTED,
        Column("mean_gap", pl.Float64, "Mean over samples of |s with all edges - s with none|", unit="nats"),
        NUM_SAMPLES,
        NUM_CLUSTERS,
        _NUM_CHOOSING,
        CONTRAST,
        METHOD,
        NOTE,
    ),
    method=_curve_method,
    is_optional=True,
)
