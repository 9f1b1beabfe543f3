"""The table on how small an effect could be seen."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    COMPARISON,
    DEGREES_OF_FREEDOM,
    FAMILY,
    FAMILY_SIZE,
    METHOD,
    NOTE,
    NUM_A,
    NUM_B,
    NUM_CLUSTERS,
    QUERY_GROUP,
    STATISTIC,
)
from analyses.questions.method_text import adjusted_model


def _method(asked: Asked) -> str:
    return f"noncentral t of {adjusted_model(asked)}; one intraclass correlation within clusters; medians over heads"


POWER = AnswerTable(
    "power",
    "one row per comparison, query group and statistic: medians over heads",
    (
        COMPARISON,
        QUERY_GROUP,
        STATISTIC,
        Column("num_heads", pl.Int32, "Heads with a value"),
        FAMILY,
        FAMILY_SIZE,
        NUM_A,
        NUM_B,
        NUM_CLUSTERS,
        DEGREES_OF_FREEDOM,
        Column("standard_deviation", pl.Float64, "Within the groups, pooled; in the statistic's unit"),
        Column("intraclass_correlation", pl.Float64, "Correlation of samples of one cluster", span="0..1"),
        Column("design_effect", pl.Float64, "Variance of the difference over that of independent samples"),
        Column("smallest_effect_size", pl.Float64, "Hedges g that a single test finds with the given power"),
        Column("smallest_difference", pl.Float64, "It, in the statistic's unit"),
        Column(
            "smallest_effect_size_family",
            pl.Float64,
            "Hedges g that one test of the family finds with the given power (Bonferroni)",
        ),
        Column("smallest_difference_family", pl.Float64, "It, in the statistic's unit"),
        Column("alpha", pl.Float64, "Two-sided level of a single test", span="0..1"),
        Column("alpha_family", pl.Float64, "Two-sided level of one test of the family", span="0..1"),
        Column("power", pl.Float64, "Chance of finding a difference of the smallest detectable size", span="0..1"),
        METHOD,
        NOTE,
    ),
    method=_method,
)
