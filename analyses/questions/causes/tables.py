"""The tables on what interventions and gradients do to the answer."""

from __future__ import annotations

import polars as pl

from analyses.questions.answer_table import AnswerTable, Column
from analyses.questions.answers import Asked
from analyses.questions.columns import (
    CI_HIGH,
    CI_LOW,
    CONTRAST,
    DEGREES_OF_FREEDOM,
    FAMILY_SIZE,
    HEAD,
    HEDGES_G,
    KEY_GROUP,
    METHOD,
    NOTE,
    NUM_CLUSTERS,
    NUM_RIGHT,
    NUM_SAMPLES,
    NUM_WRONG,
    PVALUE,
    PVALUE_ADJUSTED,
    PVALUE_MAX_T,
    PVALUE_RANKS_ADJUSTED,
    RHO,
)
from analyses.questions.method_text import adjusted_model, correction_text, independence

NUM_RESAMPLES = 500
"""Resamples of the clusters behind the intervals of ``head_agreement`` and ``head_screening``."""

AGREEMENT_METHOD = f"Spearman over heads; {NUM_RESAMPLES} resamples of whole clusters, attenuation allowed for"
SCREENING_METHOD = f"least squares and {AGREEMENT_METHOD}"


def _effects_method(asked: Asked) -> str:
    return (
        f"of the margin of {asked.contrast}; mean over samples with CR2 errors by {asked.cluster_noun}, "
        "Satterthwaite's degrees of freedom; also on "
        f"signed normal scores; assumes that {independence(asked)}; adjusted within each kind and measure by "
        f"{correction_text(asked)}; max-T turns whole clusters round, which takes effects as alike about 0 if there is "
        "none; rates have no p; an intervention leaves the distribution of activations that the model was trained on"
    )


def _differences_method(asked: Asked) -> str:
    return (
        f"of the margin of {asked.contrast}; {adjusted_model(asked)}; adjusted within each kind and measure by "
        f"{correction_text(asked)}"
    )


def _agreement_method(asked: Asked) -> str:
    return f"{AGREEMENT_METHOD}; heads are no sample, so there is no p"


def _screening_method(asked: Asked) -> str:
    return f"{SCREENING_METHOD}; heads chosen on the same samples look a little stronger than they are"


REPLACE = Column("replace", pl.String, "What takes the heads' place: zero, mean or resample")

ROWS = Column("rows", pl.String, "Rows that are changed, or kept from the key group")

_CAUSE = (
    Column("kind", pl.String, "What was done: an intervention, or what gradients and the frozen model say without one"),
    Column("unit", pl.String, "What is changed at a time: head, kv_group, layer or set"),
    REPLACE,
    ROWS,
    Column("factor", pl.Float64, "What the heads' outputs are multiplied with"),
    KEY_GROUP,
    Column("counterfactual", pl.String, "Kind of edit of the statement"),
    Column(
        "layer",
        pl.Int32,
        "Decoder layer, counted from 0; null where the cause has a window or none",
        span="0..num_layers-1",
    ),
    HEAD,
    Column("first_layer", pl.Int32, "First layer of the window of a knockout"),
    Column("last_layer", pl.Int32, "Last layer of the window of a knockout"),
    Column("members", pl.String, "Query heads that are changed together, as layer.head"),
)
"""What says which cause a row is about, as in ``values.KEYS``; those that a kind does not have are null."""

_FAMILY = Column("family", pl.String, "Kind of cause and measure, whose tests are adjusted together")

CAUSAL_EFFECTS = AnswerTable(
    "causal_effects",
    "one row per cause (kind, setting, part of the model) and measure",
    (
        *_CAUSE,
        Column(
            "measure",
            pl.String,
            "lead, change (nats), flip, restored (shares): of the side of the contrast that the model favours, of its "
            "first side over its second, of the answers, of the way from a wrong prediction's margin to its match's",
        ),
        Column("mean", pl.Float64, "Mean over samples: nats, or the share of the answers that turn"),
        CI_LOW,
        CI_HIGH,
        Column("effect_size", pl.Float64, "The mean over the standard deviation of the samples"),
        Column("pvalue", pl.Float64, "Two-sided p of the mean against 0, cluster-robust; null for rates", span="0..1"),
        PVALUE_ADJUSTED,
        Column("pvalue_ranks", pl.Float64, "p of the signed normal scores of the ranks, two-sided", span="0..1"),
        PVALUE_RANKS_ADJUSTED,
        PVALUE_MAX_T,
        _FAMILY,
        FAMILY_SIZE,
        DEGREES_OF_FREEDOM,
        NUM_SAMPLES,
        NUM_CLUSTERS,
        CONTRAST,
        METHOD,
        NOTE,
    ),
    method=_effects_method,
)

