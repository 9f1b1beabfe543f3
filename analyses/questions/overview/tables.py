"""The tables on what was run and how well the model did."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import METHOD, NUM_CLUSTERS, NUM_SAMPLES
from analyses.questions.method_text import independence


def _accuracy_method(asked: Asked) -> str:
    return (
        f"clustered interval by {asked.cluster_noun}, or Wilson's where clusters do not differ; assumes that "
        f"{independence(asked)}"
    )


ACCURACY = AnswerTable(
    "accuracy",
    "one row per measure of how well the model did",
    (
        Column(
            "measure",
            pl.String,
            "Accuracy, balanced accuracy, recall of one label, or how often always saying one label would be right",
        ),
        Column("value", pl.Float64, "Its value", span="0..1"),
        Column("ci_low", pl.Float64, "Lower end of the interval (1 - alpha); method says of which kind", span="0..1"),
        Column("ci_high", pl.Float64, "Upper end of the interval (1 - alpha); method says of which kind", span="0..1"),
        NUM_SAMPLES,
        NUM_CLUSTERS,
        METHOD,
    ),
    method=_accuracy_method,
)

CONFUSION = AnswerTable(
    "confusion",
    "one row per actual and predicted label",
    (
        Column("actual_label", pl.String, "The true label"),
        Column("predicted_label", pl.String, "What the model said"),
        Column("num_samples", pl.UInt32, "Samples of that true label that got that answer"),
        Column("share", pl.Float64, "Of the samples of that true label", span="0..1"),
        Column("ci_low", pl.Float64, "Lower end of the share's interval (1 - alpha), clustered"),
        Column("ci_high", pl.Float64, "Upper end of the share's interval (1 - alpha), clustered"),
    ),
)

REJECT_COUNTS = AnswerTable(
    "reject_counts",
    "one row per stage and reason",
    (
        Column("stage", pl.String, "Where a row was turned away"),
        Column("reason", pl.String, "Why"),
        Column("num_samples", pl.Int64, "Rows that were turned away"),
    ),
)

DECISION_TOKENS = AnswerTable(
    "decision_tokens",
    "one row per decision token and predicted label",
    (
        Column("decision_token", pl.String, "First token in which the labels differ"),
        Column("predicted_label", pl.String, "What the model said"),
        Column("num_samples", pl.UInt32, "Samples with that token and answer"),
    ),
)
