"""Arrow schemas of what each key carries through each head towards the first side of the contrast.

All are of the margin before a final soft-capping, at ``samples.contrast_position``, norms frozen at the sample. A
sample without a contrast, or whose parts do not sum to its margin, has no rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from engine.schema.columns import (
    ATTRIBUTION_PREFIX,
    CONTRIBUTION_PREFIX,
    HEAD,
    LAYER,
    SAMPLE_ID,
    column,
    described_schema,
)

ATTRIBUTION_TABLES = ("head_attributions", "top_token_attributions", "span_attributions")
"""Tables of ``statistics.attribution``, for samples with a contrast and models whose parts are known."""


SPAN_NAMES = ("line_item", "period")
"""Kinds of spans in ``span_mass``."""


CELL = "cell"
"""Kind of a span that is the figures of one line item in one period."""


CELL_PERIODS = ("current_period", "prior_period")
"""Key groups of periods that cut a line item into the cells of ``span_attributions``."""


def head_attributions_schema(key_groups: Sequence[str], contribution: bool = False) -> pa.Schema:
    """Return the schema of ``head_attributions``.

    Parameters
    ----------
    key_groups
        Names of the run's key groups, in config order; each adds ``attribution_<key group>``.
    contribution
        Whether ``contribution_<key group>`` is kept too.
    """
    return described_schema(
        "head_attributions",
        "one row per sample, layer and head",
        [
            SAMPLE_ID,
            LAYER,
            HEAD,
            column(
                "dla",
                pa.float32(),
                "What the head adds to the margin directly, norms frozen, before a final soft-capping (direct logit "
                "attribution); the sum over all keys",
                unit="nats",
            ),
            *(
                column(
                    f"{ATTRIBUTION_PREFIX}{name}",
                    pa.float32(),
                    f"The part of dla that comes from keys of {name}: sum over them of A_dj (W_O v_j) . w at the row "
                    f"of the contrast; positive towards its first side",
                    unit="nats",
                )
                for name in key_groups
            ),
            *(
                column(
                    f"{CONTRIBUTION_PREFIX}{name}",
                    pa.float32(),
                    f"Share of the head's output vector y that comes from keys of {name}, at the same row: sum over "
                    f"them of <A_dj W_O v_j, y> / |y|^2; over all keys 1, negative where keys work against the others",
                )
                for name in (key_groups if contribution else ())
            ),
        ],
    )


TOP_TOKEN_ATTRIBUTIONS_SCHEMA = described_schema(
    "top_token_attributions",
    "one row per sample, layer, head, sign and rank; keys that carry nothing are left out",
    [
        SAMPLE_ID,
        LAYER,
        HEAD,
        column("rank", pa.int32(), "0 is the key that carries most of its sign"),
        column("key_position", pa.int32(), "Token position of that key"),
        column("token", pa.string(), "Its text"),
        column(
            "attribution",
            pa.float32(),
            "What the key carries through the head: positive towards the contrast's first side",
            unit="nats",
        ),
    ],
)


SPAN_ATTRIBUTIONS_SCHEMA = described_schema(
    "span_attributions",
    "one row per sample, span, layer and head",
    [
        SAMPLE_ID,
        column("kind", pa.string(), "What the span is", span="|".join((*SPAN_NAMES, CELL))),
        column("span", pa.string(), "Name of the line item, or the period, as the statement in the prompt says it"),
        column(
            "period",
            pa.string(),
            "Of a cell, the period whose column of the line item it is; null of the others",
            span="|".join(CELL_PERIODS),
        ),
        LAYER,
        HEAD,
        column(
            "attribution",
            pa.float32(),
            "What keys of the span carry through the head, rounded to 0.00001; positive towards the contrast's first "
            "side",
            unit="nats",
        ),
    ],
)
