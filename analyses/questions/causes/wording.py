"""Causes in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analyses.wording import key_group_label, signed_text

_REPLACED = {
    "zero": "replaced by zero",
    "mean": "replaced by its mean over the samples",
    "resample": "replaced by another sample's",
}
_GRADIENTS = {
    "dla": "direct attribution",
    "head_gradient": "head gradient",
    "patching": "attribution patching",
}
_ROWS = {"all": "in all rows", "decision": "in the decision row", "response": "from the answer's rows"}

MEASURE_LABELS = {
    "mass": "attention to {vocabulary}",
    "norm_mass": "norm-weighted attention to {vocabulary}",
    "dla": "direct attribution",
    "head_gradient": "head gradient",
    "attention_gradient": "attention gradient of {vocabulary}",
    "ablation": "ablation",
}


def cause_label(row: Mapping[str, Any]) -> str:
    """Name what was done, without saying to which head: "ablation (replaced by zero, in all rows)"."""
    kind = row["kind"]
    if kind == "ablation":
        return f"ablation ({_REPLACED[row['replace']]}, {_ROWS[row['rows']]})"
    if kind == "amplification":
        return f"amplification (times {row['factor']:g}, {_ROWS[row['rows']]})"
    if kind == "knockout":
        return f"no attention to {key_group_label(row['key_group'])} {_ROWS[row['rows']]}"
    if kind == "matched_patching":
        return "the decision row of a matched right prediction put in its place"
    if kind == "attention_gradient":
        return f"attention gradient of {key_group_label(row['key_group'])}"
    if kind == "patching":
        return f"attribution patching ({row['counterfactual'].replace('_', ' ')})"
    return _GRADIENTS[kind]


def part_label(row: Mapping[str, object]) -> str:
    """Name the part of the model: "head 3.4", "layer 2", "the KV group 3.4 3.5", "layers 2 to 6"."""
    if row["kind"] == "knockout":
        first, last = row["first_layer"], row["last_layer"]
        return f"layer {first}" if first == last else f"layers {first} to {last}"
    if row["head"] is not None:
        return f"head {row['layer']}.{row['head']}"
    if row["unit"] == "layer":
        return f"all heads of layer {row['layer']}"
    return f"the {'KV group' if row['unit'] == 'kv_group' else 'set'} {row['members']}"


def nats_text(value: float | None) -> str:
    """Return a change with its sign: "-1.66 nats"."""
    return "unknown" if value is None else f"{signed_text(value, 3)} nats"


def measure_label(name: str, vocabulary: str | None) -> str:
    """Name a measure of ``questions.causes.agreement``."""
    return MEASURE_LABELS[name].format(vocabulary=key_group_label(vocabulary or "vocabulary"))
