"""Arrow schemas of what heads do: statistics by query group, strongest keys, rows of the decision, spans, sinks."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from engine.schema.attribution_tables import (
    SPAN_NAMES,
)
from engine.schema.columns import (
    BASE_STATISTICS,
    HEAD,
    LAYER,
    LOOKBACK_STATISTICS,
    MASS_PREFIX,
    NORM_MASS_PREFIX,
    SAMPLE_ID,
    column,
    described_schema,
    list_of,
)

_STATISTIC_DOCS: dict[str, tuple[str, str, str]] = {
    "entropy_nats": ("Mean over rows of -sum p ln p (Clark et al. 2019)", "nats", "0..ln n"),
    "entropy_normalized": ("Mean over rows with more than one visible key of entropy / ln n", "", "0..1"),
    "diagonal": ("Mean weight of the row's own position (Clark et al. 2019)", "", "0..1"),
    "diagonal_excluding_first": ("The same without row 0, which is 1 by construction", "", "0..1"),
    "first_token": ("Mean weight of position 0, rows from 1 on (attention sinks, Xiao et al. 2023)", "", "0..1"),
    "previous_token": ("Mean weight of position i-1, rows from 1 on (Voita et al. 2019)", "", "0..1"),
    "mean_distance": ("Mean of sum_j p_ij (i - j) (Vig and Belinkov 2019)", "tokens", "0..T-1"),
    "mean_relative_distance": ("The same divided by i, rows from 1 on", "", "0..1"),
    "max_weight": ("Mean of the row's largest weight (Voita et al. 2019)", "", "0..1"),
    "collision": ("Mean of sum p squared (Renyi 1961); its inverse is the effective number of keys", "", "0..1"),
    "duplicate_token": ("Mean weight on earlier equal tokens, rows that have one (Wang et al. 2022)", "", "0..1"),
    "induction": (
        "Mean weight on tokens that follow an earlier equal token, rows that have one (Olsson et al. 2022)",
        "",
        "0..1",
    ),
}

_LOOKBACK_DOCS = {
    "lookback_ratio": (
        "Mean over rows that see tokens of prompt and answer of mass on the prompt / (mass on the prompt + mass on the "
        "answer so far)"
    ),
    "lookback_ratio_per_token": "The same of mean weights per token (Chuang et al. 2024)",
}


def head_stats_schema(key_groups: Sequence[str], norm_weighted: bool = False, lookback: bool = False) -> pa.Schema:
    """Return the schema of ``head_stats``, the central table.

    Parameters
    ----------
    key_groups
        Names of the run's key groups, in config order; each adds ``mass_<key group>``.
    norm_weighted
        Whether ``norm_mass_<key group>`` (Kobayashi et al. 2020) is kept too.
    lookback
        Whether ``LOOKBACK_STATISTICS`` are kept too.
    """
    fields = [SAMPLE_ID, column("query_group", pa.string(), "Set of query rows"), LAYER, HEAD]
    for name in BASE_STATISTICS:
        text, unit, span = _STATISTIC_DOCS[name]
        fields.append(column(name, pa.float32(), text, unit=unit, span=span))
    for name in key_groups:
        text = f"Mean over rows of the summed weight on key group {name}"
        fields.append(column(f"{MASS_PREFIX}{name}", pa.float32(), text, span="0..1"))
    lookbacks = LOOKBACK_STATISTICS if lookback else ()
    fields += [column(name, pa.float32(), _LOOKBACK_DOCS[name], span="0..1") for name in lookbacks]
    if norm_weighted:
        for name in key_groups:
            text = f"As mass_{name}, weights times the norm of the value's contribution (Kobayashi et al. 2020)"
            fields.append(column(f"{NORM_MASS_PREFIX}{name}", pa.float32(), text, span="0..1"))
    return described_schema("head_stats", "one row per sample, query group, layer and head", fields)


DECISION_TOP_KEYS_SCHEMA = described_schema(
    "decision_top_keys",
    "one row per sample, layer, head and rank",
    [
        SAMPLE_ID,
        LAYER,
        HEAD,
        column("rank", pa.int32(), "0 is the key that the decision row weighs most"),
        column("key_position", pa.int32(), "Token position of that key"),
        column("token", pa.string(), "Its text"),
        column("weight", pa.float32(), "Its weight in the decision row", span="0..1"),
    ],
)

NULL_MASS_SCHEMA = described_schema(
    "null_mass",
    "one row per sample, query group, layer with sinks and head; the group decision_row stands for that row alone",
    [
        SAMPLE_ID,
        column("query_group", pa.string(), "Query group, or decision_row: the row that predicts the label"),
        LAYER,
        HEAD,
        column(
            "null_mass",
            pa.float32(),
            "Share of softmax that the head's sink takes, mean over the group's rows; all other statistics are of the "
            "pattern over keys alone, which sums to 1",
            unit="share",
            span="0..1",
        ),
    ],
)

SPAN_MASS_SCHEMA = described_schema(
    "span_mass",
    "one row per sample, span, layer and head",
    [
        SAMPLE_ID,
        column("kind", pa.string(), "What the span is", span="|".join(SPAN_NAMES)),
        column("span", pa.string(), "Name of the line item, or the period, as the statement in the prompt says it"),
        LAYER,
        HEAD,
        column("num_tokens", pa.int32(), "Tokens of the span: a line item's label and values, a period's cells"),
        column("mass", pa.float32(), "Summed weight that the decision row puts on the span", span="0..1"),
        column("baseline", pa.float32(), "What uniform attention of the decision row would put there", span="0..1"),
    ],
)

PATTERNS_SCHEMA = described_schema(
    "patterns",
    "one row per sample, layer and head named in the config",
    [
        SAMPLE_ID,
        LAYER,
        HEAD,
        column("num_tokens", pa.int32(), "Rows and columns of the pattern", unit="tokens"),
        column("pattern", list_of(pa.float16()), "Weights row by row, each up to its own position", span="0..1"),
    ],
)

DECISION_ROWS_SCHEMA = described_schema(
    "decision_rows",
    "one row per sample and layer",
    [
        SAMPLE_ID,
        LAYER,
        column(
            "pattern", list_of(pa.float32()), "Decision row averaged over heads, up to its own position", span="0..1"
        ),
        column(
            "rollout",
            list_of(pa.float32()),
            "Rollout of the decision row (Abnar & Zuidema 2020), last layer only, null elsewhere",
            span="0..1",
        ),
    ],
)

DECISION_HEAD_ROWS_SCHEMA = described_schema(
    "decision_head_rows",
    "one row per layer and head of the samples named in the config",
    [
        SAMPLE_ID,
        LAYER,
        HEAD,
        column("pattern", list_of(pa.float32()), "Decision row of the head, up to its own position", span="0..1"),
    ],
)
