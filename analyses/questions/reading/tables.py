"""The table on how answers read and what is received, right against wrong."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    HEAD,
    LAYER,
    METHOD,
    NOTE,
    RIGHT_AGAINST_WRONG,
)
from analyses.questions.method_text import adjusted_model, correction_text


def _method(asked: Asked) -> str:
    return (
        f"drift and concentration of key groups over the answer's rows, sink scores and receiver kurtosis; "
        f"{adjusted_model(asked)}; all are one family, adjusted by {correction_text(asked)}"
    )


READING_DIFFERENCES = AnswerTable(
    "reading_differences",
    "one row per measure, key group, layer and head: right against wrong predictions",
    (
        Column("measure", pl.String, "drift (tokens per token), concentration, sink_score (shares), receiver_kurtosis"),
        Column("key_group", pl.String, "Key group that is read; null: a measure of the head alone"),
        LAYER,
        HEAD,
        Column("mean_a", pl.Float64, "Mean in right predictions, in the measure's unit"),
        Column("mean_b", pl.Float64, "Mean in wrong predictions, in the measure's unit"),
        Column("difference", pl.Float64, "Adjusted difference, right minus wrong, in the measure's unit"),
        *RIGHT_AGAINST_WRONG,
        METHOD,
        NOTE,
    ),
    method=_method,
    is_optional=True,
)
"""There where ``statistics.reading_focus`` or ``statistics.received`` was measured."""
