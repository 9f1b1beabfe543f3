"""Arrow schemas of the measured tables of a run: names, types, units, ranges and grain.

Each field carries its ``unit``, ``range`` and ``description`` as Arrow metadata, so that a Parquet file explains
itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from engine.schema.attribution_tables import (
    ATTRIBUTION_TABLES,
    SPAN_ATTRIBUTIONS_SCHEMA,
    SPAN_NAMES,
    TOP_TOKEN_ATTRIBUTIONS_SCHEMA,
    head_attributions_schema,
)
from engine.schema.columns import (
    BASE_STATISTICS,
    BASELINE_PREFIX,
    COUNT_PREFIX,
    HEAD,
    KEPT_PREFIX,
    LAYER,
    LOOKBACK_STATISTICS,
    MASS_PREFIX,
    NORM_MASS_PREFIX,
    SAMPLE_ID,
    column,
    described_schema,
    list_of,
)
from engine.schema.reading_tables import (
    READING_TABLES,
    RECEIVED_HEADS_SCHEMA,
    RECEIVED_KEYS_SCHEMA,
    RECEIVED_TABLES,
    RECEIVER_SENTENCES_SCHEMA,
    SENTENCE_FLOW_SCHEMA,
    reading_focus_schema,
)
from engine.schema.retrieval_table import RETRIEVAL_SCHEMA

MEASURE_TABLES = ("samples", "tokens", "baselines", "head_stats", "decision_top_keys")
"""Tables that every measure unit writes."""


OPTIONAL_TABLES = (
    "label_logprobs",
    "span_mass",
    "null_mass",
    "patterns",
    "decision_rows",
    "decision_head_rows",
    *ATTRIBUTION_TABLES,
    "retrieval",
    *READING_TABLES,
    *RECEIVED_TABLES,
)
"""Tables that a measure unit writes when the config asks for them, when a prompt holds a statement (``span_mass``), or
when the model has attention sinks (``null_mass``)."""


LABEL_SOURCES = ("field", "json", "repaired_json", "response_text", "span", "scores")
"""Where a predicted label was read: the record's own field, valid JSON, repaired JSON, the answer's prose, by
``decision.span``, or from the scores of choices."""


SEQUENCE_SOURCES = ("token_ids", "rendered", "template", "transcript")
"""How a sample's sequence came about: recorded token ids, a prompt that was recorded rendered, messages rendered by the
chat template, or a transcript that kept its special tokens."""


REJECT_STAGES = ("read", "label", "encode", "measure", "causal")


def samples_schema(key_groups: Sequence[str], kept: Mapping[str, str] | None = None) -> pa.Schema:
    """Return the schema of ``samples``, one row per measured sample.

    Parameters
    ----------
    key_groups
        Names of the run's key groups; each adds ``count_<key group>``, the number of its tokens.
    kept
        Fields of ``predictions.keep`` and whether each is ``text`` or a ``number``; each adds ``field_<name>``.
    """
    kinds = {"text": pa.string(), "number": pa.float64()}
    return described_schema(
        "samples",
        "one row per sample",
        [
            SAMPLE_ID,
            column(
                "cluster",
                pa.string(),
                "Unit of independence, such as a company or an author; samples of one cluster are correlated",
            ),
            column("year", pa.int32(), "Year of the prediction", unit="year"),
            column("actual_label", pa.string(), "The true label, normalised to the configured labels"),
            column("predicted_label", pa.string(), "What the model said, normalised to the configured labels"),
            column("raw_predicted_label", pa.string(), "What the model said, as recorded"),
            column("label_source", pa.string(), "Where the label was read", span="|".join(LABEL_SOURCES)),
            column(
                "is_correct",
                pa.bool_(),
                "predicted_label equals actual_label, or what the record says where predictions.fields.correct is "
                "named; null when unknown",
            ),
            column("certainty", pa.string(), "The model's stated certainty, as recorded"),
            column("magnitude", pa.string(), "The model's stated magnitude, as recorded"),
            column("num_tokens", pa.int32(), "Prompt and answer tokens", unit="tokens", span="1.."),
            column("num_prompt_tokens", pa.int32(), "Tokens before the answer", unit="tokens"),
            column(
                "sequence_source",
                pa.string(),
                "How the sequence came about: recorded token ids, a prompt recorded as it was rendered, messages "
                "rendered by the chat template, or a transcript that kept its special tokens",
                span="|".join(SEQUENCE_SOURCES),
                since="1.1",
            ),
            column("decision_position", pa.int32(), "Row that predicts the label's first distinguishing token"),
            column("decision_token", pa.string(), "That distinguishing token's text, as recorded"),
            column(
                "decision_char_start",
                pa.int32(),
                "Its first character in the text the model saw (plan/encoded)",
            ),
            column("decision_char_end", pa.int32(), "One past its last character in the text the model saw"),
            column("flags", list_of(pa.string()), "Remarks of the reader, such as hedged_label"),
            column(
                "contrast",
                pa.string(),
                "The two sides that the margin compares, such as C|A: the pair of decision.contrast, or the said label "
                "and the one that its rule found; null where they have one token",
                since="1.2",
            ),
            column(
                "contrast_position",
                pa.int32(),
                "Row at which they are compared: the decision row, or a later one where they share tokens",
                since="1.2",
            ),
            column(
                "logit_difference",
                pa.float32(),
                "Margin: logit of the contrast's first side minus that of its second, of the tokens at which they part",
                unit="nats",
            ),
            column(
                "contrast_probability",
                pa.float32(),
                "Two-way softmax probability of the contrast's first side",
                span="0..1",
            ),
            column(
                "label_surprisal",
                pa.float32(),
                "-ln p(recorded decision token) over the full vocabulary",
                unit="nats",
                span="0..",
            ),
            *(
                column(
                    f"{COUNT_PREFIX}{name}",
                    pa.int32(),
                    f"Tokens of key group {name}",
                    unit="tokens",
                    span="0..",
                )
                for name in key_groups
            ),
            *(
                column(f"{KEPT_PREFIX}{name}", kinds[kind], f"The record's field {name} (predictions.keep)")
                for name, kind in (kept or {}).items()
            ),
        ],
    )


def baselines_schema(key_groups: Sequence[str]) -> pa.Schema:
    """Return the schema of ``baselines``: what uniform attention would give, per query group.

    ``layer`` is null when all layers see the same keys, and set where sliding windows differ between layers.
    """
    names = [*key_groups, "duplicate", "induction"]
    return described_schema(
        "baselines",
        "one row per sample, query group and, where layers see different keys, layer",
        [
            SAMPLE_ID,
            column("query_group", pa.string(), "Set of query rows"),
            column("layer", pa.int32(), "Layer, or null when all layers see the same keys"),
            *(
                column(
                    f"{BASELINE_PREFIX}{name}",
                    pa.float32(),
                    f"Mean share of visible keys that belong to {name}",
                    span="0..1",
                )
                for name in names
            ),
        ],
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


TOKENS_SCHEMA = described_schema(
    "tokens",
    "one row per sample and position",
    [
        SAMPLE_ID,
        column("position", pa.int32(), "Token position, counted from 0"),
        column("token", pa.string(), "Text of the token"),
        column("char_start", pa.int32(), "First character in the text the model saw (plan/encoded)"),
        column("char_end", pa.int32(), "One past the last character"),
        column("segment", pa.string(), "Chat segment, or template for the tokens between segments"),
        column(
            "sentence",
            pa.int32(),
            "Number of its sentence, from 0 in the prompt's messages and in the thought; null elsewhere",
            since="1.2",
        ),
    ],
)


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


LABEL_LOGPROBS_SCHEMA = described_schema(
    "label_logprobs",
    "one row per sample and label; of a free answer, its first token and the runner-up",
    [
        SAMPLE_ID,
        column("label", pa.string(), "Label, the said one among them"),
        column("position", pa.int32(), "Row that predicts the first token at which it parts from the said label"),
        column("logprob", pa.float32(), "ln p of that token over the vocabulary", unit="nats", span="..0"),
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


REJECTS_SCHEMA = described_schema(
    "rejects",
    "one row per sample that is in no committed unit",
    [
        SAMPLE_ID,
        column("stage", pa.string(), "Where it was turned away", span="|".join(REJECT_STAGES)),
        column("reason", pa.string(), "Why, as a short fixed word"),
        column("detail", pa.string(), "Why, in words"),
    ],
)


def table_schema(
    table: str,
    key_groups: Sequence[str],
    norm_weighted: bool = False,
    kept: Mapping[str, str] | None = None,
    contribution: bool = False,
    lookback: bool = False,
) -> pa.Schema:
    """Return the schema of a table by name.

    Parameters
    ----------
    table
        A name in ``MEASURE_TABLES`` or ``OPTIONAL_TABLES``, or ``"rejects"``.
    key_groups
        Names of the run's key groups.
    norm_weighted
        Whether norm-weighted masses are kept.
    kept
        Fields of ``predictions.keep``, as in ``samples_schema``.
    contribution
        Whether contributions are kept, as in ``head_attributions_schema``.
    lookback
        Whether lookback ratios are kept, as in ``head_stats_schema``.

    Raises
    ------
    KeyError
        When the table is unknown.
    """
    if table == "samples":
        return samples_schema(key_groups, kept)
    if table == "baselines":
        return baselines_schema(key_groups)
    if table == "head_stats":
        return head_stats_schema(key_groups, norm_weighted, lookback)
    if table == "head_attributions":
        return head_attributions_schema(key_groups, contribution)
    if table == "reading_focus":
        return reading_focus_schema(key_groups)
    return {
        "tokens": TOKENS_SCHEMA,
        "decision_top_keys": DECISION_TOP_KEYS_SCHEMA,
        "span_mass": SPAN_MASS_SCHEMA,
        "null_mass": NULL_MASS_SCHEMA,
        "label_logprobs": LABEL_LOGPROBS_SCHEMA,
        "patterns": PATTERNS_SCHEMA,
        "decision_rows": DECISION_ROWS_SCHEMA,
        "decision_head_rows": DECISION_HEAD_ROWS_SCHEMA,
        "top_token_attributions": TOP_TOKEN_ATTRIBUTIONS_SCHEMA,
        "span_attributions": SPAN_ATTRIBUTIONS_SCHEMA,
        "retrieval": RETRIEVAL_SCHEMA,
        "received_heads": RECEIVED_HEADS_SCHEMA,
        "received_keys": RECEIVED_KEYS_SCHEMA,
        "sentence_flow": SENTENCE_FLOW_SCHEMA,
        "receiver_sentences": RECEIVER_SENTENCES_SCHEMA,
        "rejects": REJECTS_SCHEMA,
    }[table]
