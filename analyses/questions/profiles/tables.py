"""The tables on what attention goes to."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    CI_HIGH,
    CI_LOW,
    DIFFERENCE_CI_HIGH,
    DIFFERENCE_CI_LOW,
    GROUP,
    KEY_GROUP,
    KIND_OF_KEY_GROUP,
    LAYER,
    METHOD,
    NOTE,
    NUM_CLUSTERS,
    NUM_SAMPLES,
    PVALUE,
    PVALUE_ADJUSTED_OVER_TABLE,
    QUERY_GROUP,
    TOKEN,
)
from analyses.questions.method_text import adjusted_model, correction_text, mean_over_samples


def _compared(asked: Asked) -> str:
    return f"differences: {adjusted_model(asked)}; adjusted over the table by {correction_text(asked)}"


def _words_method(asked: Asked) -> str:
    return f"{mean_over_samples(asked)}; {_compared(asked)}"


def _tokens_method(asked: Asked) -> str:
    return f"{mean_over_samples(asked)}; only the kept top keys count, so a weight is a lower bound; {_compared(asked)}"


LAYER_PROFILES = AnswerTable(
    "layer_profiles",
    "one row per query group, statistic, layer and group of samples: means over heads and samples",
    (
        QUERY_GROUP,
        Column(
            "statistic", pl.String, "Column of head_stats; lift_<key group> is its mass over that of uniform attention"
        ),
        LAYER,
        GROUP,
        Column("mean", pl.Float64, "Mean over the heads of the layer and over samples"),
        CI_LOW,
        CI_HIGH,
        NUM_SAMPLES,
        NUM_CLUSTERS,
    ),
    method=mean_over_samples,
)

_CHECKED = (
    PVALUE_ADJUSTED_OVER_TABLE,
    Column("pvalue_ranks", pl.Float64, "p of the same model on normal scores, two-sided", span="0..1"),
    Column(
        "pvalue_pooled",
        pl.Float64,
        "p of normal scores by the variance pooled under the null, analysis.held_fixed held fixed, two-sided",
        span="0..1",
    ),
    Column("difference_fixed", pl.Float64, "The difference with analysis.held_fixed held fixed too"),
    Column("pvalue_fixed", pl.Float64, "Its p, two-sided, cluster-robust", span="0..1"),
    Column("pvalue_claim", pl.Float64, "The largest of all these p-values, adjusted over the table", span="0..1"),
)
"""What a difference must pass before it is claimed, and the largest of its p-values."""

KEY_GROUP_ATTENTION = AnswerTable(
    "key_group_attention",
    "one row per query group, key group, measure and group of samples: means over all heads",
    (
        QUERY_GROUP,
        KEY_GROUP,
        KIND_OF_KEY_GROUP,
        Column("measure", pl.String, "mass: share of attention; lift: over that of uniform attention"),
        GROUP,
        Column("mean", pl.Float64, "Mean over heads, layers and samples"),
        CI_LOW,
        CI_HIGH,
        NUM_SAMPLES,
        NUM_CLUSTERS,
        Column("difference", pl.Float64, "Adjusted difference a - b of the measure"),
        DIFFERENCE_CI_LOW,
        DIFFERENCE_CI_HIGH,
        PVALUE,
        METHOD,
        NOTE,
        *_CHECKED,
    ),
    method=_words_method,
)

DECISION_TOP_TOKENS = AnswerTable(
    "decision_top_tokens",
    "one row per token and group of samples",
    (
        TOKEN,
        Column("rank", pl.Int64, "1 is the heaviest token"),
        GROUP,
        Column(
            "mean", pl.Float64, "Share of the decision token's attention, mean over heads and samples; a lower bound"
        ),
        CI_LOW,
        CI_HIGH,
        NUM_SAMPLES,
        NUM_CLUSTERS,
        Column("difference", pl.Float64, "Adjusted difference a - b of that share"),
        DIFFERENCE_CI_LOW,
        DIFFERENCE_CI_HIGH,
        PVALUE,
        METHOD,
        NOTE,
        *_CHECKED,
    ),
    is_optional=True,
    method=_tokens_method,
)

ATTENTION_ORDERS = AnswerTable(
    "attention_orders",
    "one row per ranking and member, the highest first: kinds of words, layers, tokens",
    (
        Column("order", pl.String, "What is ranked: words, layers or tokens"),
        QUERY_GROUP,
        Column("statistic", pl.String, "By what: mass, lift, or a column of head_stats"),
        Column("member", pl.String, "Key group, layer or token"),
        Column("mean", pl.Float64, "Mean over heads and samples"),
        Column(
            "pvalue_highest",
            pl.Float64,
            "p of the paired difference from the highest member, Holm over all pairs; null for itself, or untested",
            span="0..1",
        ),
        Column("pvalue_lowest", pl.Float64, "The same from the lowest member", span="0..1"),
        NUM_SAMPLES,
        NUM_CLUSTERS,
        METHOD,
    ),
)
