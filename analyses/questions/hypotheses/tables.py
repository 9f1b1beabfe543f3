"""The table of hypotheses."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    CI_HIGH,
    CI_LOW,
    DEGREES_OF_FREEDOM,
    METHOD,
    NOTE,
    NUM_A,
    NUM_B,
    NUM_CLUSTERS,
    NUM_SAMPLES,
)
from analyses.questions.method_text import adjusted_model, correction_text


def _method(asked: Asked) -> str:
    return (
        f"one number per sample; its mean with CR2 errors by {asked.cluster_noun}, or {adjusted_model(asked)}; also on "
        f"normal scores; adjusted over the table by {correction_text(asked)}"
    )


HYPOTHESES = AnswerTable(
    "hypotheses",
    "one row per hypothesis",
    (
        Column("hypothesis", pl.String, "Name of the hypothesis"),
        Column("text", pl.String, "What was asked, as the config has it"),
        Column("tested_as", pl.String, "The number per sample that was tested"),
        Column("verdict", pl.String, "supported, contradicted, mixed, not decided, cannot be tested, not understood"),
        Column("effect", pl.Float64, "Mean of that number, or its adjusted difference a - b"),
        CI_LOW,
        CI_HIGH,
        Column("unit", pl.String, "Unit of effect, ci_low and ci_high"),
        Column(
            "effect_size",
            pl.Float64,
            "The mean over its standard deviation, or the difference in the units of Hedges g",
        ),
        Column("pvalue", pl.Float64, "Two-sided p of the effect, cluster-robust", span="0..1"),
        Column("pvalue_adjusted", pl.Float64, "It, adjusted over all hypotheses", span="0..1"),
        Column("pvalue_ranks", pl.Float64, "p of the same model on normal scores of the ranks, two-sided", span="0..1"),
        Column("pvalue_ranks_adjusted", pl.Float64, "It, adjusted over all hypotheses", span="0..1"),
        Column("pvalue_pooled", pl.Float64, "Of a difference: p by the variance pooled under the null", span="0..1"),
        Column("effect_fixed", pl.Float64, "Of a difference: it, with analysis.held_fixed held fixed too"),
        Column("pvalue_fixed", pl.Float64, "Its p, two-sided, cluster-robust", span="0..1"),
        Column(
            "pvalue_claim", pl.Float64, "The largest of all these p-values, adjusted over all hypotheses", span="0..1"
        ),
        DEGREES_OF_FREEDOM,
        NUM_SAMPLES,
        NUM_A,
        NUM_B,
        NUM_CLUSTERS,
        Column(
            "effect_share", pl.Float64, "The effect on the charts' scale: share of attention; null where it is none"
        ),
        Column("share_ci_low", pl.Float64, "Lower end of its interval (1 - alpha), clustered"),
        Column("share_ci_high", pl.Float64, "Upper end of its interval (1 - alpha), clustered"),
        Column(
            "effect_halves",
            pl.Float64,
            "Of a slope: the later half of the layers minus the earlier half, on the charts' scale; else null",
        ),
        Column(
            "num_layers_same", pl.Int32, "Layers whose own interval lies on the effect's side of 0; null for slopes"
        ),
        Column("num_layers_other", pl.Int32, "Layers whose own interval lies on the other side of 0; null for slopes"),
        Column("direction", pl.String, "Expected: greater or less than 0, or two-sided"),
        METHOD,
        NOTE,
    ),
    method=_method,
)
