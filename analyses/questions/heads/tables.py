"""The tables on what each head is and does."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    CI_HIGH,
    CI_LOW,
    GROUP,
    HEAD,
    KEY_GROUP,
    KIND_OF_KEY_GROUP,
    LAYER,
    METHOD,
    NOTE,
    NUM_CLUSTERS,
    NUM_SAMPLES,
    QUERY_GROUP,
    STATISTIC,
    TOKEN,
)
from analyses.questions.heads.scores import NUM_RESAMPLES
from analyses.questions.method_text import mean_over_samples


def _types_method(asked: Asked) -> str:
    return (
        f"thresholds on means over samples; {mean_over_samples(asked)}; {NUM_RESAMPLES} resamples of whole clusters; p "
        "against random vocabularies takes their lifts as normal; adjusted over heads by Benjamini-Hochberg"
    )


def _means_method(asked: Asked) -> str:
    return "mean over samples with a value; no test"


HEAD_TYPES = AnswerTable(
    "head_types",
    "one row per layer and head",
    (
        LAYER,
        HEAD,
        Column("head_type", pl.String, "First type that fits, in the order of analyses/questions/heads/head_types.py"),
        Column("all_types", pl.String, "Every type that fits"),
        Column("diagonal", pl.Float64, "Mean weight of the token itself, row 0 left out", span="0..1"),
        Column("previous_token", pl.Float64, "Mean weight of the previous token", span="0..1"),
        Column("beginning", pl.Float64, "Mean weight of the first ten tokens, or of the first token", span="0..1"),
        Column("entropy_normalized", pl.Float64, "Mean entropy relative to uniform attention", span="0..1"),
        Column("vocabulary_lift", pl.Float64, "Weight on vocabulary terms over that of uniform attention"),
        Column("vocabulary_lift_ci_low", pl.Float64, "Lower end of its interval, clustered"),
        Column("vocabulary_lift_ci_high", pl.Float64, "Upper end of its interval, clustered"),
        Column(
            "random_lift", pl.Float64, "The same for random vocabularies, their mean; null where none were collected"
        ),
        Column("random_lift_max", pl.Float64, "The highest of the random vocabularies"),
        Column("pvalue_random", pl.Float64, "One-sided p of vocabulary lift against random vocabularies", span="0..1"),
        Column("pvalue_random_adjusted", pl.Float64, "It, Benjamini-Hochberg over heads", span="0..1"),
        Column(
            "prediction_mass",
            pl.Float64,
            "Share of the decision token's attention off the first token that goes to the reasoning",
            span="0..1",
        ),
        Column("prediction_lift", pl.Float64, "Its weight on the reasoning over that of uniform attention"),
        Column(
            "type_stability",
            pl.Float64,
            "Share of resamples of the clusters in which the head has the same type",
            span="0..1",
        ),
        Column("type_runner_up", pl.String, "Type that the other resamples of the clusters give most often"),
        NUM_SAMPLES,
        NUM_CLUSTERS,
        METHOD,
        NOTE,
    ),
    method=_types_method,
)

HEAD_MEANS = AnswerTable(
    "head_means",
    "one row per query group, layer and head: means over samples",
    (
        QUERY_GROUP,
        LAYER,
        HEAD,
        Column("num_samples", pl.UInt32, "Samples with a value"),
    ),
    others="Mean over samples of head_stats' {}",
    method=_means_method,
)

HEAD_DISTRIBUTIONS = AnswerTable(
    "head_distributions",
    "one row per query group, statistic, layer, head and group of samples: quantiles",
    (
        QUERY_GROUP,
        STATISTIC,
        LAYER,
        HEAD,
        GROUP,
        Column("q05", pl.Float32, "5 % of the samples lie below"),
        Column("q25", pl.Float32, "25 % of the samples lie below"),
        Column("median", pl.Float32, "Half of the samples lie below"),
        Column("q75", pl.Float32, "75 % of the samples lie below"),
        Column("q95", pl.Float32, "95 % of the samples lie below"),
        NUM_SAMPLES,
    ),
)

HEAD_LIFTS = AnswerTable(
    "head_lifts",
    "one row per query group, key group, layer and head: weight over that of uniform attention",
    (
        QUERY_GROUP,
        KEY_GROUP,
        KIND_OF_KEY_GROUP,
        LAYER,
        HEAD,
        Column("mean", pl.Float64, "Mean over samples of the weight over that of uniform attention"),
        CI_LOW,
        CI_HIGH,
        NUM_SAMPLES,
        NUM_CLUSTERS,
    ),
)

HEAD_TOP_TOKENS = AnswerTable(
    "head_top_tokens",
    "one row per layer, head and rank: tokens that the decision row weighs most",
    (
        LAYER,
        HEAD,
        Column("rank", pl.Int32, "1 is the heaviest token"),
        TOKEN,
        Column("mean", pl.Float64, "Share of the head's attention, mean over all samples; a lower bound"),
        Column("num_samples", pl.Int32, "Samples in which the token is among the kept keys"),
    ),
)

SHOWN_SAMPLES = AnswerTable(
    "shown_samples",
    "one row per sample that the report shows in full",
    (
        Column("sample_id", pl.String, "Identifier of the prediction, unique in a run"),
        Column("reasons", pl.String, "Rules that chose it"),
    ),
)
