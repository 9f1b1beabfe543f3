"""Arrow schemas of the tables of samples: what a sample is, its tokens, its baselines, its labels, and rejects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from engine.schema.columns import (
    BASELINE_PREFIX,
    COUNT_PREFIX,
    KEPT_PREFIX,
    SAMPLE_ID,
    column,
    described_schema,
    list_of,
)

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
