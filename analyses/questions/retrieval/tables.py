"""The tables on what heads fetch from the prompt, and on who reads the evidence."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    CI_HIGH,
    CI_LOW,
    DEGREES_OF_FREEDOM,
    FAMILY_SIZE,
    HEAD,
    LAYER,
    METHOD,
    NOTE,
    NUM_CLUSTERS,
    NUM_SAMPLES,
    PVALUE_ADJUSTED,
    QUERY_GROUP,
    RIGHT_AGAINST_WRONG,
)
from analyses.questions.method_text import CR2, adjusted_model, correction_text, independence

_SOURCE = Column("source", pl.String, "Where heads may fetch from: prompt, or evidence (the record's gold passages)")


def _heads_method(asked: Asked) -> str:
    return (
        "retrieval score (Wu et al. 2024) less that of the same keys beside the next token of a row drawn at random; "
        f"mean over samples, errors by {asked.cluster_noun}: {CR2}; assumes that {independence(asked)}; all heads are "
        f"one family, adjusted by {correction_text(asked)}"
    )


RETRIEVAL_HEADS = AnswerTable(
    "retrieval_heads",
    "one row per source, layer and head",
    (
        _SOURCE,
        LAYER,
        HEAD,
        Column(
            "score",
            pl.Float64,
            "Mean retrieval score: share of the answer's rows whose largest weight lies on a key of the source that is "
            "the token written next",
            span="0..1",
        ),
        Column("chance", pl.Float64, "The same beside the next token of a row drawn at random", span="0..1"),
        Column("lead", pl.Float64, "score minus chance", span="-1..1"),
        CI_LOW,
        CI_HIGH,
        Column("pvalue", pl.Float64, "Two-sided p of a lead of 0, clustered", span="0..1"),
        PVALUE_ADJUSTED,
        FAMILY_SIZE,
        DEGREES_OF_FREEDOM,
        Column("copyable", pl.Float64, "Mean share of rows whose next token stands in the source", span="0..1"),
        Column(
            "copy_score",
            pl.Float64,
            "By how many standard deviations of the vocabulary the head raises the logit of what it looks at; mean "
            "over the prompt's tokens and samples",
        ),
        NUM_SAMPLES,
        NUM_CLUSTERS,
    ),
    method=_heads_method,
    is_optional=True,
)


def _differences_method(asked: Asked) -> str:
    return (
        f"retrieval score (Wu et al. 2024); {adjusted_model(asked)}; all heads are one family, adjusted by "
        f"{correction_text(asked)}"
    )


RETRIEVAL_DIFFERENCES = AnswerTable(
    "retrieval_differences",
    "one row per source, layer and head: right against wrong predictions",
    (
        _SOURCE,
        LAYER,
        HEAD,
        Column("mean_a", pl.Float64, "Mean retrieval score in right predictions", span="0..1"),
        Column("mean_b", pl.Float64, "Mean retrieval score in wrong predictions", span="0..1"),
        Column("difference", pl.Float64, "Adjusted difference, right minus wrong", span="-1..1"),
        *RIGHT_AGAINST_WRONG,
        METHOD,
        NOTE,
    ),
    method=_differences_method,
    is_optional=True,
)


def _evidence_method(asked: Asked) -> str:
    return (
        "QRscore (QRHead 2025): mean over the query group's rows of the summed weight on the record's gold passages, "
        f"without calibration by a query that asks nothing; mean over samples, errors by {asked.cluster_noun}: {CR2}; "
        f"assumes that {independence(asked)}"
    )


EVIDENCE_HEADS = AnswerTable(
    "evidence_heads",
    "one row per query group, layer and head; samples whose record names evidence",
    (
        QUERY_GROUP,
        LAYER,
        HEAD,
        Column("qr_score", pl.Float64, "Mean summed weight on evidence (mass_evidence)", span="0..1"),
        CI_LOW,
        CI_HIGH,
        Column("baseline", pl.Float64, "What uniform attention would give", span="0..1"),
        Column("lift", pl.Float64, "qr_score over baseline", span="0.."),
        NUM_SAMPLES,
        NUM_CLUSTERS,
    ),
    method=_evidence_method,
    is_optional=True,
)
