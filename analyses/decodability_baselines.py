"""What can be told of a prediction without looking at a head: length, answer, margin, covariates and counts."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyses.comparisons import Comparison
from analyses.key_groups import of_kind
from analyses.run_tables import RunTables
from analyses.settings import LOG_PREFIX, AnalysisSettings
from engine.schema import COUNT_PREFIX

FIELD_PREFIX = "field_"
"""Columns of ``samples`` that hold numbers of the records, such as accounting ratios."""

TOGETHER = "all baselines"


def baselines(tables: RunTables, settings: AnalysisSettings, comparison: Comparison) -> dict[str, np.ndarray]:
    """Return the features of every baseline, ``[samples, features]``, NaN where unknown.

    ``length``: log tokens. ``answer``: which label the model said. ``margin``: the logit difference and its size, the
    surprisal of the label's token, the probability of two labels. ``covariates``: those of the config, every number
    ``field_…`` of the records (accounting ratios) and the token counts of the key groups. ``all baselines``: these
    together. One without a value that varies is left out, as are answer and margin where they are what is predicted.
    """
    samples = tables.samples
    difference = numbers(samples, "logit_difference")
    labels = samples["predicted_label"]
    found = {
        "length": [np.log(np.maximum(numbers(samples, "num_tokens"), 1))],
        "answer": [
            (labels == label).fill_null(False).to_numpy().astype(np.float64)
            for label in labels.drop_nulls().unique(maintain_order=True)
        ],
        "margin": [
            np.abs(difference),
            difference,
            numbers(samples, "label_surprisal"),
            numbers(samples, "contrast_probability"),
        ],
        "covariates": _covariates(tables, settings),
    }
    if comparison.name == "predicted_label":
        del found["answer"], found["margin"]
    result: dict[str, np.ndarray] = {}
    for name, columns in found.items():
        varying = [column for column in columns if _varies(column[comparison.is_member])]
        if varying:
            result[name] = np.column_stack(varying)
    if len(result) > 1:
        result[TOGETHER] = np.column_stack(list(result.values()))
    return result


def _varies(column: np.ndarray) -> bool:
    return len(np.unique(column[np.isfinite(column)])) > 1


def _covariates(tables: RunTables, settings: AnalysisSettings) -> list[np.ndarray]:
    """Return configured covariates, numbers of the records and token counts, without those of random vocabularies."""
    samples = tables.samples
    random = {f"{COUNT_PREFIX}{name}" for name in of_kind(tables, "random")}
    names = [name for name in samples.columns if name.startswith((FIELD_PREFIX, COUNT_PREFIX)) and name not in random]
    columns = {name: numbers(samples, name) for name in names if samples[name].dtype.is_numeric()}
    for name in settings.covariates:
        column = name if name in samples.columns else name.removeprefix(LOG_PREFIX)
        if column in samples.columns and samples[column].dtype.is_numeric():
            values = numbers(samples, column)
            columns[name] = values if name == column else np.log(np.where(values > 0, values, np.nan))
    return list(columns.values())


def numbers(samples: pl.DataFrame, name: str) -> np.ndarray:
    """Return a column as float64, NaN where it is null or infinite."""
    values = samples[name].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    values[~np.isfinite(values)] = np.nan
    return values
