"""The table on whether labels can be predicted from heads."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import CI_HIGH, CI_LOW, DIFFERENCE_CI_HIGH, DIFFERENCE_CI_LOW, METHOD, NOTE
from analyses.questions.method_text import correction_text, independence


def _method(asked: Asked) -> str:
    return (
        f"held-out AUROC of sparse logistic models, nested and grouped by {asked.cluster_noun}; assumes that "
        f"{independence(asked)}; intervals redraw whole clusters for models that stay as they are; p of the heads "
        f"against labels exchanged between clusters of like size; adjusted over the targets by {correction_text(asked)}"
    )


DECODABILITY = AnswerTable(
    "decodability",
    "one row per target and model: the heads, each model without heads, the control",
    (
        Column("target", pl.String, "What is predicted"),
        Column("label_a", pl.String, "The class that is predicted"),
        Column("label_b", pl.String, "The other class"),
        Column(
            "model",
            pl.String,
            "What predicts: heads, a set of features that needs no head, or heads on permuted labels",
        ),
        Column("auroc", pl.Float64, "Held-out area under the ROC curve; 0.5 is chance, 1 is certainty", span="0..1"),
        CI_LOW,
        CI_HIGH,
        Column("best_baseline", pl.String, "Model without heads that predicts best"),
        Column("difference", pl.Float64, "The heads' AUROC minus that of best_baseline"),
        DIFFERENCE_CI_LOW,
        DIFFERENCE_CI_HIGH,
        Column(
            "pvalue",
            pl.Float64,
            "One-sided p of the heads' AUROC against labels exchanged between clusters",
            span="0..1",
        ),
        Column("pvalue_adjusted", pl.Float64, "It, adjusted over the targets", span="0..1"),
        Column(
            "pvalue_controls",
            pl.Float64,
            "One-sided p of the heads' AUROC among the controls, their AUROC taken as normal",
            span="0..1",
        ),
        Column("pvalue_controls_adjusted", pl.Float64, "It, adjusted over the targets", span="0..1"),
        Column(
            "difference_pvalue",
            pl.Float64,
            "p of difference over its bootstrap error, times the number of baselines",
            span="0..1",
        ),
        Column("num_samples", pl.Int32, "Samples of both classes that were used"),
        Column("num_a", pl.Int32, "Samples of the class label_a"),
        Column("num_b", pl.Int32, "Samples of the class label_b"),
        Column("num_clusters", pl.Int32, "Clusters of these samples"),
        Column("num_features", pl.Int32, "Features the model may choose from"),
        Column("num_used", pl.Float64, "Features with a weight, on average over the outer fits"),
        Column("most_used", pl.String, "Features that most outer fits use, with the share of fits"),
        METHOD,
        NOTE,
    ),
    method=_method,
)
