"""The table on what keys carry towards the answer."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    CONTRAST,
    HEAD,
    LAYER,
    METHOD,
    NOTE,
    RIGHT_AGAINST_WRONG,
)
from analyses.questions.method_text import adjusted_model, correction_text


def _method(asked: Asked) -> str:
    return (
        f"direct logit attribution by keys at the row of the contrast ({asked.contrast}), norms frozen; "
        f"{adjusted_model(asked)}; all attributions are one family, adjusted by {correction_text(asked)}"
    )


ATTRIBUTION_DIFFERENCES = AnswerTable(
    "attribution_differences",
    "one row per measure, set of keys, layer and head: right against wrong predictions",
    (
        Column("kind", pl.String, "head: all keys; key_group; line_item or cell (one period of it) of the statement"),
        Column("keys", pl.String, "Name of the key group or line item; null: all keys"),
        Column("period", pl.String, "Of a cell, its period"),
        LAYER,
        HEAD,
        Column(
            "measure",
            pl.String,
            "said: nats towards the label that the sample said; first: towards the contrast's first side, where that "
            "is one label",
        ),
        Column("mean_a", pl.Float64, "Mean in right predictions", unit="nats"),
        Column("mean_b", pl.Float64, "Mean in wrong predictions", unit="nats"),
        Column("difference", pl.Float64, "Adjusted difference, right minus wrong", unit="nats"),
        *RIGHT_AGAINST_WRONG,
        CONTRAST,
        METHOD,
        NOTE,
    ),
    method=_method,
)
