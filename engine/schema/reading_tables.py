"""Arrow schemas of how an answer reads what stands before it, and of what keys and sentences receive."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from engine.schema.columns import (
    CENTROID_PREFIX,
    CONCENTRATION_PREFIX,
    DRIFT_PREFIX,
    HEAD,
    LAYER,
    SAMPLE_ID,
    column,
    described_schema,
)

READING_TABLES = ("reading_focus",)
"""Tables of ``statistics.reading_focus``, for samples with an answer."""


RECEIVED_TABLES = ("received_heads", "received_keys", "sentence_flow", "receiver_sentences")
"""Tables of ``statistics.received``; the last two for samples with sentences enough."""


SENTENCES_APART = 4
"""Sentences between one that receives and the first that counts (Thought Anchors)."""


FEWEST_SENTENCES = 4
"""Receiving sentences of which a kurtosis says something."""


MOST_SENTENCES = 1024
"""A layer keeps a number per pair of sentences and head, 4 MiB a head: texts with more have no rows of sentences."""


def reading_focus_schema(key_groups: Sequence[str]) -> pa.Schema:
    """Return the schema of ``reading_focus``; every key group adds three columns.

    Parameters
    ----------
    key_groups
        Names of the run's key groups, in config order.
    """
    return described_schema(
        "reading_focus",
        "one row per sample with an answer, layer and head",
        [
            SAMPLE_ID,
            LAYER,
            HEAD,
            *(
                column(
                    f"{CENTROID_PREFIX}{name}",
                    pa.float32(),
                    f"Mean over the answer's rows of the position on which the weight on {name} is centred; tokens of "
                    f"the group before the answer alone; null where no row gives them weight",
                    unit="tokens",
                    span="0..T-1",
                )
                for name in key_groups
            ),
            *(
                column(
                    f"{DRIFT_PREFIX}{name}",
                    pa.float32(),
                    f"Slope of that position over the answer's rows (least squares): tokens of {name} further per row; "
                    f"null with fewer than two rows",
                    unit="tokens per token",
                )
                for name in key_groups
            ),
            *(
                column(
                    f"{CONCENTRATION_PREFIX}{name}",
                    pa.float32(),
                    f"Mean over the answer's rows of the sum of squared shares of the weight on {name}: 1 on one "
                    f"token, 1/n spread evenly over n",
                    span="0..1",
                )
                for name in key_groups
            ),
        ],
    )


RECEIVED_HEADS_SCHEMA = described_schema(
    "received_heads",
    "one row per sample, layer and head",
    [
        SAMPLE_ID,
        LAYER,
        HEAD,
        column("sink_score", pa.float32(), "What the first token receives: its mean weight over rows", span="0..1"),
        column(
            "receiver_kurtosis",
            pa.float32(),
            "Fisher kurtosis of what sentences receive from sentences at least 4 further on (Thought Anchors); null "
            "with fewer than 4 such sentences, or where all receive the same",
            span="-2..",
        ),
        column(
            "receiver_rank",
            pa.int32(),
            "0 is the sample's head with the largest kurtosis; null beyond statistics.received.heads",
        ),
    ],
)


RECEIVED_KEYS_SCHEMA = described_schema(
    "received_keys",
    "one row per sample, layer, head and rank",
    [
        SAMPLE_ID,
        LAYER,
        HEAD,
        column("rank", pa.int32(), "0 is the key that receives most"),
        column("key_position", pa.int32(), "Token position of that key"),
        column("token", pa.string(), "Its text"),
        column("received", pa.float32(), "Its mean weight over the rows that see it, its own among them", span="0..1"),
        column("num_rows", pa.int32(), "How many rows see it in this layer", unit="rows", span="1..T"),
    ],
)


SENTENCE_FLOW_SCHEMA = described_schema(
    "sentence_flow",
    "one row per sample and pair of sentences of which one sees the other",
    [
        SAMPLE_ID,
        column("query_sentence", pa.int32(), "Sentence whose rows look, as in tokens.sentence"),
        column("key_sentence", pa.int32(), "Sentence that is looked at, the same or an earlier one"),
        column(
            "flow",
            pa.float32(),
            "Mean weight between their tokens, pairs that see each other, over all heads of all layers",
            span="0..1",
        ),
        column(
            "receiver_flow",
            pa.float32(),
            "The same over the sample's receiver heads; null where none of them sees that far",
            span="0..1",
        ),
    ],
)


RECEIVER_SENTENCES_SCHEMA = described_schema(
    "receiver_sentences",
    "one row per sample, receiver head and sentence that can receive",
    [
        SAMPLE_ID,
        LAYER,
        HEAD,
        column("receiver_rank", pa.int32(), "As in received_heads"),
        column("sentence", pa.int32(), "Sentence, as in tokens.sentence"),
        column(
            "received",
            pa.float32(),
            "Mean weight between its tokens and those of sentences at least 4 further on, mean over these sentences",
            span="0..1",
        ),
    ],
)
