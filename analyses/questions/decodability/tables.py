"""The table on whether labels can be predicted from heads."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import CI_HIGH, CI_LOW, DIFFERENCE_CI_HIGH, DIFFERENCE_CI_LOW, METHOD, NOTE
from analyses.questions.method_text import correction_text, independence

_OF_CALIBRATION = (
    Column("gap_ci_low", pl.Float64, "Lower end of its interval, clusters redrawn"),
    Column("gap_ci_high", pl.Float64, "Upper end of its interval, clusters redrawn"),
    Column("slope", pl.Float64, "Slope of the labels on the predicted log-odds; 1 is calibrated, below 1 too sure"),
    Column("slope_ci_low", pl.Float64, "Lower end of its interval, clusters redrawn"),
    Column("slope_ci_high", pl.Float64, "Upper end of its interval, clusters redrawn"),
)
"""What stands behind ``gap`` wherever a model is judged: its interval, and the slope with its own."""


def _method(asked: Asked) -> str:
    return (
        f"held-out AUROC of sparse logistic models, nested and grouped by {asked.cluster_noun}; assumes that "
        f"{independence(asked)}; intervals redraw whole clusters for models that stay as they are; p of the heads "
        f"against labels exchanged between clusters of like size; adjusted over the targets by {correction_text(asked)}"
    )


_ASKED = (
    Column("target", pl.String, "What is predicted"),
    Column("label_a", pl.String, "The class that is predicted"),
    Column("label_b", pl.String, "The other class"),
)

DECODABILITY = AnswerTable(
    "decodability",
    "one row per target and model: the heads, each model without heads, the control",
    (
        *_ASKED,
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


def _transfer_method(asked: Asked) -> str:
    return (
        "sparse logistic models trained on all samples of this run, the penalty chosen in folds grouped by "
        f"{asked.cluster_noun}, judged once on the samples of another run, those of clusters that both runs have by "
        "models trained without them, cluster by cluster in folds; intervals redraw its clusters for models "
        f"that stay as they are; assumes that {independence(asked)}"
    )


TRANSFER = AnswerTable(
    "transfer",
    "one row per target, query group, preset and model, trained on this run and judged on another",
    (
        *_ASKED,
        Column("query_group", pl.String, "Whose attention the heads' model uses: set of query rows"),
        Column(
            "preset",
            pl.String,
            "Kind of head statistics (analysis.decodability.presets); null: those of analysis.decodability.statistics",
        ),
        Column("model", pl.String, "What predicts: heads, or features that need no head"),
        Column("other_run", pl.String, "Name of the run that is judged"),
        Column("auroc", pl.Float64, "Area under the ROC curve in the other run; 0.5 is chance", span="0..1"),
        CI_LOW,
        CI_HIGH,
        Column("pvalue", pl.Float64, "One-sided p of an AUROC of 0.5, by its error over redrawn clusters", span="0..1"),
        Column("brier", pl.Float64, "Mean squared difference of predicted probability and label", span="0..1"),
        Column("base_brier", pl.Float64, "The same where everybody's probability is share_training", span="0..1"),
        Column("gap", pl.Float64, "Mean predicted probability minus share_judged; 0 is calibrated", span="-1..1"),
        *_OF_CALIBRATION,
        Column("share_training", pl.Float64, "Share of label_a in this run", span="0..1"),
        Column("share_judged", pl.Float64, "Share of label_a in the other run: its base rate", span="0..1"),
        Column("num_training", pl.Int32, "Samples of this run that are trained on"),
        Column("num_training_clusters", pl.Int32, "Clusters of these"),
        Column("num_judged", pl.Int32, "Samples of the other run that are judged"),
        Column("num_judged_clusters", pl.Int32, "Clusters of these"),
        Column(
            "num_shared_clusters",
            pl.Int32,
            "Clusters of both runs, by name or the id of a sample without one; judged by models trained without them",
        ),
        Column("num_features", pl.Int32, "Features the model may choose from"),
        Column("num_used", pl.Int32, "Features with a weight"),
        NOTE,
    ),
    method=_transfer_method,
    is_optional=True,
)


def _probes_method(asked: Asked) -> str:
    return (
        f"held-out AUROC of sparse logistic models, nested and grouped by {asked.cluster_noun}, of one preset of head "
        "statistics each; calibration of the first dealing of the folds; intervals redraw whole clusters for models "
        f"that stay as they are; assumes that {independence(asked)}; p of the heads against labels exchanged between "
        f"clusters of like size, adjusted over the table by {correction_text(asked)}"
    )


PROBES = AnswerTable(
    "probes",
    "one row per target, query group and preset, and one per target and model without heads",
    (
        *_ASKED,
        Column("query_group", pl.String, "Whose attention: set of query rows; null of models without heads"),
        Column("preset", pl.String, "Kind of head statistics (analysis.decodability.presets); null without heads"),
        Column("model", pl.String, "What predicts: heads, or features that need no head"),
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
        Column(
            "pvalue_controls",
            pl.Float64,
            "One-sided p of the heads' AUROC among the controls, their AUROC taken as normal",
            span="0..1",
        ),
        Column("pvalue_adjusted", pl.Float64, "It, adjusted over the table", span="0..1"),
        Column("brier", pl.Float64, "Mean squared difference of predicted probability and label", span="0..1"),
        Column(
            "base_brier", pl.Float64, "The same where everybody's probability is the training folds' share", span="0..1"
        ),
        Column("gap", pl.Float64, "Mean predicted probability minus share; 0 is calibrated", span="-1..1"),
        *_OF_CALIBRATION,
        Column("share", pl.Float64, "Share of label_a: its base rate", span="0..1"),
        Column("num_samples", pl.Int32, "Samples of both classes that were used"),
        Column("num_a", pl.Int32, "Samples of the class label_a"),
        Column("num_b", pl.Int32, "Samples of the class label_b"),
        Column("num_clusters", pl.Int32, "Clusters of these samples"),
        Column("num_features", pl.Int32, "Features the model may choose from"),
        Column("num_used", pl.Float64, "Features with a weight, on average over the outer fits"),
        NOTE,
    ),
    method=_probes_method,
    is_optional=True,
)
