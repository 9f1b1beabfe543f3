"""Arrow schema of whether heads fetch what is written, and write what they look at."""

from __future__ import annotations

import pyarrow as pa

from engine.schema.columns import HEAD, LAYER, SAMPLE_ID, column, described_schema

_OF = {"": "the prompt", "evidence_": "the evidence"}


def _columns(prefix: str) -> list[pa.Field]:
    source = _OF[prefix]
    null = "; null where the record names none" if prefix else ""
    return [
        column(
            f"num_{prefix}copyable",
            pa.int32(),
            f"Of num_rows, those whose next token stands in {source}: no head can score more{null}",
            unit="rows",
            span="0..num_rows",
        ),
        column(
            f"{prefix}retrieval",
            pa.float32(),
            f"Share of the rows whose largest weight lies on a key of {source} that is the token written next (Wu et "
            f"al. 2024){null}",
            span="0..1",
        ),
        column(
            f"{prefix}retrieval_chance",
            pa.float32(),
            f"The same of these keys beside the next token of a row drawn at random{null}",
            span="0..1",
        ),
    ]


RETRIEVAL_SCHEMA = described_schema(
    "retrieval",
    "one row per sample, layer and head",
    [
        SAMPLE_ID,
        LAYER,
        HEAD,
        column("num_rows", pa.int32(), "Rows that predict what the model wrote", unit="rows", span="1.."),
        *_columns(""),
        *_columns("evidence_"),
        column(
            "copy_score",
            pa.float32(),
            "By how many standard deviations of the vocabulary the head raises the logit of a token that it looks at "
            "above the mean, mean over the prompt's tokens without the first; null where the model's parts are not "
            "known, or depend on the row",
        ),
    ],
)