CAUSAL_DIFFERENCES = AnswerTable(
    "causal_differences",
    "one row per cause and measure: right against wrong predictions",
    (
        *_CAUSE,
        Column("measure", pl.String, "lead (nats), flip (share): of the label that the model favours, of the answers"),
        Column("mean_a", pl.Float64, "Mean of the measure in right predictions"),
        Column("mean_b", pl.Float64, "Mean of the measure in wrong predictions"),
        Column("difference", pl.Float64, "Adjusted difference, right minus wrong, in the measure's unit"),
        CI_LOW,
        CI_HIGH,
        HEDGES_G,
        PVALUE,
        PVALUE_ADJUSTED,
        Column(
            "pvalue_claim",
            pl.Float64,
            "Largest p of all checks (values, ranks, pooled variance, analysis.held_fixed), adjusted over the family",
            span="0..1",
        ),
        _FAMILY,
        FAMILY_SIZE,
        DEGREES_OF_FREEDOM,
        NUM_RIGHT,
        NUM_WRONG,
        NUM_CLUSTERS,
        CONTRAST,
        METHOD,
        NOTE,
    ),
    method=_differences_method,
)

HEAD_AGREEMENT = AnswerTable(
    "head_agreement",
    "one row per pair of measures of heads and layer; layer null: over all heads",
    (
        Column(
            "measure_a", pl.String, "mass and norm_mass: attention of the decision row; others: size of the mean lead"
        ),
        Column("measure_b", pl.String, "The other measure"),
        Column("layer", pl.Int32, "Decoder layer, counted from 0; null: over all heads", span="0..num_layers-1"),
        RHO,
        Column(
            "ci_low",
            pl.Float64,
            "Lower end of the interval of the true means' rho, clusters resampled, noise allowed for",
        ),
        Column(
            "ci_high",
            pl.Float64,
            "Upper end of the interval of the true means' rho, clusters resampled, noise allowed for",
        ),
        Column("rho_ceiling", pl.Float64, "What noise in both measures' means would leave of rho 1", span="0..1"),
        Column("num_heads", pl.Int32, "Heads that both measures have"),
        Column("num_samples", pl.Int32, "Samples that were explained"),
        Column("num_clusters", pl.Int32, "Clusters of these samples"),
        CONTRAST,
        METHOD,
        NOTE,
    ),
    method=_agreement_method,
)

HEAD_SCREENING = AnswerTable(
    "head_screening",
    "one row per group of heads: ablation against the forecast of the head gradient",
    (
        Column(
            "heads", pl.String, "top: chosen by attribution; random: matched to them by layer; all: every ablated head"
        ),
        REPLACE,
        ROWS,
        RHO,
        Column(
            "rho_ci_low",
            pl.Float64,
            "Lower end of the interval of the true means' rho, clusters resampled, noise allowed for",
        ),
        Column(
            "rho_ci_high",
            pl.Float64,
            "Upper end of the interval of the true means' rho, clusters resampled, noise allowed for",
        ),
        Column("slope", pl.Float64, "Measured change per nat that the gradient foretells; 1: calibrated"),
        Column(
            "slope_ci_low", pl.Float64, "Lower end of the true slope's interval, clusters resampled, noise allowed for"
        ),
        Column(
            "slope_ci_high", pl.Float64, "Upper end of the true slope's interval, clusters resampled, noise allowed for"
        ),
        Column("rho_ceiling", pl.Float64, "What noise in both measures' means would leave of rho 1", span="0..1"),
        Column("slope_ceiling", pl.Float64, "What noise in the forecast would leave of slope 1", span="0..1"),
        Column("intercept", pl.Float64, "Measured change where the gradient foretells none", unit="nats"),
        Column("mean_size", pl.Float64, "Mean over heads of |mean change of the lead| by ablation", unit="nats"),
        Column("num_heads", pl.Int32, "Heads of the group"),
        Column("num_samples", pl.Int32, "Samples that were explained"),
        Column("num_clusters", pl.Int32, "Clusters of these samples"),
        CONTRAST,
        METHOD,
        NOTE,
    ),
    method=_screening_method,
)
