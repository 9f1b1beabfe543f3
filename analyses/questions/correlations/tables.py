"""The table on what goes with certainty and the like."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    CI_HIGH,
    CI_LOW,
    DEGREES_OF_FREEDOM,
    FAMILY,
    FAMILY_SIZE,
    HEAD,
    LAYER,
    METHOD,
    NOTE,
    NUM_CLUSTERS,
    NUM_SAMPLES,
    QUERY_GROUP,
    RHO,
    STATISTIC,
)
from analyses.questions.method_text import correction_text, independence


def _method(asked: Asked) -> str:
    return (
        f"Spearman's rho with CR2 errors by {asked.cluster_noun}, Satterthwaite's degrees of freedom; assumes that "
        f"{independence(asked)}; adjusted within each family by {correction_text(asked)}"
    )


CORRELATIONS = AnswerTable(
    "correlations",
    "one row per target, query group, statistic, layer and head, or one for a target without any",
    (
        Column("target", pl.String, "What the statistic is correlated with"),
        QUERY_GROUP,
        STATISTIC,
        LAYER,
        HEAD,
        RHO,
        CI_LOW,
        CI_HIGH,
        Column("pvalue", pl.Float64, "Two-sided p of rho, cluster-robust", span="0..1"),
        Column("pvalue_adjusted", pl.Float64, "It, adjusted over the family of its target", span="0..1"),
        FAMILY,
        FAMILY_SIZE,
        Column("rho_partial", pl.Float64, "It, with the ranks of the covariates held fixed", span="-1..1"),
        Column("pvalue_partial", pl.Float64, "p of rho_partial, two-sided", span="0..1"),
        Column("pvalue_partial_adjusted", pl.Float64, "It, adjusted over its family", span="0..1"),
        Column("rho_fixed", pl.Float64, "rho_partial with analysis.held_fixed held fixed too", span="-1..1"),
        Column(
            "pvalue_fixed",
            pl.Float64,
            "p of rho_fixed, two-sided; 1 where the target cannot be told from what is held fixed",
            span="0..1",
        ),
        Column("pvalue_fixed_adjusted", pl.Float64, "It, adjusted over its family", span="0..1"),
        Column(
            "pvalue_pooled", pl.Float64, "p of the fullest of these by the variance pooled under the null", span="0..1"
        ),
        Column("pvalue_pooled_adjusted", pl.Float64, "It, adjusted over its family", span="0..1"),
        DEGREES_OF_FREEDOM,
        NUM_SAMPLES,
        NUM_CLUSTERS,
        METHOD,
        NOTE,
    ),
    method=_method,
)
