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
    TOP_TOKEN_ATTRIBUTIONS_SCHEMA,
    head_attributions_schema,
)
from engine.schema.head_tables import (
    DECISION_HEAD_ROWS_SCHEMA,
    DECISION_ROWS_SCHEMA,
    DECISION_TOP_KEYS_SCHEMA,
    NULL_MASS_SCHEMA,
    PATTERNS_SCHEMA,
    SPAN_MASS_SCHEMA,
    head_stats_schema,
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
from engine.schema.sample_tables import (
    LABEL_LOGPROBS_SCHEMA,
    REJECTS_SCHEMA,
    TOKENS_SCHEMA,
    baselines_schema,
    samples_schema,
)

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
