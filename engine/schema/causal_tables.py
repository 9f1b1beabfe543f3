"""Arrow schemas of the tables that causal units write.

``logit_difference`` and everything measured against it is s: the margin of the sample's contrast
(``samples.contrast``), the logit of its first side's token minus that of its second's at
``samples.contrast_position``, before a final soft-capping where the model has one (soft-capping keeps its sign).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from engine.schema.columns import HEAD, LAYER, SAMPLE_ID, column, described_schema, list_of

ATTENTION_GRADIENT_PREFIX = "attention_gradient_"

CONTRAST = column(
    "contrast",
    pa.string(),
    "The two sides that s compares, such as C|A, as in samples.contrast",
    since="1.4",
)

COMPONENTS = (
    "embedding",
    "attention_bias",
    "mlp",
    "mlp_bias",
    "layer_without_heads",
    "final_norm_bias",
    "head_bias",
)
"""Parts of a model beside its heads that add to the logit difference."""

INTERVENTION_KINDS = ("ablation", "amplification")
INTERVENTION_UNITS = ("head", "kv_group", "layer", "set")


def attributions_schema(key_groups: Sequence[str]) -> pa.Schema:
    """Return the schema of ``attributions``.

    Parameters
    ----------
    key_groups
        Key groups with attention gradients, each a column ``attention_gradient_<key group>``; none when not asked for.
    """
    return described_schema(
        "attributions",
        "one row per sample, layer and head",
        [
            SAMPLE_ID,
            LAYER,
            HEAD,
            column(
                "dla",
                pa.float32(),
                "What the head adds to the logit difference directly, norms frozen (direct logit attribution); with "
                "sample_attributions these sum to the logit difference",
                unit="nats",
            ),
            column(
                "head_gradient",
                pa.float32(),
                "sum_i <z_i, ds/dz_i> over rows up to the decision row, z the head's output before o_proj (Michel et "
                "al. 2019)",
                unit="nats",
            ),
            *(
                column(
                    f"{ATTENTION_GRADIENT_PREFIX}{name}",
                    pa.float32(),
                    f"sum over rows and keys in {name} of A ds/dA, signed",
                    unit="nats",
                )
                for name in key_groups
            ),
            CONTRAST,
        ],
    )


SAMPLE_ATTRIBUTIONS_SCHEMA = described_schema(
    "sample_attributions",
    "one row per sample, component and, where a layer has its own, layer",
    [
        SAMPLE_ID,
        column("component", pa.string(), "Part of the model beside its heads", span="|".join(COMPONENTS)),
        column("layer", pa.int32(), "Layer, or null for a part that no layer owns"),
        column("value", pa.float32(), "What the part adds to the logit difference directly", unit="nats"),
        column(
            "logit_difference",
            pa.float32(),
            "s of the sample: the sum of value here and of dla in attributions",
            unit="nats",
        ),
        CONTRAST,
    ],
)


_EFFECT = [
    column("logit_difference", pa.float32(), "s under the intervention", unit="nats"),
    column("change", pa.float32(), "s under the intervention minus s of its batch's own unmodified row", unit="nats"),
    column("is_flipped", pa.bool_(), "Whether s changes its sign: the other label becomes the likelier one"),
]

INTERVENTIONS_SCHEMA = described_schema(
    "interventions",
    "one row per sample and intervention",
    [
        SAMPLE_ID,
        column("kind", pa.string(), "What is done to the heads", span="|".join(INTERVENTION_KINDS)),
        column("unit", pa.string(), "What is changed at a time", span="|".join(INTERVENTION_UNITS)),
        column("layer", pa.int32(), "Layer; null for a set"),
        column("head", pa.int32(), "Query head; null unless unit is head"),
        column("members", list_of(pa.string()), "Every query head that is changed, as layer.head"),
        column("replace", pa.string(), "What takes the heads' place: zero, mean or resample; null when amplified"),
        column("rows", pa.string(), "Rows that are changed", span="all|decision"),
        column("factor", pa.float32(), "What the heads' outputs are multiplied with; null when they are replaced"),
        *_EFFECT,
        CONTRAST,
    ],
)

KNOCKOUTS_SCHEMA = described_schema(
    "knockouts",
    "one row per sample, key group and window of layers",
    [
        SAMPLE_ID,
        column("key_group", pa.string(), "Keys that the rows must not look at"),
        column("rows", pa.string(), "Rows that are kept from them", span="decision|response"),
        column("first_layer", pa.int32(), "First layer of the window"),
        column("last_layer", pa.int32(), "Last layer of the window"),
        *_EFFECT,
        CONTRAST,
    ],
)


PATCHING_SCHEMA = described_schema(
    "patching",
    "one row per sample, layer and head",
    [
        SAMPLE_ID,
        LAYER,
        HEAD,
        column("counterfactual", pa.string(), "Kind of edit", span="swap_periods|scale|replace|flip_sign"),
        column("edit", pa.string(), "Every edit: character in the text, figure before and after"),
        column(
            "effect",
            pa.float32(),
            "sum_i <z_i of the edited statement - z_i, ds/dz_i>, z the head's output: what putting it in place of the "
            "recorded one changes s by, to first order (attribution patching)",
            unit="nats",
        ),
        column("logit_difference", pa.float32(), "s of the recorded statement", unit="nats"),
        column("counterfactual_logit_difference", pa.float32(), "s of the edited statement", unit="nats"),
        CONTRAST,
    ],
)


MATCHED_PATCHING_SCHEMA = described_schema(
    "matched_patching",
    "one row per wrong prediction with a match, and head or layer",
    [
        SAMPLE_ID,
        column("matched_id", pa.string(), "The right prediction whose decision row is put in"),
        column("is_same_cluster", pa.bool_(), "Whether both are of one cluster"),
        column("unit", pa.string(), "What is put in at a time", span="head|layer"),
        LAYER,
        column("head", pa.int32(), "Query head; null for a layer"),
        column(
            "matched_logit_difference",
            pa.float32(),
            "s of the right prediction, between the tokens of the wrong one's contrast",
            unit="nats",
        ),
        *_EFFECT,
        CONTRAST,
    ],
)


EDGE_INPUTS = ("q", "k", "v", "logits")

EDGES_SCHEMA = described_schema(
    "edges",
    "one row per sample and edge of a circuit",
    [
        SAMPLE_ID,
        column("source_layer", pa.int32(), "Layer of the head that writes; null where a key group is the source"),
        column("source_head", pa.int32(), "Query head that writes; null where a key group is the source"),
        column("key_group", pa.string(), "Key group whose values are read; null where a head is the source"),
        column("target_layer", pa.int32(), "Layer of the head that reads; null for the logits"),
        column("target_head", pa.int32(), "Query head that reads; null for the logits"),
        column("input", pa.string(), "What the edge ends in", span="|".join(EDGE_INPUTS)),
        column("replace", pa.string(), "What the edge carries once it is cut (causal.circuit.replace)"),
        column(
            "matched_id",
            pa.string(),
            "The right prediction whose outputs it then carries; null unless replace is matched",
            since="1.4",
        ),
        column(
            "is_held_out",
            pa.bool_(),
            "Whether neither heads nor edges were chosen on this sample; of a run's samples either some are held out, "
            "and these alone verify, or none are",
            since="1.4",
        ),
        column(
            "effect",
            pa.float32(),
            "What s changes by, to first order, if this edge alone carries that instead: its change times the gradient "
            "of s by that input, averaged over causal.circuit.steps runs (EAP with integrated gradients)",
            unit="nats",
        ),
        column(
            "verified",
            pa.float32(),
            "What s changes by on a real run in which this edge alone does (path patching); null where it was not run",
            unit="nats",
        ),
        column("logit_difference", pa.float32(), "s of the unchanged run", unit="nats"),
        CONTRAST,
    ],
)

CIRCUIT_CURVES_SCHEMA = described_schema(
    "circuit_curves",
    "one row per sample, order of edges and number of kept edges",
    [
        SAMPLE_ID,
        column("order", pa.string(), "In which order edges from heads are kept", span="strongest|random"),
        column(
            "draw",
            pa.int32(),
            "Which random order; 0: the strongest first, by mean size over the samples that choose (edges.is_held_out)",
        ),
        column("num_edges", pa.int32(), "Edges that are kept; all others carry causal.circuit.replace"),
        column("logit_difference", pa.float32(), "s of that run", unit="nats"),
        CONTRAST,
    ],
)


CAUSAL_TABLES: dict[str, pa.Schema | Callable[[Sequence[str]], pa.Schema]] = {
    "attributions": attributions_schema,
    "sample_attributions": SAMPLE_ATTRIBUTIONS_SCHEMA,
    "interventions": INTERVENTIONS_SCHEMA,
    "knockouts": KNOCKOUTS_SCHEMA,
    "patching": PATCHING_SCHEMA,
    "matched_patching": MATCHED_PATCHING_SCHEMA,
    "edges": EDGES_SCHEMA,
    "circuit_curves": CIRCUIT_CURVES_SCHEMA,
}
"""Tables that a causal unit writes, each when a method that fills it is on: a schema, or its maker from key groups."""


def causal_schema(table: str, key_groups: Sequence[str]) -> pa.Schema:
    """Return the schema of a table of ``CAUSAL_TABLES`` by name.

    Parameters
    ----------
    table
        The table's name.
    key_groups
        As in ``attributions_schema``; tables without columns by key group do without them.
    """
    schema = CAUSAL_TABLES[table]
    return schema if isinstance(schema, pa.Schema) else schema(key_groups)
