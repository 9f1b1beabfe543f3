"""One line of JSON per sample, for oneself, for Inspect and for Every Eval Ever."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from analyses.exporting.rows import Measured
from analyses.runs.run import Run

_SCORER = "headledger"
_SCHEMA = "0.3.0"
"""Version of the schema of Every Eval Ever's instance-level results."""


def jsonl_row(measured: Measured, run: Run) -> dict[str, object]:
    """Return results as they are, under the sample's id."""
    row: dict[str, object] = {"sample_id": measured.sample_id, "id": measured.log_id, "epoch": measured.epoch}
    if measured.reject:
        return {**row, "reject": measured.reject}
    return {**row, **measured.values, **({"heads": measured.heads} if measured.heads else {})}


def inspect_row(measured: Measured, run: Run) -> dict[str, object]:
    """Return results as a score of Inspect's, under the id and the epoch that its log has."""
    key: dict[str, object] = {"id": measured.log_id, "epoch": measured.epoch}
    if measured.reject:
        score = {"value": None, "explanation": measured.reject["detail"], "metadata": measured.reject}
        return {**key, "scores": {_SCORER: score}}
    numbers = {name: value for name, value in _numbers(measured).items() if value is not None}
    answer = measured.values.get("predicted_label")
    metadata = {name: value for name, value in measured.values.items() if name not in numbers}
    return {**key, "scores": {_SCORER: {"value": numbers, "answer": answer, "metadata": metadata}}}


def every_eval_row(measured: Measured, run: Run) -> dict[str, object]:
    """Return the margin as an instance-level result of Every Eval Ever; everything else stands in its metadata."""
    numbers = _numbers(measured)
    margin, is_correct = numbers.get("margin"), measured.values.get("is_correct")
    metadata = {name: f"{value:.9g}" for name, value in numbers.items() if value is not None}
    metadata |= {name: str(value) for name in ("contrast", "predicted_label") if (value := measured.values.get(name))}
    metadata["epoch"] = str(measured.epoch)
    if not isinstance(is_correct, bool):
        metadata["is_correct"] = "unknown"
    actual = measured.values.get("actual_label")
    return {
        "schema_version": _SCHEMA,
        "evaluation_id": f"{_SCORER}/{run.section('run').get('name', 'run')}",
        "model_id": str(run.section("model").get("path", "unknown")),
        "evaluation_name": f"{_SCORER}/margin",
        "sample_id": measured.log_id,
        "interaction_type": "single_turn",
        "input": {"raw": "", "reference": [] if actual is None else [str(actual)]},
        "output": {"raw": []},
        "answer_attribution": [],
        "evaluation": {"score": margin if margin is not None else 0.0, "is_correct": is_correct is True},
        "error": f"{measured.reject['reason']}: {measured.reject['detail']}" if measured.reject else None,
        "metadata": metadata,
    }


FORMATS: Mapping[str, Callable[[Measured, Run], dict[str, object]]] = {
    "jsonl": jsonl_row,
    "inspect": inspect_row,
    "every-eval-ever": every_eval_row,
}
"""What ``--format`` names."""


def _numbers(measured: Measured) -> dict[str, float | None]:
    """Return the numbers of a sample, those of heads as ``L3H7_entropy``; None for what is no finite number."""
    values = {name: measured.values.get(name) for name in ("margin", "surprisal", "contrast_probability")}
    for head, statistics in measured.heads.items():
        values |= {f"{head}_{name}": value for name, value in statistics.items()}
    return {
        name: float(value) if isinstance(value, int | float) and math.isfinite(value) else None
        for name, value in values.items()
    }
